//! As much of OpenAPI v3 as kubectl asks for before an apply: that each kind can be patched, and by which parameters.

use serde_json::{Map, Value as Json, json};

use super::target::prefix;
use crate::kinds::Kind;
use crate::schema;

/// The list of documents.
pub(super) fn index(groups: &[(&'static str, &'static str, Vec<&'static Kind>)]) -> Json {
    let mut paths = Map::new();
    for (group, version, _) in groups {
        let prefix = prefix(group, version);
        let url = format!("/openapi/v3/{prefix}?hash={}", schema::server_version());
        paths.insert(prefix, json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

/// The document of a group's version.
pub(super) fn document((group, version, kinds): &(&'static str, &'static str, Vec<&'static Kind>)) -> Json {
    let parameters: Vec<Json> = ["dryRun", "fieldManager", "fieldValidation", "force"]
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } }))
        .collect();
    let mut paths = Map::new();
    for kind in kinds {
        let within = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
        let action = json!({
            "parameters": parameters,
            "responses": { "200": { "description": "OK" } },
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind.name },
        });
        let path = format!("/{}/{within}{}/{{name}}", prefix(group, version), kind.plural);
        paths.insert(path, json!({ "patch": action }));
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": schema::server_version() },
        "paths": paths,
        "components": { "schemas": {} },
    })
}
