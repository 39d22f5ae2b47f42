//! The volumes that belong to a number, and how long they stay.

use api_server::ApiError;
use api_server::kinds::{CLAIM, POD, STATEFUL_SET};
use serde_json::{Value as Json, json};

use super::super::context::Context;
use super::super::object::{at, list, map, name, namespace, put, text, uid};
use super::identity;

fn goes(set: &Json, when: &str) -> bool {
    text(set, &["spec", "persistentVolumeClaimRetentionPolicy", when]) == "Delete"
}

fn owned_by(kind: &api_server::Kind, owner: &Json) -> Json {
    json!({ "apiVersion": kind.api_version(), "kind": kind.name, "name": name(owner), "uid": uid(owner) })
}

/// Makes the claims of a number, unless they are there from before.
pub(super) fn create(set: &Json, ordinal: i64, context: Context<'_>) -> Result<(), ApiError> {
    for template in list(set, &["spec", "volumeClaimTemplates"]) {
        let own = identity::claim_name(set, template, ordinal);
        if context.store.find(&CLAIM, namespace(set), &own).is_some() {
            continue;
        }
        let mut labels = map(template, &["metadata", "labels"]).cloned().unwrap_or_default();
        labels.extend(map(set, &["spec", "selector", "matchLabels"]).cloned().unwrap_or_default());
        let mut claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "namespace": namespace(set), "name": own, "labels": labels },
            "spec": at(template, &["spec"]),
        });
        if let Some(annotations) = at(template, &["metadata", "annotations"]) {
            claim["metadata"]["annotations"] = annotations.clone();
        }
        if goes(set, "whenDeleted") {
            claim["metadata"]["ownerReferences"] = json!([owned_by(&STATEFUL_SET, set)]);
        }
        context.ensure(&CLAIM, claim)?;
    }
    Ok(())
}

/// The claims of a pod that is scaled away go with it, if that is the policy.
pub(super) fn release_with(set: &Json, pod: &Json, context: Context<'_>) -> Result<(), ApiError> {
    let Some(ordinal) = identity::ordinal(set, pod).filter(|_| goes(set, "whenScaled")) else { return Ok(()) };
    for template in list(set, &["spec", "volumeClaimTemplates"]) {
        let own = identity::claim_name(set, template, ordinal);
        let Some(claim) = context.store.find(&CLAIM, namespace(set), &own) else { continue };
        let mut claim = Json::clone(claim);
        put(&mut claim, &["metadata", "ownerReferences"], json!([owned_by(&POD, pod)]));
        context.update(&CLAIM, claim)?;
    }
    Ok(())
}
