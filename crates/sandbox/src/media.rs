//! What kube-proxy does to media: a UDP flow to an endpoint that is not used any more is dropped.
//!
//! Used are the ready endpoints of a Service, and when none is ready those that are ending but still serve. A pod that
//! no UDP Service selects is reached at its node's own port, where no kube-proxy is in the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use tokio::sync::mpsc;

use crate::{
    cache::Change,
    network,
    state::{PodKey, Shared},
};

/// The media flows of a pod through one Service were dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaCut {
    /// The pod.
    pub(crate) pod: PodKey,
    /// The Service.
    pub(crate) service: String,
    /// When.
    pub(crate) at: Timestamp,
}

/// Which pods the UDP Services of a cluster lead to: by namespace and name of the Service.
#[derive(Debug, Default)]
pub(crate) struct MediaPaths(BTreeMap<(String, String), Endpoints>);

#[derive(Debug, Default)]
struct Endpoints {
    used: BTreeSet<String>,
    unused: BTreeSet<String>,
}

impl MediaPaths {
    /// Takes over what the slices of a Service say now; returns the pods that lost their flows by it.
    fn update(&mut self, namespace: &str, service: &str, slices: &[Arc<EndpointSlice>]) -> BTreeSet<String> {
        let now = endpoints(slices);
        let key = (namespace.to_owned(), service.to_owned());
        let before = match now.used.is_empty() && now.unused.is_empty() {
            true => self.0.remove(&key),
            false => self.0.insert(key, Endpoints { used: now.used.clone(), unused: now.unused }),
        };
        before.map(|before| before.used.difference(&now.used).cloned().collect()).unwrap_or_default()
    }

    /// Whether media reaches a pod.
    fn open(&self, namespace: &str, pod: &str) -> bool {
        let mut selected = false;
        for (_, endpoints) in self.0.iter().filter(|((of, _), _)| of == namespace) {
            if endpoints.used.contains(pod) {
                return true;
            }
            selected |= endpoints.unused.contains(pod);
        }
        !selected
    }
}

fn endpoints(slices: &[Arc<EndpointSlice>]) -> Endpoints {
    let (mut ready, mut ending, mut all) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        if !slice.ports.iter().flatten().any(|port| port.protocol.as_deref() == Some("UDP")) {
            continue;
        }
        for endpoint in &slice.endpoints {
            let Some(pod) = endpoint.target_ref.as_ref().and_then(|target| target.name.clone()) else { continue };
            let conditions = endpoint.conditions.as_ref();
            let yes = |of: Option<bool>| of.unwrap_or(false);
            all.insert(pod.clone());
            if conditions.is_none_or(|conditions| conditions.ready != Some(false)) {
                ready.insert(pod);
            } else if conditions.is_some_and(|conditions| yes(conditions.serving) && yes(conditions.terminating)) {
                ending.insert(pod);
            }
        }
    }
    let used = if ready.is_empty() { ending } else { ready };
    let unused = all.difference(&used).cloned().collect();
    Endpoints { used, unused }
}

impl Shared {
    /// Whether media reaches a bridge's pod.
    pub(crate) fn media_open(&self, pod: &PodKey) -> bool {
        self.cluster(pod.cluster).is_none_or(|cluster| {
            cluster.media.lock().unwrap_or_else(PoisonError::into_inner).open(&pod.namespace, &pod.name)
        })
    }
}

/// Follows the slices of a cluster, for ever.
pub(crate) async fn run(
    shared: Arc<Shared>,
    cluster: usize,
    mut changes: mpsc::UnboundedReceiver<Change<EndpointSlice>>,
) {
    let Some(state) = shared.cluster(cluster) else { return };
    while let Some(Change::Applied(slice) | Change::Deleted(slice)) = changes.recv().await {
        let Some(service) = slice.labels().get("kubernetes.io/service-name") else { continue };
        let namespace = slice.namespace().unwrap_or_default();
        let slices = state.slices.indexed(&network::slice_key(Some(&namespace), service));
        let lost = {
            let mut paths = state.media.lock().unwrap_or_else(PoisonError::into_inner);
            paths.update(&namespace, service, &slices)
        };
        for name in lost {
            let pod = PodKey { cluster, namespace: namespace.clone(), name };
            shared.tell_media_cut(MediaCut { pod, service: service.clone(), at: shared.clock.now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(endpoints: serde_json::Value) -> Vec<Arc<EndpointSlice>> {
        let slice = json!({
            "addressType": "IPv4",
            "metadata": { "name": "s", "namespace": "ns" },
            "ports": [{ "name": "media", "port": 10000, "protocol": "UDP" }],
            "endpoints": endpoints,
        });
        vec![Arc::new(serde_json::from_value(slice).unwrap())]
    }

    fn endpoint(pod: &str, ready: bool, serving: bool, terminating: bool) -> serde_json::Value {
        json!({
            "addresses": ["10.0.0.1"],
            "targetRef": { "kind": "Pod", "name": pod },
            "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
        })
    }

    #[test]
    fn a_flow_is_cut_when_its_endpoint_is_not_used_any_more() {
        let mut paths = MediaPaths::default();
        assert!(paths.open("ns", "a"), "no Service is in the way");
        assert!(paths.update("ns", "media", &slice(json!([endpoint("a", true, true, false)]))).is_empty());
        assert!(paths.open("ns", "a"));
        // Ending, alone and still serving: its flows stay.
        assert!(paths.update("ns", "media", &slice(json!([endpoint("a", false, true, true)]))).is_empty());
        // Not ready without ending: cut.
        let cut = paths.update("ns", "media", &slice(json!([endpoint("a", false, false, false)])));
        assert_eq!(cut, BTreeSet::from(["a".to_owned()]));
        assert!(!paths.open("ns", "a"));
        // An ending one among ready ones is cut, too.
        let both = json!([endpoint("a", true, true, false), endpoint("b", true, true, false)]);
        paths.update("ns", "media", &slice(both));
        let one = json!([endpoint("a", false, true, true), endpoint("b", true, true, false)]);
        assert_eq!(paths.update("ns", "media", &slice(one)), BTreeSet::from(["a".to_owned()]));
        assert_eq!(paths.update("ns", "media", &[]), BTreeSet::from(["b".to_owned()]));
    }
}
