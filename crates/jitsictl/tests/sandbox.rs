//! `jitsictl sandbox` as a process: every example comes up in memory, other verbs reach it, and a rehearsal says what a
//! change does. Nothing but loopback is used, and that only by `up`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails when it cannot go on")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value as Json;

fn jitsictl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitsictl"));
    // Nothing of whoever runs the test reaches the program.
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = jitsictl(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn json(arguments: &[&str]) -> (i32, Json) {
    let (code, out, err) = run(&[arguments, &["-o", "json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}\n{err}")))
}

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    folder.join(name).join("fleet.yaml").display().to_string()
}

fn comes_up(name: &str) {
    let (code, shown) = json(&["sandbox", "run", &example(name)]);
    let outcome = &shown["outcome"];
    assert_eq!(outcome["verdict"], "converged", "{outcome:#}");
    assert_eq!(shown["status"]["proof"]["missing"], serde_json::json!([]), "{name}");
    assert_eq!(code, 0, "{name}");
}

macro_rules! examples {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { comes_up($name); })*

        #[test]
        fn no_example_is_left_out() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
            let mut there: Vec<String> =
                folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            there.sort();
            assert_eq!(there, [$($name),*]);
        }
    };
}

examples! {
    custom_plugins: "custom-plugins",
    host_ports: "host-ports",
    jibri: "jibri",
    jwt: "jwt",
    legacy_websockets: "legacy-websockets",
    reference: "reference",
    shared_pool: "shared-pool",
    single_cluster: "single-cluster",
    split_cluster: "split-cluster",
}

#[test]
fn what_comes_up_is_shown_on_one_screen() {
    let (code, screen, _) = run(&["sandbox", "run", &example("split-cluster")]);
    assert_eq!(code, 0);
    assert!(screen.starts_with("converged in "), "{screen}");
    assert!(screen.contains("3/3 bridges"), "{screen}");
}

/// Ends what it started.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn clusters_that_stay_are_reached_by_every_other_verb_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, kubeconfig) = (example("split-cluster"), folder.path().join("config").display().to_string());
    let arguments = ["sandbox", "up", &fleet, "--kubeconfig", &kubeconfig, "-o", "json"];
    let mut up = Up(jitsictl(&arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let mut told = BufReader::new(up.0.stderr.take().unwrap()).lines();
    let ready: Json = serde_json::from_str(&told.next().unwrap().unwrap()).unwrap();
    assert_eq!((&ready["event"], &ready["kubeconfig"]), (&"up".into(), &kubeconfig.clone().into()));

    let verb = |arguments: &[&str]| run(&[arguments, &["--fleet", &fleet, "--kubeconfig", &kubeconfig]].concat());
    let (code, plan, _) = verb(&["plan"]);
    assert_eq!(code, 0, "{plan}");
    let (code, done, complaints) = verb(&["apply", "--create-namespaces"]);
    assert_eq!(code, 0, "{done}{complaints}");
    let (code, again, _) = verb(&["apply"]);
    assert_eq!((code, again.as_str()), (0, "nothing to do\n"));
    assert_eq!(verb(&["status"]).0, 0);

    // With no more rights than a daemon needs, as an account that is made for it.
    let accounts = ["hq", "frankfurt"].map(|cluster| {
        let path = folder.path().join(cluster).display().to_string();
        let (code, _, complaints) = verb(&["credentials", "--cluster", cluster, "--out", &path]);
        assert_eq!(code, 0, "{complaints}");
        path
    });
    let same = jitsictl(&["apply", "--fleet", &fleet]).env("KUBECONFIG", accounts.join(":")).output().unwrap();
    assert_eq!(String::from_utf8(same.stdout).unwrap(), "nothing to do\n", "{}", String::from_utf8_lossy(&same.stderr));
    let account = ["plan", "--fleet", &fleet, "--kubeconfig", &accounts[0]];
    let (code, _, complaints) = run(&account);
    assert!(code != 0 && complaints.contains("fra"), "one cluster's account opens only that: {complaints}");
    let handover = folder.path().join("handover.yaml").display().to_string();
    let (code, _, complaints) = verb(&["export", "handover", &handover]);
    assert_eq!(code, 0, "{complaints}");
    let (code, done, complaints) = verb(&["apply", "--plane", "data", "--handover", &handover]);
    assert_eq!(code, 0, "{done}{complaints}");
    assert_eq!(verb(&["delete", "--secrets"]).0, 0);

    let id = up.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(up.0.wait().unwrap().code(), Some(0));
    assert!(!PathBuf::from(&kubeconfig).exists());
}

#[test]
fn a_rehearsal_plays_the_same_again_and_tells_what_a_change_does() {
    let folder = tempfile::tempdir().unwrap();
    let old = example("split-cluster");
    let text = std::fs::read_to_string(&old).unwrap();
    assert!(text.contains("ENABLE_LOBBY: 1"));
    let (new, page) = (folder.path().join("new.yaml"), folder.path().join("page.html"));
    std::fs::write(&new, text.replace("replicas: 3", "replicas: 4")).unwrap();
    let (new, page) = (new.display().to_string(), page.display().to_string());
    let arguments = ["sandbox", "rehearse", &old, &new, "--calls", "60", "--hours", "1", "--seed", "3"];
    let (code, report) = json(&[&arguments[..], &["--html", &page]].concat());
    assert_eq!((code, &report["ended"]), (0, &"converged".into()), "{report:#}");
    assert_eq!(report["callers"]["interrupted"], 0, "{report:#}");
    assert!(report["steps"].as_array().unwrap().iter().any(|step| step["what"].as_str().unwrap().contains("eu/3")));
    assert!(std::fs::read_to_string(&page).unwrap().contains("<svg"));
    assert_eq!(json(&arguments).1, report, "the same seed plays the same");
    let (code, text, _) = run(&arguments);
    assert_eq!(code, 0);
    assert!(text.contains("converged after"), "{text}");
}
