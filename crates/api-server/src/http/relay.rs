//! What kubelets answer: port-forwards and logs.

use http::uri::PathAndQuery;
use http::{Request as HttpRequest, Response, Uri, header};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};

use super::Hooks;
use super::body::Body;
use super::query;
use super::render::text;
use crate::access::{self, Action};
use crate::error::ApiError;
use crate::kinds::POD;
use crate::request::{Answer, Request, User, Verb};
use crate::server::ApiServer;

/// Hands a request for a pod's subresource to the kubelet of its node.
pub(super) async fn call(
    server: &ApiServer,
    hooks: &Hooks,
    user: &User,
    (namespace, name, subresource): (&str, &str, &str),
    mut request: HttpRequest<Incoming>,
) -> Result<Response<Body>, ApiError> {
    // A websocket starts with a GET; since 1.35 it must be allowed to create as well, and who can't should know early.
    let verbs: &[&str] = match (subresource, request.method()) {
        ("log", _) => &["get"],
        (_, &http::Method::POST) => &["create"],
        _ => &["get", "create"],
    };
    for verb in verbs {
        let action = Action {
            verb,
            group: "",
            resource: "pods",
            subresource: Some(subresource),
            namespace: Some(namespace),
            name: Some(name),
        };
        server.with_all(|around| access::require(around, user, action))?;
    }
    let pod = match server.call(Request::new(Verb::Get, &POD, Some(namespace), Some(name)))? {
        Answer::Object { object, .. } => object,
        _ => return Err(ApiError::new(404, "NotFound", format!("pods {name:?} not found"))),
    };
    let node = pod.pointer("/spec/nodeName").and_then(Json::as_str).filter(|node| !node.is_empty());
    let path = if subresource == "log" {
        let container = container(&pod, name, request.uri().query().unwrap_or_default())?;
        format!("/containerLogs/{namespace}/{name}/{container}")
    } else {
        if request.headers().get(header::UPGRADE).is_none() {
            return Err(ApiError::bad_request("Upgrade request required"));
        }
        format!("/portForward/{namespace}/{name}")
    };
    let Some(node) = node else {
        // A pod without a node has said nothing yet.
        if subresource == "log" {
            return Ok(text(200, ""));
        }
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    };
    let Some(kubelets) = &hooks.kubelets else {
        let message = format!("pods/{subresource} of {namespace}/{name}: this cluster has no kubelets to ask");
        return Err(ApiError::not_implemented(message));
    };
    *request.uri_mut() = uri(&path, request.uri().query())?;
    // What stands between caller and API server is not the kubelet's concern.
    request.headers_mut().remove(header::AUTHORIZATION);
    Ok(kubelets.call(node, request).await)
}

fn uri(path: &str, query: Option<&str>) -> Result<Uri, ApiError> {
    let text = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let parsed: Result<PathAndQuery, _> = text.parse();
    parsed.map(Uri::from).map_err(|error| ApiError::bad_request(format!("the kubelet's path {text:?}: {error}")))
}

/// Whose logs are meant.
fn container(pod: &Json, name: &str, query: &str) -> Result<String, ApiError> {
    let names = |key: &str| -> Vec<String> {
        let containers = pod.pointer(&format!("/spec/{key}")).and_then(Json::as_array);
        containers.into_iter().flatten().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
    };
    let (own, init) = (names("containers"), names("initContainers"));
    let asked = query::pairs(query).find(|(key, value)| key == "container" && !value.is_empty());
    match (asked, own.as_slice()) {
        (Some((_, asked)), _) if own.contains(&asked) || init.contains(&asked) => Ok(asked),
        (Some((_, asked)), _) => Err(ApiError::bad_request(format!("container {asked} is not valid for pod {name}"))
            .with(json!({ "name": name, "kind": "pods" }))),
        (None, [only]) => Ok(only.clone()),
        (None, many) => {
            let mut message =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", many.join(" "));
            if !init.is_empty() {
                message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(ApiError::bad_request(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_those_of_one_container() {
        let pod = json!({ "spec": { "containers": [{ "name": "a" }, { "name": "b" }], "initContainers": [] } });
        assert_eq!(container(&pod, "p", "container=b&follow=true").unwrap(), "b");
        let message = container(&pod, "p", "").unwrap_err().message;
        assert_eq!(message, "a container name must be specified for pod p, choose one of: [a b]");
        assert_eq!(container(&pod, "p", "container=c").unwrap_err().message, "container c is not valid for pod p");
    }
}
