//! The machines of a cluster and the nodes they announce: made once, kept alive by heartbeats, lost and found again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{Arc, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value as Json, json};

use crate::{
    error::SandboxError,
    scheduler,
    state::{ClusterState, Shared},
};

/// How many nodes each cluster begins with.
const COUNT: u32 = 3;
/// How many a cluster may grow to.
const LIMIT: u32 = 1000;
/// Zones of a cluster; its machines are spread over them.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// A machine that is, or was, a node.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: String,
    /// The address under which other clusters reach it.
    pub(crate) external_ip: String,
    /// Power or network is gone.
    pub(crate) lost: bool,
    labels: BTreeMap<String, String>,
}

/// The machines of one cluster, by their names.
#[derive(Debug)]
pub(crate) struct Machines {
    cluster: String,
    index: usize,
    base: Ipv4Addr,
    by_name: BTreeMap<String, Machine>,
    made: u32,
}

impl Machines {
    /// The first ones.
    pub(crate) fn new(index: usize, cluster: &str, base: Ipv4Addr) -> Self {
        let mut machines = Self { cluster: cluster.to_owned(), index, base, by_name: BTreeMap::new(), made: 0 };
        for _ in 0..COUNT {
            machines.add(BTreeMap::new());
        }
        machines
    }

    /// One more, with labels beside those that all have.
    fn add(&mut self, labels: BTreeMap<String, String>) -> Option<Machine> {
        if self.made >= LIMIT {
            return None;
        }
        self.made += 1;
        let name = format!("{}-node-{}", self.cluster, self.made);
        let zone = ZONES.get((self.made as usize - 1) % ZONES.len()).copied().unwrap_or("a");
        let mut all: BTreeMap<String, String> = [
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("topology.kubernetes.io/region", self.cluster.as_str()),
            ("topology.kubernetes.io/zone", &format!("{}-{zone}", self.cluster)),
            ("jitsi/role", "media"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        all.extend(labels);
        let external_ip = external_ip(self.index, self.base, self.made);
        let machine = Machine { name: name.clone(), external_ip, lost: false, labels: all };
        self.by_name.insert(name, machine.clone());
        Some(machine)
    }

    /// Whether the machine is lost. One that never was is not.
    pub(crate) fn lost(&self, node: &str) -> bool {
        self.by_name.get(node).is_some_and(|machine| machine.lost)
    }

    /// The machines of a zone.
    pub(crate) fn in_zone(&self, zone: &str) -> Vec<String> {
        let there =
            |machine: &&Machine| machine.labels.get("topology.kubernetes.io/zone").is_some_and(|label| label == zone);
        self.by_name.values().filter(there).map(|machine| machine.name.clone()).collect()
    }

    /// Loses a machine or brings it back; says whether it exists.
    pub(crate) fn set_lost(&mut self, node: &str, lost: bool) -> bool {
        match self.by_name.get_mut(node) {
            Some(machine) => {
                machine.lost = lost;
                true
            }
            None => false,
        }
    }

    /// The addresses of all nodes.
    pub(crate) fn addresses(&self) -> BTreeSet<String> {
        self.by_name.values().map(|machine| machine.external_ip.clone()).collect()
    }

    fn alive(&self) -> Vec<Machine> {
        self.by_name.values().filter(|machine| !machine.lost).cloned().collect()
    }
}

/// At the end of the load balancers' network, so that clusters differ here, too; when that is full, in one of its own.
fn external_ip(index: usize, base: Ipv4Addr, number: u32) -> String {
    let [a, b, c, _] = base.octets();
    match u8::try_from(200 + number) {
        Ok(last) if last < 255 => Ipv4Addr::new(a, b, c, last),
        _ => {
            let [_, _, high, low] = number.to_be_bytes();
            Ipv4Addr::new(100, 100 + u8::try_from(index % 27).unwrap_or(0), high, low)
        }
    }
    .to_string()
}

pub(crate) fn machines(state: &ClusterState) -> MutexGuard<'_, Machines> {
    state.machines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the nodes that are not there yet, and says that all are ready.
pub(crate) async fn create(shared: &Shared, cluster: usize) -> Result<(), SandboxError> {
    let Some(state) = shared.cluster(cluster) else { return Ok(()) };
    let all = machines(state).alive();
    for machine in all {
        join(shared, state, &machine).await.map_err(|source| SandboxError::Api {
            cluster: state.name.clone(),
            what: format!("create node {}", machine.name),
            source: Box::new(source),
        })?;
    }
    Ok(())
}

async fn join(shared: &Shared, state: &ClusterState, machine: &Machine) -> kube::Result<()> {
    let api: Api<Node> = Api::all(state.client.clone());
    let body = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": machine.name, "labels": machine.labels },
    });
    let node = serde_json::from_value(body).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    heartbeat(shared, state, machine).await
}

async fn heartbeat(shared: &Shared, state: &ClusterState, machine: &Machine) -> kube::Result<()> {
    let api: Api<Node> = Api::all(state.client.clone());
    let patch = Patch::Merge(json!({ "status": status(shared, state, machine) }));
    api.patch_status(&machine.name, &PatchParams::default(), &patch).await.map(drop)
}

/// Keeps the nodes ready, for ever.
pub(crate) async fn keep(shared: Arc<Shared>, cluster: usize) {
    let Some(state) = shared.cluster(cluster) else { return };
    let mut changed = state.machines_changed.listen();
    loop {
        tokio::select! {
            biased;
            // One that came back reports at once.
            () = changed.changed() => {}
            () = tokio::time::sleep(shared.timing.heartbeat) => {}
        }
        let alive = machines(state).alive();
        for machine in alive {
            if let Err(error) = heartbeat(&shared, state, &machine).await {
                tracing::debug!(%error, node = machine.name, "a heartbeat failed");
            }
        }
    }
}

/// Makes a machine that a pod fits on: with the labels it selects, empty of host ports. In clusters that grow.
pub(crate) async fn provide(shared: &Shared, state: &ClusterState, pod: &Pod) {
    let Some(labels) = state.elastic.then(|| scheduler::wanted_labels(pod)).flatten() else { return };
    let machine = machines(state).add(labels);
    let Some(machine) = machine else { return };
    tokio::time::sleep(shared.timing.node_boot).await;
    if let Err(error) = join(shared, state, &machine).await {
        tracing::debug!(%error, node = machine.name, "a new node cannot join");
    }
}

fn status(shared: &Shared, state: &ClusterState, machine: &Machine) -> Json {
    let now = shared.clock.now().to_string();
    let capacity = json!({ "cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti" });
    json!({
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "the stand-in kubelet is posting ready status",
            "lastHeartbeatTime": now,
        }],
        // No host name: the API server would prefer it, and it resolves nowhere.
        "addresses": [
            { "type": "InternalIP", "address": "127.0.0.1" },
            { "type": "ExternalIP", "address": machine.external_ip },
        ],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": state.kubelet_port } },
        "nodeInfo": {
            "machineID": machine.name, "systemUUID": machine.name, "bootID": machine.name, "kernelVersion": "6.1.0",
            "osImage": "stand-in", "containerRuntimeVersion": "stand-in://1", "kubeletVersion": "v1.34.0",
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_spread_over_zones_and_have_addresses_of_their_own() {
        let mut machines = Machines::new(1, "fra", Ipv4Addr::new(198, 51, 100, 10));
        for _ in 0..60 {
            machines.add(BTreeMap::from([("pool".to_owned(), "media".to_owned())]));
        }
        assert_eq!(machines.addresses().len(), 63);
        assert_eq!(machines.in_zone("fra-b").len(), 21);
        assert!(machines.set_lost("fra-node-2", true) && machines.lost("fra-node-2"));
        assert!(!machines.set_lost("fra-node-99", true) && !machines.lost("fra-node-99"));
        assert_eq!(machines.alive().len(), 62);
    }
}
