//! Questions of callers about themselves: what they may do, and who they are.

use serde_json::{Value as Json, json};

use crate::access::{self, Action};
use crate::error::ApiError;
use crate::request::User;
use crate::server::ApiServer;

/// Answers a review.
pub(super) fn answer(server: &ApiServer, user: &User, plural: &str, review: Json) -> Result<Json, ApiError> {
    let (group, kind, status) = match plural {
        "selfsubjectaccessreviews" => ("authorization", "SelfSubjectAccessReview", access(server, user, &review)?),
        "selfsubjectrulesreviews" => ("authorization", "SelfSubjectRulesReview", rules(server, user, &review)),
        _ => {
            let info = json!({ "userInfo": { "username": user.name, "groups": user.groups } });
            ("authentication", "SelfSubjectReview", info)
        }
    };
    let mut answer = json!({
        "kind": kind,
        "apiVersion": format!("{group}.k8s.io/v1"),
        "metadata": { "creationTimestamp": null },
        "status": status,
    });
    if let Some(spec) = review.get("spec") {
        answer["spec"] = spec.clone();
    }
    Ok(answer)
}

fn access(server: &ApiServer, user: &User, review: &Json) -> Result<Json, ApiError> {
    if review.pointer("/spec/nonResourceAttributes").is_some_and(Json::is_object) {
        let allowed = user.groups.iter().any(|group| group == "system:masters");
        return Ok(json!({ "allowed": allowed }));
    }
    let Some(asked) = review.pointer("/spec/resourceAttributes").filter(|asked| asked.is_object()) else {
        let message = "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid \
                       value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
        return Err(ApiError::new(422, "Invalid", message));
    };
    let text = |key: &str| asked[key].as_str().filter(|text| !text.is_empty());
    let action = Action {
        verb: text("verb").unwrap_or_default(),
        group: text("group").unwrap_or_default(),
        resource: text("resource").unwrap_or_default(),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
    };
    Ok(json!({ "allowed": server.with_all(|around| access::allows(around, user, action)) }))
}

fn rules(server: &ApiServer, user: &User, review: &Json) -> Json {
    let namespace = review.pointer("/spec/namespace").and_then(Json::as_str);
    let mut resources = server.with_all(|around| access::rules(around, user, namespace));
    let mut others = Vec::new();
    if access::is_master(user) {
        resources.push(json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }));
        others.push(json!({ "verbs": ["*"], "nonResourceURLs": ["*"] }));
    }
    json!({ "resourceRules": resources, "nonResourceRules": others, "incomplete": false })
}
