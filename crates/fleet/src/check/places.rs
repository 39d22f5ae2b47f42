//! Clusters: named, distinct, and reachable the way the planes need.

use std::collections::BTreeMap;

use crate::diagnostic::Problem;
use crate::resolve::{Context, suggestion};
use crate::{ClusterName, Fleet, XmppExpose};

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    known(ctx, fleet);
    distinct(ctx, fleet);
    reachable(ctx, fleet);
}

fn known(ctx: &Context<'_>, fleet: &Fleet) {
    let names: Vec<&str> = fleet.clusters.keys().map(ClusterName::as_str).collect();
    let mut used: Vec<(String, &ClusterName)> = vec![("control.cluster".into(), &fleet.control.cluster)];
    used.extend(fleet.data.pools.iter().map(|pool| (format!("data.pools.{}.cluster", pool.name), &pool.cluster)));
    used.push(("data.home".into(), &fleet.data.home));
    for (path, name) in &used {
        let inherited = path == "data.home" && ctx.keys("data").iter().all(|key| key != "home");
        if !fleet.clusters.contains_key(*name) && !inherited {
            ctx.error(path, format!("there is no cluster `{name}`"), &suggestion(name.as_str(), &names));
        }
    }
    for name in fleet.clusters.keys() {
        if used.iter().all(|(_, other)| *other != name) {
            let problem = Problem::warning(format!("cluster `{name}` is used by neither plane"));
            ctx.push(problem.at(ctx.key_label(&format!("clusters.{name}"))).hint("leave it out, or give it a pool"));
        }
    }
}

fn distinct(ctx: &Context<'_>, fleet: &Fleet) {
    let mut seen = BTreeMap::new();
    for (name, cluster) in &fleet.clusters {
        let place = (format!("{:?}", cluster.access), cluster.namespace.as_str());
        if let Some(first) = seen.insert(place, name) {
            let message = format!("clusters `{first}` and `{name}` are the same place (same context and namespace)");
            ctx.push(
                Problem::error(message)
                    .at(ctx.key_label(&format!("clusters.{first}")))
                    .at(ctx.key_label(&format!("clusters.{name}")))
                    .hint("keep one entry and use its name in both places"),
            );
        }
    }
}

fn reachable(ctx: &Context<'_>, fleet: &Fleet) {
    let control = &fleet.control;
    match &control.xmpp {
        XmppExpose::ClusterIp => {
            for pool in fleet.data.pools.iter().filter(|pool| pool.cluster != control.cluster) {
                let message = format!(
                    "pool `{}` in cluster {} can't reach the shards: their XMPP is only exposed within cluster {}",
                    pool.name, pool.cluster, control.cluster
                );
                let path = format!("data.pools.{}.cluster", pool.name);
                ctx.error(&path, message, "say `control.xmpp.expose`: load_balancer, node_port or external");
            }
        }
        XmppExpose::External(targets) => {
            for name in control.shards.keys().filter(|name| !targets.contains_key(*name)) {
                let message = format!("shard `{name}` has no address under `control.xmpp.external`");
                ctx.error("control.xmpp.external", message, &format!("add `{name}: {{ a: \"host:5222\" }}`"));
            }
            let known: Vec<&str> = control.shards.keys().map(AsRef::as_ref).collect();
            for name in targets.keys().filter(|name| !control.shards.contains_key(*name)) {
                let problem = Problem::error(format!("there is no shard `{name}`"));
                let label = ctx.key_label(&format!("control.xmpp.external.{name}"));
                ctx.push(problem.at(label).hint(suggestion(name.as_str(), &known)));
            }
        }
        XmppExpose::LoadBalancer | XmppExpose::NodePort { .. } => {}
    }
}
