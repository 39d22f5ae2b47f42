//! How media reaches a bridge: its port, the Service in front of it, and the nodes that it may share.

use fleet::{BridgeExpose, Component, Fleet, Index, Pool};
use manifest::pod::Port;
use manifest::{Kind, Metadata, Names, Part, UnitBuilder, labels};
use serde_json::{Value as Json, json};

/// The name of the media port.
pub(crate) const PORT: &str = "media";

/// The media port of the container.
pub(crate) fn port(pool: &Pool, index: Index) -> Port {
    let on_host = pool.bridges.expose == BridgeExpose::HostPort;
    Port { name: PORT.to_owned(), number: pool.bridges.port(index.0), udp: true, on_host }
}

/// Adds the Service in front of a bridge, where there is one. It changes together with the bridge's template, when
/// nobody is on it: what clients were told can't be taken back.
pub(crate) fn service(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool, index: Index) {
    let number = pool.bridges.port(index.0);
    let mut port = json!({ "name": PORT, "port": number, "protocol": "UDP" });
    let kind = match pool.bridges.expose {
        BridgeExpose::NodePort => {
            port["nodePort"] = number.into();
            "NodePort"
        }
        BridgeExpose::LoadBalancer => "LoadBalancer",
        BridgeExpose::HostPort | BridgeExpose::HostNetwork => return,
    };
    let selector = labels::select_unit(&fleet.name, unit.id(), Component::Jvb);
    let content = json!({
        "spec": {
            "type": kind,
            "externalTrafficPolicy": "Local",
            // A bridge that fails a probe or is shutting down still carries media: losing readiness would make the
            // proxies forget its clients.
            "publishNotReadyAddresses": true,
            "selector": selector,
            "ports": [port],
        },
    });
    let name = Names(&fleet.name).bridge(&pool.name, index);
    unit.add(Kind::Service, name, Part::Roll, Metadata::of(Component::Jvb), content);
}

/// Bridges that own a port of their node can't share it, and others had better not.
pub(crate) fn affinity(fleet: &Fleet, pool: &Pool) -> Json {
    let apart = json!({
        "labelSelector": { "matchLabels": { labels::FLEET: fleet.name.as_str(), labels::NAME: Component::Jvb.as_str() } },
        "topologyKey": "kubernetes.io/hostname",
    });
    let terms = match pool.bridges.expose {
        BridgeExpose::HostPort | BridgeExpose::HostNetwork => {
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": [apart] })
        }
        BridgeExpose::NodePort | BridgeExpose::LoadBalancer => {
            json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": apart }] })
        }
    };
    json!({ "podAntiAffinity": terms })
}

#[cfg(test)]
mod tests {
    use manifest::{UnitId, testing};

    use super::*;

    fn rendered(expose: BridgeExpose) -> (Option<Json>, Port, Json) {
        let mut fleet = testing::split();
        fleet.data.pools[0].bridges.expose = expose;
        let pool = &fleet.data.pools[0];
        let mut unit = UnitBuilder::new(&fleet, UnitId::Bridge(pool.name.clone(), Index(3)), &pool.cluster);
        service(&mut unit, &fleet, pool, Index(3));
        let service = unit.finish().manifests.pop().map(|manifest| manifest.body.json()["spec"].clone());
        (service, port(pool, Index(3)), affinity(&fleet, pool))
    }

    #[test]
    fn a_node_port_is_literal_on_all_three_places() {
        let (service, port, affinity) = rendered(BridgeExpose::NodePort);
        let service = service.unwrap();
        assert_eq!(
            service["ports"],
            json!([{ "name": "media", "port": 30_003, "nodePort": 30_003, "protocol": "UDP" }])
        );
        assert_eq!(service["publishNotReadyAddresses"], true);
        assert_eq!(service["externalTrafficPolicy"], "Local");
        assert_eq!((port.number, port.udp, port.on_host), (30_003, true, false));
        assert!(affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"].is_array());
    }

    #[test]
    fn a_load_balancer_has_the_base_port() {
        let (service, port, _) = rendered(BridgeExpose::LoadBalancer);
        let service = service.unwrap();
        assert_eq!(service["type"], "LoadBalancer");
        assert_eq!(service["ports"], json!([{ "name": "media", "port": 30_000, "protocol": "UDP" }]));
        assert_eq!(port.number, 30_000);
    }

    #[test]
    fn bridges_on_the_node_have_no_service_and_no_neighbour() {
        for (expose, on_host) in [(BridgeExpose::HostPort, true), (BridgeExpose::HostNetwork, false)] {
            let (service, port, affinity) = rendered(expose);
            assert_eq!(service, None);
            assert_eq!((port.number, port.on_host), (30_000, on_host));
            assert!(affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"].is_array());
        }
    }
}
