//! Node ports: inside the range that Kubernetes gives, and each for one thing only.

use super::is_placed;
use crate::diagnostic::Problem;
use crate::resolve::Context;
use crate::{BridgeExpose, ClusterName, Fleet, XmppExpose};

const FIRST: u32 = 30_000;
const LAST: u32 = 32_767;

/// Node ports that something takes in a cluster; both ends belong to it.
struct Range<'a> {
    cluster: &'a ClusterName,
    /// Such as "pool `eu`".
    who: String,
    name: String,
    /// Why so many.
    why: String,
    path: String,
    key: &'static str,
    from: u32,
    to: u32,
}

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    let ranges = ranges(ctx, fleet);
    for range in &ranges {
        if range.from < FIRST || range.to > LAST {
            let count = range.to - range.from + 1;
            let message =
                format!("{} needs node ports {}-{}, outside of {FIRST}-{LAST}", range.who, range.from, range.to);
            let hint = match (LAST + 1).checked_sub(count).filter(|highest| *highest >= FIRST) {
                Some(highest) => format!(
                    "{count} ports are laid out ({}): choose {} from {FIRST} to {highest}",
                    range.why, range.key
                ),
                None => format!("{count} ports are laid out ({}), more than there are", range.why),
            };
            ctx.error(&range.path, message, &hint);
        }
    }
    for (i, first) in ranges.iter().enumerate() {
        for second in ranges.get(i + 1..).unwrap_or_default() {
            overlap(ctx, first, second);
        }
    }
}

fn overlap(ctx: &Context<'_>, first: &Range<'_>, second: &Range<'_>) {
    let (from, to) = (first.from.max(second.from), first.to.min(second.to));
    if first.cluster != second.cluster || from > to {
        return;
    }
    let both = if first.who.starts_with("pool") && second.who.starts_with("pool") {
        format!("pools `{}` and `{}`", first.name, second.name)
    } else {
        format!("{} and {}", first.who, second.who)
    };
    let ports = if from == to { format!("node port {from}") } else { format!("node ports {from}-{to}") };
    let count = first.to - first.from + 1;
    let message = format!("{both} would both listen on {ports} of cluster {}", first.cluster);
    let hint = format!(
        "give `{}` {} {} or higher ({count} ports are laid out for `{}`: {})",
        second.name,
        second.key,
        first.to + 1,
        first.name,
        first.why
    );
    ctx.push(Problem::error(message).at(ctx.label(&first.path)).at(ctx.label(&second.path)).hint(hint));
}

fn ranges<'a>(ctx: &Context<'_>, fleet: &'a Fleet) -> Vec<Range<'a>> {
    let mut ranges = Vec::new();
    for pool in fleet.data.pools.iter().filter(|pool| pool.bridges.expose == BridgeExpose::NodePort) {
        let max = u32::from(pool.bridges.replicas.max());
        let path = format!("data.pools.{}.bridges", pool.name);
        let sure =
            is_placed(ctx, pool) && ["expose", "base_port"].iter().all(|key| !ctx.doubtful(&format!("{path}.{key}")));
        if max == 0 || !sure {
            continue;
        }
        let from = u32::from(pool.bridges.base_port);
        ranges.push(Range {
            cluster: &pool.cluster,
            who: format!("pool `{}`", pool.name),
            name: pool.name.to_string(),
            why: format!("max {max}"),
            path: format!("{path}.base_port"),
            key: "base_port",
            from,
            to: from + max - 1,
        });
    }
    if let XmppExpose::NodePort { base, .. } = fleet.control.xmpp
        && let Ok(shards @ 1..) = u32::try_from(fleet.control.shards.len())
        && !ctx.doubtful("control.cluster")
    {
        let from = u32::from(base);
        ranges.push(Range {
            cluster: &fleet.control.cluster,
            who: "the shards' XMPP".to_owned(),
            name: "control.xmpp.node_port".to_owned(),
            why: "two per shard".to_owned(),
            path: "control.xmpp.node_port.base".to_owned(),
            key: "base",
            from,
            to: from + 2 * shards - 1,
        });
    }
    ranges
}
