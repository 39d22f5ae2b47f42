//! How fast the world turns: the real daemons' and agents' periods, or the same scaled down so that nobody need wait.

use std::time::Duration;

/// The periods of agents and daemons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between two attempts of a daemon to log in to its XMPP server.
    pub xmpp_retry: Duration,
    /// Until a changed state of a bridge is seen by jicofo.
    pub presence: Duration,
    /// Until a changed ConfigMap is seen in a mounted folder.
    pub volume_refresh: Duration,
    /// Between two attempts to start a container that could not start for want of a file, a key or an image.
    pub container_retry: Duration,
    /// How long a container that ended twice stays down; it doubles with each further end.
    pub crash_backoff: Duration,
    /// The longest that a container stays down.
    pub longest_backoff: Duration,
    /// How long a container must have run for its ends to be forgotten.
    pub backoff_reset: Duration,
    /// Between two heartbeats of a node.
    pub heartbeat: Duration,
    /// Until a machine that a pod needs has joined the cluster.
    pub node_boot: Duration,
    /// Until an image is on a node that never had it.
    pub image_pull: Duration,
    /// Until a load balancer has an address.
    pub load_balancer: Duration,
    /// What a second of a probe's `initialDelaySeconds` and `periodSeconds` lasts.
    pub probe_second: Duration,
    /// How long the daemons take from the start of their container until they serve.
    pub start: ByDaemon,
    /// How long the daemons take to answer a request over HTTP.
    pub answer: ByDaemon,
    /// How long a daemon takes to end after SIGTERM.
    pub termination: Duration,
    /// How often a hook that waits for people looks.
    pub hook: Duration,
    /// How long changes of Services and pods are gathered before open connections are looked at again.
    pub settle: Duration,
}

/// How long something takes, by daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByDaemon {
    /// prosody.
    pub prosody: Duration,
    /// jicofo, in its Java machine.
    pub jicofo: Duration,
    /// The bridge, in its Java machine.
    pub bridge: Duration,
    /// jibri, with its X server and its browser.
    pub recorder: Duration,
    /// All others: haproxy, the web server.
    pub other: Duration,
}

impl ByDaemon {
    /// It takes no time.
    #[must_use]
    pub const fn at_once() -> Self {
        let none = Duration::ZERO;
        Self { prosody: none, jicofo: none, bridge: none, recorder: none, other: none }
    }

    /// That of one component, as its image is called.
    pub(crate) fn of(&self, component: &str) -> Duration {
        match component {
            "prosody" => self.prosody,
            "jicofo" => self.jicofo,
            "jvb" => self.bridge,
            "jibri" => self.recorder,
            _ => self.other,
        }
    }
}

impl Timing {
    /// As it is in production.
    #[must_use]
    pub const fn real() -> Self {
        Self {
            xmpp_retry: Duration::from_secs(5),
            presence: Duration::from_secs(5),
            volume_refresh: Duration::from_secs(60),
            container_retry: Duration::from_secs(10),
            crash_backoff: Duration::from_secs(10),
            longest_backoff: Duration::from_secs(300),
            backoff_reset: Duration::from_secs(600),
            heartbeat: Duration::from_secs(10),
            node_boot: Duration::from_secs(90),
            image_pull: Duration::from_secs(20),
            load_balancer: Duration::from_secs(30),
            probe_second: Duration::from_secs(1),
            start: ByDaemon {
                prosody: Duration::from_secs(2),
                jicofo: Duration::from_secs(6),
                bridge: Duration::from_secs(8),
                recorder: Duration::from_secs(10),
                other: Duration::from_secs(1),
            },
            answer: ByDaemon::at_once(),
            termination: Duration::from_secs(1),
            hook: Duration::from_secs(5),
            settle: Duration::from_millis(500),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            xmpp_retry: Duration::from_millis(300),
            presence: Duration::from_millis(50),
            volume_refresh: Duration::from_millis(200),
            container_retry: Duration::from_millis(500),
            crash_backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(4),
            backoff_reset: Duration::from_secs(20),
            heartbeat: Duration::from_secs(10),
            node_boot: Duration::from_millis(100),
            image_pull: Duration::ZERO,
            load_balancer: Duration::ZERO,
            probe_second: Duration::ZERO,
            start: ByDaemon::at_once(),
            answer: ByDaemon::at_once(),
            termination: Duration::ZERO,
            hook: Duration::from_millis(50),
            settle: Duration::from_millis(20),
        }
    }
}
