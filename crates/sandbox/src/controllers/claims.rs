//! PersistentVolumeClaims: storage is always there, at once.

use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::CLAIM;
use serde_json::{Value as Json, json};

use super::context::Context;
use super::object::{at, is_going, put, text, uid};
use super::runner::Controller;
use super::store::{Event, Key, Store};

pub(crate) struct Claims;

impl Controller for Claims {
    fn name(&self) -> &'static str {
        "persistentvolume-binder"
    }

    fn wake(&mut self, event: &Event, _store: &Store, keys: &mut Vec<Key>) {
        if event.key.kind == &CLAIM {
            keys.push(event.key.clone());
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(claim) = context.store.get(key).filter(|claim| !is_going(claim)) else { return Ok(None) };
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
