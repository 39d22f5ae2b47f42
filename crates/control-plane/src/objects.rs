//! Small objects that several components have: Services, disruption budgets, StatefulSets, affinities.

use std::collections::BTreeMap;

use fleet::{Component, Era, Workload};
use manifest::pod::Volume;
use manifest::{Kind, Metadata, Part, UnitBuilder};
use serde_json::{Value as Json, json};

/// A port of a Service; `target` names the container's port.
pub(crate) fn port(name: &str, number: u16, target: &str) -> Json {
    json!({ "name": name, "port": number, "protocol": "TCP", "targetPort": target })
}

/// A cluster-internal Service. Services carry: a change of theirs reaches pods without replacing them.
pub(crate) fn service(
    unit: &mut UnitBuilder,
    name: String,
    component: Component,
    selector: &BTreeMap<String, String>,
    ports: Vec<Json>,
    unready_too: bool,
) {
    let mut spec = json!({ "selector": selector, "ports": ports });
    if unready_too {
        spec["publishNotReadyAddresses"] = true.into();
    }
    unit.add(Kind::Service, name, Part::Carry, Metadata::of(component), json!({ "spec": spec }));
}

/// At most one pod at a time may be evicted.
pub(crate) fn one_at_a_time(
    unit: &mut UnitBuilder,
    name: String,
    component: Component,
    selector: &BTreeMap<String, String>,
) {
    let content = json!({ "spec": {
        "maxUnavailable": 1,
        "selector": { "matchLabels": selector },
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    } });
    unit.add(Kind::PodDisruptionBudget, name, Part::Carry, Metadata::of(component), content);
}

/// A StatefulSet of one whose pod only we delete: there are never two of it, and a new template waits for its turn.
pub(crate) fn singleton(name: &str, selector: &BTreeMap<String, String>, claims: Vec<Json>) -> Json {
    let mut spec = json!({
        "serviceName": name,
        "replicas": 1,
        "podManagementPolicy": "Parallel",
        "updateStrategy": { "type": "OnDelete" },
        "revisionHistoryLimit": 2,
        "selector": { "matchLabels": selector },
    });
    if !claims.is_empty() {
        spec["volumeClaimTemplates"] = claims.into();
    }
    spec
}

/// A wish (`podAffinity` or `podAntiAffinity`) about pods on the same node.
pub(crate) fn prefer(kind: &str, weight: u8, selector: Json) -> Json {
    json!({ kind: { "preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": weight,
        "podAffinityTerm": { "labelSelector": selector, "topologyKey": "kubernetes.io/hostname" },
    }] } })
}

/// What the image writes to besides the recipe's volumes: older images render their configuration into `/config`.
pub(crate) fn config_volume(workload: &Workload) -> Option<Volume> {
    match workload.image.era {
        Era::Rootless => None,
        Era::Legacy => Some(Volume::at("config", json!({ "emptyDir": {} }), "/config")),
    }
}
