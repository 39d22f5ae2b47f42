//! Probes. None of them depends on anything outside its own pod, so that no outage elsewhere restarts anything.

use serde_json::{Value as Json, json};

/// How often something is asked, and how many failures in a row count.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    period: u32,
    timeout: u32,
    failures: u32,
}

/// While the program starts: often, for three minutes.
pub(crate) const STARTUP: Pace = Pace { period: 2, timeout: 5, failures: 90 };
/// While it serves.
pub(crate) const READINESS: Pace = Pace { period: 5, timeout: 5, failures: 3 };
/// Before it is killed, with all its calls: it must have hung for five minutes.
pub(crate) const LIVENESS: Pace = Pace { period: 30, timeout: 10, failures: 10 };

/// A command in the container.
pub(crate) fn exec(command: &[&str], pace: Pace) -> Json {
    with_pace(json!({ "exec": { "command": command } }), pace)
}

/// A GET on a named port.
pub(crate) fn get(path: &str, port: &str, pace: Pace) -> Json {
    with_pace(json!({ "httpGet": { "path": path, "port": port } }), pace)
}

/// A hook that holds a leaving pod while its Service forgets it.
pub(crate) fn pause(seconds: u32) -> Json {
    json!({ "exec": { "command": ["sleep", seconds.to_string()] } })
}

fn with_pace(mut probe: Json, pace: Pace) -> Json {
    probe["periodSeconds"] = pace.period.into();
    probe["timeoutSeconds"] = pace.timeout.into();
    probe["failureThreshold"] = pace.failures.into();
    probe
}
