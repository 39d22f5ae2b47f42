//! How often what was asked over a connection, and what came.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::Cluster;

/// By verb and HTTP status; 0: there was no answer.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Tally {
    pub(crate) fn count(&self, verb: &'static str, code: u16) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((verb, code)).or_default() += 1;
    }
}

impl Cluster {
    /// The requests of this connection so far, by RBAC's verb and HTTP status; 0: there was no answer. Streams to pods
    /// are not among them.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<(&'static str, u16), u64> {
        self.0.tally.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
