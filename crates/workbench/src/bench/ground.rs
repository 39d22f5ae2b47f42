//! Three real clusters with stand-in nodes, and a fleet in them that a daemon keeps.

use std::{fmt::Write as _, path::Path, path::PathBuf, process::Command};

use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use sandbox::{ClusterAccess, Door, World};
use serde_json::json;
use testbed::{Options, Testbed};

use super::{daemon::Daemon, process};
use xtask::shell::{Failure, Result};

const CLUSTERS: [&str; 3] = ["hq", "fra", "sin"];
pub(crate) const SHARDS: usize = 4;
/// Of each of the two data clusters.
const BRIDGES: usize = 20;
/// The label that is changed by hand.
pub(crate) const PART_OF: &str = "app.kubernetes.io/part-of";

fn fleet() -> String {
    let mut text = String::from(
        "fleet: kept\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters:\n  hq: { context: hq }\n  \
         fra: { context: fra }\n  sin: { context: sin }\ncontrol:\n  cluster: hq\n  xmpp: { expose: load_balancer }\n  \
         shards:\n",
    );
    for shard in 0..SHARDS {
        let _ = writeln!(text, "    s{shard}: {{}}");
    }
    text.push_str("data:\n  pools:\n");
    for cluster in ["fra", "sin"] {
        let _ = writeln!(
            text,
            "    {cluster}: {{ cluster: {cluster}, bridges: {{ replicas: {BRIDGES}, base_port: 30000 }} }}"
        );
    }
    text
}

/// Clusters and the fleet in them; they end with this value.
pub(crate) struct Ground {
    pub(crate) testbed: Testbed,
    pub(crate) world: World,
    jitsictl: PathBuf,
    fleet: PathBuf,
}

impl Ground {
    /// Starts the clusters and applies the fleet.
    pub(crate) async fn start(jitsictl: &Path, folder: &Path) -> Result<Self> {
        let path = folder.join("kept.yaml");
        std::fs::write(&path, fleet()).map_err(Failure::because("cannot write a fleet"))?;
        let testbed = Testbed::start(&CLUSTERS, Options::default()).await?;
        let access = testbed.clusters().iter().zip(testbed::LOAD_BALANCERS);
        let access = access.map(|(cluster, load_balancer_base)| ClusterAccess {
            name: cluster.name().to_owned(),
            door: Door::Network(Box::new(cluster.config().clone())),
            load_balancer_base,
        });
        let world = World::start(access.collect()).await.map_err(Failure::new)?;
        let ground = Self { testbed, world, jitsictl: jitsictl.to_owned(), fleet: path };
        let mut apply = ground.command(&["apply", "--create-namespaces", "--timeout", "5m"]);
        tokio::task::block_in_place(|| process::run(&mut apply))?;
        Ok(ground)
    }

    /// A daemon for both planes, when it is ready.
    pub(crate) fn daemon(&self) -> Result<Daemon> {
        let mut daemon = self.command(&["daemon", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        tokio::task::block_in_place(|| Daemon::start(&mut daemon))
    }

    /// jitsictl with these words, for this fleet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.jitsictl);
        command.args(words).arg("--fleet").arg(&self.fleet).env("KUBECONFIG", self.testbed.kubeconfig());
        command
    }
}

/// What may be changed by hand without anybody on it noticing.
pub(crate) async fn ours(testbed: &Testbed) -> Result<Vec<(Api<DynamicObject>, String)>> {
    let mut objects = Vec::new();
    for cluster in testbed.clusters() {
        for kind in drifting() {
            let api = Api::<DynamicObject>::namespaced_with(cluster.client().clone(), "kept", &kind);
            let ours = ListParams::default().labels("jitsictl.dev/fleet=kept");
            let list = api.list(&ours).await.map_err(Failure::because("cannot list what is kept"))?;
            // Bridges are drained before their Services change, and books are no part of the fleet.
            // What a controller makes of ours has our labels, too.
            let made = list.items.into_iter().filter(|object| object.owner_references().is_empty());
            let names = made.map(|object| object.name_any());
            let names = names.filter(|name| !["-jvb-", "-inventory-"].iter().any(|part| name.contains(part)));
            objects.extend(names.filter(|name| !is_book(name)).map(|name| (api.clone(), name)));
        }
    }
    Ok(objects)
}

/// Changes an object by hand, as people do it: what an unknown program writes is not taken away from it.
pub(crate) async fn change(api: &Api<DynamicObject>, name: &str) -> Result<()> {
    let change = json!({ "metadata": { "labels": { PART_OF: "somebody-elses" } } });
    let somebody = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    let patched = api.patch(name, &somebody, &Patch::Merge(change)).await;
    patched.map(drop).map_err(Failure::because("cannot change an object"))
}

/// Kinds of which all objects, or most, may be changed without anybody on them noticing.
fn drifting() -> [ApiResource; 5] {
    [
        ("", "v1", "Service", "services"),
        ("", "v1", "ConfigMap", "configmaps"),
        ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
        ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
        ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ]
    .map(|(group, version, kind, plural)| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    })
}

/// What jitsictl keeps for itself.
fn is_book(name: &str) -> bool {
    ["kept-control", "kept-data"].contains(&name)
}
