//! What the orchestrator logs, as its most talkative user would read it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{Dispatch, Level};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// Everything that was logged. Copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what our crates log.
    pub(crate) fn taker(&self) -> Dispatch {
        let ours = ["orchestrator", "cluster", "jitsi_api", "plan", "fleet", "manifest"];
        let ours: Targets = ours.into_iter().map(|name| (name, Level::TRACE)).collect();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(self.clone());
        Dispatch::new(tracing_subscriber::registry().with(lines.with_filter(ours)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// What was logged since this was asked last.
    pub(crate) fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.bytes());
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'log> MakeWriter<'log> for Log {
    type Writer = &'log Self;

    fn make_writer(&'log self) -> Self::Writer {
        self
    }
}
