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
    pub(super) fn new(clock: Clock, report: &Report) -> Self {
        let (now, problems) = (clock.now(), problems(report));
        log(&problems);
        let state = State::without_intent(Refused { since: now, problems }, now);
        Self { clock, state: watch::Sender::new(Arc::new(state)), notices: broadcast::Sender::new(16) }
    }

    /// The file was looked at. A report comes with what is new in it.
    pub(super) fn looked(&self, report: Option<&Report>) {
        let now = self.clock.now();
        let mut state = State::clone(&self.state.borrow());
        state.as_of = now;
        let known = state.intent.refused.as_ref().map(|refused| &refused.problems);
        let new = report.map(problems).filter(|problems| Some(problems) != known);
        if let Some(problems) = &new {
            state.intent.refused = Some(Refused { since: now, problems: problems.clone() });
        }
        // Whoever hears of something new finds it here.
        self.state.send_replace(Arc::new(state));
        if let Some(problems) = new {
            log(&problems);
            // Nobody has to listen.
            let _ = self.notices.send(Notice { at: now, what: Happening::IntentRefused { problems } });
        }
    }
}

fn log(problems: &[String]) {
    tracing::error!(
        problems = problems.join("; "),
        "the fleet file makes no sense, and there was none before: nothing is done until there is one that does"
    );
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use fleet::diagnostic::Problem;
    use tracing::{Event, Subscriber, subscriber::with_default};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Asks as soon as something is logged.
    struct Asks(Arc<Waiting>, Arc<Mutex<Vec<Vec<String>>>>);

    impl<S: Subscriber> Layer<S> for Asks {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.1.lock().unwrap().push(self.0.state().intent.refused.clone().unwrap().problems);
        }
    }

    #[test]
    fn what_is_logged_can_be_asked_for() {
        let report = |why: &str| Report::new(vec![Problem::error(why)]);
        let waiting = Arc::new(Waiting::new(Clock::machine(), &report("a")));
        let mut notices = waiting.notices();
        let heard = Arc::new(Mutex::new(Vec::new()));
        with_default(tracing_subscriber::registry().with(Asks(Arc::clone(&waiting), Arc::clone(&heard))), || {
            waiting.looked(None);
            waiting.looked(Some(&report("a")));
            waiting.looked(Some(&report("b")));
        });
        assert_eq!(*heard.lock().unwrap(), [["b"]]);
        let told = notices.try_recv().unwrap().what;
        assert!(matches!(told, Happening::IntentRefused { problems } if problems == ["b"]));
        assert!(notices.try_recv().is_err(), "once");
    }
}
