//! Sequences of requests that follow from a seed.

use std::fmt;

use serde_json::{Value as Json, json};

const JSON: &str = "application/json";
const OTHER_UID: &str = "00000000-0000-4000-8000-000000000000";

/// One request. `@FRESH`, `@STALE`, `@FIRST`, `@UID` and `@TOKEN` in it stand for what each server said itself.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Step {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) content: String,
    pub(crate) body: String,
    /// Of whose versions it speaks.
    pub(crate) object: String,
}

/// Where a sequence takes place.
pub(crate) struct Place {
    pub(crate) namespace: String,
    /// Ports of the nodes that no other sequence asks for at the same time.
    pub(crate) node_ports: [u16; 2],
}

impl Step {
    pub(super) fn new(method: &str, path: impl Into<String>, body: &Json) -> Self {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (method, content) = (method.to_owned(), JSON.to_owned());
        Self { method, path: path.into(), content, body, object: String::new() }
    }

    /// Of an object that an earlier one of these named.
    pub(super) fn about(mut self, object: &str) -> Self {
        object.clone_into(&mut self.object);
        self
    }

    pub(super) fn with_content(mut self, content: &str) -> Self {
        content.clone_into(&mut self.content);
        self
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.path.contains("watch=1")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {} ({}) {}", self.method, self.path, self.content, self.body)
    }
}

/// splitmix64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // What follows adds a constant each time: neighbouring seeds must not be neighbours there.
        let mut mixed = seed.wrapping_add(0x632b_e59b_d9b4_e019);
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(mixed ^ (mixed >> 32))
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap_or(0)
    }

    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// apiVersion, kind, plural.
const KINDS: [(&str, &str, &str); 14] = [
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Secret", "secrets"),
    ("v1", "Service", "services"),
    ("v1", "Pod", "pods"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("networking.k8s.io/v1", "Ingress", "ingresses"),
    ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    ("coordination.k8s.io/v1", "Lease", "leases"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
    ("monitoring.coreos.com/v1", "PodMonitor", "podmonitors"),
];

pub(super) fn collection(version: &str, plural: &str, namespace: &str) -> String {
    let root = if version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{version}/namespaces/{namespace}/{plural}")
}

/// What a sequence stands on.
pub(crate) fn ground(place: &Place) -> Vec<Step> {
    let namespace = &place.namespace;
    let account = json!({ "metadata": { "name": "default" }, "automountServiceAccountToken": false });
    vec![
        Step::new("POST", "/api/v1/namespaces", &json!({ "metadata": { "name": namespace } })),
        Step::new("POST", format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account),
    ]
}

/// What of a sequence would be in the way of later ones: its Services, for their ports.
pub(crate) fn clearance(place: &Place) -> Vec<Step> {
    let one = |name: &str| {
        let path = format!("/api/v1/namespaces/{}/services/{name}", place.namespace);
        let free = json!({ "metadata": { "finalizers": null } });
        let free = Step::new("PATCH", path.clone(), &free).with_content("application/merge-patch+json");
        [free, Step::new("DELETE", path, &Json::Null)]
    };
    ["one", "two"].into_iter().flat_map(one).collect()
}

/// A sequence about two objects of one kind, and what was seen of it by a watch.
pub(crate) fn steps(chance: &mut Chance, place: &Place) -> Vec<Step> {
    if chance.one_in(12) {
        return super::evictions::steps(chance, place);
    }
    let (version, kind, plural) = chance.pick(&KINDS);
    let all = collection(version, plural, &place.namespace);
    let mut steps = Vec::new();
    for index in 0..5 + chance.below(11) {
        let name = if chance.one_in(4) { "two" } else { "one" };
        let mut object = object(chance, version, kind, name);
        if kind == "Service" {
            exposed(chance, place, &mut object);
        }
        let next = step(chance, &all, kind, name, object, index == 0);
        let creates = next.content.contains("apply") || next.method == "POST";
        let touched = (kind == "PersistentVolumeClaim" && creates).then(|| {
            // See "claims that are new" among the known differences.
            let change = json!({ "metadata": { "annotations": { "touched": index.to_string() } } });
            let content = "application/merge-patch+json";
            Step::new("PATCH", format!("{all}/{name}"), &change).with_content(content).about(&format!("{all}/{name}"))
        });
        steps.push(next);
        steps.extend(touched);
    }
    steps.push(watch(&all));
    steps
}

/// Everything that happened to a collection.
pub(super) fn watch(all: &str) -> Step {
    Step::new("GET", format!("{all}?watch=1&resourceVersion=@FIRST&timeoutSeconds=1"), &Json::Null)
}

fn step(chance: &mut Chance, all: &str, kind: &str, name: &str, mut body: Json, first: bool) -> Step {
    let one = format!("{all}/{name}");
    let dry = if chance.one_in(8) { "&dryRun=All" } else { "" };
    let manager = chance.pick(&["red", "green", "blue"]);
    let strictness = chance.pick(&["Warn", "Warn", "Strict", "Ignore"]);
    let query = format!("fieldManager={manager}&fieldValidation={strictness}{dry}");
    let make = |method: &str, path: String, content: &str, body: String| {
        let (method, content) = (method.to_owned(), content.to_owned());
        Step { method, path, content, body, object: one.clone() }
    };
    let choice = if first { chance.below(6) } else { chance.below(32) };
    match choice {
        0..=2 => make("POST", format!("{all}?{query}"), JSON, body.to_string()),
        3..=11 => {
            let force = if chance.one_in(3) { "&force=true" } else { "" };
            let path = format!("{one}?{query}{force}");
            make("PATCH", path, "application/apply-patch+yaml", body.to_string())
        }
        12..=14 => {
            if !chance.one_in(3) {
                body["metadata"]["resourceVersion"] = chance.pick(&["@FRESH", "@FRESH", "@STALE"]).into();
            }
            if chance.one_in(8) {
                body["metadata"]["uid"] = chance.pick(&["@UID", OTHER_UID]).into();
            }
            make("PUT", format!("{one}?{query}"), JSON, body.to_string())
        }
        15..=17 => {
            let patch = small_patch(chance, kind);
            let content = chance.pick(&["application/merge-patch+json", "application/strategic-merge-patch+json"]);
            make("PATCH", format!("{one}?{query}"), content, patch.to_string())
        }
        18..=19 => {
            let operation = chance.pick(&["add", "replace", "remove", "test"]);
            let path = chance.pick(&["/metadata/labels/a", "/metadata/annotations", "/metadata/labels", "/spec/none"]);
            let value = if path.ends_with("/a") { json!("9") } else { json!({ "a": "9" }) };
            let patch = json!([{ "op": operation, "path": path, "value": value }]);
            make("PATCH", format!("{one}?{query}"), "application/json-patch+json", patch.to_string())
        }
        20 => make("GET", one.clone(), JSON, String::new()),
        21 => make("GET", format!("{all}?limit=1"), JSON, String::new()),
        22 => make("GET", format!("{all}?limit=1&continue=@TOKEN"), JSON, String::new()),
        23 => {
            let selector = chance.pick(&[
                "labelSelector=a%3D1",
                "labelSelector=a+notin+(1)",
                "labelSelector=!b",
                "fieldSelector=metadata.name%3Done",
                "fieldSelector=spec.other%3Done",
                "labelSelector=a+in",
            ]);
            make("GET", format!("{all}?{selector}"), JSON, String::new())
        }
        24..=26 => {
            let mut options = json!({});
            if chance.one_in(3) {
                options["preconditions"] = json!({ "resourceVersion": chance.pick(&["@FRESH", "@STALE"]) });
            }
            if chance.one_in(5) {
                options["preconditions"]["uid"] = chance.pick(&["@UID", "@UID", OTHER_UID]).into();
            }
            if chance.one_in(3) {
                options["propagationPolicy"] = chance.pick(&["Orphan", "Background", "Foreground", "Other"]).into();
            }
            if chance.one_in(3) {
                options["gracePeriodSeconds"] = chance.pick(&[0, 1, 60, -1]).into();
            }
            let dry = dry.replace('&', "?");
            make("DELETE", format!("{one}{dry}"), JSON, options.to_string())
        }
        27 => {
            let finalizers = chance.pick(&[json!(["example.com/hold"]), json!([]), Json::Null, json!(["bare"])]);
            let patch = json!({ "metadata": { "finalizers": finalizers } });
            make("PATCH", format!("{one}?{query}"), "application/merge-patch+json", patch.to_string())
        }
        28 => {
            let patch = json!({ "status": { "observedGeneration": 1, "phase": "Pending", "replicas": 2 } });
            make("PATCH", format!("{one}/status?{query}"), "application/merge-patch+json", patch.to_string())
        }
        29 if kind == "Pod" => {
            let binding = json!({ "metadata": { "name": name }, "target": { "kind": "Node", "name": "node" } });
            make("POST", format!("{one}/binding"), JSON, binding.to_string())
        }
        30 if kind == "Pod" => {
            let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
            make("POST", format!("{one}/eviction"), JSON, eviction.to_string())
        }
        29 if kind == "Deployment" || kind == "StatefulSet" => {
            let patch = json!({ "spec": { "replicas": chance.below(3) } });
            make("PATCH", format!("{one}/scale?{query}"), "application/merge-patch+json", patch.to_string())
        }
        30 if kind == "Deployment" || kind == "StatefulSet" => make("GET", format!("{one}/scale"), JSON, String::new()),
        31 => make("DELETE", format!("{all}?labelSelector=a%3D1"), JSON, String::new()),
        _ => make("GET", all.to_owned(), JSON, String::new()),
    }
}

fn small_patch(chance: &mut Chance, kind: &str) -> Json {
    let label = chance.pick(&[json!("1"), json!("2"), Json::Null]);
    match chance.below(4) {
        0 if kind == "Service" => json!({ "spec": { "ports": [{ "port": 80, "name": "web", "targetPort": 81 }] } }),
        0 if kind == "Deployment" => json!({ "spec": { "replicas": chance.below(3), "paused": chance.one_in(2) } }),
        1 => json!({ "metadata": { "annotations": { "note": label } } }),
        2 => json!({ "metadata": {} }),
        _ => json!({ "metadata": { "labels": { "b": label } } }),
    }
}

fn object(chance: &mut Chance, version: &str, kind: &str, name: &str) -> Json {
    let mut object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name } });
    for (key, odds) in [("a", 2), ("b", 4)] {
        if chance.one_in(odds) {
            object["metadata"]["labels"][key] = chance.pick(&["1", "2"]).into();
        }
    }
    if chance.one_in(6) {
        object["metadata"]["annotations"] = json!({ "note": chance.pick(&["x", "y"]) });
    }
    fill(chance, kind, &mut object);
    if chance.one_in(10) {
        object["surplus"] = json!({ "of": 1 });
    }
    object
}

fn fill(chance: &mut Chance, kind: &str, object: &mut Json) {
    let labels = json!({ "app": "x" });
    match kind {
        "ConfigMap" => object["data"] = json!({ "k": chance.pick(&["1", "2"]), "l": "3" }),
        "Secret" => object["stringData"] = json!({ "k": chance.pick(&["1", "2"]) }),
        "Service" => {
            let mut spec = json!({ "selector": labels, "ports": ports(chance) });
            match chance.below(6) {
                0 => spec["clusterIP"] = "None".into(),
                1 => spec = json!({ "type": "ExternalName", "externalName": "example.org" }),
                2 => spec["sessionAffinity"] = "ClientIP".into(),
                _ => {}
            }
            object["spec"] = spec;
        }
        "Pod" => {
            object["spec"] = pod(chance);
            if chance.one_in(3) {
                object["spec"]["nodeName"] = "node".into();
            }
        }
        "PersistentVolumeClaim" => {
            let size = chance.pick(&["1Gi", "1024Mi", "2Gi"]);
            let mode = chance.pick(&["ReadWriteOnce", "ReadWriteOnce", "Sometimes"]);
            object["spec"] = json!({ "accessModes": [mode], "resources": { "requests": { "storage": size } } });
        }
        "Deployment" | "StatefulSet" => {
            let template = json!({ "metadata": { "labels": labels }, "spec": pod(chance) });
            object["spec"] = json!({ "selector": { "matchLabels": labels }, "template": template });
            if chance.one_in(2) {
                object["spec"]["replicas"] = chance.below(3).into();
            }
            if kind == "StatefulSet" {
                object["spec"]["serviceName"] = "x".into();
            }
        }
        "PodDisruptionBudget" => {
            let least = chance.pick(&[json!(1), json!("50%"), json!("many")]);
            object["spec"] = json!({ "selector": { "matchLabels": labels }, "minAvailable": least });
        }
        "NetworkPolicy" => {
            let rule = json!({ "ports": [{ "port": chance.pick(&[80, 443]) }] });
            object["spec"] = json!({ "podSelector": { "matchLabels": labels }, "ingress": [rule] });
        }
        "Ingress" => {
            let backend = json!({ "service": { "name": "x", "port": { "number": chance.pick(&[80, 81]) } } });
            object["spec"] = json!({ "defaultBackend": backend });
        }
        "EndpointSlice" => {
            object["addressType"] = "IPv4".into();
            object["endpoints"] = json!([{ "addresses": [chance.pick(&["10.1.0.1", "10.1.0.2"])] }]);
            object["ports"] = json!([{ "name": "web", "port": 80 }]);
        }
        "Lease" => object["spec"] = json!({ "holderIdentity": chance.pick(&["x", "y"]), "leaseDurationSeconds": 5 }),
        "HTTPRoute" => {
            let rule = json!({ "backendRefs": [{ "name": "x", "port": chance.pick(&[80, 81]) }] });
            object["spec"] = json!({ "parentRefs": [{ "name": "gate" }], "rules": [rule] });
        }
        _ => {
            let endpoint = json!({ "port": chance.pick(&["web", "metrics"]) });
            object["spec"] = json!({ "selector": { "matchLabels": labels }, "podMetricsEndpoints": [endpoint] });
        }
    }
}

/// Ports of the nodes, given or asked for.
fn exposed(chance: &mut Chance, place: &Place, service: &mut Json) {
    if !chance.one_in(3) || service["spec"].get("ports").is_none() || service["spec"]["clusterIP"] == "None" {
        return;
    }
    service["spec"]["type"] = chance.pick(&["NodePort", "NodePort", "LoadBalancer"]).into();
    if chance.one_in(2) {
        service["spec"]["externalTrafficPolicy"] = "Local".into();
    }
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if chance.one_in(2) {
            port["nodePort"] = chance.pick(&place.node_ports).into();
        }
    }
}

fn ports(chance: &mut Chance) -> Json {
    let mut ports = vec![json!({ "name": "web", "port": 80, "targetPort": chance.pick(&[80, 81]) })];
    if chance.one_in(2) {
        ports.push(json!({ "name": "side", "port": chance.pick(&[81, 82]), "protocol": chance.pick(&["TCP", "UDP"]) }));
    }
    ports.into()
}

pub(super) fn pod(chance: &mut Chance) -> Json {
    let mut main = json!({ "name": "main", "image": chance.pick(&["x:1", "x:2"]) });
    if chance.one_in(2) {
        main["env"] = json!([{ "name": "A", "value": chance.pick(&["1", "2"]) }]);
    }
    if chance.one_in(3) {
        main["ports"] = json!([{ "containerPort": chance.pick(&[80, 81]) }]);
    }
    if chance.one_in(4) {
        main["resources"] = json!({ "requests": { "cpu": chance.pick(&["100m", "0.1", "1"]) } });
    }
    if chance.one_in(8) {
        main["suprlus"] = 1.into();
    }
    let mut containers = vec![main];
    if chance.one_in(3) {
        containers.push(json!({ "name": "side", "image": "y" }));
    }
    json!({ "containers": containers })
}
