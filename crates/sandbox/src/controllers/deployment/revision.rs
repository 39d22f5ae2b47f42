//! Which ReplicaSet stands for which template, and their numbers.

use std::sync::Arc;

use api_server::ApiError;
use api_server::kinds::{DEPLOYMENT, POD, REPLICA_SET};
use serde_json::{Map, Value as Json, json};

use super::super::object::{
    annotation, at, controlled_by, is_controlled_by, is_going, map, name, namespace, number, put, short_hash, take,
};
use super::{Rollout, asked, counted};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
/// What a ReplicaSet does not take over from its Deployment.
const OWN: [&str; 4] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
];

fn plain_template(object: &Json) -> Json {
    let mut template = at(object, &["spec", "template"]).cloned().unwrap_or_default();
    take(&mut template, &["metadata", "labels", HASH]);
    take(&mut template, &["metadata", "creationTimestamp"]);
    template
}

/// The oldest ReplicaSet of the present template.
pub(super) fn find<'a>(deployment: &Json, sets: &'a [Arc<Json>]) -> Option<&'a Json> {
    let wanted = plain_template(deployment);
    sets.iter().map(|set| &**set).find(|set| plain_template(set) == wanted)
}

fn revision(object: &Json) -> i64 {
    annotation(object, REVISION).parse().unwrap_or_default()
}

fn inherited(deployment: &Json) -> Map<String, Json> {
    let mut annotations = map(deployment, &["metadata", "annotations"]).cloned().unwrap_or_default();
    annotations.retain(|key, _| !OWN.contains(&key.as_str()));
    annotations
}

/// Makes the ReplicaSet of the present template.
pub(super) fn create(rollout: &Rollout<'_>) -> Result<(), ApiError> {
    let deployment = rollout.deployment;
    let collisions = at(deployment, &["status", "collisionCount"]).cloned().unwrap_or_default();
    let template = plain_template(deployment);
    let hash = short_hash(&[&template, &collisions]);
    let total: i64 = rollout.sets.iter().map(|set| asked(set)).sum();
    let (wanted, surge) = (rollout.wanted(), rollout.margins().0);
    let first = if rollout.recreates() { wanted } else { (wanted + surge - total).clamp(0, wanted) };
    let mut annotations = inherited(deployment);
    annotations.insert(REVISION.to_owned(), json!(next(rollout).to_string()));
    annotations.insert("deployment.kubernetes.io/desired-replicas".to_owned(), json!(wanted.to_string()));
    annotations.insert("deployment.kubernetes.io/max-replicas".to_owned(), json!((wanted + surge).to_string()));
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "namespace": namespace(deployment),
            "name": format!("{}-{hash}", name(deployment)),
            "labels": at(&template, &["metadata", "labels"]),
            "annotations": annotations,
            "ownerReferences": [controlled_by(&DEPLOYMENT, deployment)],
        },
        "spec": {
            "replicas": first,
            "selector": at(deployment, &["spec", "selector"]),
            "template": template,
        },
    });
    if let Some(seconds) = number(deployment, &["spec", "minReadySeconds"]).filter(|seconds| *seconds > 0) {
        put(&mut set, &["spec", "minReadySeconds"], json!(seconds));
    }
    for path in [
        &["metadata", "labels", HASH][..],
        &["spec", "selector", "matchLabels", HASH],
        &["spec", "template", "metadata", "labels", HASH],
    ] {
        put(&mut set, path, json!(hash));
    }
    let set_name = name(&set).to_owned();
    match rollout.context.create(&REPLICA_SET, set) {
        Err(error) if error.reason == "AlreadyExists" => {
            let known = rollout.context.store.find(&REPLICA_SET, namespace(deployment), &set_name);
            if known.is_some_and(|known| is_controlled_by(known, deployment) && plain_template(known) == template) {
                return Ok(());
            }
            // Another object has the name: the next hash differs.
            let mut status = at(deployment, &["status"]).cloned().unwrap_or_else(|| json!({}));
            status["collisionCount"] = json!(collisions.as_i64().unwrap_or_default() + 1);
            rollout.context.set_status(&DEPLOYMENT, deployment, status)
        }
        other => other.map(drop),
    }
}

fn next(rollout: &Rollout<'_>) -> i64 {
    rollout.old().map(revision).max().unwrap_or_default() + 1
}

fn present(rollout: &Rollout<'_>, current: &Json) -> i64 {
    next(rollout).max(revision(current))
}

/// Writes the present number on the Deployment; says whether it was another one.
pub(super) fn tell(rollout: &Rollout<'_>, current: &Json) -> Result<bool, ApiError> {
    let wanted = present(rollout, current);
    if revision(rollout.deployment) == wanted {
        return Ok(false);
    }
    let mut deployment = rollout.deployment.clone();
    put(&mut deployment, &["metadata", "annotations", REVISION], json!(wanted.to_string()));
    rollout.context.update(&DEPLOYMENT, deployment)?;
    Ok(true)
}

/// Keeps the present ReplicaSet's number the highest, and what it takes over from the Deployment as it is there; says
/// whether anything was written.
pub(super) fn keep(rollout: &Rollout<'_>, current: &Json) -> Result<bool, ApiError> {
    let wanted = present(rollout, current);
    let mut set = current.clone();
    let mut annotations = map(current, &["metadata", "annotations"]).cloned().unwrap_or_default();
    for (key, value) in inherited(rollout.deployment) {
        annotations.insert(key, value);
    }
    annotations.insert(REVISION.to_owned(), json!(wanted.to_string()));
    put(&mut set, &["metadata", "annotations"], Json::Object(annotations));
    let seconds = at(rollout.deployment, &["spec", "minReadySeconds"]);
    if seconds != at(current, &["spec", "minReadySeconds"]) {
        match seconds {
            Some(seconds) => put(&mut set, &["spec", "minReadySeconds"], seconds.clone()),
            None => take(&mut set, &["spec", "minReadySeconds"]),
        }
    }
    if &set == current {
        return Ok(false);
    }
    rollout.context.update(&REPLICA_SET, set)?;
    Ok(true)
}

/// Deletes empty old ReplicaSets beyond the limit of history.
pub(super) fn forget_oldest(rollout: &Rollout<'_>) -> Result<(), ApiError> {
    let limit = number(rollout.deployment, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
    let mut old: Vec<_> = rollout.old().filter(|set| !is_going(set)).collect();
    old.sort_by_key(|set| revision(set));
    let extra = old.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
    for set in old.into_iter().take(extra) {
        let empty =
            asked(set) == 0 && counted(set, "replicas") == 0 && rollout.context.store.owned(&POD, set).next().is_none();
        if empty {
            rollout.context.delete(&REPLICA_SET, set)?;
        }
    }
    Ok(())
}
