//! `jitsictl rbac`: the rights that a fleet needs in each cluster, as the objects that grant them. Nobody is asked.

use std::{collections::BTreeSet, fmt::Write as _};

use cluster::rights::{self, Account, Grant, Grants};
use fleet::{ClusterName, Fleet, Plane};
use manifest::Desired;
use serde_json::{Value as Json, json};

use crate::{
    Error, Exit,
    cli::{AccountArg, PlaneArg, Rbac},
    context::{Context, named_clusters},
    desired::everything,
    print::yaml,
};

pub(super) fn run(context: &Context, arguments: &Rbac) -> Result<Exit, Error> {
    let loaded = context.load()?;
    let fleet = &loaded.fleet;
    let named = named_clusters(&loaded, &arguments.scope.cluster)?;
    let clusters = fleet.clusters.keys().filter(|name| named.is_empty() || named.contains(*name));
    let planes = planes(arguments.scope.plane);
    let desired = everything(fleet);
    let all: Vec<(&ClusterName, Option<Grants>)> = clusters
        .map(|cluster| (cluster, granted(fleet, &desired, &planes, cluster, arguments.account.as_ref())))
        .collect();
    if context.printer.is_json() {
        let clusters: serde_json::Map<String, Json> =
            all.iter().map(|(cluster, grants)| (cluster.to_string(), listed(grants.as_ref()))).collect();
        context.printer.json(&json!({ "clusters": clusters }))?;
    } else {
        let texts = all.iter().map(|(cluster, grants)| text(fleet, cluster, grants.as_ref()));
        context.printer.bytes(texts.collect::<String>().as_bytes())?;
    }
    Ok(Exit::Converged)
}

/// The planes that are meant: both, unless one is named.
pub(super) fn planes(one: Option<PlaneArg>) -> BTreeSet<Plane> {
    one.map_or_else(|| BTreeSet::from([Plane::Control, Plane::Data]), |plane| BTreeSet::from([plane.into()]))
}

/// What the planes need in a cluster; nothing where they have no business.
pub(super) fn granted(
    fleet: &Fleet,
    desired: &Desired,
    planes: &BTreeSet<Plane>,
    cluster: &ClusterName,
    account: Option<&AccountArg>,
) -> Option<Grants> {
    let rights = rights::rights(fleet, desired, planes, cluster);
    let account =
        account.map(|AccountArg { namespace, name }| Account { namespace: namespace.clone(), name: name.clone() });
    (!rights.is_empty()).then(|| rights::grants(fleet, planes, cluster, &rights, account))
}

fn listed(grants: Option<&Grants>) -> Json {
    let Some(grants) = grants else { return json!({ "account": null, "objects": [], "optional": [], "without": [] }) };
    let bodies = |grants: &[Grant]| grants.iter().map(|grant| grant.body.clone()).collect::<Vec<Json>>();
    json!({
        "account": { "namespace": grants.account.namespace, "name": grants.account.name },
        "objects": bodies(&grants.needed),
        "optional": bodies(&grants.optional),
        "without": grants.without,
    })
}

fn text(fleet: &Fleet, cluster: &ClusterName, grants: Option<&Grants>) -> String {
    let mut out = String::new();
    // Writing into a string can't fail.
    let Some(grants) = grants else {
        let _ = writeln!(out, "# cluster {cluster}: nothing is needed there");
        return out;
    };
    let namespace = fleet.clusters.get(cluster).map(|cluster| cluster.namespace.as_str()).unwrap_or_default();
    let Account { namespace: home, name } = &grants.account;
    let _ = writeln!(out, "# cluster {cluster}, namespace {namespace}: what {home}/{name} may do there");
    for grant in &grants.needed {
        document(&mut out, grant);
    }
    if !grants.optional.is_empty() {
        out.push_str("# What follows holds in the whole cluster and may be left out. Without it:\n");
        for without in &grants.without {
            let _ = writeln!(out, "# - {without}");
        }
        for grant in &grants.optional {
            document(&mut out, grant);
        }
    }
    out
}

fn document(out: &mut String, grant: &Grant) {
    out.push_str("---\n");
    let _ = yaml::document(out, &grant.body.to_string());
}
