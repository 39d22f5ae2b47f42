//! The status of a pod, as a kubelet or a scheduler writes it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value as Json, json};

/// What a container is doing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Doing<'a> {
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
        /// Its probes succeed.
        ready: bool,
    },
    /// It does not run.
    Waiting { reason: &'a str, message: &'a str },
}

/// How a container ended last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) code: i32,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// One container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContainerReport<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    pub(crate) doing: Doing<'a>,
    pub(crate) last: Option<&'a Last>,
    pub(crate) restarts: u32,
}

impl ContainerReport<'_> {
    fn is_ready(&self) -> bool {
        matches!(self.doing, Doing::Running { ready: true, .. })
    }
}

/// No node fits.
pub(crate) fn unschedulable(why: &str) -> Json {
    json!({
        "phase": "Pending",
        "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why }],
    })
}

/// Whether somebody else has written that it is not ready, though all of its containers are.
pub(crate) fn is_silenced(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let says = |kind: &str, status: &str| {
        conditions.into_iter().flatten().any(|condition| condition.type_ == kind && condition.status == status)
    };
    says("Ready", "False") && says("ContainersReady", "True")
}

/// On a node; `since` is when it became what it is, ready or not. The same input gives the same status, so that nothing
/// is written twice.
pub(crate) fn bound(ip: &str, pod: &Pod, containers: &[ContainerReport<'_>], since: Timestamp) -> Json {
    let ready = containers.iter().all(ContainerReport::is_ready);
    let began = containers.iter().any(|one| matches!(one.doing, Doing::Running { .. }) || one.restarts > 0);
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
    let yes = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": created });
    let depends = |kind: &str| {
        let mut condition = json!({ "type": kind, "status": "True", "lastTransitionTime": seconds(since) });
        if !ready {
            let waiting: Vec<&str> = containers.iter().filter(|one| !one.is_ready()).map(|one| one.name).collect();
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
        "startTime": created,
        "containerStatuses": containers.iter().map(container).collect::<Vec<_>>(),
    })
}

fn container(one: &ContainerReport<'_>) -> Json {
    let (running, state) = match one.doing {
        Doing::Running { since, .. } => (true, json!({ "running": { "startedAt": seconds(since) } })),
        Doing::Waiting { reason, message } => (false, json!({ "waiting": { "reason": reason, "message": message } })),
    };
    let mut status = json!({
        "name": one.name,
        "image": one.image,
        "imageID": "",
        "ready": one.is_ready(),
        "started": running,
        "restartCount": one.restarts,
        "state": state,
    });
    if running {
        status["containerID"] = format!("stand-in://{}", one.name).into();
    }
    if let Some(last) = one.last {
        let Last { code, reason, message } = last;
        status["lastState"] = json!({ "terminated": { "exitCode": code, "reason": reason, "message": message } });
    }
    status
}

/// Kubernetes keeps whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
