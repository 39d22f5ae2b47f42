//! Where data clusters reach each slot's XMPP: read from the control cluster, kept from the data clusters' own
//! wiring when it can't be read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fleet::{Fleet, ShardName, Slot, XmppExpose};
use manifest::{Allocations, Endpoint, Kind, Names, ObjectRef, PendingReason, Target};
use plan::{ClusterView, Known, Observed, Policy};
use serde::Deserialize;

/// A Service, as far as its load balancer goes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Balanced {
    status: BalancedStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BalancedStatus {
    load_balancer: Balancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Balancer {
    ingress: Vec<Ingress>,
}

#[derive(Debug, Default, Deserialize)]
struct Ingress {
    ip: Option<String>,
    hostname: Option<String>,
}

impl Balanced {
    /// Its addresses.
    pub(crate) fn ips(&self) -> Vec<IpAddr> {
        let ingress = self.status.load_balancer.ingress.iter();
        ingress.filter_map(|entry| entry.ip.as_deref()?.parse().ok()).collect()
    }

    /// Its first name.
    pub(crate) fn host(&self) -> Option<String> {
        self.status.load_balancer.ingress.iter().find_map(|entry| entry.hostname.clone())
    }
}

/// A Service, as far as nodes forward its ports.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Forwarding {
    spec: ForwardingSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ForwardingSpec {
    ports: Vec<Forwarded>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Forwarded {
    port: u16,
    node_port: Option<u16>,
}

impl Forwarding {
    /// The port of every node that leads to a port of it.
    fn node_port(&self, port: u16) -> Option<u16> {
        self.spec.ports.iter().find(|forwarded| forwarded.port == port)?.node_port
    }
}

/// An EndpointSlice, as far as it leads somewhere. Empty lists are `null` in it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Slice {
    endpoints: Option<Vec<Endpoints>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoints {
    addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Port {
    port: Option<u16>,
}

/// A Service, as far as it is another name for something.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Alias {
    spec: AliasSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AliasSpec {
    external_name: Option<String>,
}

/// The TCP port of a slot on its shard's Service.
const fn service_port(slot: Slot) -> u16 {
    5222 + slot.offset()
}

/// The endpoints of the slots that serve these shards.
pub(crate) fn endpoints<'s>(
    fleet: &Fleet,
    allocations: &Allocations,
    observed: &Observed,
    policy: &Policy,
    shards: impl IntoIterator<Item = &'s ShardName>,
) -> BTreeMap<ShardName, BTreeMap<Slot, Endpoint>> {
    let control = observed.clusters.get(&fleet.control.cluster);
    let mut all: BTreeMap<ShardName, BTreeMap<Slot, Endpoint>> = BTreeMap::new();
    for shard in shards {
        let slot = allocations.serving(shard);
        let last = last_known(fleet, observed, policy, shard, slot);
        let endpoint = endpoint(fleet, allocations, control, shard, slot, last);
        all.entry(shard.clone()).or_default().insert(slot, endpoint);
    }
    all
}

fn endpoint(
    fleet: &Fleet,
    allocations: &Allocations,
    control: Option<&Known<ClusterView>>,
    shard: &ShardName,
    slot: Slot,
    last: Option<Target>,
) -> Endpoint {
    let found = match &fleet.control.xmpp {
        XmppExpose::External(targets) => external(targets.get(shard), slot),
        XmppExpose::ClusterIp => Ok(cluster_ip(fleet, shard, slot)),
        XmppExpose::LoadBalancer | XmppExpose::NodePort { .. } => match control {
            Some(Known::Yes(seen)) => from_service(fleet, allocations, &seen.value, shard, slot),
            Some(Known::Unknown { why }) => Err(PendingReason::Unreachable(why.to_string())),
            Some(Known::Absent { .. }) | None => Err(PendingReason::Unreachable("it was not asked".to_owned())),
        },
    };
    match (found, last) {
        (Ok(target), Some(old)) if old != target => Endpoint::Moving { old, new: target },
        (Ok(target), _) => Endpoint::Known(target),
        (Err(why), Some(last)) => Endpoint::Stale { last, why },
        (Err(why), None) => Endpoint::Pending { why },
    }
}

fn cluster_ip(fleet: &Fleet, shard: &ShardName, slot: Slot) -> Target {
    let namespace = fleet.clusters.get(&fleet.control.cluster).map_or("default", |cluster| &cluster.namespace);
    let service = Names(&fleet.name).shard_xmpp(shard);
    Target::Host { host: format!("{service}.{namespace}.svc.{}", fleet.cluster_domain), port: service_port(slot) }
}

fn external(target: Option<&fleet::XmppTarget>, slot: Slot) -> Result<Target, PendingReason> {
    let address = match (target, slot) {
        (Some(target), Slot::A) => Some(&target.a),
        (Some(target), Slot::B) => target.b.as_ref(),
        (None, _) => None,
    };
    let (host, port) = address.ok_or(PendingReason::NoService)?;
    Ok(match host.parse::<IpAddr>() {
        Ok(ip) => Target::Ips { ips: vec![ip], port: *port },
        Err(_) => Target::Host { host: host.clone(), port: *port },
    })
}

fn from_service(
    fleet: &Fleet,
    allocations: &Allocations,
    control: &ClusterView,
    shard: &ShardName,
    slot: Slot,
) -> Result<Target, PendingReason> {
    if let Some(why) = control.unreadable_kinds.get(&Kind::Service) {
        return Err(PendingReason::Forbidden(why.clone()));
    }
    let cluster = &fleet.control.cluster;
    let namespace = fleet.clusters.get(cluster).map(|cluster| cluster.namespace.clone()).unwrap_or_default();
    let name = Names(&fleet.name).shard_xmpp(shard);
    let object = ObjectRef { cluster: cluster.clone(), kind: Kind::Service, namespace, name };
    let service = control.objects.get(&object).ok_or(PendingReason::NoService)?;
    if let XmppExpose::NodePort { addresses, .. } = &fleet.control.xmpp {
        let port = allocations.xmpp_node_port(&fleet.control.xmpp, shard, slot).ok_or(PendingReason::NoService)?;
        // It may be refused, or not have been sent at all: until then nobody listens there.
        let service: Forwarding = service.body.read().unwrap_or_default();
        if service.node_port(service_port(slot)) != Some(port) {
            return Err(PendingReason::NodePort(port));
        }
        let mut ips = if addresses.is_empty() { node_addresses(control) } else { addresses.clone() };
        ips.sort();
        ips.dedup();
        let why = || {
            PendingReason::Forbidden(
                "no node has an address that may be read; set control.xmpp.node_port.addresses".into(),
            )
        };
        return if ips.is_empty() { Err(why()) } else { Ok(Target::Ips { ips, port }) };
    }
    let balanced: Balanced = service.body.read().unwrap_or_default();
    let mut ips = balanced.ips();
    ips.sort();
    let port = service_port(slot);
    if !ips.is_empty() {
        return Ok(Target::Ips { ips, port });
    }
    let host = balanced.host();
    host.map(|host| Target::Host { host, port }).ok_or(PendingReason::Allocating)
}

/// The nodes' public addresses, or their internal ones where none has a public one.
fn node_addresses(view: &ClusterView) -> Vec<IpAddr> {
    let nodes = view.nodes.as_deref().unwrap_or_default();
    let external: Vec<IpAddr> = nodes.iter().flat_map(|node| node.external.iter().copied()).collect();
    if external.is_empty() { nodes.iter().flat_map(|node| node.internal.iter().copied()).collect() } else { external }
}

/// An alias has no port of its own: bridges use the one that the file names for the host, or that of the Service.
fn alias_port(fleet: &Fleet, shard: &ShardName, slot: Slot) -> u16 {
    let named = match &fleet.control.xmpp {
        XmppExpose::External(targets) => external(targets.get(shard), slot).ok(),
        XmppExpose::ClusterIp | XmppExpose::LoadBalancer | XmppExpose::NodePort { .. } => None,
    };
    named.map_or_else(|| service_port(slot), |target| target.port())
}

/// What the data clusters of this run were wired to, read back from their own Services and EndpointSlices: in others,
/// what has moved stays as it was.
fn last_known(fleet: &Fleet, observed: &Observed, policy: &Policy, shard: &ShardName, slot: Slot) -> Option<Target> {
    let service = Names(&fleet.name).wiring(shard, slot);
    let clusters = fleet.data.pools.iter().map(|pool| &pool.cluster);
    let clusters = clusters.filter(|name| **name != fleet.control.cluster && policy.has_cluster(name));
    clusters.into_iter().find_map(|cluster| {
        let view = observed.clusters.get(cluster)?.value()?;
        let is_wiring = |object: &ObjectRef| object.kind == Kind::Service && object.name == service;
        let live = view.objects.values().find(|live| is_wiring(&live.object));
        let alias = live.and_then(|live| live.body.read::<Alias>()).and_then(|service| service.spec.external_name);
        if let Some(host) = alias {
            return Some(Target::Host { host, port: alias_port(fleet, shard, slot) });
        }
        let mut ips = Vec::new();
        let mut port = None;
        for object in view.objects.values() {
            if object.object.kind == Kind::EndpointSlice
                && object.label("kubernetes.io/service-name") == Some(service.as_str())
            {
                let slice: Slice = object.body.read().unwrap_or_default();
                let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
                ips.extend(addresses.filter_map(|ip| ip.parse::<IpAddr>().ok()));
                port = slice.ports.iter().flatten().next().and_then(|entry| entry.port).or(port);
            }
        }
        ips.sort();
        port.filter(|_| !ips.is_empty()).map(|port| Target::Ips { ips, port })
    })
}
