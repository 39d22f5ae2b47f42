//! The clusters' load balancers: every Service of that type gets an address that nobody else has.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    node,
    state::{ClusterState, Shared},
};

/// Between two attempts to publish an address.
const RETRY: Duration = Duration::from_secs(1);

/// Gives addresses, for ever.
pub(crate) async fn run(shared: Arc<Shared>, cluster: usize) {
    let Some(state) = shared.cluster(cluster) else { return };
    let mut changes = shared.network.listen();
    let mut given: BTreeMap<(String, String), Given> = BTreeMap::new();
    loop {
        let mut next: Option<Instant> = None;
        if !shared.faults(|faults| faults.held_balancers.contains(&cluster)) {
            for service in state.services.all().iter().filter(|service| pending(service)) {
                let key = (service.namespace().unwrap_or_default(), service.name_any());
                let now = Instant::now();
                let one = match given.get(&key) {
                    Some(one) => *one,
                    None => {
                        let one = Given { number: free(state, &given), from: now + shared.timing.load_balancer };
                        given.insert(key.clone(), one);
                        one
                    }
                };
                let mut again = now + RETRY;
                if one.from > now {
                    again = one.from;
                } else {
                    let address = nth(state.load_balancer_base, one.number).to_string();
                    // Whoever gave it another one meanwhile is not overruled.
                    let seen = service.resource_version();
                    if let Err(error) = publish(state, &key.0, &key.1, seen, &[address]).await {
                        tracing::debug!(%error, service = key.1, "cannot publish an address");
                    }
                }
                next = Some(next.map_or(again, |next| next.min(again)));
            }
            given.retain(|(namespace, name), _| state.services.get(namespace, name).is_some());
        }
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changes.changed() => tokio::time::sleep(shared.timing.settle).await,
            () = due => {}
        }
    }
}

/// What a load balancer was given, and from when on it has it.
#[derive(Debug, Clone, Copy)]
struct Given {
    number: u32,
    from: Instant,
}

/// Writes the addresses of a Service, in that version if one is given; what is no IP is a host name.
pub(crate) async fn publish(
    state: &ClusterState,
    namespace: &str,
    name: &str,
    version: Option<String>,
    addresses: &[String],
) -> Result<(), kube::Error> {
    let ingress: Vec<_> = addresses
        .iter()
        .map(|address| match address.parse::<std::net::IpAddr>() {
            Ok(_) => json!({ "ip": address }),
            Err(_) => json!({ "hostname": address }),
        })
        .collect();
    let mut patch = json!({ "status": { "loadBalancer": { "ingress": ingress } } });
    if let Some(version) = version {
        patch["metadata"] = json!({ "resourceVersion": version });
    }
    let api: Api<Service> = Api::namespaced(state.client.clone(), namespace);
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
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

fn free(state: &ClusterState, given: &BTreeMap<(String, String), Given>) -> u32 {
    let mut used = node::machines(state).addresses();
    used.extend(state.services.all().iter().flat_map(|service| addresses(service)));
    let reserved: BTreeSet<u32> = given.values().map(|one| one.number).collect();
    let is_free = |number: &u32| {
        !reserved.contains(number) && !used.contains(&nth(state.load_balancer_base, *number).to_string())
    };
    (0..u32::MAX).find(is_free).unwrap_or_default()
}
