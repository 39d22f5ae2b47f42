//! What stands in `deploy/` is taken by API servers as it stands, agrees with the program, and loads.
//!
//! `UPDATE_DEPLOY=1` writes what is generated: the rights, and the fleet file within its ConfigMap.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[path = "support/binary.rs"]
mod binary;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kube::{
    Client,
    api::{Patch, PatchParams},
};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use testbed::{Options, Testbed};

/// The fleet that the manifests are written for.
const EXAMPLE: &str = "examples/split-cluster/fleet.yaml";

/// Every metric with its labels: the daemon's promise to dashboards and alerts.
const METRICS: [(&str, &[&str]); 22] = [
    ("reconcile_total", &["outcome"]),
    ("reconcile_duration_seconds", &["le"]),
    ("requests_total", &["cluster", "verb", "code"]),
    ("request_failures_total", &["cluster"]),
    ("cluster_state", &["cluster", "state"]),
    ("cache_age_seconds", &["cluster"]),
    ("credentials_expiry_timestamp_seconds", &["cluster"]),
    ("credentials_ending", &["cluster"]),
    ("endpoint_state", &["shard", "slot", "cluster", "state"]),
    ("endpoint_age_seconds", &["shard", "slot"]),
    ("haproxy_server_up", &["pod", "shard", "slot"]),
    ("bridges_expected", &["cluster", "pool"]),
    ("bridges_joined", &["cluster", "pool"]),
    ("conferences", &["shard", "slot"]),
    ("participants", &["shard", "slot"]),
    ("drift_repaired_total", &["cluster", "kind"]),
    ("fighting", &["cluster", "object"]),
    ("blocked", &["cluster"]),
    ("leading", &["plane"]),
    ("intent_refused", &[]),
    ("build_info", &["version"]),
    // Its name in full, as its buckets are asked for.
    ("reconcile_duration_seconds_bucket", &["le"]),
];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(path: &str) -> Vec<Json> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of the kustomization, in its order, with its namespace in what has none.
fn manifests() -> Vec<Json> {
    let kustomization = &documents("deploy/kubernetes/kustomization.yaml")[0];
    let namespace = kustomization["namespace"].as_str().unwrap();
    let mut all = Vec::new();
    for file in kustomization["resources"].as_array().unwrap() {
        for mut object in documents(&format!("deploy/kubernetes/{}", file.as_str().unwrap())) {
            let kind = object["kind"].as_str().unwrap().to_owned();
            match object.pointer("/metadata/namespace").and_then(Json::as_str) {
                Some(own) => assert_eq!(own, namespace, "{kind}"),
                None if kind.starts_with("Cluster") => {}
                None => object["metadata"]["namespace"] = namespace.into(),
            }
            all.push(object);
        }
    }
    all
}

#[test]
fn what_is_generated_is_current() {
    let jitsictl = binary::jitsictl(workspace());
    let update = std::env::var("UPDATE_DEPLOY").is_ok_and(|value| value == "1");
    let check = |path: String, wanted: String| {
        if update {
            fs::write(workspace().join(&path), &wanted).unwrap();
        }
        let there = fs::read_to_string(workspace().join(&path)).unwrap_or_default();
        assert_eq!(there, wanted, "{path} is out of date: UPDATE_DEPLOY=1 cargo test --test deploy");
    };
    for cluster in ["hq", "frankfurt"] {
        let mut command = Command::new(&jitsictl);
        let output = command.current_dir(workspace()).args(["rbac", "--fleet", EXAMPLE, "--cluster", cluster]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        check(format!("deploy/kubernetes/rbac/{cluster}.yaml"), String::from_utf8(output.stdout).unwrap());
    }
    let path = "deploy/kubernetes/fleet.yaml";
    let text = read(path);
    let (head, _) = text.split_once("  fleet.yaml: |\n").unwrap();
    let indented = |line: &str| if line.trim().is_empty() { "\n".to_owned() } else { format!("    {line}") };
    let body: String = read(EXAMPLE).split_inclusive('\n').map(indented).collect();
    check(path.to_owned(), format!("{head}  fleet.yaml: |\n{body}"));
}

#[test]
fn the_pod_finds_all_that_it_mounts_and_names() {
    let all = manifests();
    let names = |kind: &str| -> BTreeSet<&str> {
        let of_kind = all.iter().filter(|object| object["kind"] == kind);
        of_kind.map(|object| object["metadata"]["name"].as_str().unwrap()).collect()
    };
    let deployment = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert!(names("ServiceAccount").contains(pod["serviceAccountName"].as_str().unwrap()));
    for volume in pod["volumes"].as_array().unwrap() {
        if let Some(name) = volume.pointer("/configMap/name").and_then(Json::as_str) {
            assert!(names("ConfigMap").contains(name), "{name}");
        }
    }
    let mounts: Vec<&str> = pod["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            assert!(mount.get("subPath").is_none(), "a file that is mounted alone never changes");
            mount["mountPath"].as_str().unwrap()
        })
        .collect();
    let env = pod["containers"][0]["env"].as_array().unwrap().iter();
    let env: BTreeMap<&str, &str> =
        env.map(|entry| (entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap())).collect();
    for path in env["KUBECONFIG"].split(':').chain([env["JITSICTL_FLEET"]]) {
        assert!(mounts.iter().any(|mount| path.starts_with(mount)), "{path}");
    }
    // The contexts of the fleet file are those of the kubeconfigs.
    let kubeconfig = all.iter().find_map(|object| object.pointer("/data/config")?.as_str()).unwrap();
    let kubeconfig: Json = serde_saphyr::from_str(kubeconfig).unwrap();
    let fleet: Json = serde_saphyr::from_str(&read(EXAMPLE)).unwrap();
    assert_eq!(kubeconfig["contexts"][0]["name"], fleet["clusters"]["hq"]["context"]);
    // Everything that selects finds the pods, and only them.
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for pointer in ["/spec/selector/matchLabels", "/spec/podSelector/matchLabels"] {
        for object in &all {
            if let Some(selector) = object.pointer(pointer) {
                assert_eq!(selector, labels, "{}", object["kind"]);
            }
        }
    }
    assert!(
        all.iter().all(|object| object.pointer("/metadata/labels/jitsictl.dev~1fleet").is_none()),
        "these are not the fleet's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_takes_the_manifests_strictly() {
    let testbed = Testbed::start(&["deploy"], Options { audit: false, controllers: false, ..Options::default() }).await;
    let testbed = testbed.expect("the cluster starts");
    let cluster = testbed.cluster("deploy").unwrap();
    restricted(cluster.client()).await;
    let mut objects = manifests();
    objects.extend(documents("deploy/kubernetes/rbac/frankfurt.yaml"));
    let verdicts = cluster.dry_run(&objects).await.unwrap();
    let complaints: Vec<String> =
        verdicts.iter().filter(|verdict| !verdict.is_clean()).map(|verdict| format!("{verdict:?}")).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn so_does_one_in_memory() {
    let options = SandboxOptions {
        clusters: vec!["hq".to_owned()],
        timing: Timing::default(),
        clock: clock::Clock::machine(),
        seed: 1,
        custom_kinds: false,
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = sandbox.client("hq", None).unwrap();
    restricted(&client).await;
    for object in manifests() {
        let strict = PatchParams { dry_run: true, ..PatchParams::apply("deploy").force().validation_strict() };
        let answer = apply(&client, &object, &strict).await;
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", object["kind"], object["metadata"]["name"]));
    }
    sandbox.stop().await;
}

/// The namespace, in which Pod Security complains of whatever is not restricted.
async fn restricted(client: &Client) {
    let labels = json!({
        "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
    });
    let namespace = manifests()[0]["metadata"]["namespace"].clone();
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels } });
    apply(client, &body, &PatchParams::apply("deploy").force()).await.unwrap();
}

async fn apply(client: &Client, object: &Json, parameters: &PatchParams) -> kube::Result<Json> {
    let kind = object["kind"].as_str().unwrap();
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        other => format!("{}s", other.to_ascii_lowercase()),
    };
    let version = object["apiVersion"].as_str().unwrap();
    let group = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
    let path = match object.pointer("/metadata/namespace").and_then(Json::as_str) {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}"),
        None => format!("{group}/{plural}"),
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    let request = kube::core::Request::new(path).patch(name, parameters, &Patch::Apply(object));
    client.request(request.map_err(kube::Error::BuildRequest)?).await
}

#[test]
fn alerts_load_and_ask_for_what_there_is() {
    let rules = documents("deploy/prometheus/alerts.yaml");
    let groups = rules[0]["groups"].as_array().unwrap();
    let rules: Vec<&Json> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rules.len(), "two alerts have one name");
    assert_eq!(names.len(), 9);
    for rule in rules {
        let allowed = ["alert", "expr", "for", "labels", "annotations"];
        assert!(rule.as_object().unwrap().keys().all(|key| allowed.contains(&key.as_str())), "{rule}");
        let expr = rule["expr"].as_str().unwrap();
        let labels = query(expr);
        let lasting = rule["for"].as_str().unwrap();
        assert!(lasting.trim_end_matches('m').parse::<u32>().is_ok_and(|minutes| minutes > 0), "{lasting}");
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()));
        for key in ["summary", "description"] {
            let text = rule["annotations"][key].as_str().unwrap();
            for (_, rest) in text.match_indices("{{").map(|(at, _)| text.split_at(at + 2)) {
                let label = rest.split("}}").next().unwrap().trim().trim_start_matches("$labels.");
                assert!(labels.contains(label) && expr.contains(label), "{text}: {label} does not come out of {expr}");
            }
        }
    }
}

#[test]
fn the_dashboard_loads_and_shows_every_metric() {
    let dashboard: Json = serde_json::from_str(&read("deploy/grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have one id");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource"]);
    let mut asked = String::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{} is wider than the page", panel["title"]);
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies upon another panel", panel["title"]);
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            let expr = target["expr"].as_str().unwrap();
            let labels = query(&expr.replace("$__rate_interval", "5m"));
            asked.push_str(expr);
            let legend = target["legendFormat"].as_str().unwrap();
            for part in legend.split("{{").skip(1) {
                let label = part.split("}}").next().unwrap();
                assert!(labels.contains(label), "{legend}: {expr}");
            }
        }
    }
    for (metric, _) in METRICS {
        assert!(asked.contains(&format!("jitsictl_{metric}")), "nobody looks at {metric}");
    }
}

/// What is promised here is what the daemon's page shows.
#[test]
fn metrics_have_the_labels_that_are_promised() {
    let page = read(
        "crates/jitsictl/src/daemon/http/snapshots/jitsictl__daemon__http__tests__metrics_are_what_they_were.snap",
    );
    let mut shown: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("jitsictl_")) {
        let (name, labels) =
            line.split_once(' ').unwrap().0.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let names = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
        shown.entry(name).or_default().extend(names);
    }
    for (metric, labels) in METRICS.iter().filter(|(name, _)| *name != "reconcile_duration_seconds") {
        let shown = shown.get(metric).unwrap_or_else(|| panic!("{metric} is not shown"));
        assert_eq!(shown, &labels.iter().copied().collect(), "{metric}");
    }
}

#[test]
fn every_metric_is_documented() {
    let text = read("docs/deploy.md");
    for (metric, _) in METRICS.iter().filter(|(name, _)| !name.ends_with("_bucket")) {
        assert!(text.contains(&format!("`jitsictl_{metric}")), "docs/deploy.md is silent about {metric}");
    }
}

/// Checks a query: its brackets, its metrics, and that each label it names is one of theirs. Returns those labels.
fn query(expr: &str) -> BTreeSet<&'static str> {
    let mut open = Vec::new();
    let mut quoted = false;
    for letter in expr.chars() {
        match letter {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => open.push(')'),
            '{' => open.push('}'),
            '[' => open.push(']'),
            ')' | '}' | ']' => assert_eq!(open.pop(), Some(letter), "{expr}"),
            _ => {}
        }
    }
    assert!(open.is_empty() && !quoted, "{expr}");
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let mut labels = BTreeSet::new();
    for metric in expr.split(word).filter_map(|word| word.strip_prefix("jitsictl_")) {
        let known = METRICS.iter().find(|(name, _)| *name == metric);
        labels.extend(known.unwrap_or_else(|| panic!("no metric {metric}: {expr}")).1);
    }
    for list in expr.split("by (").skip(1) {
        for label in list.split(')').next().unwrap().split(',').map(str::trim) {
            assert!(labels.contains(label), "no label {label}: {expr}");
        }
    }
    for matcher in expr.split('{').skip(1) {
        let label = matcher.split(word).next().unwrap();
        assert!(labels.contains(label), "no label {label}: {expr}");
    }
    labels
}

#[test]
fn the_unit_of_systemd_is_one() {
    let unit = read("deploy/systemd/jitsictl.service");
    let mut section = "";
    let mut keys = BTreeSet::new();
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => {
                let (key, _) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
                assert!(keys.insert(format!("{section}.{key}")) || key == "SystemCallFilter", "{key} twice");
            }
        }
    }
    for needed in
        ["Service.ExecStart", "Service.User", "Service.NoNewPrivileges", "Service.ProtectSystem", "Install.WantedBy"]
    {
        assert!(keys.contains(needed), "{needed}");
    }
    let named = unit.lines().find_map(|line| line.strip_prefix("EnvironmentFile=")).unwrap();
    assert_eq!(PathBuf::from(named).file_name().unwrap(), "jitsictl.env");
    for line in read("deploy/systemd/jitsictl.env").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(
            line.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_')),
            "{line}"
        );
    }
}
