//! How people reach the entrance: its Service, and an HTTPRoute or Ingress in front where the file wants one.

use std::collections::BTreeMap;

use fleet::{Component, Expose, Fleet, Gateway, Ingress};
use manifest::{Kind, Metadata, Names, Part, UnitBuilder};
use serde_json::{Map, Value as Json, json};

use crate::objects::port;

/// The entrance Service's port.
const PORT: u16 = 80;

/// Adds the entrance's Service and what is in front of it.
pub(crate) fn render(fleet: &Fleet, unit: &mut UnitBuilder, selector: &BTreeMap<String, String>) {
    let name = Names(&fleet.name).haproxy();
    service(fleet, unit, name.clone(), selector);
    match &fleet.control.expose {
        Expose::Internal | Expose::Service { .. } => {}
        Expose::Gateway(gateway) => route(fleet, unit, name, gateway),
        Expose::Ingress(ingress) => classic(fleet, unit, name, ingress),
    }
}

fn service(fleet: &Fleet, unit: &mut UnitBuilder, name: String, selector: &BTreeMap<String, String>) {
    let mut ports = vec![port("http", PORT, "http")];
    let mut spec = json!({ "selector": selector });
    let mut metadata = Metadata::of(Component::Haproxy);
    if let Expose::Service { type_, annotations } = &fleet.control.expose {
        spec["type"] = type_.as_str().into();
        metadata = metadata.annotated(annotations.clone());
        if type_ == "LoadBalancer" {
            // People's addresses survive only so.
            spec["externalTrafficPolicy"] = "Local".into();
            // For a load balancer that ends TLS, as its annotations say: it still hands over plain HTTP.
            ports.push(port("https", 443, "http"));
        }
    }
    spec["ports"] = ports.into();
    unit.add(Kind::Service, name, Part::Carry, metadata, json!({ "spec": spec }));
}

fn route(fleet: &Fleet, unit: &mut UnitBuilder, name: String, gateway: &Gateway) {
    let mut parent = Map::from_iter([("name".to_owned(), Json::from(gateway.name.as_str()))]);
    for (key, value) in [("namespace", &gateway.namespace), ("sectionName", &gateway.section)] {
        if let Some(value) = value {
            parent.insert(key.to_owned(), value.as_str().into());
        }
    }
    let content = json!({ "spec": {
        "parentRefs": [parent],
        "hostnames": [fleet.url.host()],
        "rules": [{ "backendRefs": [{ "name": name, "port": PORT }] }],
    } });
    unit.add(Kind::HttpRoute, name, Part::Carry, Metadata::of(Component::Haproxy), content);
}

/// No class is assumed, and none of its annotations: how long it lets a silent websocket live is the class's business.
fn classic(fleet: &Fleet, unit: &mut UnitBuilder, name: String, ingress: &Ingress) {
    let host = fleet.url.host();
    let backend = json!({ "service": { "name": name, "port": { "number": PORT } } });
    let mut spec = json!({ "rules": [{
        "host": host,
        "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] },
    }] });
    if let Some(class) = &ingress.class {
        spec["ingressClassName"] = class.as_str().into();
    }
    if let Some(secret) = &ingress.tls_secret {
        spec["tls"] = json!([{ "hosts": [host], "secretName": secret }]);
    }
    let metadata = Metadata::of(Component::Haproxy).annotated(ingress.annotations.clone());
    unit.add(Kind::Ingress, name, Part::Carry, metadata, json!({ "spec": spec }));
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;
    use crate::tests::{object, rendered};

    fn exposed(expose: Expose) -> Vec<manifest::Unit> {
        let mut fleet = testing::split();
        fleet.control.expose = expose;
        rendered(&fleet)
    }

    #[test]
    fn by_a_gateway() {
        let gateway = Gateway { name: "public".into(), namespace: Some("gateways".into()), section: None };
        let units = exposed(Expose::Gateway(gateway));
        let spec = &object(&units, Kind::HttpRoute, "meet-haproxy")["spec"];
        assert_eq!(spec["parentRefs"], json!([{ "name": "public", "namespace": "gateways" }]));
        assert_eq!(spec["hostnames"], json!(["meet.example.org"]));
        assert_eq!(spec["rules"][0]["backendRefs"], json!([{ "name": "meet-haproxy", "port": 80 }]));
    }

    #[test]
    fn by_an_ingress_of_no_class_of_ours() {
        let ingress = Ingress { class: None, tls_secret: Some("cert".into()), annotations: BTreeMap::new() };
        let units = exposed(Expose::Ingress(ingress));
        let spec = &object(&units, Kind::Ingress, "meet-haproxy")["spec"];
        assert!(spec.get("ingressClassName").is_none());
        assert_eq!(spec["tls"], json!([{ "hosts": ["meet.example.org"], "secretName": "cert" }]));
    }

    #[test]
    fn by_its_own_service() {
        let expose = Expose::Service { type_: "LoadBalancer".into(), annotations: BTreeMap::new() };
        let units = exposed(expose);
        let spec = &object(&units, Kind::Service, "meet-haproxy")["spec"];
        assert_eq!((&spec["type"], &spec["externalTrafficPolicy"]), (&json!("LoadBalancer"), &json!("Local")));
        let units = exposed(Expose::Internal);
        assert!(object(&units, Kind::Service, "meet-haproxy")["spec"].get("type").is_none());
    }
}
