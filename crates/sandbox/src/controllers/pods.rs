//! What controllers ask of pods.

use std::time::Duration;

use api_server::Kind;
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::object::{self, at, condition, controlled_by, is_going, text, time};

pub(crate) fn phase(pod: &Json) -> &str {
    text(pod, &["status", "phase"])
}

/// Whether all its containers have ended for good.
pub(crate) fn has_ended(pod: &Json) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether a controller of replicas counts it: neither ended nor going.
pub(crate) fn is_active(pod: &Json) -> bool {
    !has_ended(pod) && !is_going(pod)
}

pub(crate) fn is_ready(pod: &Json) -> bool {
    condition(pod, "Ready").is_some_and(|ready| text(ready, &["status"]) == "True")
}

/// Since when its readiness is as it is.
pub(crate) fn ready_since(pod: &Json) -> Option<Timestamp> {
    condition(pod, "Ready").and_then(|ready| time(ready, &["lastTransitionTime"]))
}

/// How long it must still stay ready to be available; none while it is not ready.
pub(crate) fn until_available(pod: &Json, min_ready: i64, now: Timestamp) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready <= 0 {
        return Some(Duration::ZERO);
    }
    let available = ready_since(pod)?.checked_add(jiff::SignedDuration::from_secs(min_ready)).ok()?;
    Some(Duration::try_from(available.duration_since(now)).unwrap_or_default())
}

pub(crate) fn is_available(pod: &Json, min_ready: i64, now: Timestamp) -> bool {
    until_available(pod, min_ready, now) == Some(Duration::ZERO)
}

/// When the next of these pods becomes available by mere time.
pub(crate) fn next_available<'a>(
    pods: impl Iterator<Item = &'a Json>,
    min_ready: i64,
    now: Timestamp,
) -> Option<Duration> {
    pods.filter_map(|pod| until_available(pod, min_ready, now)).filter(|left| !left.is_zero()).min()
}

/// A pod after a template, without a name.
pub(crate) fn from_template(template: &Json, owner_kind: &Kind, owner: &Json) -> Json {
    let mut metadata = json!({
        "namespace": object::namespace(owner),
        "ownerReferences": [controlled_by(owner_kind, owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = at(template, &["metadata", field]) {
            metadata[field] = value.clone();
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_default(),
    })
}
