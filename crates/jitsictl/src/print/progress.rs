//! What happens while it happens: bars on a terminal, plain lines in a log, JSON lines for programs.

use std::sync::{Mutex, PoisonError};

use indicatif::MultiProgress;
use orchestrator::Event;

use super::{
    Printer,
    story::{Story, Told},
};

mod bars;

/// Tells of events as they come; they come from many tasks.
pub(crate) struct Progress<'a> {
    printer: &'a Printer,
    bars: Option<MultiProgress>,
    state: Mutex<State>,
}

struct State {
    story: Story,
    drawn: bars::Drawn,
}

impl<'a> Progress<'a> {
    /// Towards that printer; with `verbose`, also what needs no attention.
    pub(crate) fn new(printer: &'a Printer, verbose: bool) -> Self {
        let bars = printer.is_live().then(MultiProgress::new);
        let story = Story::new(bars.is_none() || verbose, verbose);
        Self { printer, bars, state: Mutex::new(State { story, drawn: bars::Drawn::default() }) }
    }

    /// Tells of an event.
    pub(crate) fn on(&self, event: &Event) {
        if self.printer.is_json() {
            self.printer.json_line(event);
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let told = state.story.on(event);
        match &self.bars {
            None => self.tell(&told),
            Some(bars) => {
                if !told.is_empty() {
                    bars.suspend(|| self.tell(&told));
                }
                let State { story, drawn } = &mut *state;
                drawn.draw(bars, &story.clusters);
            }
        }
    }

    fn tell(&self, told: &[Told]) {
        for one in told {
            match one {
                Told::Line(line) => self.printer.line(line),
                Told::Warning(notice) => self.printer.warning(notice),
            }
        }
    }

    /// Leaves the bars as they are; what follows is printed below them.
    pub(crate) fn finish(self) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.drawn.leave();
    }
}
