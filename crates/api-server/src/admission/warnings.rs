//! What is admitted, and still worth a word.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::shape::{items, number, text};
use crate::kinds::Kind;

/// Adds the warnings about the object itself.
pub(super) fn collect(object: &Json, old: Option<&Json>, kind: &Kind, warnings: &mut Vec<String>) {
    if kind.custom {
        finalizers(object, old, warnings);
    }
    match kind.name {
        "Pod" => pod(object.get("spec").unwrap_or(&Json::Null), "spec", warnings),
        "Service" => service(object, warnings),
        "Deployment" | "ReplicaSet" | "StatefulSet" => {
            pod(object.pointer("/spec/template/spec").unwrap_or(&Json::Null), "spec.template.spec", warnings);
        }
        _ => {}
    }
}

fn service(service: &Json, warnings: &mut Vec<String>) {
    if text(service, "/spec/clusterIP") == "None" && text(service, "/spec/sessionAffinity") != "None" {
        warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
    }
    if text(service, "/spec/type") != "ExternalName" && !text(service, "/spec/externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
}

fn finalizers(object: &Json, old: Option<&Json>, warnings: &mut Vec<String>) {
    const KNOWN: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];
    let before = old.map(|old| items(old, "/metadata/finalizers")).unwrap_or_default();
    let added = items(object, "/metadata/finalizers").iter().filter(|name| !before.contains(name));
    for name in added.filter_map(Json::as_str) {
        if !name.contains('/') && !KNOWN.contains(&name) {
            warnings.push(format!(
                "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name to avoid accidental conflicts \
                 with other finalizer writers"
            ));
        }
    }
}

fn pod(spec: &Json, field: &str, warnings: &mut Vec<String>) {
    for list in ["initContainers", "containers"] {
        for (index, container) in items(spec, &format!("/{list}")).iter().enumerate() {
            let at = format!("{field}.{list}[{index}]");
            variables(container, &at, warnings);
            ports(container, &at, warnings);
        }
    }
}

fn variables(container: &Json, field: &str, warnings: &mut Vec<String>) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (index, variable) in items(container, "/env").iter().enumerate() {
        let name = text(variable, "/name");
        // A later value that is built from the earlier one is meant so.
        if !seen.insert(name) && !text(variable, "/value").contains(&format!("$({name})")) {
            let what = format!("hides previous definition of \"{name}\", which may be dropped when using apply");
            warnings.push(format!("{field}.env[{index}]: {what}"));
        }
    }
}

fn ports(container: &Json, field: &str, warnings: &mut Vec<String>) {
    let mut seen: Vec<(&str, i64, i64, &str, usize)> = Vec::new();
    for (index, port) in items(container, "/ports").iter().enumerate() {
        let (protocol, inner) = (text(port, "/protocol"), number(port, "/containerPort").unwrap_or(0));
        let (host, address) = (number(port, "/hostPort").unwrap_or(0), text(port, "/hostIP"));
        let same = seen.iter().find(|one| (one.0, one.1, one.2, one.3) == (protocol, inner, host, address));
        if let Some((.., before)) = same {
            warnings.push(format!("{field}.ports[{index}]: duplicate port definition with {field}.ports[{before}]"));
        } else {
            seen.push((protocol, inner, host, address, index));
        }
    }
}
