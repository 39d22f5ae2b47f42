//! What was asked of a server, as its audit log would show it.

use std::sync::{Arc, Mutex, PoisonError};

use clock::Clock;
use jiff::Timestamp;

use super::gate::RequestLine;

/// One request that was answered.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, by the server's clock.
    pub time: Timestamp,
    /// What was asked, and by whom.
    pub line: Arc<RequestLine>,
    /// The HTTP status of the answer.
    pub code: u16,
}

/// All requests that a server answered, in their order.
#[derive(Debug)]
pub struct RequestLog {
    clock: Clock,
    entries: Mutex<Vec<Entry>>,
}

impl RequestLog {
    /// An empty log whose entries are stamped by the clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, entries: Mutex::default() }
    }

    /// A place in the log: behind all that was answered so far.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was answered since a mark; all of it since 0.
    #[must_use]
    pub fn since(&self, mark: usize) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(mark..).map(<[Entry]>::to_vec).unwrap_or_default()
    }

    pub(super) fn add(&self, line: &Arc<RequestLine>, code: u16) {
        let entry = Entry { time: self.clock.now(), line: Arc::clone(line), code };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}
