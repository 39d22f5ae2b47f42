//! What is played: every rule of field ownership that fleets meet, over the kinds that they are made of.

use api_server::kinds;
use serde_json::{Value, json};

use super::{Sequence, Step, Verb};

fn apply(manager: &'static str, body: Value) -> Step {
    Step::new(Verb::Apply, manager, body)
}

fn force(manager: &'static str, body: Value) -> Step {
    Step::new(Verb::Force, manager, body)
}

fn create(manager: &'static str, body: Value) -> Step {
    Step::new(Verb::Create, manager, body)
}

fn update(manager: &'static str, body: Value) -> Step {
    Step::new(Verb::Update, manager, body)
}

fn patch(manager: &'static str, body: Value) -> Step {
    Step::new(Verb::Patch, manager, body)
}

fn json_patch(manager: &'static str, body: Value) -> Step {
    Step::new(Verb::JsonPatch, manager, body)
}

pub(super) fn all() -> Vec<Sequence> {
    vec![
        maps(),
        created(),
        forgotten(),
        refused(),
        service(),
        ports(),
        stateful_set(),
        deployment(),
        slice(),
        route(),
        policy(),
        pod(),
        finalizers(),
    ]
}

/// Three managers and the entries of a map.
fn maps() -> Sequence {
    let steps = vec![
        apply("a", json!({ "data": { "x": "1", "y": "2" }, "metadata": { "labels": { "l": "1" } } })),
        // Nothing changes.
        apply("a", json!({ "data": { "x": "1", "y": "2" }, "metadata": { "labels": { "l": "1" } } })),
        // Another claims what is there: the object stays, its owners grow.
        apply("b", json!({ "data": { "x": "1" } })),
        apply("b", json!({ "data": { "x": "2", "z": "3" } })),
        force("b", json!({ "data": { "x": "2", "z": "3" } })),
        // What it lost it no longer takes away; what nobody else owns goes.
        apply("a", json!({ "data": { "w": "4" } })),
        patch("editor", json!({ "data": { "w": "5", "v": "6" }, "metadata": { "annotations": { "e": "1" } } })),
        apply("a", json!({ "data": { "w": "4" } })),
        apply("a", json!({ "data": { "w": "4", "v": "7", "z": "8" } })),
        apply("a", json!({ "data": { "w": "5" } })),
        // What two own stays when one gives it up.
        apply("a", json!({ "metadata": { "labels": { "l": "2" } } })),
        update("editor", json!({ "data": { "x": null } })),
        json_patch("editor", json!([{ "op": "add", "path": "/data/n", "value": "1" }])),
        apply("b", json!({})),
        apply("b", json!({ "data": {} })),
        apply("b", json!({ "data": null, "immutable": null })),
        patch("editor", json!({ "data": null })),
        force("a", json!({ "binaryData": { "k": "AQI=" } })),
    ];
    Sequence { kind: &kinds::CONFIG_MAP, name: "maps", steps }
}

/// A creator that doesn't apply, and then one that does.
fn created() -> Sequence {
    let steps = vec![
        create("maker", json!({ "data": { "a": "1" }, "metadata": { "labels": { "l": "1" } } })),
        update("maker", json!({ "data": { "b": "2" } })),
        update("maker", json!({})),
        apply("a", json!({ "data": { "a": "2" } })),
        apply("a", json!({ "data": { "a": "1" } })),
        update("other", json!({ "data": { "a": "3" }, "metadata": { "labels": { "l": "3" } } })),
        force("a", json!({ "data": { "a": "1" } })),
        apply("a", json!({ "data": { "a": "1", "b": "2" }, "metadata": { "annotations": { "n": "1" } } })),
        apply("a", json!({ "data": { "b": "2" } })),
    ];
    Sequence { kind: &kinds::CONFIG_MAP, name: "created", steps }
}

/// Owners that were forgotten, and what was there before anybody applied.
fn forgotten() -> Sequence {
    let steps = vec![
        create("maker", json!({ "data": { "a": "1", "b": "2" } })),
        patch("maker", json!({ "metadata": { "managedFields": [{}] } })),
        patch("maker", json!({ "data": { "c": "3" } })),
        apply("a", json!({ "data": { "a": "2" } })),
        apply("a", json!({ "data": { "a": "1" } })),
        apply("a", json!({ "data": { "b": "2" } })),
    ];
    Sequence { kind: &kinds::CONFIG_MAP, name: "forgotten", steps }
}

/// What is wrong in itself.
fn refused() -> Sequence {
    let port = |port: u16| json!({ "port": port });
    let steps = vec![
        apply("a", json!({ "spec": { "ports": [port(80)], "x": 1 } })),
        apply("a", json!({ "spec": { "ports": [port(80), port(80)] } })),
        apply("a", json!({ "spec": { "ports": [port(80)] }, "metadata": { "managedFields": [] } })),
        apply("a", json!({ "spec": { "ports": [{ "name": "x" }] } })),
        apply("a", json!({ "spec": { "ports": [{ "port": "80" }] } })),
        apply("a", json!({ "spec": { "ports": {} } })),
    ];
    Sequence { kind: &kinds::SERVICE, name: "refused", steps }
}

fn service() -> Sequence {
    let ports = |web: u16| json!([{ "name": "web", "port": web, "targetPort": "http" }]);
    let steps = vec![
        apply("a", json!({ "spec": { "selector": { "app": "x" }, "ports": ports(80) } })),
        apply("a", json!({ "spec": { "selector": { "app": "x" }, "ports": ports(80) } })),
        // The port is the key: another port is another item.
        apply("a", json!({ "spec": { "selector": { "app": "x" }, "ports": ports(81) } })),
        // A selector is owned as a whole.
        patch("editor", json!({ "spec": { "selector": { "shard": "1" } } })),
        apply("a", json!({ "spec": { "selector": { "app": "x" }, "ports": ports(81) } })),
        force("a", json!({ "spec": { "selector": { "app": "y" }, "ports": ports(81) } })),
        apply("b", json!({ "spec": { "ports": [{ "name": "metrics", "port": 9, "protocol": "UDP" }] } })),
        apply("a", json!({ "spec": { "selector": { "app": "y" }, "type": "NodePort", "ports": ports(81) } })),
        apply("a", json!({ "spec": { "selector": { "app": "y" }, "ports": ports(81) } })),
        patch("lb", json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } } })).of_status(),
        apply("a", json!({ "spec": { "ports": ports(81) }, "status": { "loadBalancer": { "ingress": [] } } })),
        apply("b", json!({ "metadata": { "labels": { "b": "1" } } })),
        update("editor", json!({ "spec": { "sessionAffinity": "ClientIP" } })),
    ];
    Sequence { kind: &kinds::SERVICE, name: "service", steps }
}

/// The order of items, and keys with a default.
fn ports() -> Sequence {
    let udp = |name: &str, port: u16| json!({ "name": name, "port": port, "protocol": "UDP" });
    let tcp = |name: &str, port: u16| json!({ "name": name, "port": port });
    let steps = vec![
        apply("a", json!({ "spec": { "clusterIP": "None", "ports": [udp("c", 3), tcp("a", 1), udp("b", 1)] } })),
        apply("b", json!({ "spec": { "ports": [tcp("d", 4), udp("b", 1)] } })),
        apply("a", json!({ "spec": { "clusterIP": "None", "ports": [udp("b", 1), udp("c", 3), tcp("a", 1)] } })),
        apply("b", json!({ "spec": { "ports": [tcp("a", 1)] } })),
        apply("a", json!({ "spec": { "clusterIP": "None", "ports": [udp("c", 3)] } })),
        apply("c", json!({ "spec": { "ports": [udp("e", 1), tcp("f", 3)] } })),
    ];
    Sequence { kind: &kinds::SERVICE, name: "ports", steps }
}

fn template(containers: Value) -> Value {
    json!({ "metadata": { "labels": { "app": "x" } }, "spec": { "containers": containers } })
}

fn stateful_set() -> Sequence {
    let web = |image: &str| {
        json!({
            "name": "web", "image": image,
            "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "" }],
            "ports": [{ "containerPort": 8080 }, { "containerPort": 8080, "protocol": "UDP" }],
            "resources": { "requests": { "cpu": "100m" } },
        })
    };
    let set = |replicas: Value, containers: Value| {
        json!({ "spec": {
            "replicas": replicas, "serviceName": "x", "selector": { "matchLabels": { "app": "x" } },
            "template": template(containers),
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            }],
        } })
    };
    let sidecar = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "side", "image": "s:1" }] } } } });
    let mut without_replicas = set(Value::Null, json!([web("w:2")]));
    if let Some(spec) = without_replicas["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    let steps = vec![
        apply("a", set(json!(0), json!([web("w:1")]))),
        apply("a", set(json!(0), json!([web("w:1")]))),
        apply("a", set(json!(0), json!([web("w:2")]))),
        apply("b", sidecar.clone()),
        patch("scaler", json!({ "spec": { "replicas": 1 } })),
        apply("a", set(json!(0), json!([web("w:2")]))),
        // Left to the scaler.
        apply("a", without_replicas.clone()),
        json_patch(
            "editor",
            json!([
                { "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "e:1" },
                { "op": "add", "path": "/spec/template/metadata/annotations", "value": { "restarted": "now" } },
            ]),
        ),
        apply("a", without_replicas.clone()),
        force("a", without_replicas),
        apply("b", json!({ "metadata": { "labels": { "b": "1" } } })),
        apply("b", sidecar),
    ];
    Sequence { kind: &kinds::STATEFUL_SET, name: "set", steps }
}

fn deployment() -> Sequence {
    let container = json!({ "name": "web", "image": "w:1", "securityContext": {}, "livenessProbe": { "tcpSocket": { "port": 80 } } });
    let whole = json!({ "spec": {
        "replicas": 0, "selector": { "matchLabels": { "app": "x" } }, "template": template(json!([container])),
    } });
    let volumes = json!({ "spec": { "template": { "spec": {
        "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "c", "configMap": { "name": "c", "items": [{ "key": "k", "path": "p" }] } }],
        "containers": [{ "name": "web", "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }],
        "tolerations": [{ "key": "a" }],
    } } } });
    let steps = vec![
        create("maker", whole.clone()),
        apply("a", volumes.clone()),
        apply("a", volumes),
        apply("b", json!({ "spec": { "template": { "spec": { "tolerations": [{ "key": "b" }] } } } })),
        apply("a", json!({ "spec": { "template": { "spec": { "volumes": [{ "name": "v", "emptyDir": {} }] } } } })),
        update("editor", json!({ "spec": { "strategy": { "type": "Recreate", "rollingUpdate": null } } })),
        apply("a", whole),
        patch("status", json!({ "status": { "conditions": [{ "type": "X", "status": "True" }] } })).of_status(),
    ];
    Sequence { kind: &kinds::DEPLOYMENT, name: "deployment", steps }
}

fn slice() -> Sequence {
    let endpoints = |address: &str| json!([{ "addresses": [address], "conditions": { "ready": true } }]);
    let slice = |address: &str| json!({ "addressType": "IPv4", "endpoints": endpoints(address), "ports": [{ "name": "", "port": 80 }] });
    let steps = vec![
        apply("a", slice("192.0.2.1")),
        apply("a", slice("192.0.2.2")),
        patch("editor", json!({ "endpoints": endpoints("192.0.2.3") })),
        apply("a", slice("192.0.2.2")),
        force("a", slice("192.0.2.2")),
        apply("a", json!({ "addressType": "IPv4", "endpoints": [] })),
    ];
    Sequence { kind: &kinds::ENDPOINT_SLICE, name: "slice", steps }
}

fn route() -> Sequence {
    let rule = |service: &str| json!([{ "backendRefs": [{ "name": service, "port": 80 }] }]);
    let route = |hosts: Value, service: &str| json!({ "spec": { "parentRefs": [{ "name": "gateway" }], "hostnames": hosts, "rules": rule(service) } });
    let steps = vec![
        apply("a", route(json!(["a.example"]), "one")),
        apply("a", route(json!(["a.example"]), "one")),
        apply("b", json!({ "spec": { "hostnames": ["b.example"] } })),
        apply("a", route(json!(["a.example"]), "two")),
        patch("editor", json!({ "spec": { "rules": rule("three") } })),
        apply("a", route(json!(["a.example"]), "two")),
        force("a", json!({ "spec": { "parentRefs": [{ "name": "gateway" }] } })),
        patch("gateway", json!({ "status": { "parents": [] } })).of_status(),
        apply("a", json!({ "spec": { "nonsense": 1 } })),
        create("maker", json!({})),
    ];
    Sequence { kind: &kinds::HTTP_ROUTE, name: "route", steps }
}

fn policy() -> Sequence {
    let from = |app: &str| json!([{ "from": [{ "podSelector": { "matchLabels": { "app": app } } }] }]);
    let steps = vec![
        apply("a", json!({ "spec": { "podSelector": {}, "ingress": from("x"), "policyTypes": ["Ingress"] } })),
        apply("b", json!({ "spec": { "podSelector": { "matchLabels": { "b": "1" } } } })),
        apply("a", json!({ "spec": { "podSelector": {}, "ingress": from("y") } })),
        update("editor", json!({ "spec": { "podSelector": { "matchLabels": { "e": "1" } } } })),
        apply("a", json!({ "spec": { "podSelector": {}, "ingress": [] } })),
        force("a", json!({ "spec": { "podSelector": {}, "ingress": [] } })),
    ];
    Sequence { kind: &kinds::NETWORK_POLICY, name: "policy", steps }
}

fn pod() -> Sequence {
    let condition = |status: &str| json!([{ "type": "Ready", "status": status }]);
    let steps = vec![
        create("maker", json!({ "spec": { "containers": [{ "name": "c", "image": "c:1" }] } })),
        patch("kubelet", json!({ "status": { "phase": "Running", "conditions": condition("True") } })).of_status(),
        update("kubelet", json!({ "status": { "podIP": "192.0.2.9", "podIPs": [{ "ip": "192.0.2.9" }] } })).of_status(),
        apply("gate", json!({ "status": { "conditions": [{ "type": "Gate", "status": "True" }] } })).of_status(),
        apply("gate", json!({ "status": { "conditions": condition("False") } })).of_status(),
        apply("a", json!({ "metadata": { "labels": { "a": "1" } } })),
        apply("a", json!({ "metadata": { "annotations": { "cost": "1" } }, "status": { "phase": "Failed" } })),
        patch("maker", json!({ "metadata": { "finalizers": ["example.com/a"] } })),
    ];
    Sequence { kind: &kinds::POD, name: "pod", steps }
}

/// Sets and references.
fn finalizers() -> Sequence {
    let owner = |uid: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid });
    let steps = vec![
        apply("a", json!({ "metadata": { "finalizers": ["example.com/a", "example.com/b"] } })),
        apply("b", json!({ "metadata": { "finalizers": ["example.com/b", "example.com/c"] } })),
        apply("a", json!({ "metadata": { "finalizers": ["example.com/a"] } })),
        apply("b", json!({})),
        apply("a", json!({ "metadata": { "finalizers": ["example.com/a"], "generateName": "x" } })),
        patch("editor", json!({ "metadata": { "finalizers": null, "annotations": { "a<b": "1" } } })),
        apply("a", json!({ "metadata": { "ownerReferences": [owner("1"), owner("2")] } })),
    ];
    Sequence { kind: &kinds::SECRET, name: "finalizers", steps }
}
