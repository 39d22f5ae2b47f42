//! PodMonitors: what Prometheus reads, when monitoring is on.

use fleet::{Component, Fleet};
use manifest::{Kind, Metadata, Names, Part, UnitBuilder, labels};
use serde_json::json;

/// Adds a monitor per component that has metrics.
pub(crate) fn render(fleet: &Fleet, unit: &mut UnitBuilder) {
    for (component, port) in
        [(Component::Prosody, "http"), (Component::Jicofo, "rest"), (Component::Haproxy, "metrics")]
    {
        let content = json!({ "spec": {
            "selector": { "matchLabels": {
                labels::FLEET: fleet.name.as_str(), labels::NAME: component.as_str(),
            } },
            "podMetricsEndpoints": [{ "port": port, "path": "/metrics" }],
            "podTargetLabels": [labels::SHARD, labels::SLOT],
        } });
        let name = Names(&fleet.name).component(component);
        unit.add(Kind::PodMonitor, name, Part::Carry, Metadata::of(component), content);
    }
}

#[cfg(test)]
mod tests {
    use manifest::testing;
    use serde_json::Value as Json;

    use super::*;
    use crate::tests::rendered;

    #[test]
    fn each_monitors_port_is_a_port_of_its_pods() {
        let mut fleet = testing::split();
        fleet.monitoring.enabled = true;
        let units = rendered(&fleet);
        let all: Vec<Json> =
            units.iter().flat_map(|unit| &unit.manifests).map(|manifest| manifest.body.json()).collect();
        let bodies = || all.iter();
        let mut monitors = 0;
        for monitor in bodies().filter(|body| body["kind"] == "PodMonitor") {
            monitors += 1;
            let component = &monitor["spec"]["selector"]["matchLabels"][labels::NAME];
            let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
            let pods =
                bodies().filter(|body| body["spec"]["template"]["metadata"]["labels"][labels::NAME] == *component);
            let ports: Vec<&Json> = pods
                .flat_map(|body| body["spec"]["template"]["spec"]["containers"][0]["ports"].as_array().unwrap())
                .map(|port| &port["name"])
                .collect();
            assert!(ports.contains(&port), "{component}: {port} is none of {ports:?}");
        }
        assert_eq!(monitors, 3);
    }
}
