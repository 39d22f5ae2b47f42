//! A daemon whose fleet file makes no sense when it starts. Which clusters there are, and where what was accepted last is
//! remembered, stands in that file: so nothing is asked and nothing is written, and everybody who asks is told why.

use std::sync::Arc;

use clock::Clock;
use fleet::diagnostic::Report;
use orchestrator::daemon::{Counters, Happening, Notice, Refused, State};
use tokio::sync::{broadcast, watch};

use super::http::Source;
use super::intake::problems;

/// What is told meanwhile.
pub(super) struct Waiting {
    clock: Clock,
    state: watch::Sender<Arc<State>>,
    notices: broadcast::Sender<Notice>,
}

impl Waiting {
    pub(super) fn new(clock: Clock) -> Self {
        let now = clock.now();
        let nothing = State::without_intent(Refused { since: now, problems: Vec::new() }, now);
        Self { clock, state: watch::Sender::new(Arc::new(nothing)), notices: broadcast::Sender::new(16) }
    }

    /// The file was looked at. A report comes with what is new in it.
    pub(super) fn looked(&self, report: Option<&Report>) {
        let now = self.clock.now();
        let mut state = State::clone(&self.state.borrow());
        state.as_of = now;
        let known = state.intent.refused.as_ref().map(|refused| &refused.problems);
        let new = report.map(problems).filter(|problems| Some(problems) != known);
        if let Some(problems) = new {
            tracing::error!(
                problems = problems.join("; "),
                "the fleet file makes no sense, and there was none before: nothing is done until there is one that does"
            );
            state.intent.refused = Some(Refused { since: now, problems: problems.clone() });
            // Nobody has to listen.
            let _ = self.notices.send(Notice { at: now, what: Happening::IntentRefused { problems } });
        }
        self.state.send_replace(Arc::new(state));
    }
}

impl Source for Arc<Waiting> {
    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    fn states(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
