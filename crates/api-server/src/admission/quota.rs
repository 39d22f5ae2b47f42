//! ResourceQuotas: how much a namespace may hold.
//!
//! A real server trusts `status.used`, which a controller keeps; here the objects themselves are counted, so a quota
//! holds from the moment it exists.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::causes::forbidden;
use super::shape::{entries, items, text};
use super::{Attempt, allocate};
use crate::error::ApiError;
use crate::kinds::{KINDS, Kind, POD, QUOTA};
use crate::quantity;

/// Amounts in thousandths, by name.
type Amounts = BTreeMap<String, i128>;

/// What one object uses of everything that can be limited.
fn usage(kind: &Kind, object: &Json) -> Amounts {
    let mut used = Amounts::new();
    // Pods that have ended use nothing but their place among all objects.
    used.insert(format!("count/{}", kind.resource()), 1000);
    match kind.name {
        "Pod" if !["Succeeded", "Failed"].contains(&text(object, "/status/phase")) => {
            used.insert("pods".to_owned(), 1000);
            computed(object, &mut used);
        }
        "Service" => {
            used.insert("services".to_owned(), 1000);
            used.insert("services.nodeports".to_owned(), allocate::counted_ports(object) * 1000);
            used.insert("services.loadbalancers".to_owned(), i128::from(allocate::wants_balancer(object)) * 1000);
        }
        "PersistentVolumeClaim" => {
            used.insert("persistentvolumeclaims".to_owned(), 1000);
            let storage = object.pointer("/spec/resources/requests/storage").and_then(quantity::milli);
            used.insert("requests.storage".to_owned(), storage.unwrap_or(0));
        }
        "Secret" | "ConfigMap" | "ResourceQuota" => drop(used.insert(kind.plural.to_owned(), 1000)),
        _ => {}
    }
    used
}

/// CPU and memory of a pod: of all containers together, or of its greediest init container.
fn computed(pod: &Json, used: &mut Amounts) {
    for list in ["requests", "limits"] {
        for resource in ["cpu", "memory", "ephemeral-storage"] {
            let of = |container: &Json| {
                container.pointer(&format!("/resources/{list}/{resource}")).and_then(quantity::milli).unwrap_or(0)
            };
            let together: i128 = items(pod, "/spec/containers").iter().map(of).sum();
            let first = items(pod, "/spec/initContainers").iter().map(of).max().unwrap_or(0);
            let amount = together.max(first);
            used.insert(format!("{list}.{resource}"), amount);
            if list == "requests" {
                used.insert(resource.to_owned(), amount);
            }
        }
    }
}

/// The containers that do not say what a quota limits, in the server's words.
fn unsaid(pod: &Json, limited: &[&str]) -> Option<String> {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in limited {
        let (list, resource) = match name.split_once('.') {
            Some((list @ ("requests" | "limits"), resource)) => (list, resource),
            None if matches!(*name, "cpu" | "memory") => ("requests", *name),
            _ => continue,
        };
        if !matches!(resource, "cpu" | "memory") {
            continue;
        }
        for container in ["/spec/containers", "/spec/initContainers"].iter().flat_map(|at| items(pod, at)) {
            if container.pointer(&format!("/resources/{list}/{resource}")).is_none() {
                missing.entry(name).or_default().push(text(container, "/name"));
            }
        }
    }
    let said: Vec<String> = missing
        .into_iter()
        .map(|(name, mut containers)| {
            containers.sort_unstable();
            containers.dedup();
            format!("{name} for: {}", containers.join(","))
        })
        .collect();
    (!said.is_empty()).then(|| format!("must specify {}", said.join("; ")))
}

/// Refuses what no longer fits.
pub(super) fn check(object: &Json, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    let Some(namespace) = attempt.namespace else { return Ok(()) };
    if attempt.subresource.is_some() {
        return Ok(());
    }
    let quotas = attempt.around.list(&QUOTA, Some(namespace));
    if quotas.is_empty() {
        return Ok(());
    }
    let name = text(object, "/metadata/name");
    let new = usage(attempt.kind, object);
    let old = attempt.old.map(|old| usage(attempt.kind, old)).unwrap_or_default();
    // Scopes would say which pods a quota is about; a fleet's pods are of no particular scope.
    let scoped =
        |quota: &Json| !items(quota, "/spec/scopes").is_empty() || quota.pointer("/spec/scopeSelector").is_some();
    for quota in quotas.iter().filter(|quota| !scoped(quota)) {
        let limited: Vec<(&str, &Json)> =
            entries(quota, "/spec/hard").filter(|(resource, _)| new.contains_key(*resource)).collect();
        if attempt.kind == &POD && attempt.old.is_none() {
            let resources: Vec<&str> = limited.iter().map(|(resource, _)| *resource).collect();
            if let Some(wrong) = unsaid(object, &resources) {
                let why = format!("failed quota: {}: {wrong}", text(quota, "/metadata/name"));
                return Err(forbidden(attempt.kind, name, &why));
            }
        }
        let mut exceeded: Vec<(&str, i128, i128, i128, bool)> = Vec::new();
        for (resource, hard) in limited {
            let more = new.get(resource).unwrap_or(&0) - old.get(resource).unwrap_or(&0);
            let used = total(resource, namespace, attempt);
            let most = quantity::milli(hard).unwrap_or(0);
            if more > 0 && used + more > most {
                exceeded.push((resource, more, used, most, quantity::is_binary(hard) || is_bytes(resource)));
            }
        }
        if !exceeded.is_empty() {
            let list = |of: fn(&(&str, i128, i128, i128, bool)) -> i128| {
                let parts: Vec<String> =
                    exceeded.iter().map(|one| format!("{}={}", one.0, quantity::show(of(one), one.4))).collect();
                parts.join(",")
            };
            let why = format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                text(quota, "/metadata/name"),
                list(|one| one.1),
                list(|one| one.2),
                list(|one| one.3)
            );
            return Err(forbidden(attempt.kind, name, &why));
        }
    }
    Ok(())
}

fn is_bytes(resource: &str) -> bool {
    resource.ends_with("memory") || resource.ends_with("storage")
}

/// What the namespace uses of a resource.
fn total(resource: &str, namespace: &str, attempt: &Attempt<'_>) -> i128 {
    let kind = attempt.kind;
    let counted = KINDS.iter().copied().find(|one| format!("count/{}", one.resource()) == resource).unwrap_or(kind);
    let objects = attempt.around.list(counted, Some(namespace));
    objects.iter().map(|object| usage(counted, object).get(resource).copied().unwrap_or(0)).sum()
}
