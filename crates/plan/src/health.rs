//! Whether an object is as it should be: one pure function.

use manifest::Kind;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{LiveObject, LivePod, PodPhase};

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

/// How an object is, its pods considered that belong to it. What has no state is healthy once it exists; an Ingress or a
/// route is never waited for.
#[must_use]
pub fn health<'a>(object: &LiveObject, pods: impl IntoIterator<Item = &'a LivePod>) -> Health {
    let judged = object.body.health();
    if object.object.kind.has_pods()
        && let Health::Progressing(_) = judged
    {
        // The workload's own status never says why its pods don't start.
        for pod in pods {
            if let PodPhase::Waiting(why) = &pod.phase {
                let why = format!("pod {}: {why}", pod.name);
                return if is_final(&pod.phase) { Health::Failed(why) } else { Health::Progressing(why) };
            }
        }
    }
    judged.clone()
}

/// What of a spec says what is waited for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    replicas: Option<u64>,
    #[serde(default)]
    update_strategy: UpdateStrategy,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateStrategy {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Debug, Default, Deserialize)]
struct RollingUpdate {
    #[serde(default)]
    partition: u64,
}

/// What of a status is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    pub(crate) observed_generation: Option<i64>,
    replicas: u64,
    ready_replicas: u64,
    updated_replicas: u64,
    available_replicas: u64,
    conditions: Vec<Condition>,
    load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ingress {
    ip: Option<IgnoredAny>,
    hostname: Option<IgnoredAny>,
}

/// Judges an object by what it says itself.
pub(crate) fn judge(kind: Kind, generation: Option<i64>, spec: &Spec, status: &Status) -> Health {
    // The status speaks of this generation of the spec.
    let is_observed = generation.is_none_or(|wanted| status.observed_generation.is_some_and(|seen| seen >= wanted));
    match kind {
        Kind::StatefulSet | Kind::Deployment if !is_observed => {
            Health::Progressing("not noticed by its controller yet".to_owned())
        }
        Kind::StatefulSet => stateful_set(spec, status),
        Kind::Deployment => deployment(spec, status),
        Kind::Service => service(spec, status),
        _ => Health::Healthy,
    }
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

fn stateful_set(spec: &Spec, status: &Status) -> Health {
    let (wanted, ready) = (spec.replicas.unwrap_or(1), status.ready_replicas);
    if ready < wanted {
        return Health::Progressing(format!("{ready} of {wanted} pods ready"));
    }
    if status.replicas > wanted {
        return Health::Progressing(format!("more than {wanted} pods"));
    }
    // With OnDelete, pods of an older revision are the planner's business.
    let strategy = &spec.update_strategy;
    let rolls = strategy.kind.as_deref() != Some("OnDelete");
    let updated = status.updated_replicas;
    let partial = strategy.rolling_update.as_ref().map_or(0, |update| update.partition);
    if rolls && updated + partial < wanted {
        return Health::Progressing(format!("{updated} of {wanted} pods updated"));
    }
    Health::Healthy
}

fn deployment(spec: &Spec, status: &Status) -> Health {
    for condition in &status.conditions {
        match (condition.kind.as_str(), condition.status.as_str(), condition.reason.as_str()) {
            ("Progressing", "False", "ProgressDeadlineExceeded") => {
                return Health::Failed("it made no progress within its deadline".to_owned());
            }
            ("ReplicaFailure", "True", _) => return Health::Failed(condition.message.clone()),
            _ => {}
        }
    }
    let wanted = spec.replicas.unwrap_or(1);
    let (updated, total, available) = (status.updated_replicas, status.replicas, status.available_replicas);
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

fn service(spec: &Spec, status: &Status) -> Health {
    let is_balanced = spec.kind.as_deref() == Some("LoadBalancer");
    let has_address = status.load_balancer.ingress.iter().any(|entry| entry.ip.is_some() || entry.hostname.is_some());
    if is_balanced && !has_address {
        return Health::Progressing("its load balancer has no address yet".to_owned());
    }
    Health::Healthy
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use std::sync::Arc;

    use manifest::{Body, ObjectRef};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::LiveBody;

    fn health<'a>(body: &Json, pods: impl IntoIterator<Item = &'a LivePod>) -> Health {
        let kind = Kind::ALL.into_iter().find(|kind| body["kind"] == kind.name()).unwrap();
        let name = ObjectRef { cluster: "fra".parse().unwrap(), kind, namespace: "n".into(), name: "x".into() };
        let live = LiveObject {
            object: name,
            uid: "u".into(),
            version: "1".into(),
            body: Arc::new(LiveBody::new(kind, Body::new(body))),
            managers: BTreeSet::new(),
            deleting: false,
        };
        super::health(&live, pods)
    }

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
