//! prosody: the XMPP server of a slot.

use fleet::{Component, Era, Slot};
use manifest::pod::{self, Env, Pod, Port, Volume};
use manifest::{Kind, Metadata, Names, UnitBuilder, labels};
use serde_json::{Value as Json, json};

use crate::env::{self, CLUSTER_NETWORKS, PASSWORDS, password, text};
use crate::objects::{config_volume, port, prefer, service, singleton};
use crate::place::Place;
use crate::probes::{self, LIVENESS, READINESS, STARTUP};

/// Client connections: jicofo's, bridges' and recorders'.
pub(crate) const XMPP_PORT: u16 = 5222;
/// BOSH, websockets, health and metrics.
pub(crate) const HTTP_PORT: u16 = 5280;

const HEALTH: [&str; 1] = ["/usr/local/bin/healthcheck.sh"];
const CREATE_USERS: &str = include_str!("scripts/prosody-users.sh");
const USERS_PATH: &str = "/etc/jitsictl/users";

/// The name of the container's XMPP port. It differs between slots, so that a shard's one Service can give each slot
/// a port of its own.
pub(crate) fn xmpp_port_name(slot: Slot) -> String {
    format!("xmpp-{slot}")
}

/// Adds prosody's StatefulSet and Service to the slot's unit.
pub(crate) fn render(place: &Place<'_>, unit: &mut UnitBuilder) {
    let prosody = &place.shard.prosody;
    let workload = &prosody.workload;
    let name = place.object(Component::Prosody);
    let selector = place.select(Component::Prosody);

    let ports = vec![port("xmpp", XMPP_PORT, &xmpp_port_name(place.slot)), port("http", HTTP_PORT, "http")];
    service(unit, name.clone(), Component::Prosody, &selector, ports, true);

    let mut pod = Pod::new(selector.clone(), Names(&place.fleet.name).secrets());
    pod.env = variables(place);
    pod.ports = vec![Port::tcp(xmpp_port_name(place.slot), XMPP_PORT), Port::tcp("http", HTTP_PORT)];
    pod.startup = Some(probes::exec(&HEALTH, STARTUP));
    pod.readiness = Some(probes::exec(&HEALTH, READINESS));
    pod.liveness = Some(probes::exec(&HEALTH, LIVENESS));
    pod.volumes.extend(config_volume(workload));
    pod.volumes.extend(data_volume(prosody.storage.is_some(), workload.image.era));
    if let Some(users) = &prosody.users {
        pod.command = Some(with_users(workload.image.era));
        let source = json!({ "secret": { "secretName": users, "defaultMode": 0o440 } });
        pod.volumes.push(Volume::at("users", source, USERS_PATH));
    }
    pod.carries_calls = true;
    pod.affinity = Some(away_from_other_shards(place));

    let claims = prosody.storage.iter().map(|storage| pod::claim_template("data", storage)).collect();
    let template = pod::template(place.fleet, unit, &name, workload, pod);
    unit.pod(format!("{name}-0"));
    let spec = singleton(&name, &selector, claims);
    unit.add_workload(Kind::StatefulSet, name, Metadata::of(Component::Prosody), spec, template);
}

fn variables(place: &Place<'_>) -> Vec<(&'static str, Env)> {
    let fleet = place.fleet;
    let workload = &place.shard.prosody.workload;
    let mut list = env::domains(&fleet.domains, workload.image.era);
    list.push(("PUBLIC_URL", text(fleet.url.to_string())));
    // The recorders' accounts as well, recorders or not: adding recorders must not restart a shard.
    list.extend(PASSWORDS.map(|key| password(fleet, key)));
    if !env::is_set(workload, "PROSODY_TRUSTED_PROXIES") {
        list.push(("PROSODY_TRUSTED_PROXIES", text(CLUSTER_NETWORKS.join(","))));
    }
    if fleet.monitoring.enabled {
        list.push(("PROSODY_ENABLE_METRICS", text("1")));
        if !env::is_set(workload, "PROSODY_METRICS_ALLOWED_CIDR") {
            // Nobody outside the cluster reaches the port: see the NetworkPolicy, and web forwards no /metrics.
            list.push(("PROSODY_METRICS_ALLOWED_CIDR", text("0.0.0.0/0")));
        }
    }
    list
}

fn data_volume(claimed: bool, era: Era) -> Option<Volume> {
    match (era, claimed) {
        (Era::Rootless, true) => Some(Volume::of_claim_template("data", "/var/lib/prosody")),
        // Rooms live in memory and accounts are made from the environment: nothing is lost with the pod.
        (Era::Rootless, false) => Some(Volume::at("data", json!({ "emptyDir": {} }), "/var/lib/prosody")),
        (Era::Legacy, true) => Some(Volume::of_claim_template("data", "/config/data")),
        (Era::Legacy, false) => None,
    }
}

fn with_users(era: Era) -> Vec<String> {
    let config = match era {
        Era::Rootless => "/run/prosody/config/prosody.cfg.lua",
        Era::Legacy => "/config/prosody.cfg.lua",
    };
    ["/bin/bash", "-c", CREATE_USERS, "prosody-users", config, USERS_PATH, "/init"].map(str::to_owned).to_vec()
}

/// One lost node should not take two shards.
fn away_from_other_shards(place: &Place<'_>) -> Json {
    let selector = json!({
        "matchLabels": { labels::FLEET: place.fleet.name.as_str(), labels::NAME: Component::Prosody.as_str() },
        "matchExpressions": [{ "key": labels::SHARD, "operator": "NotIn", "values": [place.name.as_str()] }],
    });
    prefer("podAntiAffinity", 100, selector)
}

#[cfg(test)]
mod tests {
    use fleet::Storage;
    use manifest::testing;

    use super::*;
    use crate::tests::{container, env_of, object, rendered};

    #[test]
    fn its_port_is_named_after_the_slot() {
        let units = rendered(&testing::split());
        let prosody = object(&units, Kind::StatefulSet, "meet-alpha-a-prosody");
        assert_eq!(container(&prosody)["ports"][0]["name"], "xmpp-a");
        let service = object(&units, Kind::Service, "meet-alpha-a-prosody");
        assert_eq!(service["spec"]["ports"][0]["targetPort"], "xmpp-a");
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    }

    #[test]
    fn only_we_replace_it() {
        let units = rendered(&testing::split());
        let spec = &object(&units, Kind::StatefulSet, "meet-alpha-a-prosody")["spec"];
        assert_eq!(spec["updateStrategy"]["type"], "OnDelete");
        assert_eq!(spec["replicas"], 1);
        let marks = &spec["template"]["metadata"]["annotations"];
        assert_eq!(marks["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
    }

    #[test]
    fn passwords_come_from_the_secret() {
        let units = rendered(&testing::split());
        let prosody = object(&units, Kind::StatefulSet, "meet-alpha-a-prosody");
        for key in PASSWORDS {
            let variable = container(&prosody)["env"].as_array().unwrap().iter().find(|v| v["name"] == key).unwrap();
            assert_eq!(variable["valueFrom"]["secretKeyRef"], json!({ "name": "meet-passwords", "key": key }));
        }
    }

    #[test]
    fn internal_users_are_kept_and_created_in_both_eras() {
        for (mut fleet, data, config) in [
            (testing::split(), "/var/lib/prosody", "/run/prosody/config/prosody.cfg.lua"),
            (testing::legacy(), "/config/data", "/config/prosody.cfg.lua"),
        ] {
            let prosody = &mut fleet.control.shards.values_mut().next().unwrap().prosody;
            prosody.storage = Some(Storage { size: "1Gi".into(), class: Some("fast".into()) });
            prosody.users = Some("accounts".into());
            let units = rendered(&fleet);
            let set = object(&units, Kind::StatefulSet, "meet-alpha-a-prosody");
            let claim = &set["spec"]["volumeClaimTemplates"][0];
            assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
            assert_eq!(claim["spec"]["storageClassName"], "fast");
            let mounts = container(&set)["volumeMounts"].as_array().unwrap();
            assert!(mounts.contains(&json!({ "name": "data", "mountPath": data })), "{mounts:?}");
            assert!(mounts.contains(&json!({ "name": "users", "mountPath": USERS_PATH })), "{mounts:?}");
            let command = container(&set)["command"].as_array().unwrap();
            assert_eq!(command[4], config);
            assert_eq!(command[6], "/init");
        }
    }

    /// The script itself, with stand-ins for the programs that it calls.
    #[test]
    fn accounts_are_created_once_and_prosody_starts_anyway() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let program = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::write(at(name), format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("curl", "exit 0");
        // The second time that the loop rests, it ends.
        program("sleep", "test -f \"$0.once\" && kill $PPID; touch \"$0.once\"");
        program("prosodyctl", "echo \"$@\" >> \"$0.log\"; case $6 in bob*) echo 'User exists'; exit 1;; esac");
        program("init", "echo started");
        let users = folder.path().join("users");
        std::fs::create_dir(&users).unwrap();
        std::fs::write(users.join("alice"), "it's \"secret\"\n").unwrap();
        std::fs::write(users.join("bob"), "x").unwrap();

        let output = std::process::Command::new("/bin/bash")
            .args(["-c", CREATE_USERS, "prosody-users", "prosody.cfg.lua", &at("users"), &at("init")])
            .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
            .env("XMPP_DOMAIN", "meet.jitsi")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("started") && said.contains("created alice"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        let asked = std::fs::read_to_string(at("prosodyctl.log")).unwrap();
        assert_eq!(
            asked.lines().collect::<Vec<_>>(),
            [
                "--config prosody.cfg.lua shell user create alice@meet.jitsi it's \"secret\"",
                "--config prosody.cfg.lua shell user create bob@meet.jitsi x",
            ]
        );
    }

    #[test]
    fn the_user_may_name_the_trusted_proxies() {
        let mut fleet = testing::split();
        assert!(env_of(&rendered(&fleet), "meet-alpha-a-prosody")["PROSODY_TRUSTED_PROXIES"].contains("10.0.0.0/8"));
        let shard = fleet.control.shards.values_mut().next().unwrap();
        testing::set_env(&mut shard.prosody.workload, "PROSODY_TRUSTED_PROXIES", "192.0.2.0/24");
        assert_eq!(env_of(&rendered(&fleet), "meet-alpha-a-prosody")["PROSODY_TRUSTED_PROXIES"], "192.0.2.0/24");
    }
}
