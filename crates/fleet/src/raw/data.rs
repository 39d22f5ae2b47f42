//! The data plane's keys.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Map, Recipe, Text, Workload};

/// jvb and jibri, in any number of clusters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Data {
    /// Where the data plane's record and lease live. Default: the cluster of the first pool.
    pub(crate) home: Option<String>,
    /// Name → the bridges and recorders of one data cluster.
    #[schemars(extend("x-needed" = true))]
    pub(crate) pools: Option<Map<Pool>>,
}

/// The bridges and recorders of one data cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Pool {
    /// Where it runs.
    #[schemars(extend("x-needed" = true))]
    pub(crate) cluster: Option<String>,
    /// The shards that it serves. Default: `all`.
    pub(crate) shards: Option<Shards>,
    /// Its release; needed while its shards differ.
    pub(crate) release: Option<String>,
    /// Where its images come from.
    pub(crate) registry: Option<String>,
    /// How its images want to be run.
    pub(crate) recipe: Option<Recipe>,
    /// Its environment; each image gets those names it reads.
    pub(crate) env: Map<Text>,
    /// Its bridges.
    pub(crate) bridges: Bridges,
    /// Its recorders.
    pub(crate) recorders: Recorders,
    /// The name that this pool had before: bridges and recorders keep it, so leave this here.
    pub(crate) renamed_from: Option<String>,
}

/// The shards that a pool serves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Shards {
    /// Every shard.
    All(All),
    /// These.
    Some(Vec<String>),
}

/// The word `all`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum All {
    /// Every one.
    All,
}

/// How many: a number, or a range between which the daemon scales.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Count {
    /// Always this many.
    Fixed(u16),
    /// The daemon scales between the two.
    Range {
        /// At least.
        min: u16,
        /// At most: ports and Services are laid out for it.
        max: u16,
        /// Recorders: how many should be idle.
        idle: Option<u16>,
    },
}

/// The bridges of a pool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Bridges {
    /// What every workload takes.
    #[serde(flatten)]
    pub(crate) workload: Workload,
    /// How many. Default: 1.
    pub(crate) replicas: Option<Count>,
    /// How media reaches them. Default: `node_port`.
    pub(crate) expose: Option<BridgeExpose>,
    /// The first (or only) media port. Default: 30000 for `node_port`, else 10000.
    pub(crate) base_port: Option<u16>,
    /// Which addresses they advertise: all of the list. Default: `[external_ip]`.
    pub(crate) advertise: Option<Vec<Advertise>>,
    /// What a bridge does while its node is not in the list: `wait`, or an address. Default: `wait`.
    pub(crate) advertise_fallback: Option<String>,
    /// How long a bridge may take to empty when the platform removes its node. Default: `4h`.
    pub(crate) grace: Option<String>,
    /// When the daemon scales.
    pub(crate) scale: Option<Scale>,
    /// Colibri websockets: legacy images only.
    pub(crate) websocket: Option<Websocket>,
}

/// How media reaches a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BridgeExpose {
    /// Bridge i listens on `base_port` + i of every node.
    NodePort,
    /// `base_port` of its node, one bridge per node.
    HostPort,
    /// The node's own network, `base_port`, one bridge per node.
    HostNetwork,
    /// A load balancer each.
    LoadBalancer,
}

/// An address that bridges advertise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Advertise {
    /// An address of the node.
    Node(NodeAddress),
    /// The value of an annotation of the node.
    Annotation {
        /// The annotation's name.
        annotation: String,
    },
    /// Node name → address.
    Map {
        /// Node name → address.
        map: Map<String>,
    },
    /// One address for all.
    Static {
        /// The address.
        #[serde(rename = "static")]
        address: String,
    },
}

/// An address of a node.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeAddress {
    /// The node's ExternalIP.
    ExternalIp,
    /// The node's InternalIP.
    InternalIp,
}

/// When the daemon scales.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Scale {
    /// Average stress above which a bridge is added. Default: 0.3.
    pub(crate) up_at: Option<f64>,
    /// Average stress below which one is removed. Default: 0.1.
    pub(crate) down_at: Option<f64>,
    /// Minimums by time of day.
    pub(crate) schedule: Vec<ScaleSchedule>,
}

/// A minimum by time of day.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ScaleSchedule {
    /// Such as `mon-fri`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) days: Option<String>,
    /// `HH:MM`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) start: Option<String>,
    /// `HH:MM`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) end: Option<String>,
    /// IANA time zone.
    #[schemars(extend("x-needed" = true))]
    pub(crate) zone: Option<String>,
    /// At least so many bridges meanwhile.
    #[schemars(extend("x-needed" = true))]
    pub(crate) min: Option<u16>,
}

/// Colibri websockets of legacy bridges.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Websocket {
    /// The public host under which the pool's cluster answers `/colibri-ws/…`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) host: Option<String>,
}

/// The recorders of a pool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Recorders {
    /// What every workload takes.
    #[serde(flatten)]
    pub(crate) workload: Workload,
    /// How many. Default: 0.
    pub(crate) replicas: Option<Count>,
    /// Where recordings go.
    pub(crate) storage: Option<RecorderStorage>,
    /// How long a recording may go on after the platform wants its node. Default: `4h`.
    pub(crate) grace: Option<String>,
}

/// Where recordings go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RecorderStorage {
    /// A claim that exists.
    Claim {
        /// The claim's name.
        claim: String,
    },
    /// The pod's own disk; only with a finalize script that takes recordings away.
    EmptyDir {
        /// Its size limit.
        empty_dir: Text,
    },
    /// A claim per recorder.
    Volume {
        /// Its size.
        size: Text,
        /// `storageClassName`.
        class: Option<String>,
    },
}
