//! haproxy: the entrance that keeps each room on its shard.

use std::collections::BTreeMap;

use fleet::{Component, Fleet};
use manifest::pod::{self, Pod, Port, Volume};
use manifest::{Allocations, Kind, Metadata, Names, Part, Unit, UnitBuilder, UnitId, labels, scripts, short_hash};
use serde_json::{Value as Json, json};

use crate::entrance::{ALIVE_PATH, HTTP_PORT, METRICS_PORT, PEER_PORT};
use crate::objects::{one_at_a_time, port, prefer, service};
use crate::probes::{self, READINESS, STARTUP};
use crate::{entrance, expose};

/// Renders the proxies, their configuration, and what is in front of them.
pub(crate) fn render(fleet: &Fleet, allocations: &Allocations) -> Unit {
    let haproxy = &fleet.control.haproxy;
    let workload = &haproxy.workload;
    let names = Names(&fleet.name);
    let name = names.haproxy();
    let cluster = &fleet.control.cluster;
    let mut unit = UnitBuilder::new(fleet, UnitId::Haproxy, cluster);
    unit.release(&workload.image.release);
    let selector = labels::select_unit(&fleet.name, unit.id(), Component::Haproxy);

    configuration(fleet, allocations, &mut unit, name.clone());
    expose::render(fleet, &mut unit, &selector);
    for replica in 0..haproxy.replicas {
        peer_service(&mut unit, names.haproxy_peer(replica));
        unit.pod(names.haproxy_peer(replica));
    }
    one_at_a_time(&mut unit, name.clone(), Component::Haproxy, &selector);

    let mut pod = Pod::new(selector.clone(), names.secrets());
    pod.ports = vec![Port::tcp("http", HTTP_PORT), Port::tcp("peers", PEER_PORT)];
    if fleet.monitoring.enabled {
        pod.ports.push(Port::tcp("metrics", METRICS_PORT));
    }
    pod.command = Some(vec!["/bin/sh".into(), START_PATH.into()]);
    pod.startup = Some(probes::get(ALIVE_PATH, "http", STARTUP));
    pod.readiness = Some(probes::get(ALIVE_PATH, "http", READINESS));
    pod.pre_stop = Some(probes::pause(10));
    pod.grace_seconds = 60;
    let config = json!({ "configMap": { "name": name } });
    pod.volumes = vec![Volume::at("fleet", config, CONFIG_FOLDER), start_script(&mut unit, &name)];
    let others = json!({ "matchLabels": selector });
    pod.affinity = Some(prefer("podAntiAffinity", 100, others));

    let template = pod::template(fleet, &mut unit, &name, workload, pod);
    let spec = json!({
        "serviceName": name,
        "replicas": haproxy.replicas,
        "podManagementPolicy": "Parallel",
        "revisionHistoryLimit": 2,
        "updateStrategy": { "type": "RollingUpdate" },
        "selector": { "matchLabels": selector },
    });
    unit.add_workload(Kind::StatefulSet, name, Metadata::of(Component::Haproxy), spec, template);
    unit.finish()
}

/// Where the configuration's folder is mounted: a whole folder, so that it follows the ConfigMap.
const CONFIG_FOLDER: &str = "/usr/local/etc/haproxy/fleet";
const START_PATH: &str = "/etc/jitsictl/haproxy-start.sh";
const START: &str = scripts::HAPROXY_START;

/// Carried: the start script reloads a changed configuration without dropping a connection.
fn configuration(fleet: &Fleet, allocations: &Allocations, unit: &mut UnitBuilder, name: String) {
    let text = entrance::render(fleet, allocations);
    let content = json!({ "data": { "haproxy.cfg": text } });
    unit.add(Kind::ConfigMap, name, Part::Carry, Metadata::of(Component::Haproxy), content);
}

fn start_script(unit: &mut UnitBuilder, owner: &str) -> Volume {
    let name = format!("{owner}-start-{}", &short_hash(START)[..8]);
    let content: Json = json!({ "immutable": true, "data": { "haproxy-start.sh": START } });
    unit.add(Kind::ConfigMap, name.clone(), Part::Roll, Metadata::of(Component::Haproxy), content);
    Volume {
        name: "start".into(),
        source: json!({ "configMap": { "name": name } }),
        mounts: vec![json!({ "mountPath": START_PATH, "subPath": "haproxy-start.sh", "readOnly": true })],
    }
}

/// A Service of one replica: its name resolves whether that replica lives or not, and a proxy does not start with a
/// peer whose name does not resolve.
fn peer_service(unit: &mut UnitBuilder, pod: String) {
    let selector = BTreeMap::from([("statefulset.kubernetes.io/pod-name".to_owned(), pod.clone())]);
    service(unit, pod, Component::Haproxy, &selector, vec![port("peers", PEER_PORT, "peers")], true);
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;
    use crate::tests::{object, rendered};

    #[test]
    fn each_replica_is_a_peer_with_an_address_of_its_own() {
        let mut fleet = testing::split();
        fleet.control.haproxy.replicas = 3;
        let units = rendered(&fleet);
        for replica in ["meet-haproxy-0", "meet-haproxy-1", "meet-haproxy-2"] {
            let spec = &object(&units, Kind::Service, replica)["spec"];
            assert_eq!(spec["selector"], json!({ "statefulset.kubernetes.io/pod-name": replica }));
            assert_eq!(spec["publishNotReadyAddresses"], true);
        }
        let unit = units.iter().find(|unit| unit.id == UnitId::Haproxy).unwrap();
        assert_eq!(unit.pods, ["meet-haproxy-0", "meet-haproxy-1", "meet-haproxy-2"]);
    }

    #[test]
    fn a_new_configuration_replaces_no_proxy_and_a_new_script_would() {
        let units = rendered(&testing::split());
        let unit = units.iter().find(|unit| unit.id == UnitId::Haproxy).unwrap();
        let part = |prefix: &str| {
            let mut maps = unit.manifests.iter().filter(|manifest| manifest.object.kind == Kind::ConfigMap);
            maps.find(|manifest| manifest.object.name.starts_with(prefix)).map(|manifest| manifest.part)
        };
        assert_eq!(part("meet-haproxy-start-"), Some(Part::Roll));
        let config =
            unit.manifests.iter().find(|m| m.object.kind == Kind::ConfigMap && m.object.name == "meet-haproxy");
        assert_eq!(config.unwrap().part, Part::Carry);
    }

    #[test]
    fn nothing_kills_a_proxy_whose_backends_are_down() {
        let units = rendered(&testing::split());
        let set = object(&units, Kind::StatefulSet, "meet-haproxy");
        let proxy = crate::tests::container(&set);
        assert_eq!(proxy["readinessProbe"]["httpGet"], json!({ "path": ALIVE_PATH, "port": "http" }));
        assert!(proxy.get("livenessProbe").is_none());
    }
}
