//! Names of objects, counted: a StatefulSet's pods carry its name and a hash in a label of 63 characters.

use crate::diagnostic::Problem;
use crate::resolve::Context;
use crate::{Fleet, Replicas};

/// What is left of a label for a StatefulSet's name.
const STATEFUL_SET: usize = 52;

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
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
