//! What is served, told to clients.

use http::Response;
use serde_json::{Value as Json, json};

use super::body::Body;
use super::media::Shape;
use super::openapi;
use super::render::{document, text};
use super::target::{REVIEWS, groups, prefix};
use crate::kinds::{Kind, NAMESPACE};
use crate::schema;
use crate::server::ApiServer;

type Group = (&'static str, &'static str, Vec<&'static Kind>);

/// The document at a path, if there is one.
pub(super) fn find(server: &ApiServer, path: &str, shape: Shape) -> Option<Response<Body>> {
    let groups = groups(|kind| server.has(kind));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let found = match (parts.as_slice(), shape) {
        (["healthz" | "livez" | "readyz", ..], _) => return Some(text(200, "ok")),
        ([], _) => paths(&groups),
        (["version"], _) => version(),
        (["api"], Shape::Aggregated) => aggregated(&groups, true),
        (["apis"], Shape::Aggregated) => aggregated(&groups, false),
        (["api"], _) => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1" }],
        }),
        (["apis"], _) => {
            let groups: Vec<Json> = groups.iter().filter(|group| !group.0.is_empty()).map(group).collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
        }
        (["api", version], _) => resources(find_group(&groups, "", version)?),
        (["apis", name], _) => {
            let mut found = group(groups.iter().find(|(group, _, _)| group == name)?);
            found["kind"] = "APIGroup".into();
            found["apiVersion"] = "v1".into();
            found
        }
        (["apis", group, version], _) => resources(find_group(&groups, group, version)?),
        (["openapi", "v3"], _) => openapi::index(&groups),
        (["openapi", "v3", "api", version], _) => openapi::document(find_group(&groups, "", version)?),
        (["openapi", "v3", "apis", group, version], _) => openapi::document(find_group(&groups, group, version)?),
        _ => return None,
    };
    let mut response = document(200, &found);
    if shape == Shape::Aggregated && matches!(parts.as_slice(), ["api" | "apis"]) {
        let content = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content));
    }
    Some(response)
}

fn find_group<'a>(groups: &'a [Group], group: &str, version: &str) -> Option<&'a Group> {
    groups.iter().find(|(one, other, _)| *one == group && *other == version)
}

fn paths(groups: &[Group]) -> Json {
    let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
    paths.extend(groups.iter().map(|(group, version, _)| format!("/{}", prefix(group, version))));
    paths.extend(["/healthz", "/livez", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
    paths.sort();
    json!({ "paths": paths })
}

fn version() -> Json {
    let version = schema::server_version();
    let mut numbers = version.trim_start_matches('v').split('.');
    json!({
        "major": numbers.next(),
        "minor": numbers.next(),
        "gitVersion": version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    })
}

fn group((group, version, _): &Group) -> Json {
    let version = json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    json!({ "name": group, "versions": [version], "preferredVersion": version })
}

/// The verbs of a kind's collection and objects.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Those of one kind.
fn verbs(kind: &Kind) -> Vec<&'static str> {
    VERBS.into_iter().filter(|verb| kind != &NAMESPACE || *verb != "deletecollection").collect()
}

/// A subresource's kind and its verbs.
fn subresource(name: &str) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
    match name {
        "binding" => ("", "v1", "Binding", &["create"]),
        "eviction" => ("policy", "v1", "Eviction", &["create"]),
        "portforward" => ("", "v1", "PodPortForwardOptions", &["create", "get"]),
        "log" => ("", "v1", "Pod", &["get"]),
        "scale" => ("autoscaling", "v1", "Scale", &["get", "patch", "update"]),
        "finalize" => ("", "v1", "Namespace", &["update"]),
        "token" => ("authentication.k8s.io", "v1", "TokenRequest", &["create"]),
        _ => ("", "", "", &["get", "patch", "update"]),
    }
}

fn resources((group, version, kinds): &Group) -> Json {
    let mut resources = Vec::new();
    for kind in kinds {
        let mut resource = json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": verbs(kind),
        });
        if !kind.short.is_empty() {
            resource["shortNames"] = kind.short.into();
        }
        if !kind.categories.is_empty() {
            resource["categories"] = kind.categories.into();
        }
        resources.push(resource);
        for name in kind.subresources {
            let (of, at, called, verbs) = subresource(name);
            let mut resource = json!({
                "name": format!("{}/{name}", kind.plural),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": if called.is_empty() { kind.name } else { called },
                "verbs": verbs,
            });
            if !of.is_empty() {
                resource["group"] = of.into();
                resource["version"] = at.into();
            }
            resources.push(resource);
        }
    }
    for (_, plural, kind) in REVIEWS.iter().filter(|(of, _, _)| of == group) {
        let singular = kind.to_lowercase();
        resources.push(json!({
            "name": plural, "singularName": singular, "namespaced": false, "kind": kind, "verbs": ["create"],
        }));
    }
    let version = if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources })
}

fn aggregated(groups: &[Group], core: bool) -> Json {
    let items: Vec<Json> = groups
        .iter()
        .filter(|(group, _, _)| group.is_empty() == core)
        .map(|(group, version, kinds)| {
            let mut resources: Vec<Json> = kinds.iter().map(|kind| aggregated_kind(kind)).collect();
            for (of, plural, kind) in REVIEWS.iter().filter(|(of, _, _)| of == group) {
                resources.push(json!({
                    "resource": plural,
                    "responseKind": { "group": of, "version": "v1", "kind": kind },
                    "scope": "Cluster",
                    "singularResource": kind.to_lowercase(),
                    "verbs": ["create"],
                }));
            }
            json!({
                "metadata": { "name": group, "creationTimestamp": null },
                "versions": [{ "version": version, "freshness": "Current", "resources": resources }],
            })
        })
        .collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

fn aggregated_kind(kind: &Kind) -> Json {
    let own = json!({ "group": kind.group, "version": kind.version, "kind": kind.name });
    let subresources: Vec<Json> = kind
        .subresources
        .iter()
        .map(|name| {
            let (of, at, called, verbs) = subresource(name);
            let response =
                if called.is_empty() { own.clone() } else { json!({ "group": of, "version": at, "kind": called }) };
            json!({ "subresource": name, "responseKind": response, "verbs": verbs })
        })
        .collect();
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": own,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    for (key, list) in [("shortNames", kind.short), ("categories", kind.categories)] {
        if !list.is_empty() {
            resource[key] = list.into();
        }
    }
    if !subresources.is_empty() {
        resource["subresources"] = subresources.into();
    }
    resource
}
