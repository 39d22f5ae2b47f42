//! Names of objects, counted (a StatefulSet's pods carry its name and a hash in a label of 63 characters) and told
//! apart.

use crate::diagnostic::Problem;
use crate::resolve::Context;
use crate::{Fleet, Replicas, ShardName, Slot};

/// What is left of a label for a StatefulSet's name.
const STATEFUL_SET: usize = 52;

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    length(ctx, fleet);
    for shard in fleet.control.shards.keys() {
        if let Some(owner) = namesake(ctx, fleet, shard) {
            let message = format!(
                "shard `{shard}` can't have this name: its disruption budget `{}-{shard}` would be that of {owner}",
                fleet.name
            );
            let problem = Problem::error(message).at(ctx.key_label(&format!("control.shards.{shard}")));
            ctx.push(problem.hint("give the shard another name"));
        }
    }
}

/// A disruption budget is named after its shard and nothing more; those of others begin with what they are.
fn namesake(ctx: &Context<'_>, fleet: &Fleet, shard: &ShardName) -> Option<String> {
    let name = shard.as_str();
    if name == "haproxy" {
        return Some("haproxy itself".to_owned());
    }
    for other in fleet.control.shards.keys() {
        let rest = name.strip_prefix(other.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let slot = rest.and_then(|rest| rest.strip_suffix("-web"));
        if slot.is_some_and(|slot| Slot::ALL.iter().any(|other| other.as_str() == slot)) {
            return Some(format!("the web servers of shard `{other}`"));
        }
    }
    if ctx.doubtful("control.cluster") {
        return None;
    }
    let pools = fleet.data.pools.iter().filter(|pool| pool.cluster == fleet.control.cluster);
    pools.into_iter().find_map(|pool| {
        let (bridges, recorders) = (pool.bridges.replicas.max() > 0, pool.recorders.replicas.max() > 0);
        let named = |component: &str| name.strip_prefix(component) == Some(pool.name.as_str());
        let taken = (bridges && named("jvb-")) || (recorders && named("jibri-"));
        taken.then(|| format!("pool `{}`", pool.name))
    })
}

fn length(ctx: &Context<'_>, fleet: &Fleet) {
    let name = &fleet.name;
    let say = |object: String, key: String| {
        let over = object.len().saturating_sub(STATEFUL_SET);
        if over > 0 {
            let message = format!(
                "`{object}` has {} characters; the name of a StatefulSet has {STATEFUL_SET} at most",
                object.len()
            );
            let problem = Problem::error(message).at(ctx.key_label(&key));
            ctx.push(problem.hint(format!("shorten the fleet's or this name by {over}")));
        }
    };
    say(format!("{name}-haproxy"), "fleet".to_owned());
    for shard in fleet.control.shards.keys() {
        say(format!("{name}-{shard}-a-prosody"), format!("control.shards.{shard}"));
    }
    for pool in &fleet.data.pools {
        let last = |replicas: Replicas| replicas.max().saturating_sub(1);
        let key = format!("data.pools.{}", pool.name);
        let (bridges, recorders) = (pool.bridges.replicas, pool.recorders.replicas);
        if recorders.max() > 0 {
            say(format!("{name}-jibri-{}-{}", pool.name, last(recorders)), key);
        } else if bridges.max() > 0 {
            say(format!("{name}-jvb-{}-{}", pool.name, last(bridges)), key);
        }
    }
}
