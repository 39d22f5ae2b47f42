//! Steps: the only things that are ever written. Each is idempotent and re-checked before it is done.

use fleet::{ClusterName, Index, Plane, PoolName, ShardName, Slot};
use manifest::{ObjectRef, UnitId};
use serde::Serialize;

use crate::{Drain, Owned, Tombstone};

/// One write that is allowed now. Steps of one plan don't depend on each other unless an earlier one of the same
/// unit comes first in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Write down that something left the file, before it goes.
    Bury(Tombstone),
    /// Apply these objects of a unit, as desired.
    Apply {
        /// The unit.
        unit: UnitId,
        /// Where.
        cluster: ClusterName,
        /// Which of its objects.
        objects: Vec<ObjectRef>,
    },
    /// Tell a bridge to take no new conferences; the pod's annotation is written first.
    Drain {
        /// The pool.
        pool: PoolName,
        /// The bridge.
        index: Index,
        /// The pod that is told.
        pod: Given,
        /// Why and since when.
        drain: Drain,
    },
    /// Take back a drain of ours.
    Undrain {
        /// The pool.
        pool: PoolName,
        /// The bridge.
        index: Index,
        /// The pod that is told.
        pod: Given,
    },
    /// Connect a running bridge to a slot's prosody, without a restart.
    Attach {
        /// The pool.
        pool: PoolName,
        /// The bridge.
        index: Index,
        /// The pod that is told.
        pod: Given,
        /// The shard.
        shard: ShardName,
        /// The slot.
        slot: Slot,
        /// Whether a client of that id is there and must go first: it may have another password or port.
        replace: bool,
    },
    /// Part a running bridge from a slot that is gone.
    Detach {
        /// The pool.
        pool: PoolName,
        /// The bridge.
        index: Index,
        /// The pod that is told.
        pod: Given,
        /// The shard.
        shard: ShardName,
        /// The slot.
        slot: Slot,
    },
    /// Delete a pod so that it comes back as its template now says.
    DeletePod {
        /// The unit it belongs to.
        unit: UnitId,
        /// The pod.
        pod: Given,
        /// Whether it may wait until nobody is on it, or is stopped at once.
        patience: Patience,
    },
    /// Delete an object that we own and nobody needs any more.
    Prune {
        /// The unit it belonged to.
        unit: UnitId,
        /// The object.
        object: ObjectRef,
        /// Its UID: another object of that name is left alone.
        uid: String,
        /// Its version when the decision was made.
        version: String,
    },
    /// Strike what is gone from the inventory: it was deleted, and whoever did that did not live to write it down.
    Forget {
        /// The unit it belonged to.
        unit: UnitId,
        /// Where.
        cluster: ClusterName,
        /// What is gone.
        objects: Vec<Owned>,
    },
}

impl Step {
    /// Where it acts; nowhere but in the record if none.
    #[must_use]
    pub const fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::Bury(_) => None,
            Self::Apply { cluster, .. } | Self::Forget { cluster, .. } => Some(cluster),
            Self::Drain { pod, .. }
            | Self::Undrain { pod, .. }
            | Self::Attach { pod, .. }
            | Self::Detach { pod, .. }
            | Self::DeletePod { pod, .. } => Some(&pod.cluster),
            Self::Prune { object, .. } => Some(&object.cluster),
        }
    }

    /// Whose step it is; of whoever keeps the record if none.
    #[must_use]
    pub const fn plane(&self) -> Option<Plane> {
        match self {
            Self::Bury(_) => None,
            Self::Apply { unit, .. }
            | Self::DeletePod { unit, .. }
            | Self::Prune { unit, .. }
            | Self::Forget { unit, .. } => Some(unit.plane()),
            Self::Drain { .. } | Self::Undrain { .. } | Self::Attach { .. } | Self::Detach { .. } => Some(Plane::Data),
        }
    }
}

/// How long a pod that is deleted may take to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Patience {
    /// Its own grace period: its preStop hook waits for the last participant.
    Graceful,
    /// Seconds: people were told (`--allow-disruption`).
    Brief,
}

/// The very pod that evidence was about: a step on another one of that name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    /// Where.
    pub cluster: ClusterName,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}
