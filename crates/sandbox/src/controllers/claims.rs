//! PersistentVolumeClaims: storage is always there, at once, and stays while a pod uses it.

use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{CLAIM, POD};
use serde_json::{Value as Json, json};

use super::context::Context;
use super::object::{at, has_finalizer, is_going, list, put, text, uid};
use super::runner::Controller;
use super::store::{Event, Key, Store};

pub(crate) struct Claims;

/// Holds a claim while a pod uses it; the API server puts it on every new one.
const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// The claims that a pod mounts.
fn mounted(pod: &Json) -> impl Iterator<Item = &str> {
    let volumes = list(pod, &["spec", "volumes"]).iter();
    volumes.map(|volume| text(volume, &["persistentVolumeClaim", "claimName"])).filter(|name| !name.is_empty())
}

fn has_ended(pod: &Json) -> bool {
    matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

/// A claim that is being deleted goes when no pod uses it any more.
fn let_go(key: &Key, claim: &Json, context: Context<'_>) -> Result<(), ApiError> {
    let uses = |pod: &Json| !has_ended(pod) && mounted(pod).any(|name| name == key.name);
    if !has_finalizer(claim, PROTECTION) || context.store.within(&POD, &key.namespace).any(|pod| uses(pod)) {
        return Ok(());
    }
    let mut claim = Json::clone(claim);
    let left: Vec<Json> =
        list(&claim, &["metadata", "finalizers"]).iter().filter(|held| **held != PROTECTION).cloned().collect();
    put(&mut claim, &["metadata", "finalizers"], Json::Array(left));
    context.update(&CLAIM, claim).map(drop)
}

impl Controller for Claims {
    fn name(&self) -> &'static str {
        "persistentvolume-binder"
    }

    fn wake(&mut self, event: &Event, _store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &CLAIM {
            keys.push(event.key.clone());
        } else if event.key.kind == &POD && event.new.as_deref().is_none_or(has_ended) {
            keys.extend(mounted(event.last()).map(|name| Key::new(&CLAIM, &event.key.namespace, name)));
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(claim) = context.store.get(key) else { return Ok(None) };
        if is_going(claim) {
            return let_go(key, claim, context).map(|()| None);
        }
        if text(claim, &["spec", "volumeName"]).is_empty() {
            let mut claim = Json::clone(claim);
            let volume = format!("pvc-{}", uid(&claim));
            put(&mut claim, &["spec", "volumeName"], json!(volume));
            put(&mut claim, &["metadata", "annotations", "pv.kubernetes.io/bind-completed"], json!("yes"));
            context.update(&CLAIM, claim)?;
        } else {
            let mut status = json!({ "phase": "Bound" });
            for (field, path) in
                [("accessModes", &["spec", "accessModes"][..]), ("capacity", &["spec", "resources", "requests"])]
            {
                if let Some(value) = at(claim, path) {
                    status[field] = value.clone();
                }
            }
            context.set_status(&CLAIM, claim, status)?;
        }
        Ok(None)
    }
}
