//! Which pod is which.

use api_server::kinds::STATEFUL_SET;
use serde_json::{Value as Json, json};

use super::super::object::{self, list, name, put, text};
use super::super::pods;
use super::REVISION_LABEL;

pub(super) fn pod_name(set: &Json, ordinal: i64) -> String {
    format!("{}-{ordinal}", name(set))
}

/// The claim that a pod of this number has by one of the templates.
pub(super) fn claim_name(set: &Json, template: &Json, ordinal: i64) -> String {
    format!("{}-{}", name(template), pod_name(set, ordinal))
}

/// The number in a pod's name.
pub(super) fn ordinal(set: &Json, pod: &Json) -> Option<i64> {
    name(pod).strip_prefix(name(set))?.strip_prefix('-')?.parse().ok().filter(|ordinal| *ordinal >= 0)
}

/// The pod of a number, after a template.
pub(super) fn pod(set: &Json, ordinal: i64, template: &Json, revision: &str) -> Json {
    let mut pod = pods::from_template(template, &STATEFUL_SET, set);
    let own = pod_name(set, ordinal);
    for (label, value) in [
        (REVISION_LABEL, revision),
        ("statefulset.kubernetes.io/pod-name", &own),
        ("apps.kubernetes.io/pod-index", &ordinal.to_string()),
    ] {
        put(&mut pod, &["metadata", "labels", label], json!(value));
    }
    put(&mut pod, &["spec", "hostname"], json!(own));
    let service = text(set, &["spec", "serviceName"]);
    if !service.is_empty() {
        put(&mut pod, &["spec", "subdomain"], json!(service));
    }
    put(&mut pod, &["metadata", "name"], json!(own));
    let claimed: Vec<Json> = list(set, &["spec", "volumeClaimTemplates"])
        .iter()
        .map(|template| {
            let claim = claim_name(set, template, ordinal);
            json!({ "name": object::name(template), "persistentVolumeClaim": { "claimName": claim } })
        })
        .collect();
    if !claimed.is_empty() {
        let others = list(&pod, &["spec", "volumes"]).iter();
        let others = others.filter(|volume| claimed.iter().all(|own| own["name"] != volume["name"])).cloned();
        let volumes: Vec<Json> = others.chain(claimed.iter().cloned()).collect();
        put(&mut pod, &["spec", "volumes"], json!(volumes));
    }
    pod
}
