//! web: nginx with the web application, in front of a slot's prosody.

use fleet::{Component, Era};
use manifest::pod::{self, Env, Pod, Port, Volume, has_file};
use manifest::{Kind, Metadata, Names, Part, Unit, UnitBuilder, UnitId, short_hash};
use serde_json::{Value as Json, json};

use crate::env::{self, CLUSTER_NETWORKS, text};
use crate::objects::{config_volume, one_at_a_time, port, service};
use crate::place::Place;
use crate::probes::{self, LIVENESS, READINESS};
use crate::prosody::HTTP_PORT;

/// The port of the Service.
pub(crate) const SERVICE_PORT: u16 = 80;

/// Included by both eras' server block.
const REAL_IP_PATH: &str = "/config/nginx-custom/jitsictl-real-ip.conf";

/// Renders the web servers of a slot: the Deployment, its Service and its disruption budget.
pub(crate) fn render(place: &Place<'_>) -> Unit {
    let web = &place.shard.web;
    let workload = &web.workload;
    let id = UnitId::Web(place.name.clone(), place.slot);
    let mut unit = place.unit(id);
    unit.release(&workload.image.release);
    let name = place.object(Component::Web);
    let selector = place.select(Component::Web);

    service(&mut unit, name.clone(), Component::Web, &selector, vec![port("http", SERVICE_PORT, "http")], false);
    one_at_a_time(&mut unit, name.clone(), Component::Web, &selector);

    let mut pod = Pod::new(selector.clone(), Names(&place.fleet.name).secrets());
    pod.env = variables(place);
    pod.ports = vec![Port::tcp("http", http_port(workload.image.era))];
    pod.readiness = Some(probes::get("/", "http", READINESS));
    pod.liveness = Some(probes::get("/", "http", LIVENESS));
    pod.pre_stop = Some(probes::pause(10));
    pod.grace_seconds = 40;
    pod.volumes.extend(config_volume(workload));
    if !has_file(&workload.files, REAL_IP_PATH) {
        pod.volumes.push(real_ip(&mut unit, &name));
    }
    pod.spread = vec![json!({
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": selector },
    })];

    let template = pod::template(place.fleet, &mut unit, &name, workload, pod);
    let spec = json!({
        "replicas": web.replicas,
        "revisionHistoryLimit": 2,
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "selector": { "matchLabels": selector },
    });
    unit.add_workload(Kind::Deployment, name, Metadata::of(Component::Web), spec, template);
    unit.finish()
}

const fn http_port(era: Era) -> u16 {
    match era {
        Era::Rootless => 8000,
        Era::Legacy => 80,
    }
}

/// DEPLOYMENTINFO_SHARD is left unset: `/config.js` may come from any shard, and a page that finds another shard's
/// name on its XMPP answers reloads.
fn variables(place: &Place<'_>) -> Vec<(&'static str, Env)> {
    let fleet = place.fleet;
    let mut list = env::domains(&fleet.domains, place.shard.web.workload.image.era);
    list.push(("PUBLIC_URL", text(fleet.url.to_string())));
    list.push(("XMPP_BOSH_URL_BASE", text(format!("http://{}:{HTTP_PORT}", place.host(Component::Prosody)))));
    list.push(("DISABLE_HTTPS", text("1")));
    list.push(("ENABLE_LETSENCRYPT", text("0")));
    list
}

/// nginx forwards the address that it sees, which is haproxy's: it has to take people's own from the header. Prosody
/// counts logins by it.
fn real_ip(unit: &mut UnitBuilder, owner: &str) -> Volume {
    let mut conf =
        String::from("# The proxies in front; the nearest address that is none of theirs is the client's.\n");
    for network in CLUSTER_NETWORKS {
        conf.push_str(&format!("set_real_ip_from {network};\n"));
    }
    conf.push_str("real_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n");
    let name = format!("{owner}-nginx-{}", &short_hash(&conf)[..8]);
    let content: Json = json!({ "immutable": true, "data": { "real-ip.conf": conf } });
    unit.add(Kind::ConfigMap, name.clone(), Part::Roll, Metadata::of(Component::Web), content);
    Volume {
        name: "nginx".into(),
        source: json!({ "configMap": { "name": name } }),
        mounts: vec![json!({ "mountPath": REAL_IP_PATH, "subPath": "real-ip.conf", "readOnly": true })],
    }
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;
    use crate::tests::{container, env_of, object, rendered};

    #[test]
    fn it_asks_the_prosody_of_its_slot() {
        let env = env_of(&rendered(&testing::split()), "meet-alpha-a-web");
        assert_eq!(env["XMPP_BOSH_URL_BASE"], "http://meet-alpha-a-prosody.meet.svc.cluster.local:5280");
        assert_eq!(env["PUBLIC_URL"], "https://meet.example.org");
        assert!(!env.contains_key("DEPLOYMENTINFO_SHARD"));
    }

    #[test]
    fn each_era_has_its_port_behind_the_same_service() {
        for (fleet, number) in [(testing::split(), 8000), (testing::legacy(), 80)] {
            let units = rendered(&fleet);
            let deployment = object(&units, Kind::Deployment, "meet-alpha-a-web");
            let web = container(&deployment);
            assert_eq!(web["ports"][0]["containerPort"], number);
            let service = object(&units, Kind::Service, "meet-alpha-a-web");
            assert_eq!(service["spec"]["ports"][0]["port"], 80);
            assert_eq!(service["spec"]["ports"][0]["targetPort"], "http");
        }
    }

    #[test]
    fn client_addresses_survive_the_proxies_unless_the_user_knows_better() {
        let mounts = |fleet: &fleet::Fleet| {
            let units = rendered(fleet);
            let deployment = object(&units, Kind::Deployment, "meet-alpha-a-web");
            let web = container(&deployment);
            let paths = web["volumeMounts"].as_array().unwrap().iter().filter(|m| m["mountPath"] == REAL_IP_PATH);
            paths.map(|mount| mount["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut fleet = testing::split();
        assert_eq!(mounts(&fleet), ["nginx"]);
        let web = &mut fleet.control.shards.values_mut().next().unwrap().web.workload;
        testing::add_file(web, REAL_IP_PATH, "real_ip_header X-Real-IP;");
        assert_eq!(mounts(&fleet), ["files-444"]);
    }
}
