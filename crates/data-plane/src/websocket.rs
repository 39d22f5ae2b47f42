//! Colibri websockets of the older era: a Service and a public path per bridge, laid out for the most bridges there
//! can be, so that scaling never waits for an ingress controller.

use fleet::{BridgeWebsocket, Component, Expose, Fleet, Gateway, Index, Ingress, Pool};
use manifest::pod::{Env, Port};
use manifest::{Kind, Metadata, Names, Part, UnitBuilder, UnitId, labels};
use serde_json::{Value as Json, json};

/// The port of jvb's public HTTP server.
pub(crate) const PORT: (&str, u16) = ("ws", 9090);

/// The container's port.
pub(crate) fn port() -> Port {
    Port::tcp(PORT.0, PORT.1)
}

/// What a bridge must be told: under which address clients reach it.
pub(crate) fn env(websocket: &BridgeWebsocket, nickname: &str) -> Vec<(&'static str, Env)> {
    vec![
        ("ENABLE_COLIBRI_WEBSOCKET", Env::Text("1".into())),
        ("JVB_WS_DOMAIN", Env::Text(websocket.host.clone())),
        ("JVB_WS_SERVER_ID", Env::Text(nickname.to_owned())),
    ]
}

/// Adds the Services of all bridges that the pool can have, and the paths to them.
pub(crate) fn add(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool) {
    let Some(websocket) = &pool.bridges.websocket else { return };
    let bridges: Vec<Bridge> = (0..pool.bridges.replicas.max()).map(|i| Bridge::new(fleet, pool, Index(i))).collect();
    for bridge in &bridges {
        bridge.add_service(unit, fleet);
    }
    if bridges.is_empty() {
        return;
    }
    match &fleet.control.expose {
        Expose::Gateway(gateway) => {
            for bridge in &bridges {
                bridge.add_route(unit, gateway, &websocket.host);
            }
        }
        Expose::Ingress(ingress) => add_ingress(unit, fleet, pool, ingress, &websocket.host, &bridges),
        Expose::Internal | Expose::Service { .. } => {
            let default = Ingress { class: None, tls_secret: None, annotations: Default::default() };
            add_ingress(unit, fleet, pool, &default, &websocket.host, &bridges);
        }
    }
}

struct Bridge {
    id: UnitId,
    service: String,
    path: String,
}

impl Bridge {
    fn new(fleet: &Fleet, pool: &Pool, index: Index) -> Self {
        let names = Names(&fleet.name);
        Self {
            id: UnitId::Bridge(pool.name.clone(), index),
            service: format!("{}-ws", names.bridge(&pool.name, index)),
            path: format!("/colibri-ws/{}", names.bridge_nickname(&pool.cluster, &pool.name, index)),
        }
    }

    fn add_service(&self, unit: &mut UnitBuilder, fleet: &Fleet) {
        let selector = labels::select_unit(&fleet.name, &self.id, Component::Jvb);
        let content = json!({
            "spec": {
                // As with media: who is on the bridge stays connected while it drains.
                "publishNotReadyAddresses": true,
                "selector": selector,
                "ports": [{ "name": PORT.0, "port": PORT.1, "protocol": "TCP" }],
            },
        });
        unit.add(Kind::Service, self.service.clone(), Part::Carry, Metadata::of(Component::Jvb), content);
    }

    fn add_route(&self, unit: &mut UnitBuilder, gateway: &Gateway, host: &str) {
        let mut parent = json!({ "name": gateway.name });
        if let Some(namespace) = &gateway.namespace {
            parent["namespace"] = namespace.as_str().into();
        }
        if let Some(section) = &gateway.section {
            parent["sectionName"] = section.as_str().into();
        }
        let content = json!({
            "spec": {
                "parentRefs": [parent],
                "hostnames": [host],
                "rules": [{
                    "matches": [{ "path": { "type": "PathPrefix", "value": self.path } }],
                    "backendRefs": [{ "name": self.service, "port": PORT.1 }],
                }],
            },
        });
        unit.add(Kind::HttpRoute, self.service.clone(), Part::Carry, Metadata::of(Component::Jvb), content);
    }
}

/// The class, annotations and certificate are those of the fleet's own Ingress, by name, in the pool's cluster.
fn add_ingress(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool, ingress: &Ingress, host: &str, bridges: &[Bridge]) {
    let paths: Vec<Json> = bridges
        .iter()
        .map(|bridge| {
            let service = json!({ "name": bridge.service, "port": { "name": PORT.0 } });
            json!({ "path": bridge.path, "pathType": "Prefix", "backend": { "service": service } })
        })
        .collect();
    let mut spec = json!({ "rules": [{ "host": host, "http": { "paths": paths } }] });
    if let Some(class) = &ingress.class {
        spec["ingressClassName"] = class.as_str().into();
    }
    if let Some(secret) = &ingress.tls_secret {
        spec["tls"] = json!([{ "hosts": [host], "secretName": secret }]);
    }
    let name = format!("{}-jvb-{}-ws", fleet.name, pool.name);
    let metadata = Metadata::of(Component::Jvb).annotated(ingress.annotations.clone());
    unit.add(Kind::Ingress, name, Part::Carry, metadata, json!({ "spec": spec }));
}

#[cfg(test)]
mod tests {
    use fleet::Replicas;
    use manifest::{Unit, testing};

    use super::*;

    fn rendered(fleet: &Fleet) -> Unit {
        let pool = &fleet.data.pools[0];
        let mut unit = UnitBuilder::new(fleet, UnitId::Pool(pool.name.clone()), &pool.cluster);
        add(&mut unit, fleet, pool);
        unit.finish()
    }

    fn with_websockets() -> Fleet {
        let mut fleet = testing::legacy();
        let bridges = &mut fleet.data.pools[0].bridges;
        bridges.replicas = Replicas::Range { min: 1, max: 3, idle: 0 };
        bridges.websocket = Some(BridgeWebsocket { host: "ws.meet.example.org".into() });
        fleet
    }

    #[test]
    fn paths_are_laid_out_for_the_most_bridges() {
        let unit = rendered(&with_websockets());
        assert_eq!(unit.manifests.len(), 4);
        assert_eq!(unit.manifests[2].body.json()["spec"]["selector"][labels::UNIT], "bridge-eu-2");
        let paths = &unit.manifests[3].body.json()["spec"]["rules"][0]["http"]["paths"];
        assert_eq!(paths[2]["path"], "/colibri-ws/frankfurt-meet-jvb-eu-2-0");
        assert_eq!(paths[2]["backend"]["service"]["name"], "meet-jvb-eu-2-ws");
        assert_eq!(testing::complaints(&unit), Vec::<String>::new());
    }

    #[test]
    fn a_gateway_gets_a_route_per_bridge() {
        let mut fleet = with_websockets();
        let section = Some("https".to_owned());
        fleet.control.expose = Expose::Gateway(Gateway { name: "public".into(), namespace: None, section });
        let unit = rendered(&fleet);
        assert_eq!(unit.manifests.len(), 6);
        let route = &unit.manifests[3].body.json()["spec"];
        assert_eq!(route["parentRefs"], json!([{ "name": "public", "sectionName": "https" }]));
        assert_eq!(route["rules"][0]["backendRefs"], json!([{ "name": "meet-jvb-eu-0-ws", "port": 9090 }]));
    }
}
