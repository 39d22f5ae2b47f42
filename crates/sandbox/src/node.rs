//! The nodes of a cluster: made once, then kept alive by heartbeats.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value as Json, json};

use crate::{error::SandboxError, state::Shared};

/// How many nodes each cluster has.
pub(crate) const COUNT: u8 = 3;

/// Makes the nodes that are not there yet, and says that all are ready.
pub(crate) async fn create(shared: &Shared, cluster: usize, kubelet: u16) -> Result<(), SandboxError> {
    let Some(state) = shared.cluster(cluster) else { return Ok(()) };
    let api: Api<Node> = Api::all(state.client.clone());
    for name in names(&state.name) {
        let body = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": name, "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": state.name,
                "topology.kubernetes.io/zone": name,
                "jitsi/role": "media",
            } },
        });
        let failed = |source| SandboxError::Api {
            cluster: state.name.clone(),
            what: format!("create node {name}"),
            source: Box::new(source),
        };
        let node = serde_json::from_value(body).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        match api.create(&PostParams::default(), &node).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(failed(error)),
        }
    }
    for (name, status) in statuses(shared, cluster, kubelet) {
        let patch = Patch::Merge(json!({ "status": status }));
        let failed = |source| SandboxError::Api {
            cluster: state.name.clone(),
            what: format!("report node {name}"),
            source: Box::new(source),
        };
        api.patch_status(&name, &PatchParams::default(), &patch).await.map_err(failed)?;
    }
    Ok(())
}

/// Keeps the nodes ready, for ever.
pub(crate) async fn keep(shared: Arc<Shared>, cluster: usize, kubelet: u16) {
    let Some(state) = shared.cluster(cluster) else { return };
    let api: Api<Node> = Api::all(state.client.clone());
    loop {
        tokio::time::sleep(shared.timing.heartbeat).await;
        for (name, status) in statuses(&shared, cluster, kubelet) {
            let patch = Patch::Merge(json!({ "status": status }));
            if let Err(error) = api.patch_status(&name, &PatchParams::default(), &patch).await {
                tracing::debug!(%error, node = name, "a heartbeat failed");
            }
        }
    }
}

/// The names of a cluster's nodes.
pub(crate) fn names(cluster: &str) -> Vec<String> {
    (1..=COUNT).map(|number| format!("{cluster}-node-{number}")).collect()
}

fn statuses(shared: &Shared, cluster: usize, kubelet: u16) -> Vec<(String, Json)> {
    let Some(state) = shared.cluster(cluster) else { return Vec::new() };
    let now = Timestamp::now().to_string();
    let capacity = json!({ "cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti" });
    names(&state.name)
        .into_iter()
        .zip(&state.external_ips)
        .map(|(name, external)| {
            let status = json!({
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
                    { "type": "ExternalIP", "address": external },
                ],
                "daemonEndpoints": { "kubeletEndpoint": { "Port": kubelet } },
                "nodeInfo": {
                    "machineID": name, "systemUUID": name, "bootID": name, "kernelVersion": "6.1.0",
                    "osImage": "stand-in", "containerRuntimeVersion": "stand-in://1", "kubeletVersion": "v1.34.0",
                    "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
                },
            });
            (name, status)
        })
        .collect()
}
