use fleet::{Advertise, AdvertiseFallback, BridgeWebsocket, ResourceList};
use manifest::{Part, testing};

use super::*;

fn rendered(fleet: &Fleet) -> Unit {
    let pool = &fleet.data.pools[0];
    let mut shared = UnitBuilder::new(fleet, UnitId::Pool(pool.name.clone()), &pool.cluster);
    unit(fleet, pool, &recipe(fleet, pool, &mut shared), Index(1))
}

fn pool(fleet: &mut Fleet) -> &mut Pool {
    &mut fleet.data.pools[0]
}

fn stateful_set(unit: &Unit) -> Json {
    unit.manifests.iter().find(|manifest| manifest.object.kind == Kind::StatefulSet).unwrap().body.json()
}

fn container(unit: &Unit) -> Json {
    stateful_set(unit)["spec"]["template"]["spec"]["containers"][0].take()
}

fn variable(unit: &Unit, name: &str) -> Option<String> {
    let container = container(unit);
    let env = container["env"].as_array().unwrap();
    let entry = env.iter().find(|entry| entry["name"] == name)?;
    Some(entry["value"].as_str().unwrap_or_default().to_owned())
}

fn value(fleet: &Fleet, name: &str) -> Option<String> {
    variable(&rendered(fleet), name)
}

#[test]
fn a_bridge_is_known_by_a_name_of_its_own() {
    let unit = rendered(&testing::split());
    assert_eq!(unit.pods, ["meet-jvb-eu-1-0"]);
    for name in ["JVB_MUC_NICKNAME", "JVB_OCTO_RELAY_ID"] {
        assert_eq!(variable(&unit, name).unwrap(), "frankfurt-meet-jvb-eu-1-0");
    }
    assert_eq!(variable(&unit, "JVB_PORT").unwrap(), "30001");
    assert_eq!(variable(&unit, "JVB_OCTO_REGION").unwrap(), "eu-central");
    assert_eq!(variable(&unit, "JVB_DISABLE_XMPP").unwrap(), "1");
    assert_eq!(testing::complaints(&unit), Vec::<String>::new());
}

#[test]
fn all_of_it_waits_for_its_turn() {
    let unit = rendered(&testing::split());
    assert!(unit.manifests.iter().all(|manifest| manifest.part == Part::Roll));
    let spec = &stateful_set(&unit)["spec"];
    assert_eq!(spec["updateStrategy"]["type"], "OnDelete");
    assert_eq!(spec["template"]["spec"]["terminationGracePeriodSeconds"], 14_400);
    assert_eq!(spec["template"]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"], "true");
    assert!(container(&unit).get("livenessProbe").is_none());
    assert!(container(&unit).get("startupProbe").is_none());
}

#[test]
fn passwords_come_from_what_the_pod_can_read() {
    let mut fleet = testing::split();
    let secret = |fleet: &Fleet| {
        let unit = rendered(fleet);
        let container = container(&unit);
        let env = container["env"].as_array().unwrap();
        let entry = env.iter().find(|entry| entry["name"] == "JVB_AUTH_PASSWORD").unwrap();
        entry["valueFrom"]["secretKeyRef"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(secret(&fleet), "meet-passwords-copy");
    pool(&mut fleet).cluster = testing::cluster("hq");
    assert_eq!(secret(&fleet), "meet-passwords");
}

#[test]
fn the_user_wins_over_defaults_and_not_over_what_is_computed() {
    let mut fleet = testing::split();
    assert_eq!(value(&fleet, "JVB_DISABLE_STUN").unwrap(), "1");
    assert_eq!(value(&fleet, "JVB_ADVERTISE_PRIVATE_CANDIDATES").unwrap(), "0");
    assert_eq!(value(&fleet, "VIDEOBRIDGE_MAX_MEMORY"), None);
    let workload = &mut pool(&mut fleet).bridges.workload;
    workload.resources.limits = ResourceList::from([("memory".to_owned(), "4Gi".to_owned())]);
    testing::set_env(workload, "JVB_ADVERTISE_PRIVATE_CANDIDATES", "1");
    testing::set_env(workload, "JVB_STUN_SERVERS", "stun.example.org:443");
    testing::set_env(workload, "JVB_PORT", "1");
    assert_eq!(value(&fleet, "VIDEOBRIDGE_MAX_MEMORY").unwrap(), "3072m");
    assert_eq!(value(&fleet, "JVB_ADVERTISE_PRIVATE_CANDIDATES").unwrap(), "1");
    assert_eq!(value(&fleet, "JVB_DISABLE_STUN"), None);
    assert_eq!(value(&fleet, "JVB_PORT").unwrap(), "30001");
    testing::set_env(&mut pool(&mut fleet).bridges.workload, "VIDEOBRIDGE_MAX_MEMORY", "2g");
    assert_eq!(value(&fleet, "VIDEOBRIDGE_MAX_MEMORY").unwrap(), "2g");
    assert_eq!(testing::complaints(&rendered(&fleet)), Vec::<String>::new());
}

#[test]
fn private_addresses_that_are_meant_are_not_hidden() {
    let mut fleet = testing::split();
    pool(&mut fleet).bridges.advertise.push(Advertise::InternalIp);
    assert_eq!(value(&fleet, "JVB_ADVERTISE_PRIVATE_CANDIDATES"), None);
}

#[test]
fn the_start_script_is_told_where_its_address_stands() {
    let mut fleet = testing::split();
    assert_eq!(value(&fleet, "ADVERTISE_FALLBACK"), None);
    assert_eq!(value(&fleet, "ADDRESS_KEY"), None);
    assert_eq!(value(&fleet, "DRAIN_DEADLINE").unwrap(), "14370");
    let bridges = &mut pool(&mut fleet).bridges;
    bridges.advertise_fallback = AdvertiseFallback::Address("203.0.113.1".parse().unwrap());
    bridges.expose = BridgeExpose::LoadBalancer;
    assert_eq!(value(&fleet, "ADVERTISE_FALLBACK").unwrap(), "203.0.113.1");
    assert_eq!(value(&fleet, "ADDRESS_KEY").unwrap(), "meet-jvb-eu-1");
}

#[test]
fn on_the_nodes_network_only_media_takes_a_port() {
    let mut fleet = testing::split();
    pool(&mut fleet).bridges.expose = BridgeExpose::HostNetwork;
    let unit = rendered(&fleet);
    assert_eq!(container(&unit)["ports"].as_array().unwrap().len(), 1);
    let spec = &stateful_set(&unit)["spec"]["template"]["spec"];
    assert_eq!((&spec["hostNetwork"], &spec["dnsPolicy"]), (&json!(true), &json!("ClusterFirstWithHostNet")));
    assert_eq!(testing::complaints(&unit), Vec::<String>::new());
}

#[test]
fn a_users_configuration_steps_aside_for_ours() {
    let mut fleet = testing::split();
    testing::add_file(&mut pool(&mut fleet).bridges.workload, "/config/custom-jvb.conf", "videobridge {}");
    let unit = rendered(&fleet);
    let container = container(&unit);
    let mounts: Vec<&str> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    assert!(mounts.contains(&"/etc/jitsictl/custom/custom-jvb.conf"));
    assert!(!mounts.contains(&"/config/custom-jvb.conf"));
    assert_eq!(testing::complaints(&unit), Vec::<String>::new());
}

#[test]
fn the_older_era_speaks_websockets_only_where_they_are_routed() {
    let mut fleet = testing::legacy();
    assert_eq!(value(&fleet, "ENABLE_COLIBRI_WEBSOCKET").unwrap(), "0");
    pool(&mut fleet).bridges.websocket = Some(BridgeWebsocket { host: "ws.meet.example.org".into() });
    let unit = rendered(&fleet);
    assert_eq!(variable(&unit, "ENABLE_COLIBRI_WEBSOCKET").unwrap(), "1");
    assert_eq!(variable(&unit, "JVB_WS_SERVER_ID").unwrap(), "frankfurt-meet-jvb-eu-1-0");
    assert_eq!(container(&unit)["ports"][2]["containerPort"], 9090);
    assert_eq!(testing::complaints(&unit), Vec::<String>::new());
    assert_eq!(value(&testing::split(), "ENABLE_COLIBRI_WEBSOCKET"), None);
}
