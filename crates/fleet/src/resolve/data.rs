//! The data plane.

use std::time::Duration;

use super::context::Context;
use super::env::Environment;
use super::workload::{Scope, quantity_at, some_size, workload};
use crate::diagnostic::Problem;
use crate::raw::{self, Count, Text};
use crate::{
    Advertise, AdvertiseFallback, BridgeExpose, BridgeWebsocket, Bridges, ClusterName, Component, Data, Image, Pool,
    PoolName, RecorderStorage, Recorders, Replicas, Scale, ScaleSchedule, ShardName, Storage,
};

/// A shard and its release, as pools see it.
pub(crate) type ShardRelease<'a> = (ShardName, Option<&'a str>);

/// How long a bridge or recorder has to empty, unless the file says something else.
const GRACE: Duration = Duration::from_secs(4 * 3600);

/// Builds the data plane; `some_cluster` stands in for its home.
pub(crate) fn data<'a>(
    ctx: &Context<'_>,
    env: &Environment,
    fleet: &Scope<'a>,
    shards: &[ShardRelease<'a>],
    raw: &'a raw::Data,
    some_cluster: &ClusterName,
) -> Data {
    let empty = raw::Map::new();
    let written = raw.pools.as_ref().unwrap_or(&empty);
    if raw.pools.as_ref().is_some_and(raw::Map::is_empty) && !ctx.doubtful("data.pools") {
        ctx.error("data.pools", "the fleet has no pool", "name one: `pools: { eu: { cluster: … } }`");
    }
    // The file's order counts: it is the default rollout order.
    let mut names = ctx.keys("data.pools");
    names.retain(|name| written.contains_key(name));
    names.extend(written.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    let pools: Vec<Pool> =
        names.iter().filter_map(|name| pool(ctx, env, fleet, shards, name, written.get(name)?)).collect();
    let home: Option<ClusterName> = super::name(ctx, "data.home", raw.home.as_deref());
    let home = home.unwrap_or_else(|| pools.first().map_or(some_cluster, |pool| &pool.cluster).clone());
    Data { home, pools }
}

fn pool<'a>(
    ctx: &Context<'_>,
    env: &Environment,
    fleet: &Scope<'a>,
    shards: &[ShardRelease<'a>],
    name: &str,
    raw: &'a raw::Pool,
) -> Option<Pool> {
    let path = format!("data.pools.{name}");
    let cluster: Option<ClusterName> = super::name(ctx, &format!("{path}.cluster"), raw.cluster.as_deref());
    let cluster = cluster.or_else(super::stand_in)?;
    let name: Option<PoolName> = super::key_name(ctx, &path, name);
    let served = served(ctx, &path, shards, raw);
    let release = pool_release(ctx, &path, fleet, shards, &served, raw);
    let mut scope = fleet.inner(&path, raw.release.as_deref(), raw.registry.as_deref(), raw.recipe, &raw.env);
    if raw.release.is_none()
        && let Some(release) = release
        && scope.release.as_ref().is_none_or(|(fleet, _)| *fleet != release)
    {
        scope.release = Some((release, path.clone()));
        scope.recipe = raw.recipe;
    }
    let bridges = bridges(ctx, env, &scope, &format!("{path}.bridges"), &raw.bridges);
    let recorders = recorders(ctx, env, &scope, &format!("{path}.recorders"), &raw.recorders);
    let workloads = [&bridges.workload, &recorders.workload];
    let images: Vec<(Component, Image)> =
        workloads.into_iter().map(|workload| (workload.component, workload.image.clone())).collect();
    env.warn_unread_scope(ctx, &format!("{path}.env"), &raw.env, &images);
    Some(Pool { name: name?, cluster, shards: served, bridges, recorders })
}

/// The shards that a pool serves; names that are no shard's are errors.
fn served(ctx: &Context<'_>, path: &str, shards: &[ShardRelease<'_>], raw: &raw::Pool) -> Vec<ShardName> {
    let Some(raw::Shards::Some(list)) = &raw.shards else {
        return shards.iter().map(|(name, _)| name.clone()).collect();
    };
    let path = format!("{path}.shards");
    if list.is_empty() {
        ctx.error(&path, "the pool serves no shard", "name some, or write `shards: all`");
    }
    let mut served: Vec<ShardName> = Vec::new();
    for (i, text) in list.iter().enumerate() {
        let path = format!("{path}.{i}");
        match shards.iter().find(|(name, _)| name.as_str() == text) {
            Some((name, _)) if served.contains(name) => {
                ctx.error(&path, format!("shard `{text}` stands here twice"), "")
            }
            Some((name, _)) => served.push(name.clone()),
            // What is wrong with that shard was said where it stands.
            None if ctx.names("control.shards").contains(text) => {}
            None => {
                let known: Vec<&str> = shards.iter().map(|(name, _)| name.as_str()).collect();
                ctx.error(&path, format!("there is no shard `{text}`"), &super::suggestion(text, &known));
            }
        }
    }
    served
}

/// The release of a pool that names none: its shards' own, while they agree.
fn pool_release<'a>(
    ctx: &Context<'_>,
    path: &str,
    fleet: &Scope<'a>,
    shards: &[ShardRelease<'a>],
    served: &[ShardName],
    raw: &'a raw::Pool,
) -> Option<&'a str> {
    if let Some(release) = raw.release.as_deref() {
        return Some(release);
    }
    let recorders = !matches!(raw.recorders.replicas, None | Some(Count::Fixed(0)));
    let says = |workload: &raw::Workload| workload.release.is_some() || workload.image.is_some();
    let covered = says(&raw.bridges.workload) && (!recorders || says(&raw.recorders.workload));
    let fleets = fleet.release.as_ref().map(|(release, _)| *release);
    let mut releases: Vec<&str> =
        shards.iter().filter(|(name, _)| served.contains(name)).filter_map(|(_, release)| release.or(fleets)).collect();
    releases.sort_unstable();
    releases.dedup();
    match releases.as_slice() {
        [] => fleets,
        [one] => Some(one),
        several if !covered => {
            let message = format!(
                "pool `{}` needs a release of its own: its shards differ ({})",
                path.trim_start_matches("data.pools."),
                several.join(", ")
            );
            let problem = Problem::error(message).at(ctx.key_label(path));
            ctx.push(problem.hint("say `release:` in the pool; a conference is never spread over two bridge releases"));
            fleets
        }
        _ => fleets,
    }
}

fn count(ctx: &Context<'_>, path: &str, raw: Option<&Count>, default: u16) -> Replicas {
    match raw {
        None => Replicas::Fixed(default),
        Some(Count::Fixed(n)) => Replicas::Fixed(*n),
        Some(Count::Range { min, max, idle }) => {
            if min > max {
                ctx.error(path, format!("min {min} is more than max {max}"), "");
            }
            Replicas::Range { min: *min.min(max), max: *max, idle: idle.unwrap_or(0) }
        }
    }
}

fn bridges(ctx: &Context<'_>, env: &Environment, scope: &Scope<'_>, path: &str, raw: &raw::Bridges) -> Bridges {
    let workload = workload(ctx, env, Component::Jvb, scope, &[(path.to_owned(), &raw.workload)]);
    let replicas = count(ctx, &format!("{path}.replicas"), raw.replicas.as_ref(), 1);
    if let Some(Count::Range { idle: Some(_), .. }) = raw.replicas {
        ctx.error(
            &format!("{path}.replicas"),
            "`idle` is for recorders; bridges scale by stress",
            "use `scale: { up_at: … }`",
        );
    }
    let expose = match raw.expose.unwrap_or(raw::BridgeExpose::NodePort) {
        raw::BridgeExpose::NodePort => BridgeExpose::NodePort,
        raw::BridgeExpose::HostPort => BridgeExpose::HostPort,
        raw::BridgeExpose::HostNetwork => BridgeExpose::HostNetwork,
        raw::BridgeExpose::LoadBalancer => BridgeExpose::LoadBalancer,
    };
    let base_port = raw.base_port.unwrap_or(if expose == BridgeExpose::NodePort { 30_000 } else { 10_000 });
    if base_port == 0 {
        ctx.error(&format!("{path}.base_port"), "0 is no port", "");
    }
    let advertise = advertise(ctx, &format!("{path}.advertise"), raw.advertise.as_deref());
    let fallback = raw.advertise_fallback.as_deref().filter(|text| *text != "wait");
    let fallback = fallback.and_then(|text| super::address(ctx, &format!("{path}.advertise_fallback"), text));
    Bridges {
        workload,
        replicas,
        expose,
        base_port,
        advertise,
        advertise_fallback: fallback.map_or(AdvertiseFallback::Wait, AdvertiseFallback::Address),
        grace: super::duration(ctx, &format!("{path}.grace"), raw.grace.as_deref(), GRACE),
        scale: raw.scale.as_ref().map(scale),
        websocket: raw.websocket.as_ref().and_then(|ws| Some(BridgeWebsocket { host: ws.host.clone()? })),
    }
}

fn scale(raw: &raw::Scale) -> Scale {
    let schedule = raw.schedule.iter().filter_map(|raw| {
        Some(ScaleSchedule {
            days: raw.days.clone()?,
            start: raw.start.clone()?,
            end: raw.end.clone()?,
            zone: raw.zone.clone()?,
            min: raw.min?,
        })
    });
    Scale { up_at: raw.up_at.unwrap_or(0.3), down_at: raw.down_at.unwrap_or(0.1), schedule: schedule.collect() }
}

fn advertise(ctx: &Context<'_>, path: &str, raw: Option<&[raw::Advertise]>) -> Vec<Advertise> {
    let Some(list) = raw else { return vec![Advertise::ExternalIp] };
    if list.is_empty() {
        ctx.error(path, "bridges must advertise something", "the default is [external_ip]");
    }
    let each = list.iter().enumerate().map(|(i, raw)| {
        let path = format!("{path}.{i}");
        Some(match raw {
            raw::Advertise::Node(raw::NodeAddress::ExternalIp) => Advertise::ExternalIp,
            raw::Advertise::Node(raw::NodeAddress::InternalIp) => Advertise::InternalIp,
            raw::Advertise::Annotation { annotation } => Advertise::Annotation(annotation.clone()),
            raw::Advertise::Static { address } => {
                Advertise::Static(super::address(ctx, &format!("{path}.static"), address)?)
            }
            raw::Advertise::Map { map } => {
                let entries = map.iter().filter_map(|(node, text)| {
                    Some((node.clone(), super::address(ctx, &format!("{path}.map"), text)?))
                });
                Advertise::Map(entries.collect())
            }
        })
    });
    each.flatten().collect()
}

fn recorders(ctx: &Context<'_>, env: &Environment, scope: &Scope<'_>, path: &str, raw: &raw::Recorders) -> Recorders {
    let workload = workload(ctx, env, Component::Jibri, scope, &[(path.to_owned(), &raw.workload)]);
    let replicas = count(ctx, &format!("{path}.replicas"), raw.replicas.as_ref(), 0);
    let size = |key: &str, Text(written): &Text| {
        quantity_at(ctx, &format!("{path}.storage.{key}"), written).unwrap_or_else(some_size)
    };
    let storage = raw.storage.as_ref().map(|raw| match raw {
        raw::RecorderStorage::Claim { claim } => RecorderStorage::Claim(claim.clone()),
        raw::RecorderStorage::EmptyDir { empty_dir } => {
            RecorderStorage::EmptyDir { size: size("empty_dir", empty_dir) }
        }
        raw::RecorderStorage::Volume { size: written, class } => {
            RecorderStorage::Volume(Storage { size: size("size", written), class: class.clone() })
        }
    });
    let grace = super::duration(ctx, &format!("{path}.grace"), raw.grace.as_deref(), GRACE);
    Recorders { workload, replicas, storage, grace }
}
