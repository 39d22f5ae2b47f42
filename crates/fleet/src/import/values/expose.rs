//! How people reach the entrance, and bridges the shards.

use serde_json::{Map, Value as Json, json};

use super::super::Draft;
use super::Entry;

/// The Ingress or Service in front of haproxy. With one shard, the chart can do with an Ingress in front of web.
pub(super) fn entrance(draft: &mut Draft, values: &Entry<'_>) {
    let mut taken = false;
    for component in ["haproxy", "web"] {
        let ingress_of = values.at(component).at("ingress");
        if !ingress_of.at("enabled").flag(false) {
            ingress_of.take();
        } else if taken {
            draft.drop(ingress_of.path(), "the fleet has one entrance, haproxy");
            ingress_of.take();
        } else {
            let ingress = ingress(draft, &ingress_of);
            draft.put("control", "ingress", ingress);
            taken = true;
        }
    }
    for (key, usual) in [("type", "ClusterIP"), ("port", "80")] {
        values.at("web").at("service").at(key).usual(usual);
    }
    let service = values.at("haproxy").at("service");
    service.at("port").usual("80");
    let kind = service.at("type");
    let ours = match kind.text().as_deref() {
        Some("LoadBalancer") => "load_balancer",
        Some("NodePort") => "node_port",
        Some("ClusterIP") | None => return,
        Some(_) => return draft.drop(kind.path(), "the entrance's Service is a LoadBalancer or a NodePort"),
    };
    if taken {
        return draft.drop(kind.path(), "the fleet is exposed in one way, and there is an ingress");
    }
    let mut exposed = Map::from_iter([("type".to_owned(), json!(ours))]);
    exposed.extend(service.at("annotations").free_map().map(|map| ("annotations".to_owned(), map)));
    draft.put("control", "service", Json::Object(exposed));
}

fn ingress(draft: &Draft, values: &Entry<'_>) -> Json {
    let mut ingress = Map::new();
    ingress.extend(values.at("className").text().map(|class| ("class".to_owned(), json!(class))));
    ingress.extend(values.at("annotations").free_map().map(|map| ("annotations".to_owned(), map)));
    let hosts = values.at("hosts").items();
    if let Some(first) = hosts.first() {
        let host = first.at("host");
        let ours = draft.host();
        if ours.is_some_and(|ours| host.is(&ours)) {
            first.take();
        }
    }
    if let Some(first) = values.at("tls").items().first() {
        if let Some(secret) = first.at("secretName").text() {
            ingress.insert("tls_secret".into(), json!(secret));
        }
        first.at("hosts").take();
    }
    Json::Object(ingress)
}

/// The Services of the shards' prosodies.
pub(super) fn xmpp(draft: &mut Draft, service: &Entry<'_>, shards: &Entry<'_>) {
    for (key, usual) in [("bosh-insecure", "5280"), ("xmpp-c2s", "5222"), ("xmpp-component", "5347")] {
        service.at("ports").at(key).usual(usual);
    }
    let kind = service.at("type");
    let mut xmpp = match kind.text().as_deref() {
        Some("LoadBalancer") => Map::from_iter([("expose".to_owned(), json!("load_balancer"))]),
        Some("NodePort") => {
            let ports = shards.entries().into_iter().map(|(_, shard)| shard.at("prosodyNodePorts").at("xmpp-c2s"));
            let ports: Vec<u16> = ports.filter_map(|port| port.number()).collect();
            draft.keeps_ports |= !ports.is_empty();
            let base = ports.into_iter().min().unwrap_or(30_222);
            Map::from_iter([
                ("expose".to_owned(), json!("node_port")),
                ("node_port".to_owned(), json!({ "base": base })),
            ])
        }
        Some("ClusterIP") | None => return,
        Some(_) => return draft.drop(kind.path(), "`control.xmpp.expose` knows load_balancer, node_port and external"),
    };
    xmpp.extend(service.at("annotations").free_map().map(|map| ("annotations".to_owned(), map)));
    draft.put("control", "xmpp", Json::Object(xmpp));
}
