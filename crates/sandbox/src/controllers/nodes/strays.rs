//! Pods that nobody will ever end: of nodes that no longer exist, of nodes declared out of service, and those that were
//! deleted before they had a node.

use std::collections::BTreeMap;
use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{NODE, POD};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::super::context::Context;
use super::super::object::{condition, is_going, list, text};
use super::super::runner::Controller;
use super::super::store::{Event, Key, Store};
use super::{disrupt, pods_on};

/// How long a node must be missed before its pods are given up.
const QUARANTINE: Duration = Duration::from_secs(40);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The nodes that pods name and nobody knows, and since when.
#[derive(Default)]
pub(crate) struct Strays {
    missed: BTreeMap<String, Instant>,
}

impl Controller for Strays {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &POD && event.new.is_some() {
            keys.push(event.key.clone());
        } else if event.key.kind == &NODE && event.differs(|node| node.get("spec")) {
            if event.new.is_some() {
                self.missed.remove(&event.key.name);
            }
            keys.extend(pods_on(&event.key.name, store).map(|pod| Key::of(&POD, pod)));
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(pod) = context.store.get(key) else { return Ok(None) };
        let node_name = text(pod, &["spec", "nodeName"]);
        let give_up = |message: &str| disrupt(pod, "DeletionByPodGC", message, Some(0), context);
        if node_name.is_empty() {
            if is_going(pod) {
                context.delete_with(&POD, pod, Some(0), None)?;
            }
            return Ok(None);
        }
        match context.store.find(&NODE, "", node_name) {
            Some(node) if is_going(pod) && is_out_of_service(node) => {
                give_up("PodGC: node is out of service")?;
                Ok(None)
            }
            Some(_) => Ok(None),
            None => {
                let since = *self.missed.entry(node_name.to_owned()).or_insert(context.instant);
                let left = QUARANTINE.saturating_sub(context.instant - since);
                if !left.is_zero() {
                    return Ok(Some(left));
                }
                give_up("PodGC: node no longer exists")?;
                Ok(None)
            }
        }
    }
}

fn is_out_of_service(node: &Json) -> bool {
    condition(node, "Ready").is_some_and(|ready| text(ready, &["status"]) != "True")
        && list(node, &["spec", "taints"]).iter().any(|taint| text(taint, &["key"]) == OUT_OF_SERVICE)
}
