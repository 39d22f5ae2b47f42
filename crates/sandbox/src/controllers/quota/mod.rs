//! ResourceQuotas: what of them is used.

mod quantity;
mod usage;

use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{LEASE, NODE, QUOTA};
use serde_json::{Map, Value as Json, json};

use super::context::Context;
use super::object::{map, namespace};
use super::runner::Controller;
use super::store::{Event, Key, Store};

pub(crate) struct Quotas;

impl Controller for Quotas {
    fn name(&self) -> &'static str {
        "resourcequota"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        let kind = event.key.kind;
        if kind == &QUOTA {
            keys.push(event.key.clone());
        } else if kind != &LEASE && kind != &NODE {
            keys.extend(store.within(&QUOTA, &event.key.namespace).map(|quota| Key::of(&QUOTA, quota)));
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(quota) = context.store.get(key) else { return Ok(None) };
        let hard = map(quota, &["spec", "hard"]).cloned().unwrap_or_default();
        let used: Map<String, Json> = hard
            .keys()
            .filter_map(|resource| {
                let used = usage::of(resource, namespace(quota), context.store)?;
                Some((resource.clone(), json!(used.to_string())))
            })
            .collect();
        context.set_status(&QUOTA, quota, json!({ "hard": hard, "used": used }))?;
        Ok(None)
    }
}
