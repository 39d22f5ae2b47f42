//! The clusters' load balancers: every Service of that type gets an address that nobody else has.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::state::{ClusterState, Shared};

/// Gives addresses, for ever.
pub(crate) async fn run(shared: Arc<Shared>, cluster: usize) {
    let Some(state) = shared.cluster(cluster) else { return };
    let mut changes = shared.network.listen();
    let mut given: BTreeMap<(String, String), u32> = BTreeMap::new();
    loop {
        if !shared.faults(|faults| faults.held_balancers.contains(&cluster)) {
            for service in state.services.all() {
                if pending(&service) {
                    let key = (service.namespace().unwrap_or_default(), service.name_any());
                    let number = match given.get(&key) {
                        Some(number) => *number,
                        None => {
                            let number = free(state, &given);
                            given.insert(key.clone(), number);
                            number
                        }
                    };
                    let address = nth(state.load_balancer_base, number).to_string();
                    if let Err(error) = publish(state, &key.0, &key.1, &[address]).await {
                        tracing::debug!(%error, service = key.1, "cannot publish an address");
                    }
                }
            }
            given.retain(|(namespace, name), _| state.services.get(namespace, name).is_some());
        }
        tokio::select! {
            () = changes.changed() => tokio::time::sleep(shared.timing.settle).await,
            // What failed is tried again.
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
        }
    }
}

/// Writes the addresses of a Service; what is no IP is a host name.
pub(crate) async fn publish(
    state: &ClusterState,
    namespace: &str,
    name: &str,
    addresses: &[String],
) -> Result<(), kube::Error> {
    let ingress: Vec<_> = addresses
        .iter()
        .map(|address| match address.parse::<std::net::IpAddr>() {
            Ok(_) => json!({ "ip": address }),
            Err(_) => json!({ "hostname": address }),
        })
        .collect();
    let patch = Patch::Merge(json!({ "status": { "loadBalancer": { "ingress": ingress } } }));
    let api: Api<Service> = Api::namespaced(state.client.clone(), namespace);
    api.patch_status(name, &PatchParams::default(), &patch).await.map(drop)
}

fn pending(service: &Service) -> bool {
    let balanced = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    balanced && service.metadata.deletion_timestamp.is_none() && addresses(service).is_empty()
}

fn addresses(service: &Service) -> Vec<String> {
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref())
        .and_then(|balancer| balancer.ingress.as_ref());
    ingress.into_iter().flatten().filter_map(|ingress| ingress.ip.clone().or(ingress.hostname.clone())).collect()
}

fn nth(base: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(base.to_bits().wrapping_add(number))
}

fn free(state: &ClusterState, given: &BTreeMap<(String, String), u32>) -> u32 {
    let used: BTreeSet<String> = state.services.all().iter().flat_map(|service| addresses(service)).collect();
    let reserved: BTreeSet<u32> = given.values().copied().collect();
    let is_free = |number: &u32| {
        !reserved.contains(number) && !used.contains(&nth(state.load_balancer_base, *number).to_string())
    };
    (0..u32::MAX).find(is_free).unwrap_or_default()
}
