//! What must be remembered and is neither in the file nor observable: one object per plane, in its home cluster,
//! changed by compare-and-swap.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Access, ClusterName};
use jiff::Timestamp;
use manifest::{Allocations, UnitId};
use serde::{Deserialize, Serialize};

/// Counts the turns of a plane's writers: whoever takes its Lease begins another. A writer of an earlier turn is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// That of the turn that comes after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A plane's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Grows with every turn in which something is done.
    pub generation: Generation,
    /// What was accepted last.
    pub intent: Option<Intent>,
    /// The hash of the fleet file that a daemon keeps. While its file is the same, the intent above goes before the file:
    /// somebody applied it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_file: Option<String>,
    /// The last intent that was seen to converge.
    pub last_good: Option<Intent>,
    /// Numbers that were given out.
    pub allocations: Allocations,
    /// Which clusters these names meant when they were first used.
    pub pins: BTreeMap<ClusterName, Pin>,
    /// What left the file and has not gone yet.
    pub tombstones: Vec<Tombstone>,
}

/// A fleet file that was accepted: normalised, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The merged file as JSON, secrets left out.
    pub text: String,
    /// Its hash.
    pub hash: String,
    /// When it was accepted.
    pub since: Timestamp,
}

/// A cluster's identity at first use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The UID.
    pub uid: String,
    /// Of what: `kube-system`, or the fleet's namespace where that can't be read.
    pub of: String,
}

/// A debt: something that left the file while it was, or may have been, live somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The cluster.
    pub cluster: ClusterName,
    /// How it was reached.
    pub access: Access,
    /// The namespace there.
    pub namespace: String,
    /// The units that are still there.
    pub units: BTreeSet<UnitId>,
    /// Since when.
    pub since: Timestamp,
}

/// A drain that we asked for: written on the pod before the bridge is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Why.
    pub reason: DrainReason,
    /// Since when.
    pub since: Timestamp,
}

/// Why we drain a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainReason {
    /// It is to be replaced.
    Replace,
    /// It left the file.
    Remove,
}
