//! How the fleet is changed, watched and kept.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Secret, Text};

/// How live units are replaced.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Rollout {
    /// How a shard is upgraded. Default: `surge`.
    pub(crate) shards: Option<ShardStrategy>,
    /// Data clusters, canary first. Default: the pools' order.
    pub(crate) order: Option<Vec<String>>,
    /// Data clusters left out.
    pub(crate) skip: Vec<String>,
    /// Bridges out of rotation at once, fleet-wide, in percent (at least one). Default: `10%`.
    pub(crate) max_draining: Option<Text>,
    /// How long a unit may take to empty. Default: `4h`.
    pub(crate) drain_deadline: Option<String>,
    /// What happens after that. Default: `wait`.
    pub(crate) on_deadline: Option<OnDeadline>,
    /// How long the canary must stay healthy. Default: `10m`.
    pub(crate) soak: Option<String>,
    /// What happens when it doesn't. Default: `pause`.
    pub(crate) on_failure: Option<OnFailure>,
    /// When live units may be replaced. Default: always.
    pub(crate) window: Option<Window>,
}

/// How a shard is upgraded.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ShardStrategy {
    /// Start the empty slot, move new rooms over, drain the old one.
    Surge,
    /// Replace when empty.
    InPlace,
}

/// What happens when a unit has not emptied in time.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDeadline {
    /// Wait on.
    Wait,
    /// Jicofo moves the participants.
    Move,
    /// Stop it.
    Stop,
}

/// What happens when the canary fails.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFailure {
    /// Stop and tell.
    Pause,
    /// Go back.
    Undo,
}

/// A weekly window.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Window {
    /// Such as `mon-fri`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) days: Option<String>,
    /// `HH:MM`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) start: Option<String>,
    /// `HH:MM`; before `start` means the next day.
    #[schemars(extend("x-needed" = true))]
    pub(crate) end: Option<String>,
    /// IANA time zone.
    #[schemars(extend("x-needed" = true))]
    pub(crate) zone: Option<String>,
}

/// The long-lived reconciler.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Daemon {
    /// Where its HTTP side listens. Default: `127.0.0.1:9480`.
    pub(crate) listen: Option<String>,
    /// Who is told of the few things that a human must know.
    pub(crate) webhooks: Vec<Webhook>,
}

/// A receiver of notices.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Webhook {
    /// Where to.
    #[schemars(extend("x-needed" = true))]
    pub(crate) url: Option<String>,
    /// The key that signs them.
    pub(crate) secret: Option<Secret>,
}

/// Metrics endpoints for Prometheus.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Monitoring {
    /// Whether they are opened to Prometheus and fenced, with PodMonitors and dashboards. Default: false.
    pub(crate) enabled: Option<bool>,
}
