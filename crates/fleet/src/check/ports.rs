//! Ports of nodes: node ports inside the range that Kubernetes gives, and each port for one thing only.

use super::is_placed;
use crate::diagnostic::Problem;
use crate::resolve::Context;
use crate::{BridgeExpose, Cluster, ClusterName, Fleet, XmppExpose};

const FIRST: u32 = 30_000;
const LAST: u32 = 32_767;

/// Whose the ports are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Of every node, given out by Kubernetes: one number is never given out twice, whatever the protocol.
    NodePort,
    /// Of the nodes that bridges run on, over UDP. Two pools may say the same one: their bridges go to other nodes.
    Host,
}

/// Ports that something takes in a cluster; both ends belong to it.
struct Range<'a> {
    taken: Taken,
    /// Whether it is UDP.
    media: bool,
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
    for range in ranges.iter().filter(|range| range.taken == Taken::NodePort) {
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
            overlap(ctx, fleet, first, second);
        }
    }
}

fn overlap(ctx: &Context<'_>, fleet: &Fleet, first: &Range<'_>, second: &Range<'_>) {
    let (from, to) = (first.from.max(second.from), first.to.min(second.to));
    if from > to || !meet(first, second) || !is_same_cluster(fleet, first.cluster, second.cluster) {
        return;
    }
    let both = if first.who.starts_with("pool") && second.who.starts_with("pool") {
        format!("pools `{}` and `{}`", first.name, second.name)
    } else {
        format!("{} and {}", first.who, second.who)
    };
    let node = if first.taken == second.taken { "node port" } else { "port" };
    let ports = if from == to { format!("{node} {from}") } else { format!("{node}s {from}-{to}") };
    let cluster = if first.cluster == second.cluster {
        format!("cluster {}", first.cluster)
    } else {
        format!("clusters {} and {}, which are one", first.cluster, second.cluster)
    };
    let message = format!("{both} would both listen on {ports} of {cluster}");
    // A host port moves more easily than node ports that are laid out.
    let (stays, moves) = if first.taken == Taken::Host { (second, first) } else { (first, second) };
    let count = stays.to - stays.from + 1;
    let hint = format!(
        "give `{}` {} {} or higher ({count} ports are laid out for `{}`: {})",
        moves.name,
        moves.key,
        stays.to + 1,
        stays.name,
        stays.why
    );
    ctx.push(Problem::error(message).at(ctx.label(&first.path)).at(ctx.label(&second.path)).hint(hint));
}

/// Whether two ranges can get in each other's way at all.
fn meet(first: &Range<'_>, second: &Range<'_>) -> bool {
    match (first.taken, second.taken) {
        (Taken::NodePort, Taken::NodePort) => true,
        (Taken::Host, Taken::Host) => false,
        _ => first.media && second.media,
    }
}

fn is_same_cluster(fleet: &Fleet, first: &ClusterName, second: &ClusterName) -> bool {
    let same = |(first, second): (&Cluster, &Cluster)| first.is_same_cluster(second);
    first == second || fleet.clusters.get(first).zip(fleet.clusters.get(second)).is_some_and(same)
}

fn ranges<'a>(ctx: &Context<'_>, fleet: &'a Fleet) -> Vec<Range<'a>> {
    let mut ranges = Vec::new();
    for pool in &fleet.data.pools {
        let path = format!("data.pools.{}.bridges", pool.name);
        let told = ["expose", "base_port"].iter().any(|key| ctx.doubtful(&format!("{path}.{key}")));
        let max = u32::from(pool.bridges.replicas.max());
        let (taken, count, why) = match pool.bridges.expose {
            BridgeExpose::NodePort => (Taken::NodePort, max, format!("max {max}")),
            BridgeExpose::HostPort | BridgeExpose::HostNetwork => (Taken::Host, 1, "one per node".to_owned()),
            BridgeExpose::LoadBalancer => continue,
        };
        if max == 0 || told || !is_placed(ctx, pool) {
            continue;
        }
        let from = u32::from(pool.bridges.base_port);
        ranges.push(Range {
            taken,
            media: true,
            cluster: &pool.cluster,
            who: format!("pool `{}`", pool.name),
            name: pool.name.to_string(),
            why,
            path: format!("{path}.base_port"),
            key: "base_port",
            from,
            to: from + count - 1,
        });
    }
    if let XmppExpose::NodePort { base, .. } = fleet.control.xmpp
        && let Ok(shards @ 1..) = u32::try_from(fleet.control.shards.len())
        && !ctx.doubtful("control.cluster")
    {
        let from = u32::from(base);
        ranges.push(Range {
            taken: Taken::NodePort,
            media: false,
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
