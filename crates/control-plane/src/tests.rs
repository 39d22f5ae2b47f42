//! What holds for everything that is rendered.

use std::collections::{BTreeMap, BTreeSet};

use fleet::Fleet;
use manifest::{Allocations, Kind, Manifest, Part, Unit, UnitId, testing};
use serde_json::Value as Json;

/// Renders a fleet that nothing was allocated for before.
pub(crate) fn rendered(fleet: &Fleet) -> Vec<Unit> {
    crate::render(fleet, &Allocations::default().extended(fleet))
}

/// The body of an object.
pub(crate) fn object(units: &[Unit], kind: Kind, name: &str) -> Json {
    let mut manifests = units.iter().flat_map(|unit| &unit.manifests);
    let found = manifests.find(|manifest| manifest.object.kind == kind && manifest.object.name == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}")).body.json()
}

/// The component's container of a workload.
pub(crate) fn container(workload: &Json) -> &Json {
    &workload["spec"]["template"]["spec"]["containers"][0]
}

/// The variables that a workload's container gets in clear.
pub(crate) fn env_of(units: &[Unit], name: &str) -> BTreeMap<String, String> {
    let mut manifests = units.iter().flat_map(|unit| &unit.manifests);
    let workload = manifests.find(|manifest| {
        manifest.object.name == name && matches!(manifest.object.kind, Kind::StatefulSet | Kind::Deployment)
    });
    let workload = workload.unwrap().body.json();
    let variables = container(&workload)["env"].as_array().unwrap();
    let text = |variable: &Json| Some((variable["name"].as_str()?.to_owned(), variable["value"].as_str()?.to_owned()));
    variables.iter().filter_map(text).collect()
}

/// Fleets that between them take nearly every turn of the renderers.
fn fleets() -> [Fleet; 3] {
    [testing::split(), testing::legacy(), testing::rich()]
}

#[test]
fn every_object_keeps_the_rules() {
    for fleet in fleets() {
        let units = rendered(&fleet);
        let complaints: Vec<String> = units.iter().flat_map(testing::complaints).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let objects: Vec<_> = units.iter().flat_map(|unit| &unit.manifests).map(|m| &m.object).collect();
        assert_eq!(objects.len(), objects.iter().collect::<BTreeSet<_>>().len(), "an object of two units");
        let ids: BTreeSet<&UnitId> = units.iter().map(|unit| &unit.id).collect();
        assert_eq!(ids.len(), units.len());
    }
}

#[test]
fn pod_templates_and_what_is_hashed_roll_and_nothing_else() {
    for manifest in fleets().iter().flat_map(rendered).flat_map(|unit| unit.manifests) {
        let immutable = manifest.body.json()["immutable"] == true;
        let rolls = manifest.object.kind.has_pods() || immutable;
        assert_eq!(manifest.part == Part::Roll, rolls, "{}", manifest.object);
    }
}

#[test]
fn rendering_is_deterministic() {
    for fleet in fleets() {
        assert_eq!(rendered(&fleet), rendered(&fleet));
    }
}

/// Which units are replaced, and which are touched without being replaced, when the fleet changes.
fn effect(change: impl FnOnce(&mut Fleet)) -> (Vec<String>, Vec<String>) {
    let mut fleet = testing::fleet(testing::ROOTLESS, &["alpha", "beta"]);
    let before: BTreeMap<UnitId, Unit> = rendered(&fleet).into_iter().map(|unit| (unit.id.clone(), unit)).collect();
    change(&mut fleet);
    let (mut rolled, mut carried) = (Vec::new(), Vec::new());
    for unit in rendered(&fleet) {
        let old = &before[&unit.id];
        if old.roll != unit.roll {
            rolled.push(unit.id.to_string());
        } else if *old != unit {
            carried.push(unit.id.to_string());
        }
    }
    (rolled, carried)
}

fn alpha(fleet: &mut Fleet) -> &mut fleet::Shard {
    fleet.control.shards.get_mut("alpha").unwrap()
}

#[test]
fn a_component_s_env_or_file_replaces_its_unit_and_no_other() {
    type Change = fn(&mut Fleet);
    let changes: [(Change, &str); 6] = [
        (|fleet| testing::set_env(&mut alpha(fleet).prosody.workload, "MAX_PARTICIPANTS", "500"), "slot alpha/a"),
        (|fleet| testing::add_file(&mut alpha(fleet).prosody.workload, "/config/conf.d/x.cfg.lua", ""), "slot alpha/a"),
        (|fleet| testing::set_env(&mut alpha(fleet).jicofo, "ENABLE_OCTO", "1"), "slot alpha/a"),
        (|fleet| testing::add_file(&mut alpha(fleet).web.workload, "/config/custom-config.js", "1"), "web alpha/a"),
        (|fleet| testing::set_env(&mut alpha(fleet).web.workload, "ENABLE_LOBBY", "1"), "web alpha/a"),
        (|fleet| testing::set_env(&mut fleet.control.haproxy.workload, "TZ", "UTC"), "haproxy"),
    ];
    for (change, unit) in changes {
        assert_eq!(effect(change), (vec![unit.to_owned()], vec![]));
    }
}

#[test]
fn a_file_s_new_content_replaces_its_unit() {
    let with = |text: &str| {
        let mut fleet = testing::split();
        testing::add_file(&mut alpha(&mut fleet).web.workload, "/config/custom-config.js", text);
        rendered(&fleet).into_iter().find(|unit| matches!(unit.id, UnitId::Web(..))).unwrap().roll
    };
    assert_ne!(with("config.x = 1;"), with("config.x = 2;"));
}

#[test]
fn numbers_of_replicas_and_addresses_are_carried() {
    let none: Vec<String> = Vec::new();
    assert_eq!(effect(|fleet| alpha(fleet).web.replicas = 5), (none.clone(), vec!["web alpha/a".into()]));
    let ranges = |fleet: &mut Fleet| fleet.control.xmpp_source_ranges = vec!["192.0.2.0/24".into()];
    assert_eq!(effect(ranges), (none.clone(), vec!["shard alpha".into(), "shard beta".into()]));
    let snippet = |fleet: &mut Fleet| fleet.control.haproxy.snippet = Some("# mine".into());
    assert_eq!(effect(snippet), (none, vec!["haproxy".into()]));
}

#[test]
fn a_shard_s_new_release_replaces_its_own_units_and_is_told_to_the_proxies() {
    let (rolled, carried) = effect(|fleet| *alpha(fleet) = testing::shard("stable-11146-1"));
    assert_eq!(rolled, ["slot alpha/a", "web alpha/a"]);
    assert_eq!(carried, ["haproxy"]);
}

#[test]
fn a_shard_added_or_gone_replaces_nothing_of_another() {
    let mut fleet = testing::split();
    let allocations = Allocations::default().extended(&fleet);
    let before = crate::render(&fleet, &allocations);
    fleet.control.shards.insert(testing::shard_name("aaa"), testing::shard(testing::ROOTLESS));
    let after = crate::render(&fleet, &allocations.extended(&fleet));
    for unit in before {
        let now = after.iter().find(|now| now.id == unit.id).unwrap();
        assert_eq!(now.roll, unit.roll, "{}", unit.id);
        assert!(now.id == UnitId::Haproxy || *now == unit, "{}", unit.id);
    }
}

#[test]
fn a_fleet_looks_like_this() {
    for (name, fleet) in [("rootless", testing::split()), ("legacy", testing::legacy())] {
        for unit in rendered(&fleet) {
            let bodies: Vec<Json> = unit
                .manifests
                .iter()
                .filter(|manifest| !is_text_of_haproxy(manifest))
                .map(|manifest| without_hashes(&manifest.body.json()))
                .collect();
            insta::assert_json_snapshot!(format!("{name}_{}", unit.id.label()), bodies);
        }
    }
}

/// haproxy's configuration and start script have tests of their own.
fn is_text_of_haproxy(manifest: &Manifest) -> bool {
    manifest.object.kind == Kind::ConfigMap && manifest.object.name.starts_with("meet-haproxy")
}

/// A golden file should change in the line that changed, and not in all the hashes over it.
fn without_hashes(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let shown = |(key, value): (&String, &Json)| {
                let hashed = key == manifest::labels::INTENT || key == manifest::labels::ROLL;
                (key.clone(), if hashed { "HASH".into() } else { without_hashes(value) })
            };
            Json::Object(fields.iter().map(shown).collect())
        }
        Json::Array(entries) => entries.iter().map(without_hashes).collect(),
        Json::String(text) => match text.rsplit_once('-') {
            Some((name, hash)) if hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                format!("{name}-HASH").into()
            }
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}
