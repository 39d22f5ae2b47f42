//! Every example checks clean, and renders what its golden file says.
//!
//! After a change of the renderers: `INSTA_UPDATE=always cargo test --test examples`, then read the difference.

#![allow(clippy::expect_used, reason = "a test fails when it cannot go on")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use fleet::{
    diagnostic::Report,
    load::{Input, load},
};

/// The folders of `examples` with a fleet in them.
fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).expect("the examples are there");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("it is readable").path()).collect();
    folders.retain(|folder| folder.join("fleet.yaml").is_file());
    folders.sort();
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().expect("an example has a name").to_string_lossy().into_owned()
}

fn input(folder: &Path) -> Input {
    Input { path: folder.join("fleet.yaml"), env: BTreeMap::new(), overrides: Vec::new() }
}

#[test]
fn every_example_checks_clean() {
    let mut dirty = Vec::new();
    for folder in examples() {
        let report = match load(&input(&folder)) {
            Ok(loaded) => Report::new(loaded.warnings),
            Err(report) => report,
        };
        // The reference shows every key there is, hence also what deserves a warning.
        let complaints = if name(&folder) == "reference" { report.errors() } else { report.problems.len() };
        if complaints > 0 {
            dirty.push(format!("{}\n{report}", name(&folder)));
        }
    }
    assert!(dirty.is_empty(), "{}", dirty.join("\n\n"));
}

#[test]
fn every_example_renders_as_before() {
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        for folder in examples() {
            let loaded = load(&input(&folder)).expect("the example checks clean");
            let desired = jitsictl::verbs::rendered(&loaded.fleet, &[]);
            let objects = desired.units.values().flat_map(|unit| unit.manifests.iter().map(move |one| (unit, one)));
            insta::assert_snapshot!(name(&folder), jitsictl::verbs::yaml(objects));
        }
    });
}
