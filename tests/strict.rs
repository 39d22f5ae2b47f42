//! Every object that an example renders passes a real API server that is asked strictly: no unknown field, no value
//! that it would refuse, nothing that it would warn of.

#![allow(clippy::expect_used, reason = "a test fails when it cannot go on")]

#[path = "support/binary.rs"]
mod binary;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use testbed::{Options, Sources, Testbed};

#[tokio::test(flavor = "multi_thread")]
async fn every_rendered_object_passes_a_strict_dry_run() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let jitsictl = binary::jitsictl(workspace);
    let testbed = Testbed::start(&["strict"], Options::default()).await.expect("the cluster starts");
    let cluster = testbed.cluster("strict").expect("the cluster is there");
    cluster.install_definitions(&Sources::of_this_machine()).await.expect("the definitions are installed");

    let mut complaints = Vec::new();
    for fleet in example_fleets(&workspace.join("examples")) {
        // Wiring differs by what an address is.
        for host in ["198.51.100.7", "[2001:db8::7]", "xmpp.example.org"] {
            let objects = render(&jitsictl, &fleet, host);
            let verdicts = cluster.dry_run(&objects).await.expect("the API server answers");
            assert!(!verdicts.is_empty(), "{} renders nothing", fleet.display());
            for verdict in verdicts.iter().filter(|verdict| !verdict.is_clean()) {
                complaints.push(format!("{}: {verdict:?}", fleet.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "{} objects\n{}", complaints.len(), complaints.join("\n"));
}

fn example_fleets(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the examples are readable");
    let fleets = entries.map(|entry| entry.expect("the examples are readable").path().join("fleet.yaml"));
    let mut fleets: Vec<PathBuf> = fleets.filter(|fleet| fleet.is_file()).collect();
    fleets.sort();
    assert!(!fleets.is_empty(), "there are examples");
    fleets
}

fn render(jitsictl: &Path, fleet: &Path, host: &str) -> Vec<Value> {
    let mut command = Command::new(jitsictl);
    command.args(["render", "--fleet"]).arg(fleet);
    for shard in shards(fleet) {
        command.args([
            "--endpoint",
            &format!("{shard}/a={host}:5222"),
            "--endpoint",
            &format!("{shard}/b={host}:5223"),
        ]);
    }
    let output = command.output().expect("jitsictl runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} cannot be rendered:\n{errors}", fleet.display());
    let text = String::from_utf8(output.stdout).expect("a rendering is text");
    serde_saphyr::from_multiple(&text).expect("a rendering is YAML")
}

fn shards(fleet: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(fleet).expect("an example is readable");
    let fleet: Value = serde_saphyr::from_str(&text).expect("an example is YAML");
    let shards = fleet.pointer("/control/shards").and_then(Value::as_object).expect("an example has shards");
    shards.keys().cloned().collect()
}
