//! The addresses that bridges advertise: a list that the pod reads at its start, by the name of its node or its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fleet::{Advertise, AdvertiseFallback, BridgeExpose, Bridges, Fleet, Index, Pool};
use manifest::{Kind, Metadata, Names, Part, Surroundings, UnitBuilder};
use serde_json::{Map, Value as Json, json};

/// Adds the list of a pool, or, while nobody knows it, says that the one in the cluster stays.
pub(crate) fn add(unit: &mut UnitBuilder, fleet: &Fleet, surroundings: &Surroundings, pool: &Pool) {
    let name = Names(&fleet.name).pool_addresses(&pool.name);
    match known(fleet, surroundings, pool) {
        Some(lines) => {
            let data: Map<String, Json> = lines.into_iter().map(|(key, ips)| (key, joined(&ips).into())).collect();
            let content = if data.is_empty() { json!({}) } else { json!({ "data": data }) };
            unit.add(Kind::ConfigMap, name, Part::Carry, Metadata::default(), content);
        }
        None => unit.keep(Kind::ConfigMap, name),
    }
}

/// The line of each node, or of each bridge with a load balancer of its own.
fn known(fleet: &Fleet, surroundings: &Surroundings, pool: &Pool) -> Option<BTreeMap<String, Vec<IpAddr>>> {
    let bridges = &pool.bridges;
    let lines = match bridges.expose {
        BridgeExpose::LoadBalancer => {
            let balancers = surroundings.load_balancers.get(&pool.name)?;
            let with_static = |ips: &[IpAddr]| merged(ips.iter().copied().chain(statics(bridges)));
            balancers
                .iter()
                .map(|(index, ips)| (Names(&fleet.name).bridge(&pool.name, *index), with_static(ips)))
                .collect()
        }
        BridgeExpose::NodePort | BridgeExpose::HostPort | BridgeExpose::HostNetwork => {
            match surroundings.nodes.get(&pool.name) {
                Some(Some(nodes)) => nodes.clone(),
                Some(None) | None => from_file(bridges)?,
            }
        }
    };
    Some(lines.into_iter().filter(|(_, ips): &(String, Vec<IpAddr>)| !ips.is_empty()).collect())
}

/// Whether a bridge on that node finds nothing to advertise, and waits for it.
pub(crate) fn are_lacking(fleet: &Fleet, surroundings: &Surroundings, pool: &Pool, index: Index, node: &str) -> bool {
    let bridges = &pool.bridges;
    let own = Names(&fleet.name).bridge(&pool.name, index);
    let key = if bridges.expose == BridgeExpose::LoadBalancer { own.as_str() } else { node };
    let set = bridges.workload.env.keys().any(|name| name.as_str() == "JVB_ADVERTISE_IPS");
    let lines = known(fleet, surroundings, pool);
    !set && fallback(bridges).is_empty() && lines.is_some_and(|lines| !lines.contains_key(key))
}

/// What the file says without any help of a cluster.
fn from_file(bridges: &Bridges) -> Option<BTreeMap<String, Vec<IpAddr>>> {
    let mut lines: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for way in &bridges.advertise {
        match way {
            Advertise::Map(nodes) => {
                for (node, ip) in nodes {
                    lines.entry(node.clone()).or_default().push(*ip);
                }
            }
            Advertise::Static(_) => {}
            Advertise::ExternalIp | Advertise::InternalIp | Advertise::Annotation(_) => return None,
        }
    }
    for ips in lines.values_mut() {
        *ips = merged(ips.drain(..).chain(statics(bridges)).collect::<Vec<_>>());
    }
    Some(lines)
}

/// What a bridge advertises when its line is missing; empty: it waits. Addresses that hold for every bridge need no
/// line, so where there are no others they are what a bridge starts with.
pub(crate) fn fallback(bridges: &Bridges) -> String {
    let only_static = bridges.expose != BridgeExpose::LoadBalancer
        && bridges.advertise.iter().all(|way| matches!(way, Advertise::Static(_)));
    if only_static && !bridges.advertise.is_empty() {
        return joined(&merged(statics(bridges)));
    }
    match &bridges.advertise_fallback {
        AdvertiseFallback::Wait => String::new(),
        AdvertiseFallback::Address(ip) => ip.to_string(),
    }
}

/// Whether private addresses are meant to be advertised. jvb drops every candidate with a private address when it is
/// told to keep its pod's address to itself, also those that we gave it.
pub(crate) fn are_private(bridges: &Bridges) -> bool {
    let fallback = match &bridges.advertise_fallback {
        AdvertiseFallback::Address(ip) => is_private(ip),
        AdvertiseFallback::Wait => false,
    };
    fallback
        || bridges.advertise.iter().any(|way| match way {
            Advertise::InternalIp => true,
            Advertise::Map(nodes) => nodes.values().any(is_private),
            Advertise::Static(ip) => is_private(ip),
            Advertise::ExternalIp | Advertise::Annotation(_) => false,
        })
}

fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn statics(bridges: &Bridges) -> impl Iterator<Item = IpAddr> {
    bridges.advertise.iter().filter_map(|way| match way {
        Advertise::Static(ip) => Some(*ip),
        _ => None,
    })
}

fn merged(ips: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for ip in ips {
        if !all.contains(&ip) {
            all.push(ip);
        }
    }
    all
}

fn joined(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use manifest::{UnitId, testing};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn data(fleet: &Fleet, surroundings: &Surroundings) -> Option<Json> {
        let pool = &fleet.data.pools[0];
        let mut unit = UnitBuilder::new(fleet, UnitId::Pool(pool.name.clone()), &pool.cluster);
        add(&mut unit, fleet, surroundings, pool);
        let unit = unit.finish();
        assert_eq!(unit.manifests.len() + unit.keeps.len(), 1);
        unit.manifests.first().map(|manifest| manifest.body.json()["data"].clone())
    }

    #[test]
    fn what_nobody_knows_stays_as_it_is() {
        let fleet = testing::split();
        let pool = fleet.data.pools[0].name.clone();
        assert_eq!(data(&fleet, &Surroundings::default()), None);
        let mut surroundings = Surroundings::default();
        surroundings.nodes.insert(pool.clone(), None);
        assert_eq!(data(&fleet, &surroundings), None);
        let nodes = BTreeMap::from([
            ("n1".to_owned(), vec![ip("203.0.113.1"), ip("2001:db8::1")]),
            ("n2".to_owned(), Vec::new()),
        ]);
        surroundings.nodes.insert(pool, Some(nodes));
        assert_eq!(data(&fleet, &surroundings), Some(json!({ "n1": "203.0.113.1,2001:db8::1" })));
    }

    #[test]
    fn the_file_can_be_enough() {
        let mut fleet = testing::split();
        let bridges = &mut fleet.data.pools[0].bridges;
        let map = BTreeMap::from([("n1".to_owned(), ip("198.51.100.1"))]);
        bridges.advertise = vec![Advertise::Map(map), Advertise::Static(ip("10.0.0.1"))];
        assert!(are_private(bridges));
        assert_eq!(fallback(bridges), "");
        assert_eq!(data(&fleet, &Surroundings::default()), Some(json!({ "n1": "198.51.100.1,10.0.0.1" })));
        let bridges = &mut fleet.data.pools[0].bridges;
        bridges.advertise = vec![Advertise::Static(ip("203.0.113.1"))];
        assert!(!are_private(bridges));
        assert_eq!(fallback(bridges), "203.0.113.1");
        assert_eq!(data(&fleet, &Surroundings::default()), Some(Json::Null));
    }

    #[test]
    fn a_bridge_waits_where_it_has_neither_a_line_nor_a_fallback() {
        let mut fleet = testing::split();
        let mut surroundings = Surroundings::default();
        let lacking = |fleet: &Fleet, surroundings: &Surroundings, node: &str| {
            are_lacking(fleet, surroundings, &fleet.data.pools[0], Index(0), node)
        };
        assert!(!lacking(&fleet, &surroundings, "n1"), "nobody knows");
        let nodes = BTreeMap::from([("n1".to_owned(), vec![ip("203.0.113.1")])]);
        surroundings.nodes.insert(fleet.data.pools[0].name.clone(), Some(nodes));
        assert!(!lacking(&fleet, &surroundings, "n1"));
        assert!(lacking(&fleet, &surroundings, "n2"));
        let mut set = fleet.clone();
        testing::set_env(&mut set.data.pools[0].bridges.workload, "JVB_ADVERTISE_IPS", "203.0.113.2");
        assert!(!lacking(&set, &surroundings, "n2"));
        fleet.data.pools[0].bridges.advertise_fallback = AdvertiseFallback::Address(ip("203.0.113.2"));
        assert!(!lacking(&fleet, &surroundings, "n2"));
    }

    #[test]
    fn load_balancers_have_a_line_per_bridge() {
        let mut fleet = testing::split();
        fleet.data.pools[0].bridges.expose = BridgeExpose::LoadBalancer;
        let mut surroundings = Surroundings::default();
        assert_eq!(data(&fleet, &surroundings), None);
        let balancers = BTreeMap::from([(Index(0), vec![ip("203.0.113.7")]), (Index(1), Vec::new())]);
        surroundings.load_balancers.insert(fleet.data.pools[0].name.clone(), balancers);
        assert_eq!(data(&fleet, &surroundings), Some(json!({ "meet-jvb-eu-0": "203.0.113.7" })));
    }
}
