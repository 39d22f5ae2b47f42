//! Credentials that a program yields: had from it once, used by all requests and connections to a cluster until they end,
//! and made anew by one run of the program, however many wait for it.

mod program;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use fleet::ClusterName;
use futures::future::BoxFuture;
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ErrorKind;

pub(crate) use program::{Credential, Program};

/// So long before a credential ends the program is asked for another.
const EARLY: SignedDuration = SignedDuration::from_secs(60);

/// So long before a credential ends requests wait for another; before that, they go on with this one.
const LATE: SignedDuration = SignedDuration::from_secs(10);

/// A program that failed, or gave what ends soon, is left alone for so long.
const REST: Duration = Duration::from_secs(10);

/// A program is asked because of a 401 no more often than this.
const ANEW: Duration = Duration::from_secs(60);

/// The programs of all clusters, and what they gave. Copies are the same.
#[derive(Clone, Default)]
pub struct Logins {
    clock: Clock,
    kept: Arc<Mutex<Kept>>,
}

impl Logins {
    /// Credentials end by this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, kept: Arc::default() }
    }

    /// What a cluster's program gives. Another program begins anew.
    pub(crate) fn of(&self, cluster: &ClusterName, program: Program) -> Arc<Login> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, login)) = kept.get(cluster).filter(|(known, _)| *known == program) {
            return Arc::clone(login);
        }
        let runs = program.clone();
        let ask = move || -> BoxFuture<'static, Answer> {
            let program = runs.clone();
            Box::pin(async move { program.run().await })
        };
        let login = Arc::new(Login::new(self.clock.clone(), Box::new(ask)));
        kept.insert(cluster.clone(), (program, Arc::clone(&login)));
        login
    }
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logins(..)")
    }
}

/// By cluster.
type Kept = BTreeMap<ClusterName, (Program, Arc<Login>)>;

type Answer = Result<Credential, String>;

/// The credentials of one cluster.
pub(crate) struct Login {
    clock: Clock,
    ask: Box<dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync>,
    state: Mutex<State>,
}

/// A credential, and which one of a program it is.
#[derive(Debug, Clone)]
pub(crate) struct Issue {
    pub(crate) number: u64,
    pub(crate) credential: Arc<Credential>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// How many there have been.
    number: u64,
    /// When and why there was none at the last try.
    failed: Option<(Instant, String)>,
    /// When the program was last asked because of a 401.
    anew: Option<Instant>,
    /// Ends when the program's run does.
    running: Option<watch::Receiver<()>>,
}

struct Current {
    credential: Arc<Credential>,
    since: Instant,
    refused: bool,
}

/// What can be had at once.
enum Now {
    Issued(Issue),
    Failed(String),
    Running(watch::Receiver<()>),
}

impl Login {
    fn new(clock: Clock, ask: Box<dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync>) -> Self {
        Self { clock, ask, state: Mutex::default() }
    }

    /// A credential that is good now; the program is run if there is none.
    ///
    /// # Errors
    /// When the program gives none. It is not asked again at once.
    pub(crate) async fn ready(self: &Arc<Self>) -> Result<Issue, ErrorKind> {
        loop {
            match self.look() {
                Now::Issued(issue) => return Ok(issue),
                Now::Failed(why) => return Err(ErrorKind::Credentials(why)),
                // It never changes, but its sender goes when the run has ended.
                Now::Running(mut run) => drop(run.changed().await),
            }
        }
    }

    /// What a request says of who sends it.
    pub(crate) fn token(&self) -> Option<HeaderValue> {
        self.state().current.as_ref()?.credential.token.clone()
    }

    /// A request with this credential was answered with 401. Whether another one can be had: the program is asked for it
    /// then by whoever needs one.
    pub(crate) fn refused(&self, number: u64) -> bool {
        let mut state = self.state();
        let State { current: Some(current), number: newest, anew, .. } = &mut *state else { return true };
        if number != *newest || current.refused {
            return true;
        }
        current.refused = anew.is_none_or(|last| last.elapsed() >= ANEW);
        if current.refused {
            *anew = Some(Instant::now());
        }
        current.refused
    }

    fn look(self: &Arc<Self>) -> Now {
        let now = self.clock.now();
        let mut state = self.state();
        let failed = state.failed.as_ref().filter(|(at, _)| at.elapsed() < REST).map(|(_, why)| why.clone());
        if let Some(Current { credential, since, refused: false }) = &state.current {
            let issue = Issue { number: state.number, credential: Arc::clone(credential) };
            let lasts = |another: SignedDuration| credential.ends.is_none_or(|ends| left(now, ends) > another);
            if lasts(EARLY) || since.elapsed() < REST || (failed.is_some() && lasts(SignedDuration::ZERO)) {
                return Now::Issued(issue);
            }
            if lasts(LATE) && failed.is_none() {
                self.begin(&mut state);
                return Now::Issued(issue);
            }
        }
        failed.map_or_else(|| Now::Running(self.begin(&mut state)), Now::Failed)
    }

    /// Has the program run, unless it does. Nobody has to wait for it: it goes on when requests that did are given up.
    fn begin(self: &Arc<Self>, state: &mut State) -> watch::Receiver<()> {
        if let Some(running) = state.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return running.clone();
        }
        let (run, running) = watch::channel(());
        let login = Arc::clone(self);
        tokio::spawn(async move {
            let answer = (login.ask)().await;
            login.answered(answer);
            drop(run);
        });
        state.running = Some(running.clone());
        running
    }

    fn answered(&self, answer: Answer) {
        let mut state = self.state();
        state.running = None;
        match answer {
            Ok(credential) => {
                state.number += 1;
                state.failed = None;
                let credential = Arc::new(credential);
                state.current = Some(Current { credential, since: Instant::now(), refused: false });
            }
            Err(why) => state.failed = Some((Instant::now(), why)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left(now: Timestamp, ends: Timestamp) -> SignedDuration {
    ends.duration_since(now)
}

#[cfg(test)]
mod tests;
