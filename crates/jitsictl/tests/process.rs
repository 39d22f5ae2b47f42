//! The program as a process: exit codes, streams, and pipes that close early. No cluster is asked.

#![allow(clippy::unwrap_used, reason = "a test fails when it cannot go on")]

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

fn jitsictl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitsictl"));
    // Nothing of whoever runs the test reaches the program.
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = jitsictl(folder, arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

const FLEET: &str = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters: { hq: { context: hq } }
control: { cluster: hq, shards: { alpha: {} } }
data: { pools: { main: { cluster: hq } } }
";

fn folder(fleet: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fleet.yaml"), fleet).unwrap();
    folder
}

#[test]
fn a_good_file_checks_and_renders() {
    let folder = folder(FLEET);
    assert_eq!(run(folder.path(), &["check"]), (0, "no problems\n".to_owned(), String::new()));
    let (code, yaml, complaints) = run(folder.path(), &["render", "--unit", "bridge main/0"]);
    assert_eq!((code, complaints.as_str()), (0, ""));
    assert!(yaml.starts_with("---\n# cluster hq · bridge main/0\n"), "{yaml}");
    assert!(yaml.contains("name: meet-jvb-main-0"), "{yaml}");
    let (code, json, _) = run(folder.path(), &["render", "-o", "json", "--plane", "control"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 0);
    assert!(json["objects"].as_array().unwrap().iter().all(|object| object["cluster"] == "hq"));
}

#[test]
fn what_is_wrong_ends_with_2_and_a_way_out() {
    let folder = folder(&FLEET.replace("shards", "shardz"));
    let (code, report, complaints) = run(folder.path(), &["check"]);
    assert_eq!((code, complaints.as_str()), (2, ""));
    assert!(report.contains("error: unknown key `shardz`") && report.contains("hint: "), "{report}");
    assert!(report.ends_with("nothing was sent to any cluster\n"), "{report}");
    let (code, nothing, report) = run(folder.path(), &["render"]);
    assert_eq!((code, nothing.as_str()), (2, ""));
    assert!(report.contains("unknown key `shardz`"), "{report}");

    for arguments in [&["frobnicate"][..], &["check", "--fleet", "elsewhere.yaml"], &["--set", "x", "check"], &[]] {
        let (code, _, _) = run(folder.path(), arguments);
        assert_eq!(code, 2, "{arguments:?}");
    }
}

#[test]
fn names_that_the_file_does_not_know_are_refused() {
    let folder = folder(FLEET);
    let (code, _, report) = run(folder.path(), &["render", "--cluster", "far"]);
    assert_eq!(code, 2);
    assert!(report.contains("no cluster `far`") && report.contains("hint: clusters: hq"), "{report}");
    let (code, _, report) = run(folder.path(), &["render", "--unit", "bridge main/7"]);
    assert_eq!(code, 2);
    assert!(report.contains("no unit `bridge main/7`"), "{report}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = folder(FLEET);
    for verb in [&["man"][..], &["render"], &["schema"], &["completions", "zsh"]] {
        let mut child = jitsictl(folder.path(), verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{verb:?}: {}", String::from_utf8_lossy(&ended.stderr));
        assert!(ended.stderr.is_empty(), "{verb:?}");
    }
}

#[test]
fn a_pipe_gets_no_colours() {
    let folder = folder(&FLEET.replace("shards", "shardz"));
    let (_, report, _) = run(folder.path(), &["check"]);
    assert!(!report.contains('\u{1b}'), "{report:?}");
}

#[test]
fn help_names_every_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let (code, help, _) = run(folder.path(), &["--help"]);
    assert_eq!(code, 0);
    for line in ["0  converged", "3  something was done", "4  plan --exit-code"] {
        assert!(help.contains(line), "{help}");
    }
    let (code, version, _) = run(folder.path(), &["--version"]);
    assert_eq!((code, version), (0, format!("jitsictl {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn an_unreadable_kubeconfig_or_handover_is_bad_usage() {
    let folder = folder(FLEET);
    let (code, _, report) = run(folder.path(), &["status", "--kubeconfig", "gone"]);
    assert_eq!(code, 2);
    assert!(report.contains("error: cannot read the kubeconfig gone"), "{report}");
    std::fs::write(folder.path().join("handover.json"), "{\"secrets\": hunter2}").unwrap();
    let (code, _, report) = run(folder.path(), &["apply", "--plane", "data", "--handover", "handover.json"]);
    assert_eq!(code, 2);
    assert!(report.contains("handover.json") && !report.contains("hunter2"), "{report}");
    let (code, _, report) = run(folder.path(), &["export", "handover", "-"]);
    assert_eq!(code, 2);
    assert!(report.contains("carries passwords"), "{report}");
}

#[test]
fn an_env_file_becomes_a_fleet_that_is_told_apart_from_what_was_dropped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("meet.env"), "PUBLIC_URL=https://meet.example.org\nENABLE_LOBBY=1\n").unwrap();
    let (code, fleet, told) = run(folder.path(), &["import", "meet.env"]);
    assert_eq!(code, 0, "{told}");
    assert!(fleet.contains("https://meet.example.org") && fleet.contains("ENABLE_LOBBY"), "{fleet}");
    let (code, _, told) = run(folder.path(), &["import", "gone.env"]);
    assert_eq!(code, 2);
    assert!(told.contains("cannot read gone.env"), "{told}");
}
