//! What a daemon says; `kubectl logs` shows it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

const LINES: usize = 200;

/// The last lines of one container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// Adds a line.
    pub(crate) fn say(&self, line: String) {
        tracing::trace!(%line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// All lines that are kept, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
