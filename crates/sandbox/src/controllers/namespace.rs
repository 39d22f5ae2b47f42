//! Namespaces: what each has from the start, and how one that is deleted empties.

use std::time::Duration;

use api_server::kinds::{CONFIG_MAP, KINDS, NAMESPACE, SERVICE_ACCOUNT};
use api_server::{Answer, ApiError, Request, Verb};
use serde_json::json;

use super::context::Context;
use super::object::{is_going, list, name, put, text};
use super::runner::Controller;
use super::store::{Event, Key, Store};

const ROOT: &str = "kube-root-ca.crt";

pub(crate) struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &NAMESPACE {
            keys.push(event.key.clone());
            return;
        }
        let own = (event.key.kind == &SERVICE_ACCOUNT && event.key.name == "default")
            || (event.key.kind == &CONFIG_MAP && event.key.name == ROOT);
        let space = store.find(&NAMESPACE, "", &event.key.namespace);
        if space.is_some_and(|space| own || (event.new.is_none() && is_going(space))) {
            keys.push(Key::new(&NAMESPACE, "", &event.key.namespace));
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(space) = context.store.get(key) else { return Ok(None) };
        if is_going(space) {
            if empty(&key.name, context)? && !list(space, &["spec", "finalizers"]).is_empty() {
                let mut space = serde_json::Value::clone(space);
                put(&mut space, &["spec", "finalizers"], json!([]));
                context.replace(&NAMESPACE, space, Some("finalize"))?;
            }
            return Ok(None);
        }
        let metadata = |name: &str| json!({ "namespace": key.name, "name": name });
        if context.store.find(&SERVICE_ACCOUNT, &key.name, "default").is_none() {
            let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default") });
            context.ensure(&SERVICE_ACCOUNT, account)?;
        }
        if context.store.find(&CONFIG_MAP, &key.name, ROOT).is_none() {
            let mut metadata = metadata(ROOT);
            metadata["annotations"] = json!({
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver.",
            });
            let data = json!({ "ca.crt": "" });
            let root = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data });
            context.ensure(&CONFIG_MAP, root)?;
        }
        Ok(None)
    }
}

/// Deletes what is in a namespace, pods with their time of grace; says whether nothing is left.
fn empty(space: &str, context: Context<'_>) -> Result<bool, ApiError> {
    let mut left = false;
    for kind in KINDS.iter().copied().filter(|kind| kind.namespaced) {
        let items = match context.server.call(Request::new(Verb::List, kind, Some(space), None)) {
            Ok(Answer::List { items, .. }) => items,
            // A cluster without the kind.
            Err(error) if error.code == 404 || error.code == 501 => continue,
            Err(error) => return Err(error),
            Ok(_) => continue,
        };
        for object in items {
            if !is_going(&object) {
                context.delete(kind, &object)?;
            }
            let known = Request::new(Verb::Get, kind, Some(space), Some(name(&object)));
            left |= match context.server.call(known) {
                Ok(Answer::Object { object: now, .. }) => {
                    text(&now, &["metadata", "uid"]) == text(&object, &["metadata", "uid"])
                }
                _ => false,
            };
        }
    }
    Ok(!left)
}
