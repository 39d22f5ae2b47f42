use fleet::Replicas;
use manifest::testing;

use super::*;

fn fleet_with(storage: RecorderStorage) -> Fleet {
    let mut fleet = testing::split();
    let recorders = &mut fleet.data.pools[0].recorders;
    recorders.replicas = Replicas::Fixed(1);
    recorders.storage = Some(storage);
    fleet
}

fn claimed() -> Fleet {
    fleet_with(RecorderStorage::Claim("recordings".into()))
}

fn rendered(fleet: &Fleet) -> Unit {
    let allocations = Allocations::default().extended(fleet);
    unit(fleet, &allocations, &Surroundings::default(), &fleet.data.pools[0], Index(0))
}

fn stateful_set(unit: &Unit) -> Json {
    unit.manifests.iter().find(|manifest| manifest.object.kind == Kind::StatefulSet).unwrap().body.json()["spec"].take()
}

fn container(unit: &Unit) -> Json {
    stateful_set(unit)["template"]["spec"]["containers"][0].take()
}

fn variable(unit: &Unit, name: &str) -> Option<String> {
    let container = container(unit);
    let env = container["env"].as_array().unwrap();
    env.iter().find(|entry| entry["name"] == name)?["value"].as_str().map(ToOwned::to_owned)
}

fn mount(unit: &Unit, path: &str) -> Json {
    let container = container(unit);
    let mut mounts = container["volumeMounts"].as_array().unwrap().iter();
    mounts.find(|mount| mount["mountPath"] == path).unwrap().clone()
}

#[test]
fn a_recorder_finds_its_shards_and_the_page() {
    let unit = rendered(&claimed());
    let server = "meet-alpha-a-xmpp.jitsi-media.svc.cluster.local:5222";
    assert_eq!(variable(&unit, "XMPP_SERVER").unwrap(), server);
    assert_eq!(variable(&unit, "PUBLIC_URL").unwrap(), "https://meet.example.org");
    assert_eq!(variable(&unit, "JIBRI_INSTANCE_ID").unwrap(), "frankfurt-meet-jibri-eu-0-0");
    assert_eq!(variable(&unit, "XMPP_HIDDEN_DOMAIN").unwrap(), "hidden.meet.jitsi");
    assert_eq!(unit.pods, ["meet-jibri-eu-0-0"]);
    assert_eq!(testing::complaints(&unit), Vec::<String>::new());
}

#[test]
fn recordings_have_a_place_in_each_kind_of_storage() {
    let unit = rendered(&claimed());
    assert_eq!(mount(&unit, "/storage")["subPathExpr"], "$(POD_NAME)");
    assert_eq!(mount(&unit, "/dev/shm")["name"], "shm");

    let storage = Storage { size: "100Gi".into(), class: Some("fast".into()) };
    let unit = rendered(&fleet_with(RecorderStorage::Volume(storage)));
    assert!(mount(&unit, "/storage").get("subPathExpr").is_none());
    let claim = &stateful_set(&unit)["volumeClaimTemplates"][0];
    assert_eq!((&claim["metadata"]["name"], &claim["spec"]["storageClassName"]), (&json!("storage"), &json!("fast")));
    let spec = stateful_set(&unit);
    let volumes = spec["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().all(|volume| volume["name"] != "storage"));
    assert_eq!(testing::complaints(&unit), Vec::<String>::new());

    let unit = rendered(&fleet_with(RecorderStorage::EmptyDir { size: "20Gi".into() }));
    let spec = stateful_set(&unit);
    let volumes = spec["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.contains(&json!({ "name": "storage", "emptyDir": { "sizeLimit": "20Gi" } })));
}

#[test]
fn a_finalize_script_is_found() {
    let mut fleet = claimed();
    assert_eq!(variable(&rendered(&fleet), Recorders::FINALIZE), None);
    testing::add_file(&mut fleet.data.pools[0].recorders.workload, "/config/finalize.sh", "exit 0");
    let unit = rendered(&fleet);
    assert_eq!(variable(&unit, Recorders::FINALIZE).unwrap(), "/config/finalize.sh");
    assert!(mount(&unit, "/config/finalize.sh").get("subPath").is_some());
    testing::set_env(&mut fleet.data.pools[0].recorders.workload, Recorders::FINALIZE, "/usr/bin/true");
    assert_eq!(variable(&rendered(&fleet), Recorders::FINALIZE).unwrap(), "/usr/bin/true");
}

#[test]
fn only_a_used_up_recorder_is_recycled() {
    let unit = rendered(&claimed());
    let probe = &container(&unit)["livenessProbe"]["exec"]["command"];
    assert_eq!(probe[1], "/etc/jitsictl/scripts/jibri-liveness.sh");
    assert_eq!(variable(&unit, "JIBRI_SINGLE_USE_MODE").unwrap(), "true");
}

#[test]
fn the_older_era_has_its_capability() {
    let mut fleet = claimed();
    fleet.data.pools[0].recorders.workload = testing::workload(Component::Jibri, testing::LEGACY);
    let unit = rendered(&fleet);
    assert_eq!(container(&unit)["securityContext"]["capabilities"]["add"], json!(["SYS_ADMIN"]));
    assert_eq!(variable(&unit, "XMPP_RECORDER_DOMAIN").unwrap(), "hidden.meet.jitsi");
}
