//! `metadata`, of all kinds.

use serde_json::{Value as Json, json};

use crate::admission::Attempt;
use crate::admission::causes::Causes;
use crate::admission::names;
use crate::admission::shape::{entries, items, set, text};

/// What all annotations of an object may take.
const ANNOTATIONS: usize = 256 * 1024;

pub(super) fn check(causes: &mut Causes, object: &Json, attempt: &Attempt<'_>) {
    if let Some(old) = attempt.old {
        unchanged(causes, object, old);
    } else {
        name(causes, object, attempt.kind.name);
    }
    labels(causes, "metadata.labels", set(object, "/metadata/labels"));
    annotations(causes, "metadata.annotations", object);
    owners(causes, object);
    for finalizer in items(object, "/metadata/finalizers") {
        let finalizer = finalizer.as_str().unwrap_or_default();
        causes.each("metadata.finalizers", finalizer, &names::qualified(finalizer));
    }
    if attempt.kind.custom || matches!(attempt.kind.name, "Lease" | "PodDisruptionBudget") {
        return;
    }
    for (index, finalizer) in items(object, "/metadata/finalizers").iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !["orphan", "foregroundDeletion", "kubernetes"].contains(&name) {
            causes.invalid(format!("metadata.finalizers[{index}]"), finalizer, UNQUALIFIED);
        }
    }
}

const UNQUALIFIED: &str = "name is neither a standard finalizer name nor is it fully qualified";

fn name(causes: &mut Causes, object: &Json, kind: &str) {
    let rule = match kind {
        "Namespace" | "StatefulSet" => names::label,
        "Service" => names::label_1035,
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => names::path_segment,
        _ => names::subdomain,
    };
    let generate = text(object, "/metadata/generateName");
    if !generate.is_empty() {
        // The last character will be followed by others, so it may be a dash.
        let masked = generate.strip_suffix('-').map(|front| format!("{front}a"));
        causes.each("metadata.generateName", generate, &rule(masked.as_deref().unwrap_or(generate)));
    }
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        causes.required("metadata.name", "name or generateName is required");
    } else {
        causes.each("metadata.name", name, &rule(name));
    }
}

fn unchanged(causes: &mut Causes, object: &Json, old: &Json) {
    if set(old, "/metadata/deletionTimestamp").is_some() {
        let before = items(old, "/metadata/finalizers");
        let added: Vec<&Json> =
            items(object, "/metadata/finalizers").iter().filter(|one| !before.contains(one)).collect();
        if !added.is_empty() {
            let detail = "no new finalizers can be added if the object is being deleted, found new finalizers";
            let shown: Vec<String> =
                added.iter().map(|one| format!("\"{}\"", one.as_str().unwrap_or_default())).collect();
            causes.forbidden("metadata.finalizers", &format!("{detail} []string{{{}}}", shown.join(", ")));
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let pointer = format!("/metadata/{field}");
        causes.immutable(&format!("metadata.{field}"), set(object, &pointer), set(old, &pointer));
    }
}

pub(super) fn labels(causes: &mut Causes, field: &str, labels: Option<&Json>) {
    for (key, value) in labels.into_iter().flat_map(|labels| entries(labels, "")) {
        causes.each(field, key, &names::qualified(key));
        let value = value.as_str().unwrap_or_default();
        causes.each(field, value, &names::label_value(value));
    }
}

pub(super) fn annotations(causes: &mut Causes, field: &str, object: &Json) {
    let mut size = 0;
    for (key, value) in entries(object, "/metadata/annotations") {
        // Keys of annotations may have capitals in their prefix.
        causes.each(field, key, &names::qualified(&key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS {
        causes.too_long(field, ANNOTATIONS);
    }
}

fn owners(causes: &mut Causes, object: &Json) {
    let owners = items(object, "/metadata/ownerReferences");
    for owner in owners {
        let field = "metadata.ownerReferences";
        for name in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, &format!("/{name}")).is_empty() {
                let (at, detail) = if name == "apiVersion" {
                    ("version", "version must not be empty")
                } else {
                    (name, "must not be empty")
                };
                causes.invalid(format!("{field}.{at}"), &json!(""), detail);
            }
        }
    }
    let controllers: Vec<&Json> = owners.iter().filter(|owner| owner["controller"] == json!(true)).collect();
    if let [first, .., last] = controllers.as_slice() {
        let named = |owner: &Json| text(owner, "/kind").to_owned() + "/" + text(owner, "/name");
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            named(first),
            named(last)
        );
        causes.invalid("metadata.ownerReferences", &json!(owners), &detail);
    }
}
