//! Fleet files as people write them: bad ones with what they are told, good ones for every alternative of the grammar.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fleet::diagnostic::Report;
use fleet::load::{Input, load, load_text};
use fleet::{EnvValue, Replicas};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

fn files(folder: &str) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(Path::new(CRATE).join("tests").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn bad_files_are_told_everything_at_once() {
    for (name, text) in files("bad") {
        let report = match load_text("fleet.yaml", &text, Path::new("/nowhere"), &BTreeMap::new()) {
            Ok(loaded) => panic!("{name} was accepted: {}", loaded.intent_text),
            Err(report) => report,
        };
        let told = report.render(false);
        assert!(!told.contains("hunter2"), "{told}");
        insta::assert_snapshot!(format!("bad__{name}"), told);
    }
}

#[test]
fn every_alternative_of_the_grammar_is_accepted() {
    for (name, text) in files("good") {
        let loaded = load_text("fleet.yaml", &text, Path::new("/nowhere"), &BTreeMap::new());
        let loaded = loaded.unwrap_or_else(|report| panic!("{name}: {report}"));
        let warnings = Report::new(loaded.warnings);
        assert_eq!(warnings.warnings(), 0, "{name}: {warnings}");
    }
}

#[test]
fn the_reference_is_a_copy_of_the_contract() {
    let shared = Path::new(CRATE).join("../../../shared");
    if !shared.exists() {
        return;
    }
    for file in ["fleet.yaml", "meet.env", "finalize.sh", "plugins/mod_greeting.lua"] {
        let ours = std::fs::read(Path::new(CRATE).join("../../examples/reference").join(file)).unwrap();
        assert!(ours == std::fs::read(shared.join(file)).unwrap(), "examples/reference/{file} differs");
    }
}

const SMALL: &str =
    "fleet: meet\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters: { hq: { context: hq } }\n";

#[test]
fn layers_win_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.yaml");
    std::fs::write(folder.path().join("a.env"), "A=1\nMAX_PARTICIPANTS=1\nENABLE_LOBBY=0\nTZ=UTC\nLOG_LEVEL=file\n")
        .unwrap();
    std::fs::write(folder.path().join("b.env"), "ENABLE_LOBBY=false\nTZ=Europe/Berlin\n").unwrap();
    let text = format!(
        "{SMALL}env_files: [a.env, b.env]\nenv: {{ TZ: 007, LOG_LEVEL: info }}\ncontrol: {{ cluster: hq, web: {{ replicas: 3 }}, shards: {{ al-pha: {{ env: {{ MAX_PARTICIPANTS: true }} }} }}, prosody: {{ env: {{ LOG_LEVEL: 1 }} }} }}\ndata: {{ pools: {{ eu: {{ cluster: hq }} }} }}\n"
    );
    std::fs::write(&path, text).unwrap();
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    };
    let env = pairs(&[
        ("JITSICTL_CONTROL__WEB__REPLICAS", "4"),
        ("JITSICTL_CONTROL__HAPROXY__REPLICAS", "5"),
        ("JITSICTL_DATA__POOLS__EU__BRIDGES__REPLICAS", "{ min: 1, max: 2 }"),
        ("JITSICTL_CONTROL__SHARDS__AL_PHA__ENV__ENABLE_LOBBY", "1"),
        ("JITSICTL_FLEET", "elsewhere.yaml"),
        ("JITSICTL_LOG", "debug"),
        ("JITSICTL_TOKEN", "somebody else's"),
    ]);
    let overrides = pairs(&[("control.web.replicas", "6")]);
    let loaded = load(&Input { path, env: env.into_iter().collect(), overrides }).unwrap_or_else(|r| panic!("{r}"));
    let shard = &loaded.fleet.control.shards["al-pha"];
    assert_eq!((shard.web.replicas, loaded.fleet.control.haproxy.replicas), (6, 5));
    assert_eq!(loaded.fleet.data.pools[0].bridges.replicas, Replicas::Range { min: 1, max: 2, idle: 0 });
    let env = &shard.prosody.workload.env;
    for (name, value) in [("TZ", "007"), ("LOG_LEVEL", "1"), ("MAX_PARTICIPANTS", "true"), ("ENABLE_LOBBY", "1")] {
        assert_eq!(env.get(name), Some(&EnvValue::Plain(value.into())), "{name}");
    }
    assert!(!env.contains_key("A"));
}

#[test]
fn a_wrong_variable_is_named() {
    let text = format!(
        "{SMALL}control: {{ cluster: hq, shards: {{ alpha: {{}} }} }}\ndata: {{ pools: {{ eu: {{ cluster: hq }} }} }}\n"
    );
    let env = [("JITSICTL_CONTROL__WEP__REPLICAS", "4"), ("JITSICTL_CONTROL__WEB__REPLICAS", "four")];
    let env = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let report = load_text("fleet.yaml", &text, Path::new("/nowhere"), &env).unwrap_err();
    insta::assert_snapshot!("variables", report.render(false));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "[a-z:{}\\[\\], &*\"'\n\t#|>-]{0,200}") {
        let _ = load_text("fleet.yaml", &text, Path::new("/nowhere"), &BTreeMap::new());
    }

    #[test]
    fn no_mutation_of_the_reference_makes_it_panic(at in 0_usize..8000, cut in 0_usize..40, put in "[a-z:{}\\[\\], \n0-9é]{0,10}") {
        let folder = Path::new(CRATE).join("../../examples/reference");
        let mut text: Vec<char> = std::fs::read_to_string(folder.join("fleet.yaml")).unwrap().chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Err(report) = load_text("fleet.yaml", &text, &folder, &BTreeMap::new()) {
            proptest::prop_assert!(report.errors() > 0);
            let _ = report.render(true);
        }
    }
}
