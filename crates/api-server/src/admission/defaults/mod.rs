//! What the server fills in.

mod custom;
mod pod;
mod service;
mod workloads;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json, json};

use super::shape::{each, fill, inner, within};
use crate::kinds::Kind;

/// Fills in what a client left out of an object of this kind.
pub(super) fn fill_in(object: &mut Json, kind: &'static Kind) {
    let Some(object) = object.as_object_mut() else { return };
    match kind.name {
        "Pod" => pod::pod(object),
        "Deployment" => workloads::deployment(object),
        "ReplicaSet" => workloads::replica_set(object),
        "StatefulSet" => workloads::stateful_set(object),
        "Service" => service::service(object),
        "Secret" => secret(object),
        "PersistentVolumeClaim" => claim(object),
        "EndpointSlice" => {
            each(object, "ports").for_each(endpoint_port);
            each(object, "endpoints").for_each(|endpoint| fill(endpoint, "conditions", json!({})));
        }
        "NetworkPolicy" => network_policy(object),
        "Namespace" => namespace(object),
        "Node" => node(object),
        "PriorityClass" => fill(object, "preemptionPolicy", "PreemptLowerPriority"),
        "RoleBinding" | "ClusterRoleBinding" => binding(object),
        "HTTPRoute" => custom::http_route(object),
        "PodMonitor" => custom::pod_monitor(object),
        _ => {}
    }
}

/// `stringData` is written, and never read.
fn secret(object: &mut Map<String, Json>) {
    fill(object, "type", "Opaque");
    let Some(Json::Object(plain)) = object.remove("stringData") else { return };
    if plain.is_empty() {
        return;
    }
    if let Some(data) = within(object, "data") {
        for (key, value) in plain {
            data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
        }
    }
}

fn claim(object: &mut Map<String, Json>) {
    if let Some(spec) = within(object, "spec") {
        claim_spec(spec);
    }
    if let Some(status) = within(object, "status") {
        fill(status, "phase", "Pending");
    }
}

fn claim_spec(spec: &mut Map<String, Json>) {
    fill(spec, "volumeMode", "Filesystem");
}

fn endpoint_port(port: &mut Map<String, Json>) {
    fill(port, "name", "");
    fill(port, "protocol", "TCP");
}

fn network_policy(object: &mut Map<String, Json>) {
    let Some(spec) = within(object, "spec") else { return };
    for direction in ["ingress", "egress"] {
        for rule in each(spec, direction) {
            each(rule, "ports").for_each(|port| fill(port, "protocol", "TCP"));
        }
    }
    if spec.get("policyTypes").and_then(Json::as_array).is_none_or(Vec::is_empty) {
        let leaves = spec.get("egress").and_then(Json::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if leaves { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}

/// The label, the finalizer and the phase that namespaces always have.
fn namespace(object: &mut Map<String, Json>) {
    let name = object.get("metadata").and_then(|metadata| metadata.get("name")).cloned();
    if let (Some(name), Some(metadata)) = (name, within(object, "metadata"))
        && let Some(labels) = within(metadata, "labels")
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
    if let Some(status) = within(object, "status") {
        fill(status, "phase", "Active");
    }
}

fn node(object: &mut Map<String, Json>) {
    if let Some(status) = inner(object, "status")
        && let Some(capacity) = status.get("capacity").cloned()
    {
        fill(status, "allocatable", capacity);
    }
}

fn binding(object: &mut Map<String, Json>) {
    if let Some(role) = inner(object, "roleRef") {
        fill(role, "apiGroup", RBAC);
    }
    for subject in each(object, "subjects") {
        if subject.get("kind").and_then(Json::as_str) != Some("ServiceAccount") {
            fill(subject, "apiGroup", RBAC);
        }
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";
