//! EndpointSlices: for each Service with a selector, where its pods are and whether they take traffic.

mod endpoint;
mod slices;

use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{ENDPOINT_SLICE, NODE, POD, SERVICE};
use serde_json::Value as Json;

use super::context::Context;
use super::labels;
use super::object::{at, is_going, label, map, namespace, text};
use super::runner::Controller;
use super::store::{Event, Key, Store};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";

pub(crate) struct EndpointSlices;

impl Controller for EndpointSlices {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        let selecting = |pod: &Json| -> Vec<Key> {
            store
                .within(&SERVICE, namespace(pod))
                .filter(|service| selects(service, pod))
                .map(|service| Key::of(&SERVICE, service))
                .collect()
        };
        if event.key.kind == &SERVICE {
            keys.push(event.key.clone());
        } else if event.key.kind == &POD {
            event.both().for_each(|pod| keys.extend(selecting(pod)));
        } else if event.key.kind == &ENDPOINT_SLICE {
            let service = label(event.last(), SERVICE_NAME);
            if !service.is_empty() {
                keys.push(Key::new(&SERVICE, &event.key.namespace, service));
            }
        } else if event.key.kind == &NODE && event.differs(|node| at(node, &["metadata", "labels", ZONE])) {
            let here = |pod: &&std::sync::Arc<Json>| text(pod, &["spec", "nodeName"]) == event.key.name;
            store.all(&POD).filter(here).for_each(|pod| keys.extend(selecting(pod)));
        }
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        // The slices of a Service that is gone go with their owner.
        if let Some(service) = context.store.get(key)
            && !is_going(service)
            && map(service, &["spec", "selector"]).is_some_and(|selector| !selector.is_empty())
            && text(service, &["spec", "type"]) != "ExternalName"
        {
            slices::reconcile(service, context)?;
        }
        Ok(None)
    }
}

fn selects(service: &Json, pod: &Json) -> bool {
    map(service, &["spec", "selector"]).is_some_and(|selector| !selector.is_empty() && labels::carries(selector, pod))
}
