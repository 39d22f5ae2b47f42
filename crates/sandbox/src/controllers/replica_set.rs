//! ReplicaSets: as many pods as are asked for. One that is going is not counted, so its replacement comes while it
//! still ends.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{POD, REPLICA_SET};
use serde_json::{Value as Json, json};

use super::context::Context;
use super::labels;
use super::object::{annotation, at, condition, controller, created, is_going, namespace, number, put, text};
use super::pods;
use super::runner::Controller;
use super::store::{Event, Key, Store};

pub(crate) struct ReplicaSets;

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &REPLICA_SET {
            keys.push(event.key.clone());
        } else if event.key.kind == &POD {
            for pod in event.both() {
                match controller(pod) {
                    Some(owner) if text(owner, &["kind"]) == REPLICA_SET.name => {
                        keys.push(Key::new(&REPLICA_SET, namespace(pod), text(owner, &["name"])));
                    }
                    Some(_) => {}
                    // An orphan may be adopted.
                    None => keys.extend(
                        store
                            .within(&REPLICA_SET, namespace(pod))
                            .filter(|set| labels::selects(at(set, &["spec", "selector"]), pod))
                            .map(|set| Key::of(&REPLICA_SET, set)),
                    ),
                }
            }
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(set) = context.store.get(key) else { return Ok(None) };
        let active: Vec<_> =
            context.claim(&POD, &REPLICA_SET, set)?.into_iter().filter(|pod| pods::is_active(pod)).collect();
        let made = if is_going(set) { Ok(()) } else { scale(set, &active, context) };
        let min_ready = number(set, &["spec", "minReadySeconds"]).unwrap_or_default();
        let status = status(set, &active, min_ready, made.as_ref().err(), context);
        context.set_status(&REPLICA_SET, set, status)?;
        made?;
        Ok(pods::next_available(active.iter().map(|pod| &**pod), min_ready, context.now))
    }
}

fn scale(set: &Json, active: &[Arc<Json>], context: Context<'_>) -> Result<(), ApiError> {
    let wanted = usize::try_from(number(set, &["spec", "replicas"]).unwrap_or(1)).unwrap_or_default();
    for _ in active.len()..wanted {
        let template = at(set, &["spec", "template"]).unwrap_or(&Json::Null);
        let mut pod = pods::from_template(template, &REPLICA_SET, set);
        put(&mut pod, &["metadata", "generateName"], json!(format!("{}-", text(set, &["metadata", "name"]))));
        context.create(&POD, pod)?;
    }
    if active.len() > wanted {
        let mut ranked: Vec<&Arc<Json>> = active.iter().collect();
        ranked.sort_by_cached_key(|pod| rank(pod, active));
        for pod in ranked.into_iter().take(active.len() - wanted) {
            context.delete(&POD, pod)?;
        }
    }
    Ok(())
}

/// The lower, the sooner it goes when there are too many.
fn rank(pod: &Json, all: &[Arc<Json>]) -> impl Ord + use<> {
    let node = text(pod, &["spec", "nodeName"]);
    let neighbours = all.iter().filter(|other| text(other, &["spec", "nodeName"]) == node).count();
    let phase = match pods::phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    let cost: i64 = annotation(pod, "controller.kubernetes.io/pod-deletion-cost").parse().unwrap_or_default();
    let ready = pods::is_ready(pod);
    (
        !node.is_empty(),
        phase,
        ready,
        cost,
        Reverse(neighbours),
        Reverse(pods::ready_since(pod)),
        Reverse(created(pod).to_owned()),
    )
}

fn status(set: &Json, active: &[Arc<Json>], min_ready: i64, failure: Option<&ApiError>, context: Context<'_>) -> Json {
    let count = |of: &dyn Fn(&Json) -> bool| active.iter().filter(|pod| of(pod)).count();
    let labelled =
        json!({ "matchLabels": at(set, &["spec", "template", "metadata", "labels"]).unwrap_or(&Json::Null) });
    let mut status = json!({
        "replicas": active.len(),
        "observedGeneration": number(set, &["metadata", "generation"]),
    });
    // Absent when zero, as Go leaves them out.
    for (field, count) in [
        ("fullyLabeledReplicas", count(&|pod| labels::selects(Some(&labelled), pod))),
        ("readyReplicas", count(&pods::is_ready)),
        ("availableReplicas", count(&|pod| pods::is_available(pod, min_ready, context.now))),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    if let Some(error) = failure {
        let since = condition(set, "ReplicaFailure")
            .map_or_else(|| context.stamp(), |known| text(known, &["lastTransitionTime"]).to_owned());
        status["conditions"] = json!([{
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": error.message,
            "lastTransitionTime": since,
        }]);
    }
    status
}
