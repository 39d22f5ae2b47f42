//! What happened, line by line, with the time of day: for whoever replays a seed.

use std::sync::{Arc, Mutex, PoisonError};

use clock::Clock;

/// A growing list of lines. Copies share it.
#[derive(Debug, Clone)]
pub struct Trace {
    clock: Clock,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, lines: Arc::default() }
    }

    pub(crate) fn say(&self, line: impl AsRef<str>) {
        let time = self.clock.now().strftime("%H:%M:%S%.3f").to_string();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(format!("{time}  {}", line.as_ref()));
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
