//! Endpoints, spread over slices: one group per address family and set of ports, at most a hundred to a slice.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_server::ApiError;
use api_server::kinds::{ENDPOINT_SLICE, POD, SERVICE};
use serde_json::{Map, Value as Json, json};

use super::super::context::Context;
use super::super::object::{at, controlled_by, is_going, label, list, map, name, namespace, put, text};
use super::{MANAGED_BY, MANAGER, SERVICE_NAME, endpoint, selects};

const LIMIT: usize = 100;

/// The endpoints of one group, by the UIDs of their pods.
type Group = BTreeMap<String, Json>;

pub(super) fn reconcile(service: &Json, context: Context<'_>) -> Result<(), ApiError> {
    let slices: Vec<&Arc<Json>> = context
        .store
        .within(&ENDPOINT_SLICE, namespace(service))
        .filter(|slice| label(slice, SERVICE_NAME) == name(service) && label(slice, MANAGED_BY) == MANAGER)
        .filter(|slice| !is_going(slice))
        .collect();
    let families = endpoint::families(service);
    for slice in &slices {
        if !families.contains(&text(slice, &["addressType"])) {
            context.delete(&ENDPOINT_SLICE, slice)?;
        }
    }
    for family in families {
        let own: Vec<_> = slices.iter().filter(|slice| text(slice, &["addressType"]) == family).copied().collect();
        reconcile_family(service, family, &own, context)?;
    }
    Ok(())
}

fn reconcile_family(service: &Json, family: &str, slices: &[&Arc<Json>], context: Context<'_>) -> Result<(), ApiError> {
    // The ports of a group are its key, as text, for want of an order of values.
    let mut groups: BTreeMap<String, (Json, Group)> = BTreeMap::new();
    for pod in context.store.within(&POD, namespace(service)).filter(|pod| selects(service, pod)) {
        if let Some(found) = endpoint::endpoint(service, pod, family, context.store) {
            let ports = json!(endpoint::ports(service, pod));
            let (_, group) = groups.entry(ports.to_string()).or_insert_with(|| (ports, Group::new()));
            group.insert(pod_of(&found).to_owned(), found);
        }
    }
    if groups.is_empty() {
        // A Service without pods has one empty slice.
        groups.insert("[]".to_owned(), (json!([]), Group::new()));
    }
    let (mut unused, mut fresh) = (Vec::new(), Vec::new());
    let mut by_ports: BTreeMap<String, Vec<&Json>> = BTreeMap::new();
    for slice in slices {
        by_ports.entry(json!(list(slice, &["ports"])).to_string()).or_default().push(slice);
    }
    for (key, (ports, mut group)) in groups {
        let mut placeholder = group.is_empty();
        let own = by_ports.remove(&key).unwrap_or_default();
        let kept: Vec<_> = own.into_iter().map(|slice| (slice, keep(slice, &mut group))).collect();
        for (slice, mut endpoints) in kept {
            fill(&mut endpoints, &mut group);
            if endpoints.is_empty() && !std::mem::take(&mut placeholder) {
                unused.push(slice);
            } else {
                write(service, slice, &ports, &endpoints, context)?;
            }
        }
        while placeholder || !group.is_empty() {
            placeholder = false;
            let mut endpoints = Vec::new();
            fill(&mut endpoints, &mut group);
            fresh.push((ports.clone(), endpoints));
        }
    }
    unused.extend(by_ports.into_values().flatten());
    // Slices that would go take up what would be created: their names stay.
    for (ports, endpoints) in fresh {
        match unused.pop() {
            Some(slice) => write(service, slice, &ports, &endpoints, context)?,
            None => create(service, family, &ports, &endpoints, context)?,
        }
    }
    unused.into_iter().try_for_each(|slice| context.delete(&ENDPOINT_SLICE, slice))
}

/// Takes from the group what a slice has room for.
fn fill(endpoints: &mut Vec<Json>, group: &mut Group) {
    while endpoints.len() < LIMIT
        && let Some((_, next)) = group.pop_first()
    {
        endpoints.push(next);
    }
}

fn pod_of(endpoint: &Json) -> &str {
    text(endpoint, &["targetRef", "uid"])
}

/// Those of a slice that are still wanted, as they are now; they leave the group.
fn keep(slice: &Json, group: &mut Group) -> Vec<Json> {
    list(slice, &["endpoints"]).iter().filter_map(|known| group.remove(pod_of(known))).collect()
}

fn labels(service: &Json) -> Map<String, Json> {
    let mut labels = map(service, &["metadata", "labels"]).cloned().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), json!(name(service)));
    labels.insert(MANAGED_BY.to_owned(), json!(MANAGER));
    if text(service, &["spec", "clusterIP"]) == "None" {
        labels.insert("service.kubernetes.io/headless".to_owned(), json!(""));
    }
    labels
}

fn write(service: &Json, slice: &Json, ports: &Json, endpoints: &[Json], context: Context<'_>) -> Result<(), ApiError> {
    let labels = Json::Object(labels(service));
    let same = list(slice, &["endpoints"]) == endpoints
        && at(slice, &["metadata", "labels"]) == Some(&labels)
        && Some(list(slice, &["ports"])) == ports.as_array().map(Vec::as_slice);
    if same {
        return Ok(());
    }
    let mut slice = slice.clone();
    put(&mut slice, &["metadata", "labels"], labels);
    put(&mut slice, &["endpoints"], json!(endpoints));
    put(&mut slice, &["ports"], ports.clone());
    context.update(&ENDPOINT_SLICE, slice).map(drop)
}

fn create(
    service: &Json,
    family: &str,
    ports: &Json,
    endpoints: &[Json],
    context: Context<'_>,
) -> Result<(), ApiError> {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace(service),
            "generateName": format!("{}-", name(service)),
            "labels": labels(service),
            "ownerReferences": [controlled_by(&SERVICE, service)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    });
    context.create(&ENDPOINT_SLICE, slice).map(drop)
}
