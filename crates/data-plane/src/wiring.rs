//! The address of a slot's XMPP server in a data cluster: a Service of a stable name, and what it points to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fleet::{ClusterName, Fleet, ShardName, Slot};
use manifest::{
    Allocations, Endpoint, Kind, Metadata, Names, Part, PendingReason, Surroundings, Target, Unit, UnitBuilder, UnitId,
    labels,
};
use serde_json::{Value as Json, json};

use crate::place::{self, Distance};
use crate::servers::{self, XMPP_PORT};

const PORT_NAME: &str = "xmpp";
/// An EndpointSlice belongs to the Service that it names in this label.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Keeps Kubernetes' own controllers away from the slice.
const SLICE_MANAGER: &str = "endpointslice.kubernetes.io/managed-by";

/// The wirings whose address is known.
pub(crate) fn units(fleet: &Fleet, allocations: &Allocations, surroundings: &Surroundings) -> Vec<Unit> {
    let wanted = wanted(fleet, allocations);
    let known = wanted.iter().filter_map(|(cluster, shard, slot)| known(fleet, surroundings, cluster, shard, *slot));
    known.collect()
}

/// One wiring, if its address is known.
pub(crate) fn known(
    fleet: &Fleet,
    surroundings: &Surroundings,
    cluster: &ClusterName,
    shard: &ShardName,
    slot: Slot,
) -> Option<Unit> {
    let target = endpoint(surroundings, shard, slot)?.target()?;
    Some(unit(fleet, cluster, shard, slot, target))
}

/// The wirings whose address is not known yet.
pub(crate) fn pending(
    fleet: &Fleet,
    allocations: &Allocations,
    surroundings: &Surroundings,
) -> Vec<(UnitId, PendingReason)> {
    wanted(fleet, allocations)
        .into_iter()
        .filter_map(|(cluster, shard, slot)| {
            let why = match endpoint(surroundings, &shard, slot) {
                None => PendingReason::NoService,
                Some(Endpoint::Pending { why }) => why.clone(),
                Some(Endpoint::Known(_) | Endpoint::Stale { .. } | Endpoint::Moving { .. }) => return None,
            };
            Some((UnitId::Wiring(cluster, shard, slot), why))
        })
        .collect()
}

fn endpoint<'a>(surroundings: &'a Surroundings, shard: &ShardName, slot: Slot) -> Option<&'a Endpoint> {
    surroundings.endpoints.get(shard)?.get(&slot)
}

/// Pools that share a cluster share its wirings.
fn wanted(fleet: &Fleet, allocations: &Allocations) -> BTreeSet<(ClusterName, ShardName, Slot)> {
    fleet
        .data
        .pools
        .iter()
        .filter(|pool| place::distance(fleet, &pool.cluster) == Distance::Apart)
        .flat_map(|pool| pool.shards.iter().map(|shard| (pool.cluster.clone(), shard)))
        .flat_map(|(cluster, shard)| {
            servers::slots(allocations, shard).into_iter().map(move |slot| (cluster.clone(), shard.clone(), slot))
        })
        .collect()
}

fn unit(fleet: &Fleet, cluster: &ClusterName, shard: &ShardName, slot: Slot, target: &Target) -> Unit {
    let mut unit = UnitBuilder::new(fleet, UnitId::Wiring(cluster.clone(), shard.clone(), slot), cluster);
    let name = Names(&fleet.name).wiring(shard, slot);
    match target {
        Target::Host { host, .. } => {
            let spec = json!({ "spec": { "type": "ExternalName", "externalName": host } });
            unit.add(Kind::Service, name, Part::Carry, Metadata::default(), spec);
        }
        Target::Ips { ips, port } => {
            let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = ips.iter().partition(|ip| ip.is_ipv4());
            let mut spec = json!({
                "ports": [{ "name": PORT_NAME, "port": XMPP_PORT, "protocol": "TCP" }],
            });
            if !v6.is_empty() {
                // A cluster of one family ignores it; with two, endpoints of the second family stay reachable.
                spec["ipFamilyPolicy"] = "PreferDualStack".into();
            }
            unit.add(Kind::Service, name.clone(), Part::Carry, Metadata::default(), json!({ "spec": spec }));
            // The address type of a slice can't change, so each family has a slice of its own name.
            for (suffix, family, ips) in [("4", "IPv4", v4), ("6", "IPv6", v6)] {
                if !ips.is_empty() {
                    let metadata = Metadata { labels: slice_labels(&name), ..Metadata::default() };
                    let slice = format!("{name}-{suffix}");
                    unit.add(Kind::EndpointSlice, slice, Part::Carry, metadata, endpoint_slice(family, &ips, *port));
                }
            }
        }
    }
    unit.finish()
}

fn slice_labels(service: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (SERVICE_NAME.to_owned(), service.to_owned()),
        (SLICE_MANAGER.to_owned(), labels::MANAGER.to_owned()),
    ])
}

/// One endpoint per address: proxies take only the first address of an endpoint.
fn endpoint_slice(family: &str, ips: &[&IpAddr], port: u16) -> Json {
    let endpoints: Vec<Json> = ips.iter().map(|ip| json!({ "addresses": [ip.to_string()] })).collect();
    json!({
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{ "name": PORT_NAME, "port": port, "protocol": "TCP" }],
    })
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;

    fn known(target: Target) -> Surroundings {
        at(Endpoint::Known(target))
    }

    fn at(endpoint: Endpoint) -> Surroundings {
        Surroundings {
            endpoints: BTreeMap::from([(testing::shard_name("alpha"), BTreeMap::from([(Slot::A, endpoint)]))]),
            ..Surroundings::default()
        }
    }

    fn ips(list: &[&str]) -> Target {
        Target::Ips { ips: list.iter().map(|ip| ip.parse().unwrap()).collect(), port: 30_222 }
    }

    fn rendered(fleet: &Fleet, surroundings: &Surroundings) -> Vec<Unit> {
        units(fleet, &Allocations::default().extended(fleet), surroundings)
    }

    #[test]
    fn addresses_become_a_slice_per_family() {
        let unit = rendered(&testing::split(), &known(ips(&["203.0.113.9", "203.0.113.10", "2001:db8::9"]))).remove(0);
        let names: Vec<String> = unit.manifests.iter().map(|manifest| manifest.object.to_string()).collect();
        assert_eq!(
            names,
            [
                "Service jitsi-media/meet-alpha-a-xmpp",
                "EndpointSlice jitsi-media/meet-alpha-a-xmpp-4",
                "EndpointSlice jitsi-media/meet-alpha-a-xmpp-6",
            ]
        );
        let [service, v4, v6] = &unit.manifests[..] else { panic!("three objects") };
        assert_eq!(service.body.json()["spec"]["ports"][0]["name"], v4.body.json()["ports"][0]["name"]);
        assert_eq!(service.body.json()["spec"]["ports"][0]["port"], 5222);
        assert!(service.body.json()["spec"].get("selector").is_none());
        assert_eq!(v4.body.json()["ports"][0]["port"], 30_222);
        assert_eq!(v4.body.json()["endpoints"].as_array().unwrap().len(), 2);
        assert_eq!(v4.body.json()["metadata"]["labels"][SERVICE_NAME], "meet-alpha-a-xmpp");
        assert_eq!((&v4.body.json()["addressType"], &v6.body.json()["addressType"]), (&"IPv4".into(), &"IPv6".into()));
        assert!(unit.manifests.iter().all(|manifest| manifest.part == Part::Carry));
        assert_eq!(testing::complaints(&unit), Vec::<String>::new());
    }

    #[test]
    fn a_host_name_becomes_an_alias() {
        let target = Target::Host { host: "lb.example.org".into(), port: 5222 };
        let unit = rendered(&testing::split(), &known(target)).remove(0);
        assert_eq!(unit.manifests.len(), 1);
        assert_eq!(
            unit.manifests[0].body.json()["spec"],
            json!({ "type": "ExternalName", "externalName": "lb.example.org" })
        );
    }

    #[test]
    fn what_is_pending_is_said_and_not_rendered() {
        let fleet = testing::split();
        let allocations = Allocations::default().extended(&fleet);
        let id: UnitId = "wiring alpha/a@frankfurt".parse().unwrap();
        for (surroundings, why) in [
            (Surroundings::default(), PendingReason::NoService),
            (at(Endpoint::Pending { why: PendingReason::Allocating }), PendingReason::Allocating),
        ] {
            assert_eq!(rendered(&fleet, &surroundings), []);
            assert_eq!(pending(&fleet, &allocations, &surroundings), [(id.clone(), why)]);
        }
        for endpoint in [
            Endpoint::Known(ips(&["203.0.113.9"])),
            Endpoint::Stale { last: ips(&["203.0.113.9"]), why: PendingReason::Unreachable("no answer".into()) },
            Endpoint::Moving { old: ips(&["203.0.113.8"]), new: ips(&["203.0.113.9"]) },
        ] {
            let surroundings = at(endpoint);
            assert_eq!(pending(&fleet, &allocations, &surroundings), []);
            let unit = rendered(&fleet, &surroundings).remove(0);
            assert_eq!(unit.manifests[1].body.json()["endpoints"][0]["addresses"], json!(["203.0.113.9"]));
        }
    }

    #[test]
    fn the_control_cluster_needs_no_wiring() {
        let mut fleet = testing::split();
        fleet.data.pools[0].cluster = testing::cluster("hq");
        let allocations = Allocations::default().extended(&fleet);
        assert_eq!(rendered(&fleet, &known(ips(&["203.0.113.9"]))), []);
        assert_eq!(pending(&fleet, &allocations, &Surroundings::default()), []);
    }

    #[test]
    fn pools_of_one_cluster_share_it() {
        let mut fleet = testing::split();
        let mut second = fleet.data.pools[0].clone();
        second.name = "eu2".parse().unwrap();
        fleet.data.pools.push(second);
        assert_eq!(rendered(&fleet, &known(ips(&["203.0.113.9"]))).len(), 1);
    }
}
