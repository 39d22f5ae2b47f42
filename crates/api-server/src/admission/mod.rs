//! What a real server adds to objects, and what it refuses: defaults, validation, allocation, quotas, Pod Security.

mod allocate;
mod causes;
mod defaults;
mod escalation;
mod names;
mod pod_security;
mod pods;
mod quota;
mod shape;
mod validate;
mod warnings;

#[cfg(test)]
mod recorded;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::error::ApiError;
use crate::kinds::{CLAIM, Kind, NAMESPACE, POD, SERVICE};
use crate::request::User;
use crate::surroundings::Surroundings;

use pod_security::Policy;

/// A write that wants to be admitted.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The kind.
    pub kind: &'static Kind,
    /// The namespace.
    pub namespace: Option<&'a str>,
    /// `status` and its like.
    pub subresource: Option<&'a str>,
    /// The object as it is; none when it is created.
    pub old: Option<&'a Json>,
    /// Who asks.
    pub user: &'a User,
    /// Nothing will be kept.
    pub dry_run: bool,
    /// Now.
    pub now: Timestamp,
    /// The rest of the cluster.
    pub around: &'a dyn Surroundings,
}

/// Fills in what the server defaults. Called on what a client sent, before ownership is worked out, and on the result
/// of a patch.
pub fn default(object: &mut Json, kind: &'static Kind) {
    defaults::fill_in(object, kind);
}

/// Allocates addresses and ports, checks everything, and admits or refuses. The stations are in the order of a real
/// server, which decides what of several wrongs is said.
///
/// # Errors
/// Why not: 422 with all causes, 403 for quotas, priorities and Pod Security.
pub fn admit(object: &mut Json, attempt: &Attempt<'_>, warnings: &mut Vec<String>) -> Result<(), ApiError> {
    let whole = attempt.subresource.is_none();
    if whole {
        escalation::check(object, attempt)?;
    }
    if whole && attempt.kind == &POD {
        pods::complete(object, attempt)?;
    }
    if whole && attempt.kind == &CLAIM && attempt.old.is_none() {
        protect(object);
    }
    if whole && attempt.kind == &SERVICE {
        allocate::service(object, attempt)?;
    }
    validate::check(object, attempt)?;
    if whole {
        warnings::collect(object, attempt.old, attempt.kind, warnings);
        pod_security(object, attempt, warnings)?;
        quota::check(object, attempt)?;
    }
    Ok(())
}

/// A claim stays while a pod uses it.
fn protect(object: &mut Json) {
    let finalizer = Json::from("kubernetes.io/pvc-protection");
    match object.pointer_mut("/metadata/finalizers").and_then(Json::as_array_mut) {
        Some(list) if list.contains(&finalizer) => {}
        Some(list) => list.push(finalizer),
        None => object["metadata"]["finalizers"] = Json::Array(vec![finalizer]),
    }
}

fn pod_security(object: &Json, attempt: &Attempt<'_>, warnings: &mut Vec<String>) -> Result<(), ApiError> {
    let template = match attempt.kind.name {
        "Pod" => None,
        "Deployment" | "ReplicaSet" | "StatefulSet" => object.pointer("/spec/template"),
        _ => return Ok(()),
    };
    let pod = template.unwrap_or(object);
    // An update that leaves what is judged as it was is not judged again.
    if attempt.kind == &POD && attempt.old.is_some_and(|old| old.get("spec") == object.get("spec")) {
        return Ok(());
    }
    let namespace = attempt.namespace.and_then(|name| attempt.around.get(&NAMESPACE, None, name));
    let policy = Policy::of(namespace.as_deref());
    let name = shape::text(object, "/metadata/name");
    policy.judge(pod, template.is_none(), warnings).map_err(|why| causes::forbidden(attempt.kind, name, &why))
}
