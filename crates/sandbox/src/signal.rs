//! "Something changed": wakes whoever waits, without saying what.

use tokio::sync::watch;

/// Counts changes. Waiting for one never misses one that came in between.
#[derive(Debug, Clone)]
pub(crate) struct Signal(watch::Sender<u64>);

impl Default for Signal {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Signal {
    /// Tells of a change.
    pub(crate) fn bump(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How many changes there were.
    pub(crate) fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Sees changes from now on.
    pub(crate) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// One who waits for changes.
#[derive(Debug)]
pub(crate) struct Listener(watch::Receiver<u64>);

impl Listener {
    /// Waits for a change; for ever when nobody is left to make one.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
