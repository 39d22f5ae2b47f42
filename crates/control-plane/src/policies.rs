//! NetworkPolicies: they fence what has no authentication of its own.
//!
//! The kubelet's probes and port-forwards reach a pod past them; everything else has to be named here.

use fleet::{Component, Fleet, Plane, XmppExpose};
use manifest::{Kind, Metadata, Names, Part, UnitBuilder, labels};
use serde_json::{Value as Json, json};

use crate::entrance::{HTTP_PORT as ENTRANCE_PORT, METRICS_PORT, PEER_PORT};
use crate::jicofo::REST_PORT;
use crate::prosody::{HTTP_PORT, XMPP_PORT};

/// Adds a policy per component.
pub(crate) fn render(fleet: &Fleet, unit: &mut UnitBuilder) {
    let monitored = fleet.monitoring.enabled;
    let metrics = |port: u16, from: Json| monitored.then(|| rule(vec![from], json!(port)));

    let mut prosody = vec![xmpp(fleet), rule(vec![pods(fleet, Component::Web)], json!(HTTP_PORT))];
    prosody.extend(metrics(HTTP_PORT, prometheus()));
    policy(fleet, unit, Component::Prosody, prosody);

    policy(fleet, unit, Component::Jicofo, metrics(REST_PORT, prometheus()).into_iter().collect());

    // By name: the number differs between image eras.
    policy(fleet, unit, Component::Web, vec![rule(vec![pods(fleet, Component::Haproxy)], json!("http"))]);

    let mut haproxy =
        vec![rule(Vec::new(), json!(ENTRANCE_PORT)), rule(vec![pods(fleet, Component::Haproxy)], json!(PEER_PORT))];
    haproxy.extend(metrics(METRICS_PORT, any_pod()));
    policy(fleet, unit, Component::Haproxy, haproxy);
}

/// Who may speak XMPP: jicofo, bridges and recorders of this cluster, and whoever the exposure lets in.
///
/// Behind a load balancer the ranges are checked before the source address is replaced by a node's, so the policy must
/// admit nodes, that is anybody; `loadBalancerSourceRanges` is the fence. A node port has no such fence: there the
/// ranges are enforced here, and must contain the nodes where the network plugin replaces addresses.
fn xmpp(fleet: &Fleet) -> Json {
    let blocks = || fleet.control.xmpp_source_ranges.iter().map(|range| json!({ "ipBlock": { "cidr": range } }));
    let inside = vec![
        pods(fleet, Component::Jicofo),
        json!({
            "namespaceSelector": {},
            "podSelector": { "matchLabels": {
                labels::FLEET: fleet.name.as_str(), labels::PLANE: Plane::Data.as_str(),
            } },
        }),
    ];
    let from = match &fleet.control.xmpp {
        XmppExpose::ClusterIp => inside,
        XmppExpose::LoadBalancer => Vec::new(),
        XmppExpose::NodePort { .. } | XmppExpose::External(_) if fleet.control.xmpp_source_ranges.is_empty() => {
            Vec::new()
        }
        XmppExpose::NodePort { .. } | XmppExpose::External(_) => inside.into_iter().chain(blocks()).collect(),
    };
    rule(from, json!(XMPP_PORT))
}

/// Pods of a component, in the fleet's own namespace.
fn pods(fleet: &Fleet, component: Component) -> Json {
    json!({ "podSelector": { "matchLabels": {
        labels::FLEET: fleet.name.as_str(), labels::NAME: component.as_str(),
    } } })
}

/// Pods of any namespace: for a port on which there is nothing but metrics.
fn any_pod() -> Json {
    json!({ "namespaceSelector": {} })
}

/// Prometheus, in whatever namespace it runs: for ports on which orders are taken, too.
fn prometheus() -> Json {
    json!({ "namespaceSelector": {}, "podSelector": { "matchLabels": { labels::NAME: "prometheus" } } })
}

/// Admits these (nobody named: everybody) to a port.
fn rule(from: Vec<Json>, port: Json) -> Json {
    let mut rule = json!({ "ports": [{ "port": port, "protocol": "TCP" }] });
    if !from.is_empty() {
        rule["from"] = from.into();
    }
    rule
}

fn policy(fleet: &Fleet, unit: &mut UnitBuilder, component: Component, ingress: Vec<Json>) {
    let mut spec = json!({
        "podSelector": { "matchLabels": {
            labels::FLEET: fleet.name.as_str(), labels::NAME: component.as_str(),
        } },
        "policyTypes": ["Ingress"],
    });
    if !ingress.is_empty() {
        spec["ingress"] = ingress.into();
    }
    let name = Names(&fleet.name).component(component);
    unit.add(Kind::NetworkPolicy, name, Part::Carry, Metadata::of(component), json!({ "spec": spec }));
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;
    use crate::tests::{object, rendered};

    fn ingress(fleet: &Fleet, component: &str) -> Json {
        object(&rendered(fleet), Kind::NetworkPolicy, &format!("meet-{component}"))["spec"]["ingress"].clone()
    }

    #[test]
    fn what_has_no_authentication_is_fenced() {
        let mut fleet = testing::split();
        assert_eq!(ingress(&fleet, "jicofo"), Json::Null);
        let http = &ingress(&fleet, "prosody")[1];
        assert_eq!(http["from"][0]["podSelector"]["matchLabels"][labels::NAME], "web");
        assert!(http["from"].as_array().unwrap().len() == 1);
        fleet.monitoring.enabled = true;
        for (component, at, port) in [("jicofo", 0, 8888), ("prosody", 2, 5280)] {
            let rule = &ingress(&fleet, component)[at];
            assert_eq!(rule["ports"][0]["port"], port);
            assert_eq!(rule["from"][0]["podSelector"]["matchLabels"][labels::NAME], "prometheus", "{component}");
        }
    }

    #[test]
    fn xmpp_is_open_to_whom_it_is_exposed() {
        let mut fleet = testing::split();
        fleet.control.xmpp_source_ranges = vec!["198.51.100.0/24".into()];
        assert!(ingress(&fleet, "prosody")[0].get("from").is_none());
        fleet.control.xmpp = XmppExpose::NodePort { base: 30222, addresses: Vec::new() };
        assert_eq!(ingress(&fleet, "prosody")[0]["from"][2]["ipBlock"]["cidr"], "198.51.100.0/24");
        fleet.control.xmpp = XmppExpose::ClusterIp;
        assert_eq!(ingress(&fleet, "prosody")[0]["from"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn they_can_be_switched_off() {
        let mut fleet = testing::split();
        fleet.network_policy = false;
        let units = rendered(&fleet);
        assert!(units.iter().flat_map(|unit| &unit.manifests).all(|m| m.object.kind != Kind::NetworkPolicy));
    }
}
