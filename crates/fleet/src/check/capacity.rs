//! Replicas and scaling.

use crate::resolve::Context;
use crate::{Fleet, Replicas};

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    match fleet.control.haproxy.replicas {
        0 => ctx.error("control.haproxy.replicas", "without haproxy nobody reaches the fleet", "the default is 2"),
        1 => ctx.warn(
            "control.haproxy.replicas",
            "one haproxy is a single point of failure",
            "two share their table as peers, so that a restart is not noticed",
        ),
        _ => {}
    }
    for (name, shard) in &fleet.control.shards {
        if shard.web.replicas == 0 {
            let own = format!("control.shards.{name}.web.replicas");
            let path = if ctx.keys(&format!("control.shards.{name}.web")).iter().any(|key| key == "replicas") {
                &own
            } else {
                "control.web.replicas"
            };
            ctx.error(path, format!("without web nobody joins shard `{name}`"), "the default is 2");
        }
    }
    for pool in &fleet.data.pools {
        let path = format!("data.pools.{}.bridges", pool.name);
        if let Some(scale) = &pool.bridges.scale {
            if scale.down_at >= scale.up_at && !ctx.doubtful(&format!("{path}.scale")) {
                ctx.error(
                    &format!("{path}.scale"),
                    "down_at is not below up_at: bridges would come and go",
                    "the defaults are 0.1 and 0.3",
                );
            }
            match pool.bridges.replicas {
                Replicas::Fixed(_) if ctx.doubtful(&format!("{path}.replicas")) => {}
                Replicas::Fixed(_) => ctx.warn(
                    &format!("{path}.scale"),
                    format!("the bridges of pool `{}` don't scale: their number is fixed", pool.name),
                    "say `replicas: { min: 2, max: 20 }`",
                ),
                Replicas::Range { max, .. } => {
                    for (i, entry) in scale.schedule.iter().enumerate().filter(|(_, entry)| entry.min > max) {
                        ctx.error(
                            &format!("{path}.scale.schedule.{i}.min"),
                            format!("min {} is more than the pool's max {max}", entry.min),
                            "",
                        );
                    }
                }
            }
        }
        let rootless = pool.bridges.workload.image.era == crate::Era::Rootless && !ctx.doubtful("release");
        if pool.bridges.websocket.is_some() && rootless {
            let message = format!("the bridges of {} have no colibri websockets", pool.bridges.workload.image.release);
            ctx.error(
                &format!("{path}.websocket"),
                message,
                "leave it out: since stable-11146 the bridge channel runs over the media port",
            );
        }
    }
}
