//! Plans: the whole difference, what may happen now, and what waits for what.

use std::collections::BTreeSet;

use fleet::ClusterName;
use manifest::{Kind, ObjectRef, UnitId};
use serde::{Deserialize, Serialize};

use crate::Step;

/// What a change does to people who are on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlastRadius {
    /// Nothing.
    None,
    /// New rooms may wait or land elsewhere.
    NewJoins,
    /// Websockets are cut and come back; media goes on.
    Reconnect,
    /// A bridge has to empty first.
    BridgeDrain,
    /// All calls of a shard.
    ShardRestart,
}

impl BlastRadius {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NewJoins => "new-joins",
            Self::Reconnect => "reconnect",
            Self::BridgeDrain => "bridge-drain",
            Self::ShardRestart => "shard-restart",
        }
    }
}

/// Who is on something now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Conferences.
    pub conferences: u64,
    /// People.
    pub participants: u64,
}

/// How an object differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// It is not there.
    Create,
    /// These leaves differ, as JSON pointers.
    Update {
        /// Where, and from what to what; secret values never.
        fields: Vec<Field>,
    },
    /// It is to go.
    Delete,
}

/// A leaf that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// JSON pointer, with list entries named by their key: `/spec/ports[port=5222]/nodePort`.
    pub path: String,
    /// What is there, shortened.
    pub from: Option<String>,
    /// What should be, shortened.
    pub to: Option<String>,
}

/// The whole difference of one unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The unit.
    pub unit: UnitId,
    /// Where.
    pub cluster: ClusterName,
    /// Its objects that differ.
    pub objects: Vec<(ObjectRef, Difference)>,
    /// Pods that run something older than their template says.
    pub outdated_pods: Vec<String>,
    /// What it does to calls.
    pub radius: BlastRadius,
    /// Who is on it now, if that can be said.
    pub live: Option<Live>,
}

/// Why something waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockedBy {
    /// People are on it.
    Participants(Live),
    /// Nobody could say whether people are on it.
    NoEvidence {
        /// Why not.
        why: String,
    },
    /// Another bridge is being replaced; one goes at a time.
    Turn {
        /// Whose turn it is.
        unit: UnitId,
    },
    /// Its cluster can't be reached.
    Unreachable {
        /// Why.
        why: String,
    },
    /// It left the file, and its cluster can't be asked.
    Owed {
        /// Why not.
        why: String,
    },
    /// Its objects can't be read.
    Unreadable {
        /// Which kind.
        kind: Kind,
        /// Why.
        why: String,
    },
    /// The address that it leads to is not known.
    Endpoint {
        /// Why not.
        why: String,
    },
    /// The namespace is not there.
    NoNamespace {
        /// Its name.
        namespace: String,
    },
    /// The cluster lacks the kind: its CRD is not installed.
    KindMissing {
        /// Which.
        kind: Kind,
    },
    /// Live pods still refer to it.
    Referenced {
        /// Which.
        pods: BTreeSet<String>,
    },
    /// The last steps have not been seen to work yet.
    Settling {
        /// What is waited for.
        why: String,
    },
    /// Rendering came out empty: nothing is pruned on that ground.
    EmptyRender,
}

/// Something that waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// The unit.
    pub unit: UnitId,
    /// Where.
    pub cluster: ClusterName,
    /// For what.
    pub by: BlockedBy,
}

/// What is to come when everything goes as it should.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Sentences, first things first.
    pub lines: Vec<String>,
}

/// A plan. Immutable: whoever executes it may refuse a step and never chooses another.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// The whole difference.
    pub changes: Vec<Change>,
    /// What may be done now, in order.
    pub steps: Vec<Step>,
    /// What waits.
    pub blocked: Vec<Blocked>,
    /// What is to come, where somebody asked for it.
    pub forecast: Forecast,
}

impl Plan {
    /// Whether there is nothing to do and nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.steps.is_empty() && self.blocked.is_empty()
    }

    /// The worst that it does to calls.
    #[must_use]
    pub fn radius(&self) -> BlastRadius {
        self.changes.iter().map(|change| change.radius).max().unwrap_or(BlastRadius::None)
    }
}
