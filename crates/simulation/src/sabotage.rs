//! Bugs planted on purpose, between the orchestrator and the API servers: what it would send, or see, if it had them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Uri, request::Parts};
use serde_json::{Value as Json, json};

use crate::promise::Promise;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Deletes and risky patches are sent without their preconditions.
    SkipPreconditions,
    /// What was not answered counts as "there is nothing".
    SilenceIsAbsence,
    /// A change of a workload's pods is never noticed: what was listed once is all there is.
    MissedChange,
    /// Every now and then a watch does not tell of a change.
    DropWatchEvent,
    /// A bridge is deleted although people are on it.
    DeleteBeforeEmpty,
    /// prosody is restarted together with the web servers of its slot, whoever is on it.
    RestartBusyShard,
    /// What the run before saw counts as what is.
    StaleEvidence,
    /// Passwords that are there are made again.
    RerollSecret,
    /// A bridge gets another port.
    RenumberPort,
    /// Readiness decides about media.
    GateMediaOnReadiness,
    /// A password gets where everybody can read it.
    LeakSecret,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::SkipPreconditions,
        Self::SilenceIsAbsence,
        Self::MissedChange,
        Self::DropWatchEvent,
        Self::DeleteBeforeEmpty,
        Self::RestartBusyShard,
        Self::StaleEvidence,
        Self::RerollSecret,
        Self::RenumberPort,
        Self::GateMediaOnReadiness,
        Self::LeakSecret,
    ];

    /// The promises of which it breaks at least one, if it is noticed for what it is.
    #[must_use]
    pub const fn breaks(self) -> &'static [Promise] {
        match self {
            Self::SkipPreconditions => &[Promise::DeletesAreExact],
            Self::SilenceIsAbsence => &[Promise::UnknownStays, Promise::BusyStays, Promise::PasswordsStay],
            Self::MissedChange => &[Promise::Converges],
            Self::DropWatchEvent => &[Promise::NothingOverlooked, Promise::Converges],
            Self::DeleteBeforeEmpty | Self::RestartBusyShard => &[Promise::BusyStays],
            Self::StaleEvidence => &[Promise::SecondRunIsIdle, Promise::BusyStays],
            Self::RerollSecret => &[Promise::PasswordsStay],
            Self::RenumberPort => &[Promise::PortsStay],
            Self::GateMediaOnReadiness => &[Promise::MediaUngated],
            Self::LeakSecret => &[Promise::NothingLeaks],
        }
    }

    /// Whether only daemons can show it: `apply` watches nothing.
    #[must_use]
    pub const fn needs_daemons(self) -> bool {
        matches!(self, Self::DropWatchEvent)
    }

    /// As it is called on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipPreconditions => "skip-preconditions",
            Self::SilenceIsAbsence => "silence-is-absence",
            Self::MissedChange => "missed-change",
            Self::DropWatchEvent => "drop-watch-event",
            Self::DeleteBeforeEmpty => "delete-before-empty",
            Self::RestartBusyShard => "restart-busy-shard",
            Self::StaleEvidence => "stale-evidence",
            Self::RerollSecret => "reroll-secret",
            Self::RenumberPort => "renumber-port",
            Self::GateMediaOnReadiness => "gate-media-on-readiness",
            Self::LeakSecret => "leak-secret",
        }
    }
}

/// Of so many changes that a watch tells, one is not told.
const DROPPED: u64 = 2;

type Read = (u16, Vec<u8>);

/// What each address answered first in a run, by cluster: it outlives the run. Copies are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<BTreeMap<(String, String), Read>>>);

/// Spoils the requests and answers of one client.
#[derive(Debug)]
pub(crate) struct Spoiler {
    bug: Option<Sabotage>,
    /// Answers that are given again.
    old: BTreeMap<String, Read>,
    memory: Memory,
    cluster: String,
    counter: u64,
    password: Option<String>,
}

impl Spoiler {
    pub(crate) fn new(bug: Option<Sabotage>, cluster: &str, memory: Memory) -> Self {
        // What is made anew in one cluster is not what is made in another.
        let counter = cluster.bytes().map(u64::from).sum::<u64>() % 9 * 1000;
        Self { bug, old: BTreeMap::new(), memory, cluster: cluster.to_owned(), counter, password: None }
    }

    /// What is really sent.
    pub(crate) fn request(&mut self, parts: &mut Parts, bytes: &mut Vec<u8>) {
        let Some(bug) = self.bug else { return };
        let path = parts.uri.path().to_owned();
        let Ok(mut body) = serde_json::from_slice::<Json>(bytes) else { return };
        match bug {
            // Not those of Leases: a server takes none without, and nothing would ever begin.
            Sabotage::SkipPreconditions if !path.contains("/leases/") => {
                if let Some(fields) = body.as_object_mut() {
                    fields.remove("preconditions");
                }
                if let Some(metadata) = body.get_mut("metadata").and_then(Json::as_object_mut) {
                    metadata.remove("resourceVersion");
                }
            }
            Sabotage::RenumberPort
                if parts.method == Method::PATCH && path.contains("/services/") && path.contains("-jvb-") =>
            {
                self.counter += 1;
                let shift = self.counter % 7;
                if let Some(port) = body.pointer_mut("/spec/ports/0") {
                    for key in ["port", "nodePort"] {
                        if let Some(number) = port.get(key).and_then(Json::as_u64) {
                            port[key] = json!(number + shift);
                        }
                    }
                }
            }
            Sabotage::GateMediaOnReadiness if path.contains("/services/") => {
                if let Some(spec) = body.get_mut("spec").and_then(Json::as_object_mut) {
                    spec.remove("publishNotReadyAddresses");
                }
            }
            Sabotage::RerollSecret if path.contains("/secrets") && body.get("data").is_some() => {
                self.counter += 1;
                if let Some(data) = body.get_mut("data").and_then(Json::as_object_mut) {
                    for value in data.values_mut() {
                        *value = json!(format!("bmV3{:04}", self.counter));
                    }
                }
            }
            Sabotage::LeakSecret => {
                if path.contains("/secrets") {
                    let first = body.get("data").and_then(Json::as_object).and_then(|data| data.values().next());
                    self.password = first.and_then(Json::as_str).map(str::to_owned).or(self.password.take());
                } else if let (Some(password), Some(annotations)) =
                    (&self.password, body.pointer_mut("/metadata/annotations").filter(|it| it.is_object()))
                {
                    annotations["example.org/debug"] = json!(password);
                }
            }
            _ => return,
        }
        *bytes = body.to_string().into_bytes();
    }

    /// What is sent besides, once this was done.
    pub(crate) fn afterwards(&self, method: &Method, uri: &Uri) -> Option<Uri> {
        let path = uri.path();
        if self.bug != Some(Sabotage::RestartBusyShard) || *method != Method::PATCH || uri.query()?.contains("dryRun") {
            return None;
        }
        let (folder, name) = path.rsplit_once('/')?;
        let slot = name.strip_suffix("-web")?;
        let namespace = folder.strip_suffix("/deployments")?.rsplit('/').next()?;
        format!("/api/v1/namespaces/{namespace}/pods/{slot}-prosody-0").parse().ok()
    }

    /// Whether what this watch tells is not left as it is.
    pub(crate) fn spoils_watches(&self, uri: &Uri) -> bool {
        // Of what runs nothing is dropped: else no fleet would be there at all, and nobody need look for the bug.
        let runs = ["/pods", "/statefulsets", "/deployments", "/nodes"];
        self.bug == Some(Sabotage::DropWatchEvent) && !runs.iter().any(|plural| uri.path().ends_with(plural))
    }

    /// Whether a line of a watch is never seen.
    pub(crate) fn swallows(&mut self, line: &[u8]) -> bool {
        let changes = [&br#"{"type":"MODIFIED""#[..], br#"{"type":"DELETED""#];
        if !changes.iter().any(|begin| line.starts_with(begin)) {
            return false;
        }
        self.counter += 1;
        self.counter.is_multiple_of(DROPPED)
    }

    /// Whether the answer to this read is not left as it is.
    pub(crate) fn spoils_answers(&self, uri: &Uri) -> bool {
        let listed = |plural: &str| uri.path().ends_with(plural);
        match self.bug {
            Some(Sabotage::SilenceIsAbsence) => true,
            Some(Sabotage::MissedChange) => listed("/pods"),
            Some(Sabotage::StaleEvidence) => listed("/statefulsets") || listed("/services") || listed("/configmaps"),
            _ => false,
        }
    }

    /// What is really seen; `None` came if nothing did.
    pub(crate) fn answer(&mut self, uri: &Uri, came: Option<Read>) -> Read {
        let nothing = || {
            let list =
                json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [] });
            (200, list.to_string().into_bytes())
        };
        match self.bug {
            Some(Sabotage::SilenceIsAbsence) => match came {
                Some((code, bytes)) if code < 500 && code != 429 && code != 401 && code != 403 => (code, bytes),
                _ => nothing(),
            },
            Some(Sabotage::MissedChange) => {
                let came = came.unwrap_or_else(nothing);
                self.old.entry(uri.to_string()).or_insert(came).clone()
            }
            Some(Sabotage::StaleEvidence) => {
                let came = came.unwrap_or_else(nothing);
                if self.old.insert(uri.to_string(), came.clone()).is_some() {
                    return came;
                }
                let asked = (self.cluster.clone(), uri.to_string());
                let mut memory = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
                memory.insert(asked, came.clone()).unwrap_or(came)
            }
            _ => came.unwrap_or_else(nothing),
        }
    }
}
