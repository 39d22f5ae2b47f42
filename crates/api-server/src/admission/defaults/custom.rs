//! What the definitions of HTTPRoute and PodMonitor say.

use serde_json::{Map, Value as Json, json};

use crate::admission::shape::{each, inner};

/// Definitions default what is absent; an empty string was said.
fn absent(fields: &mut Map<String, Json>, name: &str, value: Json) {
    fields.entry(name).or_insert(value);
}

pub(super) fn http_route(object: &mut Map<String, Json>) {
    let Some(spec) = inner(object, "spec") else { return };
    for parent in each(spec, "parentRefs") {
        absent(parent, "group", json!("gateway.networking.k8s.io"));
        absent(parent, "kind", json!("Gateway"));
    }
    let anything = || json!([{ "path": { "type": "PathPrefix", "value": "/" } }]);
    absent(spec, "rules", json!([{ "matches": anything() }]));
    for rule in each(spec, "rules") {
        absent(rule, "matches", anything());
        for wanted in each(rule, "matches") {
            absent(wanted, "path", json!({ "type": "PathPrefix", "value": "/" }));
            if let Some(path) = inner(wanted, "path") {
                absent(path, "type", json!("PathPrefix"));
                absent(path, "value", json!("/"));
            }
            for name in ["headers", "queryParams"] {
                each(wanted, name).for_each(|part| absent(part, "type", json!("Exact")));
            }
        }
        each(rule, "filters").for_each(filter);
        for backend in each(rule, "backendRefs") {
            reference(backend);
            absent(backend, "weight", json!(1));
            each(backend, "filters").for_each(filter);
        }
    }
}

fn filter(filter: &mut Map<String, Json>) {
    if let Some(redirect) = inner(filter, "requestRedirect") {
        absent(redirect, "statusCode", json!(302));
    }
    if let Some(mirror) = inner(filter, "requestMirror")
        && let Some(backend) = inner(mirror, "backendRef")
    {
        reference(backend);
    }
}

fn reference(backend: &mut Map<String, Json>) {
    absent(backend, "group", json!(""));
    absent(backend, "kind", json!("Service"));
}

pub(super) fn pod_monitor(object: &mut Map<String, Json>) {
    let Some(spec) = inner(object, "spec") else { return };
    for endpoint in each(spec, "podMetricsEndpoints") {
        for name in ["relabelings", "metricRelabelings"] {
            each(endpoint, name).for_each(|relabeling| absent(relabeling, "action", json!("replace")));
        }
    }
}
