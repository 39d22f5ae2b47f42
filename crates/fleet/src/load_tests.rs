//! Whole files through [`load_text`](crate::load::load_text).

use std::collections::BTreeMap;
use std::path::Path;

use crate::load::{Input, Loaded, attempt, load, load_text};
use crate::{BridgeExpose, Component, EnvValue, Era, Fleet, Replicas, SecretSource};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/reference");

fn reference() -> Loaded {
    load(&Input { path: Path::new(REFERENCE).join("fleet.yaml"), ..Input::default() })
        .unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_reference_file_is_accepted() {
    let loaded = reference();
    let fleet: &Fleet = &loaded.fleet;
    assert_eq!(fleet.name.as_str(), "meet");
    assert_eq!(fleet.control.shards.len(), 2);
    assert!(matches!(fleet.secrets.values().next(), Some(SecretSource::Missing { .. })));
    let eu = &fleet.data.pools[0];
    assert_eq!((eu.name.as_str(), eu.bridges.replicas, eu.bridges.base_port), ("eu", Replicas::Fixed(3), 30_000));
    assert_eq!(eu.bridges.workload.image.reference, "ghcr.io/jitsi/jvb:stable-11146-2");
    assert_eq!(eu.bridges.workload.resources.requests["cpu"], "2");
    assert_eq!(fleet.data.pools[1].bridges.expose, BridgeExpose::HostPort);
    let beta = &fleet.control.shards["beta"];
    let value = |name: &str| beta.prosody.workload.env.iter().find(|(n, _)| n.as_str() == name).map(|(_, v)| v.clone());
    assert_eq!(value("MAX_PARTICIPANTS"), Some(EnvValue::Plain("500".into())));
    assert_eq!(value("JWT_APP_SECRET"), Some(EnvValue::Secret));
    assert_eq!(value("TZ"), Some(EnvValue::Plain("Europe/Berlin".into())));
    assert_eq!(beta.web.workload.image.era, Era::Rootless);
    assert_eq!(fleet.control.haproxy.workload.component, Component::Haproxy);
    // Two regions without the modules that tell where people are: the only thing to say about it.
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].message.contains("several regions"), "{:?}", loaded.warnings);
}

#[test]
fn every_file_that_decides_is_named_even_if_it_is_not_there() {
    let folder = Path::new(REFERENCE);
    let attempt = attempt(&Input { path: folder.join("fleet.yaml"), ..Input::default() });
    assert!(attempt.result.is_ok());
    assert!(attempt.files.contains(&folder.join("fleet.yaml")));
    assert!(attempt.files.contains(&folder.join("finalize.sh")), "{:?}", attempt.files);
    let nowhere = folder.join("no-such.yaml");
    let attempt = crate::load::attempt(&Input { path: nowhere.clone(), ..Input::default() });
    assert!(attempt.result.is_err());
    assert_eq!(attempt.files.into_iter().collect::<Vec<_>>(), [nowhere]);
}

#[test]
fn the_intent_loads_again_as_the_same_fleet() {
    let loaded = reference();
    let again = load_text("intent", &loaded.intent_text, Path::new("/nowhere"), &BTreeMap::new())
        .unwrap_or_else(|r| panic!("{r}"));
    assert_eq!(again.fleet.control, loaded.fleet.control);
    let by_name =
        |fleet: &Fleet| -> BTreeMap<_, _> { fleet.data.pools.iter().map(|p| (p.name.clone(), p.clone())).collect() };
    assert_eq!(by_name(&again.fleet), by_name(&loaded.fleet));
    assert_eq!(again.intent_text, loaded.intent_text);
    assert_eq!(again.fleet.data.home, loaded.fleet.data.home);
    assert_eq!(again.fleet.rollout, loaded.fleet.rollout);
}
