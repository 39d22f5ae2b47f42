//! How far virtual time has come, where somebody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Printer;

/// A bar of hours that pass in seconds.
pub(crate) struct Passing(Option<ProgressBar>);

impl Passing {
    /// Towards that printer, if it leads to a terminal.
    pub(crate) fn new(printer: &Printer, length: Duration) -> Self {
        Self(printer.is_live().then(|| {
            let style = ProgressStyle::with_template("  {prefix:<12} {bar:20} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("██░");
            ProgressBar::new(length.as_secs()).with_style(style)
        }))
    }

    /// What is done now.
    pub(crate) fn phase(&self, name: &'static str) {
        if let Some(bar) = &self.0 {
            bar.set_prefix(name);
            bar.tick();
        }
    }

    /// So much has passed.
    pub(crate) fn at(&self, passed: Duration, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_position(passed.as_secs());
            bar.set_message(message());
        }
    }

    /// Takes it away: the report says it all.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
