//! The data plane as the file describes it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CustomFile, EnvValue, Storage, Workload};
use crate::{ClusterName, PoolName, ShardName};

/// jvb and jibri, in any number of clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the data plane's record and lease live.
    pub home: ClusterName,
    /// The pools, in the file's order (it is the default rollout order).
    pub pools: Vec<Pool>,
}

impl Data {
    /// The pool of that name.
    #[must_use]
    pub fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == *name)
    }
}

/// The bridges and recorders of one data cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Where it runs.
    pub cluster: ClusterName,
    /// The shards that it serves, never empty.
    pub shards: Vec<ShardName>,
    /// Its bridges.
    pub bridges: Bridges,
    /// Its recorders.
    pub recorders: Recorders,
}

/// How many of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replicas {
    /// Always this many.
    Fixed(u16),
    /// The daemon scales between the two; `apply` starts with `min`.
    Range {
        /// At least.
        min: u16,
        /// At most: ports and Services are laid out for it.
        max: u16,
        /// Recorders: how many should be idle.
        idle: u16,
    },
}

impl Replicas {
    /// The most there can be: what ports are laid out for.
    #[must_use]
    pub const fn max(self) -> u16 {
        match self {
            Self::Fixed(n) => n,
            Self::Range { max, .. } => max,
        }
    }

    /// How many there are before anybody scales.
    #[must_use]
    pub const fn initial(self) -> u16 {
        match self {
            Self::Fixed(n) => n,
            Self::Range { min, .. } => min,
        }
    }
}

/// The bridges of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Bridges {
    /// Their workload.
    pub workload: Workload,
    /// How many.
    pub replicas: Replicas,
    /// How media reaches them.
    pub expose: BridgeExpose,
    /// The first (or only) media port.
    pub base_port: u16,
    /// Which addresses they advertise: all of the list.
    pub advertise: Vec<Advertise>,
    /// What they do while their node is not in the list.
    pub advertise_fallback: AdvertiseFallback,
    /// How long one may take to empty when the platform removes its node.
    pub grace: Duration,
    /// Scaling thresholds and schedules.
    pub scale: Option<Scale>,
    /// Colibri websockets; legacy images only.
    pub websocket: Option<BridgeWebsocket>,
}

impl Bridges {
    /// The UDP port of the bridge with this index.
    #[must_use]
    pub const fn port(&self, index: u16) -> u16 {
        match self.expose {
            BridgeExpose::NodePort => self.base_port + index,
            BridgeExpose::HostPort | BridgeExpose::HostNetwork | BridgeExpose::LoadBalancer => self.base_port,
        }
    }
}

/// How media reaches a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeExpose {
    /// A NodePort Service each, `base_port + index`.
    NodePort,
    /// `base_port` on the node, one bridge per node.
    HostPort,
    /// The node's own network, `base_port`, one bridge per node.
    HostNetwork,
    /// A load balancer each.
    LoadBalancer,
}

/// An address that bridges advertise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Advertise {
    /// The node's ExternalIP.
    ExternalIp,
    /// The node's InternalIP.
    InternalIp,
    /// The value of an annotation of the node.
    Annotation(String),
    /// Node name → address.
    Map(BTreeMap<String, IpAddr>),
    /// One address for all.
    Static(IpAddr),
}

/// What a bridge does when its node is not in the list yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdvertiseFallback {
    /// It waits.
    Wait,
    /// It advertises this address.
    Address(IpAddr),
}

/// When the daemon scales.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Average stress above which a bridge is added.
    pub up_at: f64,
    /// Average stress below which one is removed.
    pub down_at: f64,
    /// Minimums by time of day.
    pub schedule: Vec<ScaleSchedule>,
}

/// A minimum by time of day, as written in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleSchedule {
    /// Such as `mon-fri`.
    pub days: String,
    /// `HH:MM`.
    pub start: String,
    /// `HH:MM`.
    pub end: String,
    /// IANA time zone.
    pub zone: String,
    /// At least so many bridges meanwhile.
    pub min: u16,
}

/// Colibri websockets of legacy bridges: a Service and a path per bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeWebsocket {
    /// The public host under which the pool's cluster answers `/colibri-ws/<nickname>`.
    pub host: String,
}

/// The recorders of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorders {
    /// Their workload.
    pub workload: Workload,
    /// How many.
    pub replicas: Replicas,
    /// Where recordings go; always set when there is a recorder.
    pub storage: Option<RecorderStorage>,
    /// How long a recording may go on after the platform wants its node.
    pub grace: Duration,
}

impl Recorders {
    /// The variable that names the script.
    pub const FINALIZE: &str = "JIBRI_FINALIZE_RECORDING_SCRIPT_PATH";

    /// The file that runs after each recording: the one that the variable names, or else a file of the user's
    /// `/config/finalize….sh`.
    #[must_use]
    pub fn finalize_script(&self) -> Option<&CustomFile> {
        let files = &self.workload.files;
        match self.workload.env.get(Self::FINALIZE) {
            Some(EnvValue::Plain(path)) => files.iter().find(|file| file.path == *path),
            Some(EnvValue::Secret) => None,
            None => files.iter().find(|file| {
                let name = file.path.strip_prefix("/config/");
                name.is_some_and(|name| name.starts_with("finalize") && name.ends_with(".sh"))
            }),
        }
    }
}

/// Where recordings go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecorderStorage {
    /// A claim that exists.
    Claim(String),
    /// A claim per recorder.
    Volume(Storage),
    /// The pod's own disk; only with a finalize script that takes recordings away.
    EmptyDir {
        /// `sizeLimit`, a canonical quantity.
        size: String,
    },
}
