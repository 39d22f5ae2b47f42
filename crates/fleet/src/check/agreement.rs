//! What components must agree on: features, relays, the bridge channel.

use std::collections::BTreeSet;

use super::truth;
use crate::diagnostic::Problem;
use crate::resolve::Context;
use crate::{Era, Fleet, Shard, Workload, reads};

/// Features that web, prosody and jicofo have to see alike.
const SHARED: [&str; 7] = [
    "ENABLE_AUTH",
    "ENABLE_GUESTS",
    "ENABLE_RECORDING",
    "ENABLE_TRANSCRIPTIONS",
    "ENABLE_VISITORS",
    "ENABLE_XMPP_WEBSOCKET",
    "ENABLE_BREAKOUT_ROOMS",
];

/// Modules of prosody without which nobody's region is known.
const REGION_MODULES: [&str; 3] = ["jiconop", "muc_meeting_id", "jitsi_session"];

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    for (name, shard) in &fleet.control.shards {
        for feature in SHARED {
            features(ctx, name.as_str(), shard, feature);
        }
    }
    relays(ctx, fleet);
    regions(ctx, fleet);
    mapped_regions(ctx, fleet);
    channel(ctx, fleet);
}

fn reading<'a>(workloads: &[&'a Workload], name: &str) -> Vec<&'a Workload> {
    workloads.iter().filter(|w| reads(w.component, &w.image, name)).copied().collect()
}

fn features(ctx: &Context<'_>, name: &str, shard: &Shard, feature: &str) {
    let readers = reading(&[&shard.web.workload, &shard.prosody.workload, &shard.jicofo], feature);
    let said: BTreeSet<Option<bool>> = readers.iter().map(|workload| truth(workload, feature)).collect();
    if said.len() < 2 {
        return;
    }
    let each: Vec<String> = readers.iter().map(|w| format!("{} {}", w.component, word(truth(w, feature)))).collect();
    let problem = Problem::warning(format!("{feature} differs within shard `{name}`: {}", each.join(", ")));
    ctx.push(
        problem
            .at(ctx.key_label(&format!("control.shards.{name}")))
            .hint("set it in `env`, so that every image sees it alike"),
    );
}

const fn word(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "on",
        Some(false) => "off",
        None => "unset",
    }
}

fn relays(ctx: &Context<'_>, fleet: &Fleet) {
    for pool in &fleet.data.pools {
        let bridges = truth(&pool.bridges.workload, "ENABLE_OCTO").unwrap_or(false);
        for name in &pool.shards {
            let Some(shard) = fleet.control.shards.get(name) else { continue };
            let jicofo = truth(&shard.jicofo, "ENABLE_OCTO").unwrap_or(false);
            if jicofo != bridges {
                let message = format!(
                    "ENABLE_OCTO differs between jicofo of shard `{name}` ({}) and the bridges of pool `{}` ({})",
                    word(Some(jicofo)),
                    pool.name,
                    word(Some(bridges))
                );
                let label = ctx.key_label(&format!("data.pools.{}", pool.name));
                ctx.push(Problem::warning(message).at(label).hint("set it in `env`, so that both see it alike"));
            }
        }
    }
}

/// Several regions work only if bridges relay to each other and prosody knows where people are.
fn regions(ctx: &Context<'_>, fleet: &Fleet) {
    let (mut unrelayed, mut unlocated) = (Vec::new(), Vec::new());
    for (name, shard) in &fleet.control.shards {
        let pools = fleet.data.pools.iter().filter(|pool| pool.shards.contains(name));
        let regions: BTreeSet<&str> =
            pools.filter_map(|pool| fleet.clusters.get(&pool.cluster)?.region.as_deref()).collect();
        if regions.len() < 2 {
            continue;
        }
        if truth(&shard.jicofo, "ENABLE_OCTO") != Some(true) {
            unrelayed.push(name.as_str());
        }
        let keys = ["XMPP_MODULES", "XMPP_MUC_MODULES", "GLOBAL_MODULES"];
        let lists = keys.iter().filter_map(|key| super::env(&shard.prosody.workload, key));
        let modules: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
        if !REGION_MODULES.iter().all(|module| modules.contains(module)) {
            unlocated.push(name.as_str());
        }
    }
    if let [first, ..] = unrelayed.as_slice() {
        let message = format!("{} bridges in several regions, but no relays between them", shards_have(&unrelayed));
        let label = ctx.key_label(&format!("control.shards.{first}"));
        ctx.push(Problem::warning(message).at(label).hint("say `env: { ENABLE_OCTO: 1 }`"));
    }
    if let [first, ..] = unlocated.as_slice() {
        let message = format!(
            "{} bridges in several regions, but prosody doesn't learn where people are",
            shards_have(&unlocated)
        );
        let label = ctx.key_label(&format!("control.shards.{first}"));
        ctx.push(Problem::warning(message).at(label).hint(format!(
            "add {} to XMPP_MODULES or XMPP_MUC_MODULES, and name people's networks in `control.haproxy.regions` or let the edge send X-Proxy-Region; until then bridges are chosen by load alone",
            REGION_MODULES.join(", ")
        )));
    }
}

/// People of a region without bridges are served by load alone, as if they were nowhere.
fn mapped_regions(ctx: &Context<'_>, fleet: &Fleet) {
    let known: BTreeSet<&str> = fleet.clusters.values().filter_map(|cluster| cluster.region.as_deref()).collect();
    let mapped: BTreeSet<&str> = fleet.control.haproxy.regions.iter().map(|(_, region)| region.as_str()).collect();
    for region in mapped.difference(&known) {
        let label = ctx.key_label(&format!("control.haproxy.regions.{region}"));
        let named = known.iter().map(|region| format!("`{region}`")).collect::<Vec<_>>().join(", ");
        let hint = if named.is_empty() {
            "say `region` at each cluster with bridges".to_owned()
        } else {
            format!("the clusters' regions are {named}")
        };
        ctx.push(Problem::warning(format!("no cluster is in region `{region}`")).at(label).hint(hint));
    }
}

fn shards_have(names: &[&str]) -> String {
    match names {
        [one] => format!("shard `{one}` has"),
        several => format!("shards `{}` have", several.join("`, `")),
    }
}

/// A fleet with both eras speaks SCTP on the bridge channel; turned off, the two sides don't understand each other.
fn channel(ctx: &Context<'_>, fleet: &Fleet) {
    let shards = fleet.control.shards.values();
    let shards = shards.flat_map(|shard| [&shard.prosody.workload, &shard.jicofo, &shard.web.workload]);
    let all: Vec<&Workload> = shards.chain(fleet.data.pools.iter().map(|pool| &pool.bridges.workload)).collect();
    let mixed = all.iter().any(|w| w.image.era == Era::Rootless) && all.iter().any(|w| w.image.era == Era::Legacy);
    let off = all.iter().any(|w| w.image.era == Era::Legacy && truth(w, "ENABLE_SCTP") == Some(false));
    if mixed && off {
        let problem = Problem::warning("ENABLE_SCTP=0 with releases of both eras: their bridge channels don't meet");
        ctx.push(problem.at(ctx.key_label("env.ENABLE_SCTP")).hint("leave ENABLE_SCTP out; it is on by default"));
    }
}
