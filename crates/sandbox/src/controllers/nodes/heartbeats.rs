//! Whether nodes are heard of. One that is silent for too long is unknown, tainted, and none of its pods is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{NODE, POD};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::super::context::Context;
use super::super::object::{condition, list, put, text};
use super::super::pods;
use super::super::runner::Controller;
use super::super::store::{Event, Key, Store};
use super::{NOT_READY, UNREACHABLE, pods_on, with_condition};

/// How long a node may be silent.
const GRACE: Duration = Duration::from_secs(40);

/// The last heartbeat of each node, and when it was seen: by this machine's timer, so that no jump of a clock makes a
/// node old.
#[derive(Default)]
pub(crate) struct Heartbeats {
    seen: BTreeMap<String, (String, Instant)>,
}

impl Controller for Heartbeats {
    fn name(&self) -> &'static str {
        "node-lifecycle"
    }

    fn wake(&mut self, event: &Event, _store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &NODE {
            keys.push(event.key.clone());
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(node) = context.store.get(key) else {
            self.seen.remove(&key.name);
            return Ok(None);
        };
        let ready = condition(node, "Ready");
        let heartbeat = ready.map(|ready| text(ready, &["lastHeartbeatTime"])).unwrap_or_default();
        let seen = self.seen.entry(key.name.clone()).or_insert_with(|| (heartbeat.to_owned(), context.instant));
        if seen.0 != heartbeat {
            *seen = (heartbeat.to_owned(), context.instant);
        }
        let state = ready.map(|ready| text(ready, &["status"])).unwrap_or_default();
        let left = GRACE.saturating_sub(context.instant - seen.1);
        if left.is_zero() && state != "Unknown" {
            // The write wakes this node again.
            context.set_status(&NODE, node, lost(node, heartbeat, context))?;
            return Ok(None);
        }
        if !state.is_empty() {
            taint(node, state, context)?;
        }
        if matches!(state, "False" | "Unknown") {
            silence_pods(&key.name, context)?;
        }
        Ok(Some(left).filter(|left| !left.is_zero()))
    }
}

/// The status of a node that is not heard of any more.
fn lost(node: &Json, heartbeat: &str, context: Context<'_>) -> Json {
    let (reason, message) = if heartbeat.is_empty() {
        ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
    } else {
        ("NodeStatusUnknown", "Kubelet stopped posting node status.")
    };
    let mut status = node.get("status").cloned().unwrap_or_else(|| json!({}));
    let known = list(node, &["status", "conditions"]).iter().filter(|known| text(known, &["type"]) != "Ready");
    let types: Vec<_> = known.map(|known| text(known, &["type"])).chain(["Ready"]).collect();
    let conditions: Vec<Json> = types
        .into_iter()
        .map(|kind| {
            let mut told = condition(node, kind).cloned().unwrap_or_else(|| json!({ "type": kind }));
            if told["status"] != "Unknown" {
                told["lastTransitionTime"] = json!(context.stamp());
            }
            told["status"] = json!("Unknown");
            told["reason"] = json!(reason);
            told["message"] = json!(message);
            told
        })
        .collect();
    status["conditions"] = json!(conditions);
    status
}

/// The taints that go with the state of readiness, and no others of their keys.
fn taint(node: &Json, state: &str, context: Context<'_>) -> Result<(), ApiError> {
    let wanted = match state {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    };
    let known = list(node, &["spec", "taints"]);
    let is_ours = |taint: &Json| matches!(text(taint, &["key"]), NOT_READY | UNREACHABLE);
    let mut taints: Vec<Json> =
        known.iter().filter(|taint| !is_ours(taint) || Some(text(taint, &["key"])) == wanted).cloned().collect();
    if let Some(key) = wanted {
        for effect in ["NoSchedule", "NoExecute"] {
            if !taints.iter().any(|taint| text(taint, &["key"]) == key && text(taint, &["effect"]) == effect) {
                taints.push(json!({ "key": key, "effect": effect, "timeAdded": context.stamp() }));
            }
        }
    }
    if taints == known {
        return Ok(());
    }
    let mut node = node.clone();
    put(&mut node, &["spec", "taints"], json!(taints));
    context.update(&NODE, node).map(drop)
}

/// Nothing is known of these pods: none of them counts as ready.
fn silence_pods(node: &str, context: Context<'_>) -> Result<(), ApiError> {
    for pod in pods_on(node, context.store).filter(|pod| pods::is_ready(pod)) {
        let mut ready = condition(pod, "Ready").cloned().unwrap_or_default();
        ready["status"] = json!("False");
        ready["lastTransitionTime"] = json!(context.stamp());
        context.set_status(&POD, pod, with_condition(pod, ready))?;
    }
    Ok(())
}
