//! Deployments, ReplicaSets and StatefulSets.

use serde_json::{Map, Value as Json, json};

use super::pod::template;
use crate::admission::shape::{each, fill, inner, within};

pub(super) fn deployment(object: &mut Map<String, Json>) {
    let Some(spec) = within(object, "spec") else { return };
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "progressDeadlineSeconds", 600);
    if let Some(strategy) = within(spec, "strategy") {
        fill(strategy, "type", "RollingUpdate");
        if strategy.get("type").and_then(Json::as_str) == Some("RollingUpdate")
            && let Some(rolling) = within(strategy, "rollingUpdate")
        {
            fill(rolling, "maxUnavailable", "25%");
            fill(rolling, "maxSurge", "25%");
        }
    }
    template(spec);
}

pub(super) fn replica_set(object: &mut Map<String, Json>) {
    let Some(spec) = within(object, "spec") else { return };
    fill(spec, "replicas", 1);
    template(spec);
}

pub(super) fn stateful_set(object: &mut Map<String, Json>) {
    let Some(spec) = within(object, "spec") else { return };
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = within(spec, "updateStrategy") {
        let said = strategy.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
        fill(strategy, "type", "RollingUpdate");
        // Who says RollingUpdate without a partition gets no struct for it.
        if said.is_empty() {
            within(strategy, "rollingUpdate");
        }
        if (said.is_empty() || said == "RollingUpdate")
            && let Some(rolling) = inner(strategy, "rollingUpdate")
        {
            fill(rolling, "partition", 0);
        }
    }
    if let Some(retention) = within(spec, "persistentVolumeClaimRetentionPolicy") {
        fill(retention, "whenDeleted", "Retain");
        fill(retention, "whenScaled", "Retain");
    }
    for claim in each(spec, "volumeClaimTemplates") {
        claim.insert("apiVersion".to_owned(), json!("v1"));
        claim.insert("kind".to_owned(), json!("PersistentVolumeClaim"));
        super::claim(claim);
    }
    template(spec);
}
