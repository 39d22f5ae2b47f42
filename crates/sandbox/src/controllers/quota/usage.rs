//! How much of one resource a namespace uses.

use api_server::Kind;
use api_server::kinds::{CLAIM, KINDS, POD, SERVICE};
use serde_json::Value as Json;

use super::super::object::{list, text};
use super::super::pods;
use super::super::store::Store;
use super::quantity::Quantity;

/// The amount used; none for resources that are not counted here.
pub(super) fn of(resource: &str, namespace: &str, store: &Store) -> Option<Quantity> {
    let running = || store.within(&POD, namespace).filter(|pod| !pods::has_ended(pod));
    let services = |wanted: fn(&Json) -> usize| {
        Quantity::count(store.within(&SERVICE, namespace).map(|service| wanted(service)).sum())
    };
    let sum = |part: &str, name: &str| {
        running().map(|pod| pod_amount(pod, part, name)).fold(Quantity::default(), |sum, one| sum + one)
    };
    match resource {
        "pods" => Some(Quantity::count(running().count())),
        "services.loadbalancers" => {
            Some(services(|service| usize::from(text(service, &["spec", "type"]) == "LoadBalancer")))
        }
        "services.nodeports" => Some(services(|service| {
            list(service, &["spec", "ports"]).iter().filter(|port| port.get("nodePort").is_some()).count()
        })),
        "requests.storage" => {
            let claims = store.within(&CLAIM, namespace);
            Some(
                claims
                    .map(|claim| amount(claim.pointer("/spec/resources/requests/storage")))
                    .fold(Quantity::default(), |sum, one| sum + one),
            )
        }
        "cpu" | "memory" | "ephemeral-storage" => Some(sum("requests", resource)),
        _ => match resource.split_once(['.', '/']) {
            Some((part @ ("requests" | "limits"), name)) => Some(sum(part, name)),
            Some(("count", counted)) => {
                kind(counted).map(|kind| Quantity::count(store.within(kind, namespace).count()))
            }
            _ => kind(resource).map(|kind| Quantity::count(store.within(kind, namespace).count())),
        },
    }
}

fn kind(resource: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.namespaced && kind.resource() == resource)
}

fn amount(value: Option<&Json>) -> Quantity {
    let parsed = match value {
        Some(Json::String(text)) => Quantity::parse(text),
        Some(number) => Quantity::parse(&number.to_string()),
        None => None,
    };
    parsed.unwrap_or_default()
}

/// What a pod asks for: all its containers together, or its hungriest init container.
fn pod_amount(pod: &Json, part: &str, name: &str) -> Quantity {
    let of = |container: &Json| {
        amount(container.get("resources").and_then(|all| all.get(part)).and_then(|part| part.get(name)))
    };
    let together = list(pod, &["spec", "containers"]).iter().map(of).fold(Quantity::default(), |sum, one| sum + one);
    list(pod, &["spec", "initContainers"]).iter().map(of).fold(together, Quantity::max)
}
