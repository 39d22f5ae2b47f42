//! Pods, and the templates of pods.

use serde_json::{Map, Value as Json, json};

use crate::admission::shape::{each, fill, fill_number, inner, within};

const CONTAINERS: [&str; 2] = ["initContainers", "containers"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// What only pods get: a template stays without it.
pub(super) fn pod(object: &mut Map<String, Json>) {
    let Some(spec) = within(object, "spec") else { return };
    pod_spec(spec);
    fill(spec, "enableServiceLinks", true);
    for name in CONTAINERS {
        for container in each(spec, name) {
            requests_follow_limits(container);
        }
    }
    if let Some(status) = within(object, "status") {
        fill(status, "phase", "Pending");
    }
}

/// A template in the spec of a workload.
pub(super) fn template(spec: &mut Map<String, Json>) {
    if let Some(template) = within(spec, "template")
        && let Some(spec) = within(template, "spec")
    {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Map<String, Json>) {
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    fill(spec, "schedulerName", "default-scheduler");
    fill(spec, "securityContext", json!({}));
    fill(spec, "terminationGracePeriodSeconds", 30);
    // The older name of the field is kept for older clients.
    if let Some(account) = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned()
        && account.as_str().is_some_and(|name| !name.is_empty())
    {
        fill(spec, "serviceAccountName", account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
    each(spec, "volumes").for_each(volume);
    let on_host = spec.get("hostNetwork").and_then(Json::as_bool).unwrap_or_default();
    for name in CONTAINERS {
        each(spec, name).for_each(|each| container(each, on_host));
    }
    for constraint in each(spec, "topologySpreadConstraints") {
        // Filled in for nobody, but dropped when empty.
        if constraint.get("minDomains").is_some_and(Json::is_null) {
            constraint.remove("minDomains");
        }
    }
}

fn container(container: &mut Map<String, Json>, on_host: bool) {
    let image = container.get("image").and_then(Json::as_str).unwrap_or_default();
    let policy = if is_latest(image) { "Always" } else { "IfNotPresent" };
    fill(container, "imagePullPolicy", policy);
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    fill(container, "resources", json!({}));
    for port in each(container, "ports") {
        fill(port, "protocol", "TCP");
        if on_host && let Some(number) = port.get("containerPort").and_then(Json::as_i64) {
            fill_number(port, "hostPort", number);
        }
    }
    for variable in each(container, "env") {
        if let Some(from) = inner(variable, "valueFrom")
            && let Some(field) = inner(from, "fieldRef")
        {
            fill(field, "apiVersion", "v1");
        }
    }
    for name in PROBES {
        if let Some(probe) = inner(container, name) {
            fill_number(probe, "timeoutSeconds", 1);
            fill_number(probe, "periodSeconds", 10);
            fill_number(probe, "successThreshold", 1);
            fill_number(probe, "failureThreshold", 3);
            http_get(probe);
            if let Some(grpc) = inner(probe, "grpc") {
                // Here nothing and the empty string are different.
                grpc.entry("service").or_insert_with(|| "".into());
            }
        }
    }
    if let Some(lifecycle) = inner(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = inner(lifecycle, name) {
                http_get(handler);
            }
        }
    }
}

fn http_get(handler: &mut Map<String, Json>) {
    if let Some(get) = inner(handler, "httpGet") {
        fill(get, "path", "/");
        fill(get, "scheme", "HTTP");
    }
}

fn requests_follow_limits(container: &mut Map<String, Json>) {
    let Some(resources) = inner(container, "resources") else { return };
    let Some(Json::Object(limits)) = resources.get("limits").cloned() else { return };
    if let Some(requests) = within(resources, "requests") {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

const SOURCES: [&str; 30] = [
    "hostPath",
    "emptyDir",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "downwardAPI",
    "fc",
    "azureFile",
    "configMap",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "projected",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "csi",
    "ephemeral",
    "image",
];

fn volume(volume: &mut Map<String, Json>) {
    if !SOURCES.iter().any(|source| volume.get(*source).is_some_and(|value| !value.is_null())) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(path) = inner(volume, "hostPath") {
        path.entry("type").or_insert_with(|| "".into());
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = inner(volume, source) {
            fill(source, "defaultMode", 0o644);
            field_refs(source);
            for projected in each(source, "sources") {
                if let Some(token) = inner(projected, "serviceAccountToken") {
                    fill(token, "expirationSeconds", 3600);
                }
                if let Some(downward) = inner(projected, "downwardAPI") {
                    field_refs(downward);
                }
            }
        }
    }
    if let Some(ephemeral) = inner(volume, "ephemeral")
        && let Some(template) = inner(ephemeral, "volumeClaimTemplate")
        && let Some(spec) = within(template, "spec")
    {
        super::claim_spec(spec);
    }
}

fn field_refs(source: &mut Map<String, Json>) {
    for item in each(source, "items") {
        if let Some(field) = inner(item, "fieldRef") {
            fill(field, "apiVersion", "v1");
        }
    }
}

/// Is the tag `latest`, said or unsaid? A digest without a tag is no tag.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest && !image.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_latest;

    #[test]
    fn images_without_a_tag_are_the_latest() {
        assert!(is_latest("jvb"));
        assert!(is_latest("registry:5000/jitsi/jvb"));
        assert!(is_latest("jitsi/jvb:latest"));
        assert!(!is_latest("registry:5000/jitsi/jvb:stable"));
        assert!(!is_latest("jvb@sha256:00"));
    }
}
