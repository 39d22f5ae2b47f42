//! What is known, from whom, and since when. Unknown is not absent.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A cluster's API server.
    ApiServer,
    /// A slot's jicofo.
    Jicofo,
    /// The bridge or recorder itself.
    Daemon,
    /// A handover file.
    Handover,
}

/// A fact with its source and age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen<T> {
    /// The fact.
    pub value: T,
    /// Who said it.
    pub source: Source,
    /// When it was asked for: the fact is at least as new as this.
    pub as_of: Timestamp,
}

/// Why something is unknown, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Reason(pub String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fact, its proven absence, or neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Known<T> {
    /// It is there.
    Yes(Seen<T>),
    /// It is not there: somebody who must know said so (a 404).
    Absent {
        /// When it was asked for.
        as_of: Timestamp,
    },
    /// Nobody could say. Never a reason to delete, blank or make anew.
    Unknown {
        /// Why nobody could.
        why: Reason,
    },
}

impl<T> Known<T> {
    /// The fact, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Yes(seen) => Some(&seen.value),
            Self::Absent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// When the fact was asked for, if there is one.
    pub fn as_of(&self) -> Option<Timestamp> {
        match self {
            Self::Yes(seen) => Some(seen.as_of),
            Self::Absent { as_of } => Some(*as_of),
            Self::Unknown { .. } => None,
        }
    }

    /// The same was answered again.
    pub(crate) const fn renew(&mut self, now: Timestamp) {
        match self {
            Self::Yes(Seen { as_of, .. }) | Self::Absent { as_of } => *as_of = now,
            Self::Unknown { .. } => {}
        }
    }

    /// Why nothing is known.
    pub const fn unknown(&self) -> Option<&Reason> {
        match self {
            Self::Unknown { why } => Some(why),
            Self::Yes(_) | Self::Absent { .. } => None,
        }
    }
}
