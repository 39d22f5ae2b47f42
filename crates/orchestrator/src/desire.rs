//! What should be: the fleet rendered with what is known of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fleet::{Advertise, Fleet, Index, Pool, PoolName, ShardName, Slot};
use manifest::{Allocations, Desired, Endpoint, Kind, Names, ObjectRef, PendingReason, Surroundings, UnitId};
use plan::{ClusterView, Known, NodeView, Observed, Policy};

use crate::Handover;
use crate::wire::{self, Balanced};

/// The rendered fleet, and what could not be rendered.
#[derive(Debug)]
pub(crate) struct Desire {
    pub(crate) desired: Desired,
    pub(crate) pending: BTreeMap<UnitId, PendingReason>,
    pub(crate) held: BTreeSet<ObjectRef>,
    pub(crate) endpoints: BTreeMap<ShardName, BTreeMap<Slot, Endpoint>>,
    pub(crate) surroundings: Surroundings,
}

/// Renders both planes.
pub(crate) fn desire(
    fleet: &Fleet,
    allocations: &Allocations,
    observed: &Observed,
    policy: &Policy,
    handover: Option<&Handover>,
) -> Desire {
    let endpoints = handover.map_or_else(
        || wire::endpoints(fleet, allocations, observed, policy, fleet.control.shards.keys()),
        |handover| handover.surroundings.endpoints.clone(),
    );
    // Nobody waits for those that are leaving, but bridges may still start that serve them.
    let mut all = wire::endpoints(fleet, allocations, observed, policy, &allocations.leaving);
    all.extend(endpoints.clone());
    let surroundings = surroundings(fleet, observed, all);
    let mut units = control_plane::render(fleet, allocations);
    units.extend(data_plane::render(fleet, allocations, &surroundings));
    let held = units.iter().flat_map(|unit| unit.keeps.iter().cloned()).collect();
    let desired = Desired::new(units);
    let views = observed.clusters.iter().filter_map(|(name, known)| Some((name, known.value()?)));
    let left = views.filter(|(name, _)| fleet.clusters.contains_key(*name)).flat_map(|(_, view)| {
        let owned = view.inventories.values().flat_map(|inventory| inventory.units.keys());
        owned.filter(|unit| !desired.units.contains_key(*unit))
    });
    let leaving = data_plane::leaving(fleet, &surroundings, &left.collect::<Vec<_>>());
    Desire {
        desired: desired.with_leaving(leaving),
        pending: data_plane::pending(fleet, allocations, &surroundings).into_iter().collect(),
        held,
        endpoints,
        surroundings,
    }
}

/// Whether a path is what API servers and we keep for ourselves.
pub(crate) fn is_bookkeeping(path: &str) -> bool {
    const KEPT: [&str; 7] = [
        "/metadata/resourceVersion",
        "/metadata/generation",
        "/metadata/managedFields",
        "/metadata/creationTimestamp",
        "/metadata/annotations/jitsictl.dev/intent",
        "/spec/template/metadata/annotations/jitsictl.dev/roll",
        "/status",
    ];
    KEPT.iter().any(|kept| path.starts_with(kept))
}

fn surroundings(
    fleet: &Fleet,
    observed: &Observed,
    endpoints: BTreeMap<ShardName, BTreeMap<Slot, Endpoint>>,
) -> Surroundings {
    let view = |pool: &Pool| observed.clusters.get(&pool.cluster).and_then(Known::value);
    let nodes = fleet
        .data
        .pools
        .iter()
        .map(|pool| {
            (pool.name.clone(), node_addresses(&pool.bridges.advertise, view(pool).and_then(|v| v.nodes.as_deref())))
        })
        .collect();
    let load_balancers = fleet
        .data
        .pools
        .iter()
        .filter(|pool| pool.bridges.expose == fleet::BridgeExpose::LoadBalancer)
        .map(|pool| (pool.name.clone(), view(pool).map(|view| bridge_addresses(fleet, pool, view)).unwrap_or_default()))
        .collect::<BTreeMap<PoolName, BTreeMap<Index, Vec<IpAddr>>>>();
    Surroundings { endpoints, nodes, load_balancers }
}

/// Node → the addresses that `advertise` picks. `None` where nodes can't be read and something depends on them.
fn node_addresses(advertise: &[Advertise], nodes: Option<&[NodeView]>) -> Option<BTreeMap<String, Vec<IpAddr>>> {
    let mut all: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for rule in advertise {
        match rule {
            Advertise::Map(map) => {
                for (node, address) in map {
                    all.entry(node.clone()).or_default().push(*address);
                }
            }
            Advertise::ExternalIp | Advertise::InternalIp | Advertise::Annotation(_) | Advertise::Static(_) => {
                for node in nodes? {
                    let found: Vec<IpAddr> = match rule {
                        Advertise::ExternalIp => node.external.clone(),
                        Advertise::InternalIp => node.internal.clone(),
                        Advertise::Annotation(name) => {
                            node.annotations.get(name).and_then(|text| text.parse().ok()).into_iter().collect()
                        }
                        Advertise::Static(address) => vec![*address],
                        Advertise::Map(_) => Vec::new(),
                    };
                    all.entry(node.name.clone()).or_default().extend(found);
                }
            }
        }
    }
    all.retain(|_, addresses| !addresses.is_empty());
    for addresses in all.values_mut() {
        let mut seen = BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
    }
    Some(all)
}

fn bridge_addresses(fleet: &Fleet, pool: &Pool, view: &ClusterView) -> BTreeMap<Index, Vec<IpAddr>> {
    let namespace = fleet.clusters.get(&pool.cluster).map(|cluster| cluster.namespace.clone()).unwrap_or_default();
    (0..pool.bridges.replicas.max())
        .filter_map(|index| {
            let object = ObjectRef {
                cluster: pool.cluster.clone(),
                kind: Kind::Service,
                namespace: namespace.clone(),
                name: Names(&fleet.name).bridge(&pool.name, Index(index)),
            };
            let service = view.objects.get(&object)?;
            let ips = service.body.read::<Balanced>()?.ips();
            (!ips.is_empty()).then_some((Index(index), ips))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, external: &[&str]) -> NodeView {
        NodeView {
            name: name.into(),
            external: external.iter().map(|ip| ip.parse().unwrap()).collect(),
            internal: vec!["10.0.0.1".parse().unwrap()],
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            cordoned: false,
        }
    }

    #[test]
    fn unknown_nodes_are_not_no_nodes() {
        assert_eq!(node_addresses(&[Advertise::ExternalIp], None), None);
        assert_eq!(node_addresses(&[Advertise::ExternalIp], Some(&[])), Some(BTreeMap::new()));
        let map = BTreeMap::from([("n1".to_owned(), "192.0.2.1".parse().unwrap())]);
        assert_eq!(node_addresses(&[Advertise::Map(map)], None).unwrap()["n1"].len(), 1);
    }

    #[test]
    fn all_of_the_list_are_advertised_once() {
        let nodes = [node("n1", &["192.0.2.1"]), node("n2", &[])];
        let rules = [Advertise::ExternalIp, Advertise::InternalIp, Advertise::Static("10.0.0.1".parse().unwrap())];
        let all = node_addresses(&rules, Some(&nodes)).unwrap();
        assert_eq!(all["n1"].len(), 2);
        assert_eq!(all["n2"], ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }
}
