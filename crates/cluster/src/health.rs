//! Whether an object is as it should be: one pure function.

use plan::{LivePod, PodPhase};
use serde_json::Value as Json;

/// How an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Healthy,
    /// On its way, and what is missing.
    Progressing(String),
    /// It won't come by itself, and why.
    Failed(String),
    /// It is being deleted.
    Terminating,
}

impl Health {
    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Progressing(why) | Self::Failed(why) => f.write_str(why),
            Self::Terminating => f.write_str("it is being deleted"),
        }
    }
}

/// Judges an object by its body and, for workloads, the pods that belong to it. What has no state is healthy once it
/// exists; an Ingress or a route is never waited for.
#[must_use]
pub fn health<'a>(body: &Json, pods: impl IntoIterator<Item = &'a LivePod>) -> Health {
    if body.pointer("/metadata/deletionTimestamp").is_some() {
        return Health::Terminating;
    }
    match body.get("kind").and_then(Json::as_str) {
        Some("StatefulSet") => of_workload(body, pods, stateful_set),
        Some("Deployment") => of_workload(body, pods, deployment),
        Some("Service") => service(body),
        _ => Health::Healthy,
    }
}

fn of_workload<'a>(
    body: &Json,
    pods: impl IntoIterator<Item = &'a LivePod>,
    judge: impl Fn(&Json) -> Health,
) -> Health {
    let judged = judge(body);
    if let Health::Progressing(_) = judged {
        // The workload's own status never says why its pods don't start.
        for pod in pods {
            if let PodPhase::Waiting(why) = &pod.phase {
                let why = format!("pod {}: {why}", pod.name);
                return if is_final(&pod.phase) { Health::Failed(why) } else { Health::Progressing(why) };
            }
        }
    }
    judged
}

/// Reasons that need a person, as opposed to patience. A pod that waits for a node may get one.
fn is_final(phase: &PodPhase) -> bool {
    const REASONS: [&str; 8] = [
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    ];
    match phase {
        PodPhase::Waiting(why) => REASONS.iter().any(|reason| why.contains(reason)),
        PodPhase::Ready | PodPhase::Running | PodPhase::Terminating | PodPhase::Ended => false,
    }
}

/// The status speaks of this generation of the spec.
fn is_observed(body: &Json) -> bool {
    let number = |pointer: &str| body.pointer(pointer).and_then(Json::as_u64);
    match (number("/metadata/generation"), number("/status/observedGeneration")) {
        (Some(generation), Some(observed)) => observed >= generation,
        (Some(_), None) => false,
        (None, _) => true,
    }
}

fn number(body: &Json, pointer: &str) -> u64 {
    body.pointer(pointer).and_then(Json::as_u64).unwrap_or(0)
}

fn wanted_replicas(body: &Json) -> u64 {
    body.pointer("/spec/replicas").and_then(Json::as_u64).unwrap_or(1)
}

fn stateful_set(body: &Json) -> Health {
    if !is_observed(body) {
        return Health::Progressing("not noticed by its controller yet".to_owned());
    }
    let (wanted, ready) = (wanted_replicas(body), number(body, "/status/readyReplicas"));
    if ready < wanted {
        return Health::Progressing(format!("{ready} of {wanted} pods ready"));
    }
    if number(body, "/status/replicas") > wanted {
        return Health::Progressing(format!("more than {wanted} pods"));
    }
    // With OnDelete, pods of an older revision are the planner's business.
    let rolls = body.pointer("/spec/updateStrategy/type").and_then(Json::as_str) != Some("OnDelete");
    let updated = number(body, "/status/updatedReplicas");
    let partial = body.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Json::as_u64).unwrap_or(0);
    if rolls && updated + partial < wanted {
        return Health::Progressing(format!("{updated} of {wanted} pods updated"));
    }
    Health::Healthy
}

fn deployment(body: &Json) -> Health {
    if !is_observed(body) {
        return Health::Progressing("not noticed by its controller yet".to_owned());
    }
    let conditions = body.pointer("/status/conditions").and_then(Json::as_array).into_iter().flatten();
    for condition in conditions {
        let text = |key: &str| condition.get(key).and_then(Json::as_str).unwrap_or_default();
        match (text("type"), text("status"), text("reason")) {
            ("Progressing", "False", "ProgressDeadlineExceeded") => {
                return Health::Failed("it made no progress within its deadline".to_owned());
            }
            ("ReplicaFailure", "True", _) => return Health::Failed(text("message").to_owned()),
            _ => {}
        }
    }
    let wanted = wanted_replicas(body);
    let (updated, total, available) = (
        number(body, "/status/updatedReplicas"),
        number(body, "/status/replicas"),
        number(body, "/status/availableReplicas"),
    );
    if updated < wanted {
        Health::Progressing(format!("{updated} of {wanted} pods updated"))
    } else if total > updated {
        Health::Progressing(format!("{} old pods left", total - updated))
    } else if available < wanted {
        Health::Progressing(format!("{available} of {wanted} pods available"))
    } else {
        Health::Healthy
    }
}

fn service(body: &Json) -> Health {
    let is_balanced = body.pointer("/spec/type").and_then(Json::as_str) == Some("LoadBalancer");
    let has_address = body
        .pointer("/status/loadBalancer/ingress")
        .and_then(Json::as_array)
        .is_some_and(|list| list.iter().any(|entry| entry.get("ip").is_some() || entry.get("hostname").is_some()));
    if is_balanced && !has_address {
        return Health::Progressing("its load balancer has no address yet".to_owned());
    }
    Health::Healthy
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;

    fn pod(phase: PodPhase) -> LivePod {
        LivePod {
            name: "p-0".into(),
            uid: "u".into(),
            labels: BTreeMap::new(),
            roll: None,
            node: None,
            phase,
            references: BTreeSet::new(),
            drain: None,
        }
    }

    fn stateful(strategy: &str, generation: u64, status: &Json) -> Json {
        json!({
            "kind": "StatefulSet",
            "metadata": { "generation": generation },
            "spec": { "replicas": 1, "updateStrategy": { "type": strategy } },
            "status": status,
        })
    }

    fn deployed(status: &Json) -> Json {
        json!({ "kind": "Deployment", "metadata": { "generation": 2 }, "spec": { "replicas": 2 }, "status": status })
    }

    #[test]
    fn workloads() {
        let progressing = |why: &str| Health::Progressing(why.to_owned());
        for (body, expected) in [
            (
                stateful("OnDelete", 2, &json!({ "observedGeneration": 1, "readyReplicas": 1, "replicas": 1 })),
                progressing("not noticed by its controller yet"),
            ),
            (stateful("OnDelete", 1, &json!({})), progressing("not noticed by its controller yet")),
            (stateful("OnDelete", 1, &json!({ "observedGeneration": 1 })), progressing("0 of 1 pods ready")),
            (
                stateful("OnDelete", 1, &json!({ "observedGeneration": 1, "readyReplicas": 1, "replicas": 1 })),
                Health::Healthy,
            ),
            (
                stateful("RollingUpdate", 1, &json!({ "observedGeneration": 1, "readyReplicas": 1, "replicas": 1 })),
                progressing("0 of 1 pods updated"),
            ),
            (
                deployed(&json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 1 })),
                progressing("1 of 2 pods updated"),
            ),
            (
                deployed(
                    &json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2 }),
                ),
                progressing("1 old pods left"),
            ),
            (
                deployed(
                    &json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1 }),
                ),
                progressing("1 of 2 pods available"),
            ),
            (
                deployed(
                    &json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 }),
                ),
                Health::Healthy,
            ),
            (
                deployed(&json!({ "observedGeneration": 2, "conditions": [
                    { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" },
                ] })),
                Health::Failed("it made no progress within its deadline".into()),
            ),
            (
                deployed(&json!({ "observedGeneration": 2, "conditions": [
                    { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota" },
                ] })),
                Health::Failed("exceeded quota".into()),
            ),
            (json!({ "kind": "ConfigMap", "metadata": { "deletionTimestamp": "t" } }), Health::Terminating),
            (json!({ "kind": "Ingress" }), Health::Healthy),
        ] {
            assert_eq!(health(&body, []), expected, "{body}");
        }
    }

    #[test]
    fn pods_tell_why() {
        let body = stateful("OnDelete", 1, &json!({ "observedGeneration": 1 }));
        for (why, is_failed) in [
            ("jvb: ImagePullBackOff: no such tag", true),
            ("jvb: CrashLoopBackOff (exit code 1)", true),
            ("jvb: CreateContainerConfigError: secret \"s\" not found", true),
            ("Unschedulable: 0/3 nodes", false),
            ("starting", false),
        ] {
            let health = health(&body, [&pod(PodPhase::Waiting(why.into()))]);
            let why = format!("pod p-0: {why}");
            assert_eq!(health, if is_failed { Health::Failed(why) } else { Health::Progressing(why) });
        }
        assert_eq!(health(&body, [&pod(PodPhase::Running)]), Health::Progressing("0 of 1 pods ready".into()));
    }

    #[test]
    fn load_balancers_need_an_address() {
        let service = |kind: &str, ingress: Json| json!({ "kind": "Service", "spec": { "type": kind }, "status": { "loadBalancer": { "ingress": ingress } } });
        assert!(health(&service("ClusterIP", json!([])), []).is_healthy());
        assert!(!health(&service("LoadBalancer", json!([])), []).is_healthy());
        assert!(health(&service("LoadBalancer", json!([{ "ip": "203.0.113.1" }])), []).is_healthy());
        assert!(health(&service("LoadBalancer", json!([{ "hostname": "lb.example.org" }])), []).is_healthy());
    }
}
