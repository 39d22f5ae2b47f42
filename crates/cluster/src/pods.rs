//! Reads pods, as far as the planner needs them.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Kind, labels};
use plan::{Drain, LivePod, PodPhase};
use serde_json::Value as Json;

/// A pod of a LIST. `None` if it has no name or UID.
pub(crate) fn read(pod: &Json) -> Option<LivePod> {
    let metadata = pod.get("metadata")?;
    let annotation = |key: &str| metadata.get("annotations")?.get(key)?.as_str();
    let labels = metadata.get("labels").and_then(Json::as_object).into_iter().flatten();
    Some(LivePod {
        name: metadata.get("name")?.as_str()?.to_owned(),
        uid: metadata.get("uid")?.as_str()?.to_owned(),
        labels: labels
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect::<BTreeMap<_, _>>(),
        roll: annotation(labels::ROLL).map(str::to_owned),
        node: pod.pointer("/spec/nodeName").and_then(Json::as_str).map(str::to_owned),
        phase: phase(pod),
        references: references(pod),
        drain: annotation(labels::DRAIN).and_then(|text| serde_json::from_str::<Drain>(text).ok()),
    })
}

/// What the pod does.
pub(crate) fn phase(pod: &Json) -> PodPhase {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return PodPhase::Terminating;
    }
    match pod.pointer("/status/phase").and_then(Json::as_str) {
        Some("Succeeded" | "Failed") => return PodPhase::Ended,
        Some("Running") if condition(pod, "Ready").is_some_and(|ready| ready.0 == "True") => return PodPhase::Ready,
        _ => {}
    }
    // A container that can't start matters even while others of the pod run.
    if let Some(why) = stuck(pod) {
        return PodPhase::Waiting(why);
    }
    if pod.pointer("/status/phase").and_then(Json::as_str) == Some("Running") {
        return PodPhase::Running;
    }
    PodPhase::Waiting(match condition(pod, "PodScheduled") {
        Some((status, reason, message)) if status != "True" => match message {
            "" => reason.to_owned(),
            message => format!("{reason}: {message}"),
        },
        Some(_) => "starting".to_owned(),
        None => "not scheduled yet".to_owned(),
    })
}

/// Why a container waits, if it waits for something that won't come by itself.
fn stuck(pod: &Json) -> Option<String> {
    let containers = ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_array())
        .flatten();
    for container in containers {
        let Some(waiting) = container.pointer("/state/waiting") else { continue };
        let text = |key: &str| waiting.get(key).and_then(Json::as_str).unwrap_or_default();
        let (reason, message) = (text("reason"), text("message"));
        if matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
            continue;
        }
        let name = container.get("name").and_then(Json::as_str).unwrap_or_default();
        let because = if reason == "CrashLoopBackOff" {
            let exit = container.pointer("/lastState/terminated/exitCode").and_then(Json::as_i64);
            exit.map_or_else(String::new, |code| format!(" (exit code {code})"))
        } else if message.is_empty() {
            String::new()
        } else {
            format!(": {message}")
        };
        return Some(format!("{name}: {reason}{because}"));
    }
    None
}

/// Status, reason and message of a condition.
fn condition<'a>(pod: &'a Json, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition.get("type").and_then(Json::as_str) == Some(kind))?;
    let text = |key: &str| found.get(key).and_then(Json::as_str).unwrap_or_default();
    Some((text("status"), text("reason"), text("message")))
}

/// ConfigMaps and Secrets that the pod refers to: pruning one would fail its next start.
fn references(pod: &Json) -> BTreeSet<(Kind, String)> {
    let mut found = BTreeSet::new();
    let Some(spec) = pod.get("spec") else { return found };
    let mut add = |kind: Kind, name: Option<&Json>| {
        if let Some(name) = name.and_then(Json::as_str) {
            found.insert((kind, name.to_owned()));
        }
    };
    let list = |value: &'_ Json, key: &str| value.get(key).and_then(Json::as_array).cloned().unwrap_or_default();
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(spec, key) {
            for env in list(&container, "env") {
                add(Kind::ConfigMap, env.pointer("/valueFrom/configMapKeyRef/name"));
                add(Kind::Secret, env.pointer("/valueFrom/secretKeyRef/name"));
            }
            for env in list(&container, "envFrom") {
                add(Kind::ConfigMap, env.pointer("/configMapRef/name"));
                add(Kind::Secret, env.pointer("/secretRef/name"));
            }
        }
    }
    for volume in list(spec, "volumes") {
        add(Kind::ConfigMap, volume.pointer("/configMap/name"));
        add(Kind::Secret, volume.pointer("/secret/secretName"));
        for source in volume.pointer("/projected/sources").and_then(Json::as_array).into_iter().flatten() {
            add(Kind::ConfigMap, source.pointer("/configMap/name"));
            add(Kind::Secret, source.pointer("/secret/name"));
        }
    }
    for secret in list(spec, "imagePullSecrets") {
        add(Kind::Secret, secret.get("name"));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn phases() {
        let waiting = |reason: &str, message: &str| {
            json!({ "status": { "phase": "Pending", "containerStatuses": [
                { "name": "jvb", "state": { "waiting": { "reason": reason, "message": message } },
                  "lastState": { "terminated": { "exitCode": 1 } } },
            ] } })
        };
        let with = |phase: &str, condition: &str, status: &str| {
            json!({ "status": { "phase": phase, "conditions": [
                { "type": condition, "status": status, "reason": "Unschedulable", "message": "0/3 nodes" },
            ] } })
        };
        for (pod, expected) in [
            (with("Running", "Ready", "True"), PodPhase::Ready),
            (with("Running", "Ready", "False"), PodPhase::Running),
            (with("Succeeded", "Ready", "False"), PodPhase::Ended),
            (
                json!({ "metadata": { "deletionTimestamp": "t" }, "status": { "phase": "Running" } }),
                PodPhase::Terminating,
            ),
            (with("Pending", "PodScheduled", "False"), PodPhase::Waiting("Unschedulable: 0/3 nodes".into())),
            (with("Pending", "PodScheduled", "True"), PodPhase::Waiting("starting".into())),
            (json!({}), PodPhase::Waiting("not scheduled yet".into())),
            (
                waiting("ImagePullBackOff", "no such tag"),
                PodPhase::Waiting("jvb: ImagePullBackOff: no such tag".into()),
            ),
            (
                waiting("CrashLoopBackOff", "back-off 5m"),
                PodPhase::Waiting("jvb: CrashLoopBackOff (exit code 1)".into()),
            ),
            (
                waiting("CreateContainerConfigError", "secret \"s\" not found"),
                PodPhase::Waiting("jvb: CreateContainerConfigError: secret \"s\" not found".into()),
            ),
        ] {
            assert_eq!(phase(&pod), expected, "{pod}");
        }
    }

    #[test]
    fn everything_that_a_pod_needs_is_found() {
        let pod = json!({
            "metadata": {
                "name": "p", "uid": "u", "labels": { "a": "b" },
                "annotations": { labels::ROLL: "r", labels::DRAIN: r#"{"reason":"replace","since":"2026-01-01T00:00:00Z"}"# },
            },
            "spec": {
                "nodeName": "n",
                "containers": [{
                    "env": [
                        { "name": "A", "valueFrom": { "secretKeyRef": { "name": "s1", "key": "k" } } },
                        { "name": "B", "valueFrom": { "configMapKeyRef": { "name": "c1", "key": "k" } } },
                    ],
                    "envFrom": [{ "configMapRef": { "name": "c2" } }, { "secretRef": { "name": "s2" } }],
                }],
                "volumes": [
                    { "configMap": { "name": "c3" } },
                    { "secret": { "secretName": "s3" } },
                    { "projected": { "sources": [{ "configMap": { "name": "c4" } }, { "secret": { "name": "s4" } }] } },
                ],
                "imagePullSecrets": [{ "name": "s5" }],
            },
        });
        let read = read(&pod).unwrap();
        let names: Vec<&str> = read.references.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["s1", "s2", "s3", "s4", "s5", "c1", "c2", "c3", "c4"]);
        assert_eq!((read.roll.as_deref(), read.node.as_deref()), (Some("r"), Some("n")));
        assert!(read.drain.is_some());
    }
}
