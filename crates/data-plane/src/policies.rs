//! What stands around a pool's pods: fences for what has no authentication, budgets for evictions, and monitors.

use fleet::{BridgeExpose, Component, Fleet, Pool};
use manifest::{Kind, Metadata, Part, UnitBuilder, labels};
use serde_json::{Value as Json, json};

use crate::{media, websocket};

/// The port of jvb's REST interface: unauthenticated, and it can drain or re-attach a bridge.
pub(crate) const BRIDGE_REST: (&str, u16) = ("rest", 8080);
/// The port of jibri's external interface: unauthenticated, and it can start a recording.
pub(crate) const RECORDER_API: (&str, u16) = ("api", 2222);

/// Adds what stands around the bridges of a pool.
pub(crate) fn bridges(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool) {
    // On the node's own network there is nothing to fence (the interface listens on loopback) and nothing to scrape.
    let on_host = pool.bridges.expose == BridgeExpose::HostNetwork;
    if fleet.network_policy && !on_host {
        let mut ports = vec![json!({ "protocol": "UDP", "port": media::PORT })];
        if pool.bridges.websocket.is_some() {
            ports.push(json!({ "protocol": "TCP", "port": websocket::PORT.0 }));
        }
        // By name, so that a new base_port doesn't cut off bridges that still listen on the old one.
        fence(unit, fleet, pool, Component::Jvb, Some(json!({ "ports": ports })), BRIDGE_REST.0);
    }
    budget(unit, fleet, pool, Component::Jvb);
    if fleet.monitoring.enabled && !on_host {
        monitor(unit, fleet, pool, Component::Jvb, BRIDGE_REST.0);
    }
}

/// Adds what stands around the recorders of a pool.
pub(crate) fn recorders(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool) {
    if fleet.network_policy {
        fence(unit, fleet, pool, Component::Jibri, None, RECORDER_API.0);
    }
    budget(unit, fleet, pool, Component::Jibri);
    if fleet.monitoring.enabled {
        monitor(unit, fleet, pool, Component::Jibri, RECORDER_API.0);
    }
}

fn name(fleet: &Fleet, pool: &Pool, component: Component) -> String {
    format!("{}-{component}-{}", fleet.name, pool.name)
}

fn selector(fleet: &Fleet, pool: &Pool, component: Component) -> Json {
    json!({ "matchLabels": labels::select_pool(&fleet.name, &pool.name, component) })
}

/// Lets in what `open` says, and Prometheus where monitoring is on; port-forwards and probes come by other ways. Not any
/// pod, as for mere metrics: what answers there also takes orders.
fn fence(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool, component: Component, open: Option<Json>, metrics: &str) {
    let mut ingress: Vec<Json> = open.into_iter().collect();
    if fleet.monitoring.enabled {
        ingress.push(json!({
            "from": [{
                "namespaceSelector": {},
                "podSelector": { "matchLabels": { labels::NAME: "prometheus" } },
            }],
            "ports": [{ "protocol": "TCP", "port": metrics }],
        }));
    }
    let mut spec = json!({ "podSelector": selector(fleet, pool, component), "policyTypes": ["Ingress"] });
    if !ingress.is_empty() {
        spec["ingress"] = ingress.into();
    }
    let content = json!({ "spec": spec });
    unit.add(Kind::NetworkPolicy, name(fleet, pool, component), Part::Carry, Metadata::of(component), content);
}

/// Nodes are emptied one bridge at a time, each of which takes as long as its hook needs.
fn budget(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool, component: Component) {
    let content = json!({
        "spec": {
            "maxUnavailable": 1,
            "selector": selector(fleet, pool, component),
            // One that never becomes ready must not keep its node from being emptied.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    });
    unit.add(Kind::PodDisruptionBudget, name(fleet, pool, component), Part::Carry, Metadata::of(component), content);
}

fn monitor(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool, component: Component, port: &str) {
    let content = json!({
        "spec": {
            "selector": selector(fleet, pool, component),
            "podMetricsEndpoints": [{ "port": port, "path": "/metrics" }],
            "podTargetLabels": [labels::POOL],
        },
    });
    unit.add(Kind::PodMonitor, name(fleet, pool, component), Part::Carry, Metadata::of(component), content);
}

#[cfg(test)]
mod tests {
    use manifest::{Unit, UnitId, testing};

    use super::*;

    fn rendered(fleet: &Fleet) -> Unit {
        let pool = &fleet.data.pools[0];
        let mut unit = UnitBuilder::new(fleet, UnitId::Pool(pool.name.clone()), &pool.cluster);
        bridges(&mut unit, fleet, pool);
        recorders(&mut unit, fleet, pool);
        unit.finish()
    }

    fn kinds(unit: &Unit) -> Vec<String> {
        unit.manifests.iter().map(|manifest| format!("{} {}", manifest.object.kind, manifest.object.name)).collect()
    }

    #[test]
    fn only_media_gets_in() {
        let unit = rendered(&testing::split());
        assert_eq!(
            kinds(&unit),
            [
                "NetworkPolicy meet-jvb-eu",
                "NetworkPolicy meet-jibri-eu",
                "PodDisruptionBudget meet-jvb-eu",
                "PodDisruptionBudget meet-jibri-eu",
            ]
        );
        let ingress = &unit.manifests[0].body.json()["spec"]["ingress"];
        assert_eq!(*ingress, json!([{ "ports": [{ "protocol": "UDP", "port": "media" }] }]));
        assert!(unit.manifests[1].body.json()["spec"].get("ingress").is_none());
        assert_eq!(testing::complaints(&unit), Vec::<String>::new());
    }

    #[test]
    fn monitoring_opens_metrics_to_prometheus_alone() {
        let mut fleet = testing::split();
        fleet.monitoring.enabled = true;
        let unit = rendered(&fleet);
        let rule = &unit.manifests[0].body.json()["spec"]["ingress"][1];
        assert_eq!(rule["ports"][0]["port"], "rest");
        assert_eq!(rule["from"][0]["podSelector"]["matchLabels"][labels::NAME], "prometheus");
        assert!(kinds(&unit).contains(&"PodMonitor meet-jvb-eu".to_owned()));
    }

    #[test]
    fn the_switch_and_the_nodes_network_leave_the_fence_out() {
        let mut fleet = testing::split();
        fleet.network_policy = false;
        assert!(!kinds(&rendered(&fleet)).iter().any(|kind| kind.starts_with("NetworkPolicy")));
        fleet.network_policy = true;
        fleet.data.pools[0].bridges.expose = BridgeExpose::HostNetwork;
        assert!(!kinds(&rendered(&fleet)).contains(&"NetworkPolicy meet-jvb-eu".to_owned()));
    }
}
