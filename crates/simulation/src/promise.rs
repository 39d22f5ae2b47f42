//! What must hold, whatever goes wrong.

use serde::Serialize;

/// A promise of this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// Once nothing goes wrong any more, the fleet gets to where its file wants it.
    Converges,
    /// When it is there, another run plans and writes nothing.
    SecondRunIsIdle,
    /// Objects of others stay as they are.
    OthersUntouched,
    /// What the file has is never deleted, whatever could be seen of it.
    UnknownStays,
    /// Whatever is deleted is the very object that was meant: the request names its UID.
    DeletesAreExact,
    /// A bridge or a recorder with people on it is never deleted, nor prosody or jicofo of a slot with conferences.
    BusyStays,
    /// Nothing that is done costs a caller the bridge or the media.
    CallsGoOn,
    /// Never more than one prosody and one jicofo in a slot.
    OnePerSlot,
    /// Made passwords never change.
    PasswordsStay,
    /// Secret values stand in Secrets, and nowhere else.
    NothingLeaks,
    /// Bridges keep their ports.
    PortsStay,
    /// Readiness decides about no media.
    MediaUngated,
    /// The number of requests has a bound.
    RequestsBounded,
    /// When daemons say that all is well, somebody who looks for himself finds nothing to do either.
    NothingOverlooked,
    /// A daemon that is told to end does so in time.
    Stops,
    /// What a daemon holds does not grow with the days.
    NothingGathers,
    /// The simulation itself works.
    Played,
}

/// A promise that was not kept, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{promise:?}: {what}")]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// In words.
    pub what: String,
}

impl Promise {
    pub(crate) fn broken(self, what: impl Into<String>) -> Violation {
        Violation { promise: self, what: what.into() }
    }
}
