//! What clusters and Jitsi daemons report.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, Index, PoolName, ShardName, Slot};
use manifest::{Kind, ObjectRef, UnitId};
use serde::{Deserialize, Serialize};

use crate::{Drain, Generation, Known, LiveObject};

/// Everything that was seen in one look around.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// What each cluster's API server said.
    pub clusters: BTreeMap<ClusterName, Known<ClusterView>>,
    /// What each serving slot's jicofo said.
    pub slots: BTreeMap<(ShardName, Slot), Known<SlotView>>,
    /// What jicofos said that still run where the control plane has been.
    pub former: BTreeMap<(ClusterName, ShardName, Slot), Known<SlotView>>,
    /// What bridges said of themselves. Only those are asked about which jicofo leaves a question open.
    pub bridges: BTreeMap<(ClusterName, PoolName, Index), Known<BridgeView>>,
    /// What recorders said of themselves, where their turn may have come.
    pub recorders: BTreeMap<(ClusterName, PoolName, Index), Known<RecorderView>>,
}

/// A cluster, as far as the fleet goes.
#[derive(Debug, Clone, Default)]
pub struct ClusterView {
    /// Objects that carry the fleet's label.
    pub objects: BTreeMap<ObjectRef, LiveObject>,
    /// Pods that carry the fleet's label, by name.
    pub pods: BTreeMap<String, LivePod>,
    /// What each plane wrote down as its own.
    pub inventories: BTreeMap<fleet::Plane, Inventory>,
    /// Nodes, where they may be read.
    pub nodes: Option<Vec<NodeView>>,
    /// The fleet's namespace there.
    pub namespace: NamespaceState,
    /// Kinds that this cluster lacks: their CRD is not installed.
    pub missing_kinds: BTreeSet<Kind>,
    /// Kinds that we may not list, with the reason: their objects are unknown.
    pub unreadable_kinds: BTreeMap<Kind, String>,
}

/// The fleet's namespace in a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NamespaceState {
    /// There it is.
    Present {
        /// Its UID.
        uid: String,
        /// `pod-security.kubernetes.io/enforce`.
        enforce: Option<String>,
        /// Whether it is being deleted.
        terminating: bool,
    },
    /// A 404.
    Absent,
    /// We may not read it.
    #[default]
    Unknown,
}

/// A pod, as far as the planner needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its `jitsictl.dev/roll` annotation.
    pub roll: Option<String>,
    /// Where it runs.
    pub node: Option<String>,
    /// What it does.
    pub phase: PodPhase,
    /// ConfigMaps and Secrets that it refers to.
    pub references: BTreeSet<(Kind, String)>,
    /// The drain that we asked for, from its annotation.
    pub drain: Option<Drain>,
}

/// What a pod does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Its containers run and are ready.
    Ready,
    /// Its containers run; it is not ready (yet).
    Running,
    /// Nothing of it runs, and why: unschedulable, pulling, crash-looping, a Secret that is missing.
    Waiting(String),
    /// It is being deleted.
    Terminating,
    /// It has ended.
    Ended,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its `ExternalIP` addresses.
    pub external: Vec<std::net::IpAddr>,
    /// Its `InternalIP` addresses.
    pub internal: Vec<std::net::IpAddr>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is cordoned.
    pub cordoned: bool,
}

/// What a plane wrote down as its own in one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The turn in which it was written last.
    pub generation: Generation,
    /// Per unit: its objects.
    pub units: BTreeMap<UnitId, BTreeMap<Owned, Option<String>>>,
}

/// An object in an inventory; its value there is the UID, or nothing between intent and act.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owned {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl From<Owned> for String {
    fn from(owned: Owned) -> Self {
        format!("{}/{}", owned.kind, owned.name)
    }
}

impl TryFrom<String> for Owned {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').ok_or_else(|| format!("`{text}` is not kind/name"))?;
        let kind = Kind::ALL
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or_else(|| format!("`{kind}` is no kind of ours"))?;
        Ok(Self { kind, name: name.to_owned() })
    }
}

/// What a slot's jicofo says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlotView {
    /// Conferences, without jicofo's own health check.
    pub conferences: u64,
    /// People in them.
    pub participants: u64,
    /// Bridges in its brewery, by nickname.
    pub bridges: BTreeMap<String, Occupant>,
    /// Recorders in its brewery, if it says.
    pub recorders: Option<u64>,
}

/// A bridge as a jicofo sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Occupant {
    /// Healthy, and not going away.
    pub operational: bool,
    /// Advised to take no new conferences.
    pub draining: bool,
    /// Its version.
    pub version: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Its relay id.
    pub relay_id: Option<String>,
    /// People whom this jicofo put on it.
    pub endpoints: u64,
    /// Load, 1 is full.
    pub stress: f64,
}

/// What a bridge says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeView {
    /// People on it.
    pub endpoints: u64,
    /// Conferences on it.
    pub conferences: u64,
    /// Its drain flag.
    pub draining: bool,
    /// Ids of its XMPP clients; `None` if it was not asked.
    pub clients: Option<BTreeSet<String>>,
    /// XMPP clients that are configured.
    pub clients_configured: u64,
    /// XMPP clients that are connected.
    pub clients_connected: u64,
    /// Breweries joined.
    pub mucs_joined: u64,
}

impl BridgeView {
    /// Whether nobody is on it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.endpoints == 0 && self.conferences == 0
    }
}

/// What a recorder says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderView {
    /// Whether it records or streams now.
    pub busy: bool,
    /// Whether it did its one job and waits to be recycled.
    pub expired: bool,
}
