//! PodDisruptionBudgets: how many pods may be evicted now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{DEPLOYMENT, DISRUPTION_BUDGET, POD, REPLICA_SET, STATEFUL_SET};
use jiff::SignedDuration;
use serde_json::{Map, Value as Json, json};

use super::context::Context;
use super::labels;
use super::object::{at, condition, controller, is_going, map, namespace, number, share, text, uid};
use super::pods;
use super::runner::Controller;
use super::store::{Event, Key, Store};

/// How long an eviction that was granted may take to show as a deletion.
const DISRUPTION: SignedDuration = SignedDuration::from_mins(2);

pub(crate) struct Budgets;

impl Controller for Budgets {
    fn name(&self) -> &'static str {
        "disruption"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        let kind = event.key.kind;
        if kind == &DISRUPTION_BUDGET {
            keys.push(event.key.clone());
        } else if kind == &POD {
            for pod in event.both() {
                keys.extend(
                    store
                        .within(&DISRUPTION_BUDGET, namespace(pod))
                        .filter(|budget| labels::selects(at(budget, &["spec", "selector"]), pod))
                        .map(|budget| Key::of(&DISRUPTION_BUDGET, budget)),
                );
            }
        } else if (kind == &DEPLOYMENT || kind == &REPLICA_SET || kind == &STATEFUL_SET)
            && event.differs(|owner| at(owner, &["spec", "replicas"]))
        {
            keys.extend(
                store
                    .within(&DISRUPTION_BUDGET, &event.key.namespace)
                    .map(|budget| Key::of(&DISRUPTION_BUDGET, budget)),
            );
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(budget) = context.store.get(key) else { return Ok(None) };
        let selector = at(budget, &["spec", "selector"]);
        let pods: Vec<_> = context
            .store
            .within(&POD, namespace(budget))
            .filter(|pod| labels::selects(selector, pod))
            .cloned()
            .collect();
        let (disrupted, again) = disrupted(budget, &pods, context);
        let healthy = pods.iter().filter(|pod| {
            !is_going(pod) && pods::is_ready(pod) && !disrupted.contains_key(text(pod, &["metadata", "name"]))
        });
        let healthy = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
        let (expected, desired) = demand(budget, &pods, context.store);
        let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
        let mut status = json!({
            "observedGeneration": number(budget, &["metadata", "generation"]),
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "conditions": [told(budget, allowed, context)],
        });
        if !disrupted.is_empty() {
            status["disruptedPods"] = Json::Object(disrupted);
        }
        context.set_status(&DISRUPTION_BUDGET, budget, status)?;
        Ok(again)
    }
}

/// Evictions that were granted and do not show yet, and when the first of them lapses.
fn disrupted(budget: &Json, pods: &[Arc<Json>], context: Context<'_>) -> (Map<String, Json>, Option<Duration>) {
    let mut kept = Map::new();
    let mut again: Option<Duration> = None;
    for (name, since) in map(budget, &["status", "disruptedPods"]).into_iter().flatten() {
        let pending = pods.iter().any(|pod| text(pod, &["metadata", "name"]) == name && !is_going(pod));
        let since: Option<jiff::Timestamp> = since.as_str().and_then(|since| since.parse().ok());
        let Some(since) = since.filter(|_| pending) else { continue };
        let left = DISRUPTION - context.now.duration_since(since);
        if let Ok(left) = Duration::try_from(left)
            && !left.is_zero()
        {
            kept.insert(name.clone(), json!(since.to_string()));
            again = Some(again.map_or(left, |known| known.min(left)));
        }
    }
    (kept, again)
}

/// How many pods are expected, and how many of them must be healthy.
fn demand(budget: &Json, pods: &[Arc<Json>], store: &Store) -> (i64, i64) {
    let listed = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if let Some(limit) = at(budget, &["spec", "maxUnavailable"]) {
        let expected = scale(pods, store);
        return (expected, (expected - share(Some(limit), expected, true).unwrap_or_default()).max(0));
    }
    match at(budget, &["spec", "minAvailable"]) {
        Some(Json::String(_)) => {
            let expected = scale(pods, store);
            (expected, share(at(budget, &["spec", "minAvailable"]), expected, true).unwrap_or_default())
        }
        Some(least) => (listed, least.as_i64().unwrap_or_default()),
        None => (listed, 0),
    }
}

/// What the controllers of these pods are asked for, all together.
fn scale(pods: &[Arc<Json>], store: &Store) -> i64 {
    let mut scales: BTreeMap<&str, i64> = BTreeMap::new();
    let owner_of = |object| controller(object).and_then(|owner| store.by_uid(text(owner, &["uid"])));
    for pod in pods {
        let Some((key, owner)) = owner_of(pod) else { continue };
        let top = match owner_of(owner) {
            Some((above, deployment)) if key.kind == &REPLICA_SET && above.kind == &DEPLOYMENT => deployment,
            _ => owner,
        };
        scales.insert(uid(top), number(top, &["spec", "replicas"]).unwrap_or(1));
    }
    scales.values().sum()
}

fn told(budget: &Json, allowed: i64, context: Context<'_>) -> Json {
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let known = condition(budget, "DisruptionAllowed").filter(|known| text(known, &["status"]) == status);
    let since = known.map_or_else(|| context.stamp(), |known| text(known, &["lastTransitionTime"]).to_owned());
    json!({
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": number(budget, &["metadata", "generation"]),
        "lastTransitionTime": since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_follow_the_number_asked_for_not_the_number_there() {
        let mut store = Store::default();
        let set = json!({ "metadata": { "namespace": "a", "name": "s", "uid": "s" }, "spec": { "replicas": 5 } });
        store.put(&STATEFUL_SET, Arc::new(set));
        let owners = json!([{ "kind": "StatefulSet", "name": "s", "uid": "s", "controller": true }]);
        let pods: Vec<_> = (0..3)
            .map(|number| {
                let name = format!("s-{number}");
                Arc::new(json!({ "metadata": { "namespace": "a", "name": name, "ownerReferences": owners } }))
            })
            .collect();
        let table = [
            (json!({ "minAvailable": 2 }), (3, 2)),
            (json!({ "minAvailable": "50%" }), (5, 3)),
            (json!({ "maxUnavailable": 1 }), (5, 4)),
            (json!({ "maxUnavailable": "50%" }), (5, 2)),
            (json!({ "maxUnavailable": 9 }), (5, 0)),
        ];
        for (spec, wanted) in table {
            assert_eq!(demand(&json!({ "spec": spec }), &pods, &store), wanted, "{spec}");
        }
    }
}
