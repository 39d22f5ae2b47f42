//! Where a name or an address leads, as seen from a pod: cluster DNS, Services, EndpointSlices, and the world outside
//! with its load balancers and nodes. Policies are not enforced.

use std::net::IpAddr;

use k8s_openapi::api::{
    core::v1::{Pod, Service, ServicePort},
    discovery::v1::EndpointSlice,
};
use kube::ResourceExt;

use crate::{
    node,
    state::{PodKey, Shared},
};

/// The index key of a Service or pod under one of its addresses.
pub(crate) fn address_key(address: &str) -> String {
    format!("ip:{address}")
}

/// The index key of a Service under its node port.
pub(crate) fn node_port_key(port: i32) -> String {
    format!("np:{port}")
}

/// The index keys of a Service: what leads to it besides its name.
pub(crate) fn service_keys(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    let mut keys: Vec<String> = spec
        .and_then(|spec| spec.cluster_ips.as_ref())
        .into_iter()
        .flatten()
        .filter(|ip| *ip != "None" && !ip.is_empty())
        .map(|ip| address_key(ip))
        .collect();
    keys.extend(balancer_addresses(service).into_iter().map(|address| address_key(&address)));
    let ports = spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    keys.extend(ports.filter_map(|port| port.node_port).map(node_port_key));
    keys
}

/// The index key of an EndpointSlice: its Service.
pub(crate) fn slice_keys(slice: &EndpointSlice) -> Vec<String> {
    slice
        .labels()
        .get("kubernetes.io/service-name")
        .map(|name| slice_key(slice.namespace().as_deref(), name))
        .into_iter()
        .collect()
}

/// The index key of the slices of a Service.
pub(crate) fn slice_key(namespace: Option<&str>, service: &str) -> String {
    format!("{}/{service}", namespace.unwrap_or_default())
}

/// The index key of a pod: its address.
pub(crate) fn pod_keys(pod: &Pod) -> Vec<String> {
    pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).map(address_key).into_iter().collect()
}

fn balancer_addresses(service: &Service) -> Vec<String> {
    service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref())
        .and_then(|balancer| balancer.ingress.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|ingress| ingress.ip.clone().or_else(|| ingress.hostname.clone()))
        .collect()
}

/// Where a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The pod.
    pub(crate) pod: PodKey,
    /// The port in it.
    pub(crate) port: u16,
}

/// Follows `host:port` from a pod of the cluster.
///
/// # Errors
/// What a person would find at the end of that way: an unknown name, an address where nobody answers.
pub(crate) fn resolve(shared: &Shared, from: usize, host: &str, port: u16) -> Result<Destination, String> {
    if host.parse::<IpAddr>().is_ok() {
        return address(shared, from, host, port);
    }
    let cluster = shared.cluster(from).ok_or("the cluster is gone")?;
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    if let [service, namespace, "svc", ..] = labels[..] {
        let found = cluster.services.get(namespace, service).ok_or_else(|| format!("unknown host {host}"))?;
        let spec = found.spec.as_ref();
        if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
            let target = spec.and_then(|spec| spec.external_name.clone()).unwrap_or_default();
            return outside(shared, from, &target, port);
        }
        return through_service(shared, from, &found, |candidate| candidate.port == i32::from(port), host, port);
    }
    outside(shared, from, host, port)
}

fn outside(shared: &Shared, from: usize, host: &str, port: u16) -> Result<Destination, String> {
    let known = shared.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(host).cloned();
    match known.as_deref() {
        Some([first, ..]) => address(shared, from, first, port),
        Some([]) => Err(format!("unknown host {host}")),
        None => address(shared, from, host, port).map_err(|why| {
            if host.parse::<IpAddr>().is_ok() || !why.starts_with("no route") {
                why
            } else {
                format!("unknown host {host}")
            }
        }),
    }
}

/// An address, or the host name of a load balancer.
fn address(shared: &Shared, from: usize, address: &str, port: u16) -> Result<Destination, String> {
    let own = shared.cluster(from).ok_or("the cluster is gone")?;
    if let Some(pod) = own.pods.indexed(&address_key(address)).first() {
        return Ok(Destination { pod: PodKey::of(from, pod), port });
    }
    let by_port = |candidate: &ServicePort| candidate.port == i32::from(port);
    if let Some(service) = own.services.indexed(&address_key(address)).first() {
        return through_service(shared, from, service, by_port, address, port);
    }
    for (index, cluster) in shared.clusters.iter().enumerate() {
        for service in cluster.services.indexed(&address_key(address)) {
            if balancer_addresses(&service).iter().any(|known| known == address) {
                return through_service(shared, index, &service, by_port, address, port);
            }
        }
        if node::machines(cluster).addresses().contains(address) {
            let by_node_port = |candidate: &ServicePort| candidate.node_port == Some(i32::from(port));
            return match cluster.services.indexed(&node_port_key(i32::from(port))).first() {
                Some(service) => through_service(shared, index, service, by_node_port, address, port),
                None => Err(format!("connection refused: {address}:{port} is a node without such a port")),
            };
        }
    }
    Err(format!("no route to {address}:{port}"))
}

fn through_service(
    shared: &Shared,
    index: usize,
    service: &Service,
    wanted: impl Fn(&ServicePort) -> bool,
    host: &str,
    port: u16,
) -> Result<Destination, String> {
    let cluster = shared.cluster(index).ok_or("the cluster is gone")?;
    let spec = service.spec.as_ref().ok_or("a Service without a spec")?;
    let name = format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any());
    let service_port = spec
        .ports
        .iter()
        .flatten()
        .find(|port| wanted(port) && port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .ok_or_else(|| format!("connection timed out: Service {name} has no TCP port {port} ({host})"))?;
    let port_name = service_port.name.as_deref().unwrap_or_default();
    let ours = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    let slices = cluster.slices.indexed(&slice_key(service.namespace().as_deref(), &service.name_any()));
    for slice in &slices {
        let mut ports = slice.ports.iter().flatten();
        let Some(target) = ports.find(|port| port.name.as_deref().unwrap_or_default() == port_name) else { continue };
        let Some(number) = target.port.and_then(|number| u16::try_from(number).ok()) else { continue };
        for endpoint in &slice.endpoints {
            if endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(false) {
                continue;
            }
            let Some(to) = endpoint.addresses.first() else { continue };
            // What a Service selects are pods of its own cluster; what people wrote may lead anywhere.
            let destination = match endpoint.target_ref.as_ref().filter(|_| ours).and_then(|target| target.name.clone())
            {
                Some(pod) => {
                    let namespace = service.namespace().unwrap_or_default();
                    Ok(Destination { pod: PodKey { cluster: index, namespace, name: pod }, port: number })
                }
                None => address(shared, index, to, number),
            };
            return destination;
        }
    }
    Err(format!("connection refused: Service {name} has no ready endpoint for its port {port}"))
}
