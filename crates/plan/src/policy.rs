//! What the person who runs us allows, and what this run has learnt.

use std::collections::BTreeSet;

use fleet::{ClusterName, Plane};
use manifest::UnitId;

use crate::Learnt;

/// What may be done in this run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which planes are applied; empty: both.
    pub planes: BTreeSet<Plane>,
    /// Which clusters are applied; empty: all.
    pub clusters: BTreeSet<ClusterName>,
    /// Live units are replaced even with people on them (`--allow-disruption`).
    pub allow_disruption: bool,
    /// Everything of the fleet goes (`delete`).
    pub removal: Removal,
    /// Whose word counts for who is on a bridge.
    pub witness: Witness,
    /// Bridges that were drained in this run and did not empty: they are not tried again.
    pub gave_up: BTreeSet<UnitId>,
    /// The run is about to end: drains that have not led to anything are taken back.
    pub last_call: bool,
    /// What the looks of this run showed one after the other.
    pub learnt: Learnt,
}

/// Whether the fleet stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Removal {
    /// It stays.
    #[default]
    None,
    /// It goes, but for claims and made secrets.
    KeepSecrets,
    /// It goes, made secrets included.
    Everything,
}

/// Whose word counts for who is on a bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Witness {
    /// Each jicofo's, then the bridge's own.
    #[default]
    Jicofo,
    /// The bridge's own alone: there is no access to the control cluster.
    Bridge,
}

impl Policy {
    /// Whether a plane is in this run.
    #[must_use]
    pub fn has_plane(&self, plane: Plane) -> bool {
        self.planes.is_empty() || self.planes.contains(&plane)
    }

    /// Whether a cluster is in this run.
    #[must_use]
    pub fn has_cluster(&self, cluster: &ClusterName) -> bool {
        self.clusters.is_empty() || self.clusters.contains(cluster)
    }
}
