//! From what the file says to the fleet: layers of values decided, files read, text turned into types.
//!
//! Every function notes all problems it finds and goes on: with a value that stands in for a wrong one, or without an
//! entry that has no usable name. So one mistake hides no other, and what came out is only used if there was none.

mod context;
mod control;
mod data;
mod duration;
mod env;
mod policy;
mod quantity;
mod workload;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use context::Context;

use self::env::Environment;
use self::workload::Scope;
use crate::diagnostic::Problem;
use crate::{
    Access, Cluster, ClusterName, Component, Domains, Fleet, FleetName, Image, InvalidName, PublicUrl, PullPolicy,
    ShardName, raw,
};

/// The largest custom or secret file: a ConfigMap holds no more.
const MAX_FILE: u64 = 1024 * 1024;

/// What else than the fleet came out.
pub(crate) struct Resolved {
    /// The fleet, if nothing stood in the way.
    pub(crate) fleet: Option<Fleet>,
    /// The plain values of the env files.
    pub(crate) env_files: BTreeMap<String, String>,
}

/// Builds the fleet.
pub(crate) fn resolve(ctx: &Context<'_>, raw: &raw::Fleet) -> Resolved {
    let environment = Environment::read(ctx, raw);
    let fleet = build(ctx, raw, &environment);
    let env_files = environment.from_files.clone();
    let secrets = environment.into_secrets();
    Resolved { fleet: fleet.map(|fleet| Fleet { secrets, ..fleet }), env_files }
}

fn build(ctx: &Context<'_>, raw: &raw::Fleet, env: &Environment) -> Option<Fleet> {
    let name: FleetName = name(ctx, "fleet", raw.fleet.as_deref()).or_else(stand_in)?;
    let url = raw.url.as_deref().and_then(|text| public_url(ctx, text)).or_else(some_url)?;
    let clusters = clusters(ctx, raw, &name);
    let scope = Scope {
        release: raw.release.as_deref().map(|release| (release, "release".to_owned())),
        registry: raw.registry.as_deref(),
        recipe: raw.recipe,
        env: Vec::new(),
    };
    let (no_control, no_data, no_shards) = (raw::Control::default(), raw::Data::default(), raw::Map::new());
    let (raw_control, raw_data) = (raw.control.as_ref().unwrap_or(&no_control), raw.data.as_ref().unwrap_or(&no_data));
    let written = raw_control.shards.as_ref().unwrap_or(&no_shards);
    let shards: Vec<(ShardName, Option<&str>)> =
        written.iter().filter_map(|(name, shard)| Some((name.parse().ok()?, shard.release.as_deref()))).collect();
    let control = control::control(ctx, env, &scope, raw_control, clusters.keys().next())?;
    let data = data::data(ctx, env, &scope, &shards, raw_data, &control.cluster);
    let rollout = policy::rollout(ctx, &raw.rollout, &data.pools);
    let daemon = policy::daemon(ctx, &raw.daemon);
    let fleet = Fleet {
        name,
        url,
        cluster_domain: raw.cluster_domain.clone().unwrap_or_else(|| "cluster.local".to_owned()),
        pull_policy: match raw.pull_policy.unwrap_or(raw::PullPolicy::IfNotPresent) {
            raw::PullPolicy::IfNotPresent => PullPolicy::IfNotPresent,
            raw::PullPolicy::Always => PullPolicy::Always,
            raw::PullPolicy::Never => PullPolicy::Never,
        },
        pull_secrets: raw.pull_secrets.clone(),
        clusters,
        secrets: BTreeMap::new(),
        domains: domains(ctx, &raw.domains),
        control,
        data,
        rollout,
        daemon,
        monitoring: policy::monitoring(&raw.monitoring),
        network_policy: raw.network_policy.unwrap_or(true),
        renames: ctx.renames.clone(),
    };
    // Nobody can say what an image reads that is not known.
    let (shards, pools) = (&fleet.control.shards, &fleet.data.pools);
    let whole = shards.len() == ctx.names("control.shards").len() && pools.len() == ctx.names("data.pools").len();
    if whole && !shards.is_empty() && !pools.is_empty() && !ctx.doubtful("release") {
        env.warn_unread(ctx, &images(&fleet));
    }
    Some(fleet)
}

/// Every image of the fleet.
fn images(fleet: &Fleet) -> Vec<(Component, Image)> {
    let shards = fleet.control.shards.values();
    let shards = shards.flat_map(|shard| [&shard.prosody.workload, &shard.jicofo, &shard.web.workload]);
    let pools = fleet.data.pools.iter().flat_map(|pool| [&pool.bridges.workload, &pool.recorders.workload]);
    let mut images: Vec<(Component, Image)> =
        shards.chain(pools).map(|workload| (workload.component, workload.image.clone())).collect();
    images.sort_by(|a, b| (a.0, &a.1.reference).cmp(&(b.0, &b.1.reference)));
    images.dedup();
    images
}

/// A name in the place of a missing or wrong one, so short that it makes no other name too long.
fn stand_in<T: FromStr>() -> Option<T> {
    "x".parse().ok()
}

fn some_url() -> Option<PublicUrl> {
    "https://fleet.invalid".parse().ok().and_then(PublicUrl::new)
}

fn public_url(ctx: &Context<'_>, text: &str) -> Option<PublicUrl> {
    let url = text.parse().ok().and_then(PublicUrl::new);
    if url.is_none() {
        ctx.error(
            "url",
            format!("`{text}` is not the address of a fleet"),
            "write it as https://meet.example.org, without a path",
        );
    }
    url
}

fn clusters(ctx: &Context<'_>, raw: &raw::Fleet, fleet: &FleetName) -> BTreeMap<ClusterName, Cluster> {
    let mut clusters = BTreeMap::new();
    for (key, raw) in raw.clusters.iter().flatten() {
        let path = format!("clusters.{key}");
        let name: Option<ClusterName> = key_name(ctx, &path, key);
        let _: Option<ClusterName> = self::name(ctx, &format!("{path}.namespace"), raw.namespace.as_deref());
        let namespace = raw.namespace.clone().unwrap_or_else(|| fleet.to_string());
        let access = raw.context.as_deref().map(|context| access(ctx, &path, context, raw.kubeconfig.as_deref()));
        if let (Some(name), Some(access)) = (name, access) {
            clusters.insert(name, Cluster { access, namespace, region: raw.region.clone(), uid: raw.uid.clone() });
        }
    }
    clusters
}

fn access(ctx: &Context<'_>, path: &str, context: &str, kubeconfig: Option<&str>) -> Access {
    if context != "in-cluster" {
        return Access::Context { context: context.to_owned(), kubeconfig: kubeconfig.map(|file| ctx.path(file)) };
    }
    if kubeconfig.is_some() {
        ctx.error(
            &format!("{path}.kubeconfig"),
            "`context: in-cluster` is the pod's own service account and has no kubeconfig",
            "leave `kubeconfig` out",
        );
    }
    Access::InCluster
}

fn domains(ctx: &Context<'_>, raw: &raw::Domains) -> Domains {
    let images = Domains::default();
    let pick = |key: &str, own: &Option<String>, image: String| -> String {
        let Some(own) = own else { return image };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if own.is_empty() || !own.chars().all(fits) || own.starts_with(['.', '-']) || own.ends_with(['.', '-']) {
            ctx.error(
                &format!("domains.{key}"),
                format!("`{own}` is no domain"),
                "use lower-case letters, digits, `-` and `.`",
            );
        }
        own.clone()
    };
    Domains {
        main: pick("main", &raw.main, images.main),
        auth: pick("auth", &raw.auth, images.auth),
        muc: pick("muc", &raw.muc, images.muc),
        internal_muc: pick("internal_muc", &raw.internal_muc, images.internal_muc),
        guest: pick("guest", &raw.guest, images.guest),
        hidden: pick("hidden", &raw.hidden, images.hidden),
    }
}

/// A value that is a name.
pub(crate) fn name<T: FromStr<Err = InvalidName>>(ctx: &Context<'_>, path: &str, text: Option<&str>) -> Option<T> {
    match text?.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            ctx.error(path, why.to_string(), "");
            ctx.doubt(path);
            None
        }
    }
}

/// A key that is a name.
pub(crate) fn key_name<T: FromStr<Err = InvalidName>>(ctx: &Context<'_>, path: &str, text: &str) -> Option<T> {
    match text.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            ctx.push(Problem::error(why.to_string()).at(ctx.key_label(path)));
            ctx.doubt(path);
            None
        }
    }
}

fn duration(ctx: &Context<'_>, path: &str, text: Option<&str>, default: Duration) -> Duration {
    let Some(text) = text else { return default };
    duration::parse(text).unwrap_or_else(|| {
        ctx.error(path, format!("`{text}` is no duration"), "write it as 90s, 10m, 4h or 1h30m");
        default
    })
}

fn address(ctx: &Context<'_>, path: &str, text: &str) -> Option<IpAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        ctx.error(path, format!("`{text}` is no IP address"), "");
    }
    parsed
}

/// `did you mean …` or the list of what there is.
pub(crate) fn suggestion(text: &str, known: &[&str]) -> String {
    match crate::schema::nearest(text, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// Why a file can't be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It isn't there.
    Absent,
    /// It is larger than any such file.
    TooLarge,
    /// It is not text.
    NotText,
    /// Something else.
    Other(std::io::Error),
}

impl Unreadable {
    /// The way out, for a file of the fleet file's.
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Absent => "paths are relative to the fleet file",
            Self::TooLarge => "is this the right file?",
            Self::NotText => "save it as UTF-8",
            Self::Other(_) => "",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such file"),
            Self::TooLarge => write!(f, "it is larger than {MAX_FILE} bytes"),
            Self::NotText => f.write_str("it is not UTF-8 text"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let seen = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Unreadable::Absent,
        _ => Unreadable::Other(error),
    };
    let meta = std::fs::metadata(path).map_err(seen)?;
    if meta.len() > MAX_FILE {
        return Err(Unreadable::TooLarge);
    }
    if !meta.is_file() {
        return Err(Unreadable::Other(std::io::Error::other("it is not a file")));
    }
    std::fs::read(path).map_err(seen)
}

pub(crate) fn read_text(path: &Path) -> Result<String, Unreadable> {
    String::from_utf8(read_bytes(path)?).map_err(|_| Unreadable::NotText)
}
