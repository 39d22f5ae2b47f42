//! What an object has before anybody has seen it.

use serde_json::{Map, Value as Json, json};

use crate::kinds::{CLAIM, Kind, NAMESPACE, POD};
use crate::store::text;

/// What an object has from its first moment.
pub(super) fn born(kind: &Kind, object: &mut Json) {
    if kind == &NAMESPACE {
        object["spec"] = json!({ "finalizers": ["kubernetes"] });
        object["status"] = json!({ "phase": "Active" });
        let name = text(object, "name").unwrap_or_default().to_owned();
        let labels = object["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.entry("labels").or_insert_with(|| Json::Object(Map::new())));
        if let Some(Json::Object(labels)) = labels {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
        }
    } else if kind == &POD || kind == &CLAIM {
        object["status"] = json!({ "phase": "Pending" });
    }
}

/// The status of an object that no controller has seen.
pub(super) fn first_status(kind: &Kind, object: &mut Json) {
    object["status"] = match kind.name {
        "Pod" => {
            object["status"]["qosClass"] = quality(object).into();
            return;
        }
        "Deployment" => json!({}),
        "StatefulSet" => json!({ "availableReplicas": 0, "replicas": 0 }),
        "ReplicaSet" => json!({ "replicas": 0 }),
        "Service" | "Ingress" => json!({ "loadBalancer": {} }),
        "PodDisruptionBudget" => {
            json!({ "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0 })
        }
        _ => return,
    };
}

/// A pod's class: who asks for nothing goes first when a node runs short.
fn quality(pod: &Json) -> &'static str {
    let containers = |key: &str| pod.get("spec").and_then(|spec| spec.get(key)).and_then(Json::as_array);
    let all: Vec<&Json> = ["containers", "initContainers"].into_iter().filter_map(containers).flatten().collect();
    let of = |container: &Json, what: &str, resource: &str| {
        container.pointer(&format!("/resources/{what}/{resource}")).cloned()
    };
    let some = |container: &&Json| {
        ["requests", "limits"].iter().any(|what| ["cpu", "memory"].iter().any(|one| of(container, what, one).is_some()))
    };
    let full = |container: &&Json| {
        ["cpu", "memory"].iter().all(|one| {
            let limit = of(container, "limits", one);
            limit.is_some() && limit == of(container, "requests", one)
        })
    };
    match (all.iter().any(some), all.iter().all(full)) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
