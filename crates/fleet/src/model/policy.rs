//! How the fleet is changed, watched and kept.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ClusterName;

/// How live units are replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Surge or in place.
    pub shards: ShardStrategy,
    /// Data clusters, canary first; each data cluster exactly once, but for `skip`.
    pub order: Vec<ClusterName>,
    /// Data clusters left out.
    pub skip: Vec<ClusterName>,
    /// Bridges out of rotation at once, fleet-wide, in percent (at least one bridge).
    pub max_draining_percent: u8,
    /// How long a unit may take to empty.
    pub drain_deadline: Duration,
    /// What happens after that.
    pub on_deadline: OnDeadline,
    /// How long the canary must stay healthy.
    pub soak: Duration,
    /// What happens when it doesn't.
    pub on_failure: OnFailure,
    /// When live units may be replaced.
    pub window: Option<Window>,
}

/// How a shard is upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardStrategy {
    /// Start the empty slot, move new rooms over, drain the old one.
    Surge,
    /// Replace when empty.
    InPlace,
}

/// What happens when a unit has not emptied in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    /// Wait on.
    Wait,
    /// Jicofo moves the participants.
    Move,
    /// Stop it.
    Stop,
}

/// What happens when the canary fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Stop and tell.
    Pause,
    /// Go back.
    Undo,
}

/// A weekly window, as written in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Such as `mon-fri`.
    pub days: String,
    /// `HH:MM`.
    pub start: String,
    /// `HH:MM`; before `start` means the next day.
    pub end: String,
    /// IANA time zone.
    pub zone: String,
}

/// The long-lived reconciler.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Where its HTTP side listens.
    pub listen: SocketAddr,
    /// Who is told of the few things that a human must know.
    pub webhooks: Vec<Webhook>,
}

/// A receiver of notices.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where to.
    pub url: url::Url,
    /// The key that signs them.
    pub secret: Option<super::SecretSource>,
}

/// Whether metrics endpoints are opened to Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Monitoring {
    /// The switch.
    pub enabled: bool,
}
