//! The handover file: what the keepers of the control plane give to those of the data plane.
//!
//! It carries the data plane's passwords, so it is written with mode 0600 and never to stdout.

use std::collections::{BTreeMap, BTreeSet};

use fleet::load::Loaded;
use fleet::{Fleet, Plane};
use jiff::{SignedDuration, Timestamp};
use manifest::{Allocations, Endpoint, SecretRef, Surroundings};
use serde::{Deserialize, Serialize};

use crate::report::usage;
use crate::round::Round;
use crate::{Failure, Fatal, Options, Session};

/// The format that this release writes and reads.
const VERSION: u32 = 1;

/// How long a handover is good for.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Everything of the control plane that `--plane data` needs without access to the control cluster.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// The file's format.
    pub version: u32,
    /// The fleet it is for.
    pub fleet: String,
    /// When it was written.
    pub since: Timestamp,
    /// When it stops being accepted.
    pub expires: Timestamp,
    /// Which slots serve, and their numbers.
    pub allocations: Allocations,
    /// Where their XMPP is reached.
    pub surroundings: Surroundings,
    /// Secret name → key → value.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
}

impl std::fmt::Debug for Handover {
    /// Without the passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").field("fleet", &self.fleet).field("since", &self.since).finish_non_exhaustive()
    }
}

impl Handover {
    /// Whether it can be used for this run.
    pub(crate) fn check(&self, fleet: &Fleet, planes: &BTreeSet<Plane>, now: Timestamp) -> Result<(), Failure> {
        let (message, hint) = if self.version != VERSION {
            (
                format!("the handover file has format {}, this release reads {VERSION}", self.version),
                "have it exported by the same release",
            )
        } else if self.fleet != fleet.name.as_str() {
            (
                format!("the handover file is for fleet `{}`, not `{}`", self.fleet, fleet.name),
                "pass the file of this fleet",
            )
        } else if planes.contains(&Plane::Control) {
            ("a handover file is for the data plane alone".to_owned(), "pass --plane data with it")
        } else if now > self.expires {
            (
                format!("the handover file has expired at {}", self.expires),
                "ask the control plane's keepers for a new one",
            )
        } else {
            return Ok(());
        };
        Err(usage(&fleet.control.cluster, message, hint.to_owned()))
    }
}

/// Collects what the data plane's keepers need.
///
/// # Errors
/// When the control cluster can't be read, or an address or a password is not there yet.
pub async fn export(loaded: &Loaded, options: &Options) -> Result<Handover, Fatal> {
    let session = Session::open(loaded, options, &|_| {}).await?;
    let round = Round::look(&session, &options.policy).await?;
    let fleet = &loaded.fleet;
    let mut problems: Vec<Failure> = Vec::new();
    for (shard, slots) in &round.desire.endpoints {
        for (slot, endpoint) in slots {
            if let Endpoint::Pending { why } = endpoint {
                problems.push(usage(
                    &fleet.control.cluster,
                    format!("the XMPP endpoint of {shard}-{slot} is not known yet: {why}"),
                    "apply the control plane first".to_owned(),
                ));
            }
        }
    }
    let mut secrets: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let copies = round.desire.desired.manifests().filter(|(unit, _)| unit.plane() == Plane::Data);
    for reference in copies.flat_map(|(_, manifest)| manifest.secrets.values()) {
        let SecretRef::CopyOf { secret, key } = reference else { continue };
        match round.secrets.values.get(reference).map(|value| String::from_utf8(value.expose().to_vec())) {
            Some(Ok(value)) => {
                secrets.entry(secret.clone()).or_default().insert(key.clone(), value);
            }
            Some(Err(_)) | None => problems.push(usage(
                &fleet.control.cluster,
                format!("Secret {secret} has no usable key {key}"),
                "apply the control plane first".to_owned(),
            )),
        }
    }
    if !problems.is_empty() {
        return Err(Fatal::Nothing(problems));
    }
    let since = session.now();
    Ok(Handover {
        version: VERSION,
        fleet: fleet.name.to_string(),
        since,
        expires: since.checked_add(LIFETIME).unwrap_or(since),
        allocations: round.record.allocations.clone(),
        surroundings: Surroundings { endpoints: round.desire.endpoints.clone(), ..Surroundings::default() },
        secrets,
    })
}
