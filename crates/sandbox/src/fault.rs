//! What goes wrong between a client and an API server: late, lost and refused requests, cut and half-open connections,
//! partitions, and the point at which a client is killed. All of it follows from a seed and the order of requests.

mod dice;
mod kill;
mod link;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use api_server::{
    ApiError,
    http::{Gate, RequestLine, Verdict},
};
use futures::future::BoxFuture;
use serde_json::json;

pub use self::kill::{KillPoint, Moment};
pub(crate) use self::link::Link;
use self::{dice::Dice, link::Links};

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// It takes so long, at least and at most, before it is executed.
    Delay(Duration, Duration),
    /// It is never executed nor answered.
    Hang,
    /// The connection breaks before it is executed.
    ResetBefore,
    /// It is executed, and the connection breaks before the answer is there.
    ResetAfter,
    /// It is refused without being executed.
    Refuse(ApiError),
    /// The server's side of all connections that are open now falls silent: watches deliver nothing more, and nothing
    /// says so.
    HalfOpen,
}

impl Fault {
    /// A refusal as API servers give it: 401, 403, 409, 410, 429 (come again in a second), 500, 503.
    #[must_use]
    pub fn refusal(code: u16) -> Self {
        let error = |reason, message: &str| ApiError::new(code, reason, message);
        Self::Refuse(match code {
            401 => error("Unauthorized", "Unauthorized"),
            403 => error("Forbidden", "forbidden: by a fault of this sandbox"),
            409 => error("Conflict", "the object has been modified; please apply your changes to the latest version"),
            410 => error("Expired", "The provided continue parameter or resource version is too old"),
            429 => error("TooManyRequests", "the server has received too many requests and has asked us to try again")
                .with(json!({ "retryAfterSeconds": 1 })),
            503 => error("ServiceUnavailable", "the server is currently unable to handle the request"),
            _ => error("InternalError", "an error on the server has prevented the request from succeeding"),
        })
    }
}

/// Which requests a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that change nothing, watches included.
    Reads,
    /// Those that change something.
    Writes,
    /// Watches.
    Watches,
    /// Those for one kind, by its plural.
    Resource(String),
    /// Those for one object, by its kind's plural and its name.
    Object(String, String),
    /// The request of this number, counted from 1.
    Number(u64),
}

impl Which {
    fn fits(&self, line: &RequestLine, number: u64) -> bool {
        match self {
            Self::All => true,
            Self::Reads => !line.writes(),
            Self::Writes => line.writes(),
            Self::Watches => line.verb == "watch",
            Self::Resource(plural) => line.resource == *plural,
            Self::Object(plural, name) => line.resource == *plural && line.name.as_deref() == Some(name),
            Self::Number(wanted) => *wanted == number,
        }
    }
}

/// A fault, and when it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// About these requests.
    pub which: Which,
    /// How likely it strikes one of them: 0 to 1.
    pub chance: f64,
    /// What then happens.
    pub fault: Fault,
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came.
    pub requests: u64,
    /// Made late.
    pub delayed: u64,
    /// Never answered.
    pub hung: u64,
    /// Whose connection broke, before or after they were executed.
    pub reset: u64,
    /// Refused.
    pub refused: u64,
    /// Connections that were cut or fell silent.
    pub connections: u64,
}

/// The faults between one client and one API server. Copies are the same; everything can be switched at run time.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    links: Links,
    kill: Option<Arc<KillPoint>>,
    witness: OnceLock<Witness>,
}

/// Is told of every request that was executed, with the code of its answer, whether that arrives or not.
pub type Witness = Box<dyn Fn(&RequestLine, u16) + Send + Sync>;

struct State {
    dice: Dice,
    rules: Vec<Rule>,
    partitioned: Option<Fault>,
    down: bool,
    counts: Counts,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Faults {
    /// None yet. What chance decides follows from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(seed, None)
    }

    /// None yet, but the client may be killed: give the same point to all of its connections, whatever server they
    /// lead to.
    #[must_use]
    pub fn killed_at(seed: u64, kill: Arc<KillPoint>) -> Self {
        Self::with(seed, Some(kill))
    }

    fn with(seed: u64, kill: Option<Arc<KillPoint>>) -> Self {
        let state = State {
            dice: Dice::new(seed),
            rules: Vec::new(),
            partitioned: None,
            down: false,
            counts: Counts::default(),
        };
        Self(Arc::new(Inner { state: Mutex::new(state), links: Links::default(), kill, witness: OnceLock::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on somebody is told what is executed. Only the first one is.
    pub fn witnessed_by(&self, witness: Witness) {
        // A second one was not promised anything.
        let _ = self.0.witness.set(witness);
    }

    /// From now on these rules hold; for each request the first that strikes counts.
    pub fn set(&self, rules: Vec<Rule>) {
        self.state().rules = rules;
    }

    /// Nothing goes wrong any more. Connections that fell silent are cut, as time-outs of TCP do it in the end.
    pub fn heal(&self) {
        {
            let mut state = self.state();
            state.rules.clear();
            state.partitioned = None;
            state.down = false;
        }
        self.0.links.cut_silent();
    }

    /// The way is gone: what comes hangs, and what is open falls silent.
    pub fn partition(&self) {
        let silenced = self.0.links.silence();
        let mut state = self.state();
        state.partitioned = Some(Fault::Hang);
        state.counts.connections += silenced;
    }

    /// The way is gone, and routers say so: everything is reset.
    pub fn partition_with_resets(&self) {
        let cut = self.0.links.cut();
        let mut state = self.state();
        state.partitioned = Some(Fault::ResetBefore);
        state.counts.connections += cut;
    }

    /// The server goes down or comes back: connections are cut and refused meanwhile.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
        if down {
            self.cut_connections();
        }
    }

    /// Cuts all connections once, as a restart of the server or a load balancer does: watches end.
    pub fn cut_connections(&self) {
        let cut = self.0.links.cut();
        self.state().counts.connections += cut;
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.links.open()
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// A way to the server that these faults hold on to; none while it is down.
    pub(crate) fn link(&self, stream: tokio::io::DuplexStream) -> Option<Link> {
        if self.state().down { None } else { Some(self.0.links.add(stream)) }
    }

    /// What strikes a request: a delay, and what comes after it.
    fn strike(&self, line: &RequestLine) -> (Option<Duration>, Option<Fault>) {
        let mut state = self.state();
        let state = &mut *state;
        state.counts.requests += 1;
        let number = state.counts.requests;
        if let Some(fault) = &state.partitioned {
            return (None, Some(fault.clone()));
        }
        let mut delay = None;
        for rule in &state.rules {
            if !rule.which.fits(line, number) || !state.dice.comes(rule.chance) {
                continue;
            }
            match &rule.fault {
                Fault::Delay(least, most) => {
                    state.counts.delayed += 1;
                    delay = Some(state.dice.between(*least, *most));
                }
                fault => return (delay, Some(fault.clone())),
            }
        }
        (delay, None)
    }

    fn silence(&self) {
        let silenced = self.0.links.silence();
        self.state().counts.connections += silenced;
    }
}

impl Gate for Faults {
    fn on_request(&self, request: &RequestLine) -> BoxFuture<'static, Verdict> {
        let faults = self.clone();
        let request = request.clone();
        Box::pin(async move {
            if faults.0.kill.as_ref().is_some_and(|kill| kill.before()) {
                return Verdict::Hang;
            }
            let (delay, fault) = faults.strike(&request);
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            let mut state = faults.state();
            match fault {
                Some(Fault::Hang) => {
                    state.counts.hung += 1;
                    Verdict::Hang
                }
                Some(Fault::ResetBefore) => {
                    state.counts.reset += 1;
                    Verdict::Reset
                }
                Some(Fault::ResetAfter) => {
                    state.counts.reset += 1;
                    drop(state);
                    faults.0.links.owe_reset(&request);
                    Verdict::Pass
                }
                Some(Fault::Refuse(error)) => {
                    state.counts.refused += 1;
                    Verdict::Answer(error)
                }
                Some(Fault::HalfOpen) => {
                    drop(state);
                    faults.silence();
                    Verdict::Pass
                }
                Some(Fault::Delay(..)) | None => Verdict::Pass,
            }
        })
    }

    fn on_response(&self, request: &RequestLine, code: u16) -> BoxFuture<'static, Verdict> {
        if let Some(witness) = self.0.witness.get() {
            witness(request, code);
        }
        let killed = self.0.kill.as_ref().is_some_and(|kill| kill.after());
        let verdict = if killed {
            Verdict::Hang
        } else if self.0.links.reset_is_owed(request) {
            Verdict::Reset
        } else {
            match &self.state().partitioned {
                Some(Fault::Hang) => Verdict::Hang,
                Some(_) => Verdict::Reset,
                None => Verdict::Pass,
            }
        };
        Box::pin(std::future::ready(verdict))
    }
}
