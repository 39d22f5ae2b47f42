//! What becomes of nodes that fall silent, and of their pods.

mod evictions;
mod heartbeats;
mod strays;

use std::sync::Arc;

use api_server::ApiError;
use api_server::kinds::POD;
use serde_json::{Value as Json, json};

use super::context::Context;
use super::object::{list, put, text};
use super::store::Store;

pub(crate) use evictions::Evictions;
pub(crate) use heartbeats::Heartbeats;
pub(crate) use strays::Strays;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

fn pods_on<'a>(node: &'a str, store: &'a Store) -> impl Iterator<Item = &'a Arc<Json>> {
    store.all(&POD).filter(move |pod| text(pod, &["spec", "nodeName"]) == node)
}

/// Puts a condition into an object's status, in the place of the one of its type.
fn with_condition(object: &Json, condition: Json) -> Json {
    let mut conditions = list(object, &["status", "conditions"]).to_vec();
    match conditions.iter_mut().find(|known| known["type"] == condition["type"]) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
    let mut status = object.get("status").cloned().unwrap_or_else(|| json!({}));
    put(&mut status, &["conditions"], json!(conditions));
    status
}

/// Marks a pod as one that the cluster ends, then deletes it.
fn disrupt(pod: &Json, reason: &str, message: &str, grace: Option<i64>, context: Context<'_>) -> Result<(), ApiError> {
    let told = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": context.stamp(),
    });
    let mut status = with_condition(pod, told);
    if grace == Some(0) && !super::pods::has_ended(pod) {
        status["phase"] = json!("Failed");
    }
    context.set_status(&POD, pod, status)?;
    context.delete_with(&POD, pod, grace, None)
}
