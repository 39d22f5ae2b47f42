//! Pods that don't tolerate a node's taints for longer are deleted. On a dead node they stay Terminating, for nobody
//! there confirms their end.

use std::collections::BTreeMap;
use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{NODE, POD};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::super::context::Context;
use super::super::object::{at, is_going, list, number, text, uid};
use super::super::runner::Controller;
use super::super::store::{Event, Key, Store};
use super::{NOT_READY, UNREACHABLE, disrupt, pods_on};

/// What admission gives each pod for nodes that are not ready or unreachable.
const DEFAULT_SECONDS: u64 = 300;

/// The pods on tainted nodes, and since when they were seen there.
#[derive(Default)]
pub(crate) struct Evictions {
    since: BTreeMap<String, Instant>,
}

impl Controller for Evictions {
    fn name(&self) -> &'static str {
        "taint-eviction"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &POD {
            match &event.new {
                Some(_) if event.differs(|pod| at(pod, &["spec"])) => keys.push(event.key.clone()),
                Some(_) => {}
                None => {
                    self.since.remove(uid(event.last()));
                }
            }
        } else if event.key.kind == &NODE && event.differs(|node| at(node, &["spec", "taints"])) {
            keys.extend(pods_on(&event.key.name, store).map(|pod| Key::of(&POD, pod)));
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(pod) = context.store.get(key).filter(|pod| !is_going(pod)) else { return Ok(None) };
        let node = context.store.find(&NODE, "", text(pod, &["spec", "nodeName"]));
        let taints = node.map(|node| list(node, &["spec", "taints"])).unwrap_or_default();
        let Some(patience) = patience(pod, taints) else {
            self.since.remove(uid(pod));
            return Ok(None);
        };
        let since = *self.since.entry(uid(pod).to_owned()).or_insert(context.instant);
        let left = patience.saturating_sub(context.instant - since);
        if left.is_zero() {
            let message = "Taint manager: deleting due to NoExecute taint";
            disrupt(pod, "DeletionByTaintManager", message, None, context)?;
            return Ok(None);
        }
        Ok(Some(left))
    }
}

/// How long a pod stays under these taints; none for ever.
fn patience(pod: &Json, taints: &[Json]) -> Option<Duration> {
    let tolerations = list(pod, &["spec", "tolerations"]);
    let seconds = taints.iter().filter(|taint| text(taint, &["effect"]) == "NoExecute").filter_map(|taint| {
        let mut fitting = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
        if fitting.peek().is_none() {
            let default = matches!(text(taint, &["key"]), NOT_READY | UNREACHABLE);
            return Some(if default { DEFAULT_SECONDS } else { 0 });
        }
        fitting
            .filter_map(|toleration| number(toleration, &["tolerationSeconds"]))
            .map(|seconds| u64::try_from(seconds).unwrap_or_default())
            .min()
    });
    seconds.min().map(Duration::from_secs)
}

fn tolerates(toleration: &Json, taint: &Json) -> bool {
    let (key, effect) = (text(toleration, &["key"]), text(toleration, &["effect"]));
    let exists = text(toleration, &["operator"]) == "Exists";
    (effect.is_empty() || effect == text(taint, &["effect"]))
        && (key == text(taint, &["key"]) || (key.is_empty() && exists))
        && (exists || text(toleration, &["value"]) == text(taint, &["value"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patience_is_that_of_the_least_tolerated_taint() {
        let unreachable = json!({ "key": UNREACHABLE, "effect": "NoExecute" });
        let other = json!({ "key": "other", "value": "x", "effect": "NoExecute" });
        let harmless = json!({ "key": "other", "effect": "NoSchedule" });
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let bounded = json!({ "key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 30 });
        let endless = json!({ "operator": "Exists" });
        let table = [
            (json!([]), vec![&harmless], None),
            (json!([]), vec![&unreachable], seconds(300)),
            (json!([bounded]), vec![&unreachable], seconds(30)),
            (json!([bounded]), vec![&unreachable, &other], seconds(0)),
            (json!([endless]), vec![&unreachable, &other], None),
            (json!([bounded, { "key": "other", "value": "x" }]), vec![&unreachable, &other], seconds(30)),
        ];
        for (tolerations, taints, wanted) in table {
            let pod = json!({ "spec": { "tolerations": tolerations } });
            let taints: Vec<Json> = taints.into_iter().cloned().collect();
            assert_eq!(patience(&pod, &taints), wanted, "{tolerations}");
        }
    }
}
