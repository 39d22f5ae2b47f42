//! A pod's row: what its containers do, in one word.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::cells::{age, items, number, span, text, text_or};

/// Readiness, state, restarts, and the rest.
pub(super) fn cells(pod: &Json, now: Timestamp) -> Vec<Json> {
    let sidecars: Vec<&str> = items(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .map(|container| text(container, "/name"))
        .collect();
    let mut seen = Seen { total: items(pod, "/spec/containers").len() + sidecars.len(), ..Seen::default() };
    let mut state = text(pod, "/status/phase").to_owned();
    if !text(pod, "/status/reason").is_empty() {
        text(pod, "/status/reason").clone_into(&mut state);
    }
    if condition(pod, "PodScheduled").is_some_and(|condition| text(condition, "/reason") == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut state);
    }
    let initializing = seen.initial(pod, &sidecars);
    let initialized = condition(pod, "Initialized").is_some_and(|condition| text(condition, "/status") == "True");
    if let Some(waits) = &initializing {
        state.clone_from(waits);
    }
    if initializing.is_none() || initialized {
        seen.restarts = seen.sidecar_restarts;
        state = seen.running(pod, state);
    }
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        if text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut state);
        } else if !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut state);
        }
    }
    let restarts = match seen.last_restart {
        Some(last) if seen.restarts > 0 => format!("{} ({} ago)", seen.restarts, span(now.as_second() - last)),
        _ => seen.restarts.to_string(),
    };
    vec![
        text(pod, "/metadata/name").into(),
        format!("{}/{}", seen.ready, seen.total).into(),
        state.into(),
        restarts.into(),
        age(pod, now),
        text_or(pod, "/status/podIPs/0/ip", "<none>").into(),
        text_or(pod, "/spec/nodeName", "<none>").into(),
        text_or(pod, "/status/nominatedNodeName", "<none>").into(),
        gates(pod),
    ]
}

/// What was counted.
#[derive(Default)]
struct Seen {
    total: usize,
    ready: usize,
    restarts: i64,
    sidecar_restarts: i64,
    last_restart: Option<i64>,
}

impl Seen {
    fn restarted(&mut self, container: &Json) {
        let finished = text(container, "/lastState/terminated/finishedAt").parse::<Timestamp>().ok();
        self.last_restart = self.last_restart.max(finished.map(Timestamp::as_second));
    }

    /// The first init container that is not through, if there is one.
    fn initial(&mut self, pod: &Json, sidecars: &[&str]) -> Option<String> {
        let count = items(pod, "/spec/initContainers").len();
        for (index, container) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
            self.restarts += number(container, "/restartCount");
            self.restarted(container);
            let is_sidecar = sidecars.contains(&text(container, "/name"));
            if is_sidecar {
                self.sidecar_restarts += number(container, "/restartCount");
            }
            let terminated = container.pointer("/state/terminated");
            if terminated.is_some_and(|terminated| number(terminated, "/exitCode") == 0) {
                continue;
            }
            if is_sidecar && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            let waits = text(container, "/state/waiting/reason");
            return Some(match terminated {
                Some(terminated) => format!("Init:{}", ended(terminated)),
                None if !matches!(waits, "" | "PodInitializing") => format!("Init:{waits}"),
                None => format!("Init:{index}/{count}"),
            });
        }
        None
    }

    fn running(&mut self, pod: &Json, mut state: String) -> String {
        let mut runs = false;
        for container in items(pod, "/status/containerStatuses").iter().rev() {
            self.restarts += number(container, "/restartCount");
            self.restarted(container);
            let waits = text(container, "/state/waiting/reason");
            if !waits.is_empty() {
                waits.clone_into(&mut state);
            } else if let Some(terminated) = container.pointer("/state/terminated") {
                state = ended(terminated);
            } else if container["ready"] == true && container.pointer("/state/running").is_some() {
                runs = true;
                self.ready += 1;
            }
        }
        if state == "Completed" && runs {
            let ready = condition(pod, "Ready").is_some_and(|condition| text(condition, "/status") == "True");
            (if ready { "Running" } else { "NotReady" }).clone_into(&mut state);
        }
        state
    }
}

fn ended(terminated: &Json) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn condition<'a>(pod: &'a Json, name: &str) -> Option<&'a Json> {
    items(pod, "/status/conditions").iter().find(|condition| text(condition, "/type") == name)
}

fn gates(pod: &Json) -> Json {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return json!("<none>");
    }
    let met = gates.iter().filter(|gate| {
        condition(pod, text(gate, "/conditionType")).is_some_and(|condition| text(condition, "/status") == "True")
    });
    format!("{}/{}", met.count(), gates.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pod: &Json) -> Vec<Json> {
        cells(pod, "2026-11-22T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_running_pod_that_crashed_once() {
        let pod = json!({
            "metadata": { "name": "jvb-0", "creationTimestamp": "2026-11-22T09:00:00Z" },
            "spec": { "containers": [{ "name": "jvb" }], "nodeName": "n1" },
            "status": {
                "phase": "Running",
                "podIPs": [{ "ip": "10.0.0.9" }],
                "containerStatuses": [{
                    "name": "jvb", "ready": true, "restartCount": 1, "state": { "running": {} },
                    "lastState": { "terminated": { "finishedAt": "2026-11-22T09:58:00Z" } },
                }],
            },
        });
        let expected = json!(["jvb-0", "1/1", "Running", "1 (2m ago)", "60m", "10.0.0.9", "n1", "<none>", "<none>"]);
        assert_eq!(Json::Array(row(&pod)), expected);
    }

    #[test]
    fn what_a_pod_waits_for() {
        let mut pod = json!({
            "metadata": { "name": "x" },
            "spec": { "initContainers": [{ "name": "i" }], "containers": [{ "name": "a" }, { "name": "b" }] },
            "status": {
                "phase": "Pending",
                "initContainerStatuses": [{ "name": "i", "state": { "running": {} } }],
            },
        });
        assert_eq!((&row(&pod)[1], &row(&pod)[2]), (&json!("0/2"), &json!("Init:0/1")));
        pod["status"] = json!({
            "phase": "Pending",
            "containerStatuses": [{ "name": "a", "state": { "waiting": { "reason": "ImagePullBackOff" } } }],
        });
        assert_eq!(row(&pod)[2], "ImagePullBackOff");
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-22T09:58:00Z");
        assert_eq!(row(&pod)[2], "Terminating");
    }
}
