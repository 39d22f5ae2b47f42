//! How fast the world turns: the real daemons' periods, scaled down so that a test need not wait for them.

use std::time::Duration;

/// The periods of agents and daemons.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Between two attempts of a daemon to log in to its XMPP server (5 s in reality).
    pub xmpp_retry: Duration,
    /// Until a changed state of a bridge is seen by jicofo (up to 5 s in reality).
    pub presence: Duration,
    /// Until a changed ConfigMap is seen in a mounted folder (up to a minute in reality).
    pub volume_refresh: Duration,
    /// Between two attempts to start a container that could not start.
    pub container_retry: Duration,
    /// Between two heartbeats of a node.
    pub heartbeat: Duration,
    /// How long changes of Services and pods are gathered before open connections are looked at again.
    pub settle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            xmpp_retry: Duration::from_millis(300),
            presence: Duration::from_millis(50),
            volume_refresh: Duration::from_millis(200),
            container_retry: Duration::from_millis(500),
            heartbeat: Duration::from_secs(10),
            settle: Duration::from_millis(20),
        }
    }
}
