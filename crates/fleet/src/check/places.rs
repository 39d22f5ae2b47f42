//! Clusters: named, distinct, and reachable the way the planes need.

use std::collections::BTreeMap;

use super::{all_placed, is_placed};
use crate::diagnostic::Problem;
use crate::resolve::{Context, suggestion};
use crate::{ClusterName, Fleet, XmppExpose};

pub(super) fn check(ctx: &Context<'_>, fleet: &Fleet) {
    known(ctx, fleet);
    distinct(ctx, fleet);
    reachable(ctx, fleet);
}

fn known(ctx: &Context<'_>, fleet: &Fleet) {
    if ctx.doubtful("clusters") && fleet.clusters.is_empty() {
        return;
    }
    let names: Vec<&str> = fleet.clusters.keys().map(ClusterName::as_str).collect();
    let written = ctx.names("clusters");
    let mut used: Vec<(String, &ClusterName)> = vec![("control.cluster".into(), &fleet.control.cluster)];
    used.extend(fleet.data.pools.iter().map(|pool| (format!("data.pools.{}.cluster", pool.name), &pool.cluster)));
    used.push(("data.home".into(), &fleet.data.home));
    for (path, name) in &used {
        let inherited = path == "data.home" && ctx.keys("data").iter().all(|key| key != "home");
        let told = ctx.doubtful(path) || written.contains(name.as_str());
        if !fleet.clusters.contains_key(*name) && !inherited && !told {
            ctx.error(path, format!("there is no cluster `{name}`"), &suggestion(name.as_str(), &names));
        }
    }
    if ctx.doubtful("control.cluster") || !all_placed(ctx) {
        return;
    }
    for name in fleet.clusters.keys() {
        if used.iter().all(|(_, other)| *other != name) {
            let problem = Problem::warning(format!("cluster `{name}` is used by neither plane"));
            ctx.push(
                problem
                    .at(ctx.key_label(&format!("clusters.{name}")))
                    .hint("leave it out once `apply` has cleaned it, or give it a pool"),
            );
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
        XmppExpose::ClusterIp if ctx.doubtful("control.cluster") => {}
        XmppExpose::ClusterIp => {
            let pools = fleet.data.pools.iter().filter(|pool| is_placed(ctx, pool));
            for pool in pools.filter(|pool| pool.cluster != control.cluster) {
                let message = format!(
                    "pool `{}` in cluster {} can't reach the shards: their XMPP is only exposed within cluster {}",
                    pool.name, pool.cluster, control.cluster
                );
                let path = format!("data.pools.{}.cluster", pool.name);
                ctx.error(&path, message, "say `control.xmpp.expose`: load_balancer, node_port or external");
            }
        }
        XmppExpose::External(_) => {
            let (given, shards) = (ctx.names("control.xmpp.external"), ctx.names("control.shards"));
            for name in control.shards.keys().filter(|name| !given.contains(name.as_str())) {
                let message = format!("shard `{name}` has no address under `control.xmpp.external`");
                ctx.error("control.xmpp.external", message, &format!("add `{name}: {{ a: \"host:5222\" }}`"));
            }
            let known: Vec<&str> = control.shards.keys().map(AsRef::as_ref).collect();
            for name in given.difference(&shards) {
                let problem = Problem::error(format!("there is no shard `{name}`"));
                let label = ctx.key_label(&format!("control.xmpp.external.{name}"));
                ctx.push(problem.at(label).hint(suggestion(name, &known)));
            }
        }
        XmppExpose::LoadBalancer | XmppExpose::NodePort { .. } => {}
    }
}
