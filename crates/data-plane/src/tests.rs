//! What holds across units: which change touches what.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Component, EnvValue, RecorderStorage, Replicas, Slot};
use manifest::{Desired, Endpoint, Manifest, Target, labels, testing};

use super::*;

/// Two pools of two bridges in two clusters, one with a recorder, and two shards whose addresses are known.
fn fleet() -> Fleet {
    let mut fleet = testing::fleet(testing::ROOTLESS, &["alpha"]);
    let mut asia = fleet.data.pools[0].clone();
    asia.name = "asia".parse().unwrap();
    asia.cluster = testing::cluster("singapore");
    let place = fleet.clusters[&testing::cluster("frankfurt")].clone();
    let access = fleet::Access::Context { context: "sin".into(), kubeconfig: None };
    fleet.clusters.insert(asia.cluster.clone(), fleet::Cluster { access, ..place });
    fleet.data.pools.push(asia);
    let recorders = &mut fleet.data.pools[0].recorders;
    recorders.replicas = Replicas::Fixed(1);
    recorders.storage = Some(RecorderStorage::Claim("recordings".into()));
    fleet
}

fn surroundings(addresses: &[(&str, &str)]) -> Surroundings {
    let endpoints = addresses
        .iter()
        .map(|(shard, ip)| {
            let target = Target::Ips { ips: vec![ip.parse().unwrap()], port: 5222 };
            (testing::shard_name(shard), BTreeMap::from([(Slot::A, Endpoint::Known(target))]))
        })
        .collect();
    Surroundings { endpoints, ..Surroundings::default() }
}

fn desired(fleet: &Fleet, surroundings: &Surroundings) -> Desired {
    Desired::new(render(fleet, &Allocations::default().extended(fleet), surroundings))
}

/// Units whose roll hash differs, and units of which any object differs.
fn differences(old: &Desired, new: &Desired) -> (BTreeSet<String>, BTreeSet<String>) {
    let ids: BTreeSet<&UnitId> = old.units.keys().chain(new.units.keys()).collect();
    let intents = |desired: &Desired, id: &UnitId| -> Option<Vec<Manifest>> {
        desired.units.get(id).map(|unit| unit.manifests.clone())
    };
    let roll = |desired: &Desired, id: &UnitId| desired.units.get(id).map(|unit| unit.roll.clone());
    let differing = |differs: &dyn Fn(&UnitId) -> bool| {
        ids.iter().filter(|id| differs(id)).map(ToString::to_string).collect::<BTreeSet<String>>()
    };
    let rolls = |id: &UnitId| old.units.contains_key(id) && roll(old, id) != roll(new, id);
    let changes = |id: &UnitId| intents(old, id) != intents(new, id);
    (differing(&rolls), differing(&changes))
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_object_keeps_the_rules() {
    let mut fleets = vec![fleet(), testing::split(), testing::legacy()];
    for expose in [fleet::BridgeExpose::HostPort, fleet::BridgeExpose::HostNetwork, fleet::BridgeExpose::LoadBalancer] {
        let mut fleet = fleet();
        fleet.monitoring.enabled = true;
        fleet.data.pools[0].bridges.expose = expose;
        fleets.push(fleet);
    }
    for fleet in fleets {
        for unit in render(&fleet, &Allocations::default(), &surroundings(&[("alpha", "203.0.113.9")])) {
            assert_eq!(testing::complaints(&unit), Vec::<String>::new());
            for manifest in &unit.manifests {
                let component = manifest.body.json()["metadata"]["labels"][labels::NAME].take();
                assert!(component.is_null() || component == "jvb" || component == "jibri", "{component}");
            }
        }
    }
}

#[test]
fn objects_have_one_identity_each() {
    let desired = desired(&fleet(), &surroundings(&[("alpha", "203.0.113.9")]));
    let all: Vec<_> = desired.manifests().map(|(_, manifest)| &manifest.object).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn rendering_twice_gives_the_same() {
    let surroundings = surroundings(&[("alpha", "203.0.113.9")]);
    assert_eq!(desired(&fleet(), &surroundings), desired(&fleet(), &surroundings));
}

#[test]
fn a_pools_variable_touches_its_own_bridges() {
    let known = surroundings(&[("alpha", "203.0.113.9")]);
    let before = desired(&fleet(), &known);
    let mut fleet = fleet();
    testing::set_env(&mut fleet.data.pools[0].bridges.workload, "ENABLE_OCTO", "1");
    let (rolled, changed) = differences(&before, &desired(&fleet, &known));
    assert_eq!(rolled, names(&["bridge eu/0", "bridge eu/1"]));
    assert_eq!(changed, rolled);
}

#[test]
fn a_recorders_file_touches_the_recorder() {
    let known = surroundings(&[("alpha", "203.0.113.9")]);
    let before = desired(&fleet(), &known);
    let mut fleet = fleet();
    testing::add_file(&mut fleet.data.pools[0].recorders.workload, "/config/finalize.sh", "exit 0");
    let (rolled, changed) = differences(&before, &desired(&fleet, &known));
    assert_eq!(rolled, names(&["recorder eu/0"]));
    assert_eq!(changed, rolled);
}

#[test]
fn a_new_shard_replaces_no_bridge() {
    let before = desired(&fleet(), &surroundings(&[("alpha", "203.0.113.9")]));
    let mut fleet = fleet();
    let beta = testing::shard_name("beta");
    fleet.control.shards.insert(beta.clone(), testing::shard(testing::ROOTLESS));
    for pool in &mut fleet.data.pools {
        pool.shards.push(beta.clone());
    }
    let after = desired(&fleet, &surroundings(&[("alpha", "203.0.113.9"), ("beta", "203.0.113.10")]));
    let (rolled, changed) = differences(&before, &after);
    // jibri has no file for its servers: it is the one that starts anew.
    assert_eq!(rolled, names(&["recorder eu/0"]));
    assert_eq!(
        changed,
        names(&["pool asia", "pool eu", "recorder eu/0", "wiring beta/a@frankfurt", "wiring beta/a@singapore",])
    );
}

#[test]
fn an_address_that_moves_touches_the_wiring_alone() {
    let before = desired(&fleet(), &surroundings(&[("alpha", "203.0.113.9")]));
    let after = desired(&fleet(), &surroundings(&[("alpha", "203.0.113.99")]));
    let (rolled, changed) = differences(&before, &after);
    assert_eq!(rolled, BTreeSet::new());
    assert_eq!(changed, names(&["wiring alpha/a@frankfurt", "wiring alpha/a@singapore"]));
}

#[test]
fn a_new_password_source_or_node_address_replaces_nothing() {
    let known = surroundings(&[("alpha", "203.0.113.9")]);
    let before = desired(&fleet(), &known);
    let mut with_nodes = known.clone();
    let nodes = BTreeMap::from([("n1".to_owned(), vec!["203.0.113.1".parse().unwrap()])]);
    with_nodes.nodes.insert("eu".parse().unwrap(), Some(nodes));
    let (rolled, changed) = differences(&before, &desired(&fleet(), &with_nodes));
    assert_eq!(rolled, BTreeSet::new());
    assert_eq!(changed, names(&["pool eu"]));
}

#[test]
fn a_users_secret_is_copied_where_it_is_read() {
    let known = surroundings(&[("alpha", "203.0.113.9")]);
    let before = desired(&fleet(), &known);
    let mut fleet = fleet();
    fleet.data.pools[1].bridges.workload.env.insert("SENTRY_DSN".parse().unwrap(), EnvValue::Secret);
    let (_, changed) = differences(&before, &desired(&fleet, &known));
    assert_eq!(changed, names(&["base data@singapore", "bridge asia/0", "bridge asia/1"]));
}

#[test]
fn a_bridge_looks_like_this() {
    let desired = desired(&testing::split(), &surroundings(&[("alpha", "203.0.113.9")]));
    let bodies = |id: &str| {
        let unit = &desired.units[&id.parse::<UnitId>().unwrap()];
        let mut bodies: Vec<_> = unit.manifests.iter().map(|manifest| manifest.body.json()).collect();
        // The scripts have tests of their own.
        bodies.retain(|body| !body["metadata"]["name"].as_str().is_some_and(|name| name.contains("-scripts-")));
        bodies.iter().map(without_hashes).collect::<Vec<_>>()
    };
    insta::assert_json_snapshot!("bridge", bodies("bridge eu/0"));
    insta::assert_json_snapshot!("pool", bodies("pool eu"));
    insta::assert_json_snapshot!("wiring", bodies("wiring alpha/a@frankfurt"));
}

#[test]
fn a_recorder_looks_like_this() {
    let desired = desired(&fleet(), &Surroundings::default());
    let unit = &desired.units[&"recorder eu/0".parse::<UnitId>().unwrap()];
    let set = unit.manifests.last().unwrap();
    assert_eq!(set.body.json()["metadata"]["labels"][labels::NAME], Component::Jibri.as_str());
    insta::assert_json_snapshot!("recorder", without_hashes(&set.body.json()));
}

/// Hashes follow from the rest, and those of the scripts would change with every word of theirs.
fn without_hashes(body: &serde_json::Value) -> serde_json::Value {
    let mut body = body.clone();
    for at in ["/metadata/annotations", "/spec/template/metadata/annotations"] {
        if let Some(annotations) = body.pointer_mut(at).and_then(|all| all.as_object_mut()) {
            annotations.remove(labels::INTENT);
            annotations.remove(labels::ROLL);
        }
    }
    let volumes = body.pointer_mut("/spec/template/spec/volumes").and_then(|all| all.as_array_mut());
    for volume in volumes.into_iter().flatten().filter(|volume| volume["name"] == "scripts") {
        volume["configMap"]["name"] = "(by content)".into();
    }
    body
}
