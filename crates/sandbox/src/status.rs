//! The status of a pod, as a kubelet or a scheduler writes it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value as Json, json};

/// What a container is doing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doing<'a> {
    /// It runs, and its probes succeed.
    Running { since: Timestamp },
    /// It does not run.
    Waiting { reason: &'a str, message: &'a str },
}

/// One container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContainerReport<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    pub(crate) doing: Doing<'a>,
    /// What it said when it ended last.
    pub(crate) last_words: Option<&'a str>,
    pub(crate) restarts: u32,
}

/// No node fits.
pub(crate) fn unschedulable(why: &str) -> Json {
    json!({
        "phase": "Pending",
        "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why }],
    })
}

/// On a node. The same input gives the same status, so that nothing is written twice.
pub(crate) fn bound(ip: &str, pod: &Pod, containers: &[ContainerReport<'_>]) -> Json {
    let ready = containers.iter().all(|one| matches!(one.doing, Doing::Running { .. }));
    let began = containers.iter().any(|one| matches!(one.doing, Doing::Running { .. }) || one.restarts > 0);
    let started = pod.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
    let since = containers.iter().filter_map(|one| match one.doing {
        Doing::Running { since } => Some(since),
        Doing::Waiting { .. } => None,
    });
    let since = since.max().map(seconds).filter(|_| ready).or_else(|| started.clone());
    let yes = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": started });
    let depends = |kind: &str| {
        let mut condition = json!({ "type": kind, "status": "True", "lastTransitionTime": since });
        if !ready {
            let waiting: Vec<&str> = containers
                .iter()
                .filter(|one| matches!(one.doing, Doing::Waiting { .. }))
                .map(|one| one.name)
                .collect();
            condition["status"] = "False".into();
            condition["reason"] = "ContainersNotReady".into();
            condition["message"] = format!("containers with unready status: [{}]", waiting.join(" ")).into();
        }
        condition
    };
    json!({
        "phase": if began { "Running" } else { "Pending" },
        "conditions": [yes("PodScheduled"), yes("Initialized"), depends("ContainersReady"), depends("Ready")],
        "hostIP": "127.0.0.1",
        "podIP": ip,
        "podIPs": [{ "ip": ip }],
        "startTime": started,
        "containerStatuses": containers.iter().map(container).collect::<Vec<_>>(),
    })
}

fn container(one: &ContainerReport<'_>) -> Json {
    let (running, state) = match one.doing {
        Doing::Running { since } => (true, json!({ "running": { "startedAt": seconds(since) } })),
        Doing::Waiting { reason, message } => (false, json!({ "waiting": { "reason": reason, "message": message } })),
    };
    let mut status = json!({
        "name": one.name,
        "image": one.image,
        "imageID": "",
        "ready": running,
        "started": running,
        "restartCount": one.restarts,
        "state": state,
    });
    if running {
        status["containerID"] = format!("stand-in://{}", one.name).into();
    }
    if let Some(words) = one.last_words {
        status["lastState"] = json!({ "terminated": { "exitCode": 1, "reason": "Error", "message": words } });
    }
    status
}

/// Kubernetes keeps whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
