//! jicofo: the conference focus of a slot.

use fleet::{Component, Workload};
use manifest::pod::{self, Env, Pod, Port};
use manifest::quantity::heap_for;
use manifest::{Kind, Metadata, Names, UnitBuilder};
use serde_json::json;

use crate::env::{self, password, text};
use crate::objects::{config_volume, prefer, singleton};
use crate::place::Place;
use crate::probes::{self, LIVENESS, READINESS, STARTUP};

/// The REST interface: on the pod's loopback, unless monitoring opens it.
pub(crate) const REST_PORT: u16 = 8888;

/// Whether the program answers. Its health route would say 500 as long as no bridge has joined, and bridges come from
/// other clusters.
const ALIVE: [&str; 7] = ["curl", "-fsS", "-o", "/dev/null", "--max-time", "4", "http://127.0.0.1:8888/about/version"];

/// Adds jicofo's StatefulSet to the slot's unit.
pub(crate) fn render(place: &Place<'_>, unit: &mut UnitBuilder) {
    let workload = &place.shard.jicofo;
    let name = place.object(Component::Jicofo);
    let selector = place.select(Component::Jicofo);

    let mut pod = Pod::new(selector.clone(), Names(&place.fleet.name).secrets());
    pod.env = variables(place, workload);
    if place.fleet.monitoring.enabled {
        pod.ports = vec![Port::tcp("rest", REST_PORT)];
    }
    pod.startup = Some(probes::exec(&ALIVE, STARTUP));
    pod.readiness = Some(probes::exec(&ALIVE, READINESS));
    pod.liveness = Some(probes::exec(&ALIVE, LIVENESS));
    pod.volumes.extend(config_volume(workload));
    pod.carries_calls = true;
    // A slot that loses either of the two is lost: better one node than two to lose.
    let prosody = json!({ "matchLabels": place.select(Component::Prosody) });
    pod.affinity = Some(prefer("podAffinity", 100, prosody));

    let template = pod::template(place.fleet, unit, &name, workload, pod);
    unit.pod(format!("{name}-0"));
    let spec = singleton(&name, &selector, Vec::new());
    unit.add_workload(Kind::StatefulSet, name, Metadata::of(Component::Jicofo), spec, template);
}

fn variables(place: &Place<'_>, workload: &Workload) -> Vec<(&'static str, Env)> {
    let fleet = place.fleet;
    let mut list = env::domains(&fleet.domains, workload.image.era);
    list.push(("XMPP_SERVER", text(place.host(Component::Prosody))));
    list.push(password(fleet, "JICOFO_AUTH_PASSWORD"));
    let heap = workload.resources.limits.get("memory").and_then(|limit| heap_for(limit));
    if let (Some(heap), false) = (heap, env::is_set(workload, "JICOFO_MAX_MEMORY")) {
        list.push(("JICOFO_MAX_MEMORY", text(heap)));
    }
    if fleet.monitoring.enabled {
        list.push(("JICOFO_ENABLE_REST", text("1")));
    }
    list
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;
    use crate::tests::{container, env_of, object, rendered};

    #[test]
    fn it_reaches_the_prosody_of_its_slot() {
        let env = env_of(&rendered(&testing::split()), "meet-alpha-a-jicofo");
        assert_eq!(env["XMPP_SERVER"], "meet-alpha-a-prosody.meet.svc.cluster.local");
        assert_eq!(env["XMPP_INTERNAL_MUC_DOMAIN"], "internal-muc.meet.jitsi");
    }

    #[test]
    fn no_probe_asks_for_bridges() {
        let units = rendered(&testing::split());
        let set = object(&units, Kind::StatefulSet, "meet-alpha-a-jicofo");
        let container = container(&set);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(container[probe]["exec"]["command"], json!(ALIVE));
        }
        assert!(container.get("ports").is_none());
    }

    #[test]
    fn the_heap_follows_the_limit_unless_it_is_given() {
        let mut fleet = testing::split();
        let jicofo = &mut fleet.control.shards.values_mut().next().unwrap().jicofo;
        jicofo.resources.limits.insert("memory".into(), "4Gi".into());
        let given = |fleet: &fleet::Fleet| env_of(&rendered(fleet), "meet-alpha-a-jicofo")["JICOFO_MAX_MEMORY"].clone();
        assert_eq!(given(&fleet), "3072m");
        let jicofo = &mut fleet.control.shards.values_mut().next().unwrap().jicofo;
        testing::set_env(jicofo, "JICOFO_MAX_MEMORY", "2g");
        assert_eq!(given(&fleet), "2g");
    }

    #[test]
    fn monitoring_opens_its_rest_interface() {
        let mut fleet = testing::split();
        fleet.monitoring.enabled = true;
        let units = rendered(&fleet);
        assert_eq!(env_of(&units, "meet-alpha-a-jicofo")["JICOFO_ENABLE_REST"], "1");
        let set = object(&units, Kind::StatefulSet, "meet-alpha-a-jicofo");
        let container = container(&set);
        assert_eq!(container["ports"][0]["name"], "rest");
    }
}
