//! One run of `apply`, as a process of its own, and what goes wrong during it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::Clock;
use cluster::{Connector, Proxies};
use fleet::ClusterName;
use fleet::load::Loaded;
use orchestrator::{Event, Fatal, Options, Outcome, Place};
use plan::{Policy, Step};
use sandbox::fault::{Faults, KillPoint};
use serde_json::json;
use tracing::instrument::WithSubscriber as _;

use crate::Sabotage;
use crate::log::Log;
use crate::middle::{self, Stale};
use crate::promise::{Promise, Violation};
use crate::script::Trouble;
use crate::stage::Stage;
use crate::tally::Tally;

/// The step that deletes a ConfigMap of an older content.
pub(crate) const SWEEP: &str = "sweep";

/// How a run ended.
pub(crate) enum End {
    Done(Box<Outcome>),
    Fatal(String),
    Killed,
}

/// What a run did.
pub(crate) struct Attempt {
    pub(crate) end: End,
    pub(crate) steps: BTreeMap<String, u64>,
    said: String,
}

/// A process that is to run, and the faults between it and each cluster.
pub(crate) struct Process {
    name: String,
    pub(crate) faults: BTreeMap<&'static str, Faults>,
    kill: Option<Arc<KillPoint>>,
    stale: Stale,
    patience: Duration,
}

impl Process {
    /// Cuts all its connections, as its end does.
    pub(crate) fn cut(&self) {
        self.faults.values().for_each(Faults::cut_connections);
    }
}

impl Stage {
    /// A run of `apply`, or two at once. Nothing is wrong any more when this returns.
    pub(crate) async fn run(&mut self, loaded: &Loaded, trouble: &Trouble) -> Result<Vec<Attempt>, Violation> {
        let number = self.tally.runs + 1;
        self.trace.say(format!("run {number}: {}", trouble.described()));
        let one = self.process(number, trouble, trouble.kill.map(|(at, moment)| Arc::new(KillPoint::new(at, moment))));
        let other = trouble.twice.map(|later| (later, self.process(number + 1, trouble, None)));
        let processes = || [Some(&one), other.as_ref().map(|(_, other)| other)].into_iter().flatten();
        let faults = |cluster: &str| processes().filter_map(|it| it.faults.get(cluster).cloned()).collect();

        let begun = tokio::time::Instant::now();
        let attempts = {
            let first = self.attempt(loaded, &one);
            let second = async {
                let (later, process) = other.as_ref()?;
                tokio::time::sleep(*later).await;
                Some(self.attempt(loaded, process).await)
            };
            let blows = futures::future::join_all(trouble.blows.iter().map(async |(after, blow)| {
                tokio::time::sleep(*after).await;
                self.strike(*blow, faults).await;
            }));
            let (first, second, _) = futures::join!(first, second, blows);
            [Some(first), second].into_iter().flatten().collect::<Vec<_>>()
        };
        for faults in processes().flat_map(|process| process.faults.values()) {
            faults.heal();
            self.tally.struck(&faults.counts());
        }
        for (_, blow) in &trouble.blows {
            Tally::one(&mut self.tally.faults, blow.kind());
        }
        self.book(number, begun.elapsed().as_secs(), &attempts)?;
        Ok(attempts)
    }

    pub(crate) fn process(&self, number: u64, trouble: &Trouble, kill: Option<Arc<KillPoint>>) -> Process {
        let mut faults = BTreeMap::new();
        for (index, cluster) in (0..).zip(self.clusters.iter().copied()) {
            let seed = self.seed.wrapping_mul(1000).wrapping_add(number * 10 + index);
            let made = match &kill {
                Some(kill) => Faults::killed_at(seed, Arc::clone(kill)),
                None => Faults::new(seed),
            };
            made.set(trouble.rules.iter().filter(|(of, _)| *of == cluster).map(|(_, rule)| rule.clone()).collect());
            let guard = self.guard.clone();
            made.witnessed_by(Box::new(move |line, code| guard.executed(cluster, line, code)));
            faults.insert(cluster, made);
        }
        let stale = Stale::new(trouble.stale, self.seed.wrapping_add(number));
        Process { name: number.to_string(), faults, kill, stale, patience: trouble.patience }
    }

    async fn attempt(&self, loaded: &Loaded, process: &Process) -> Attempt {
        let log = Log::default();
        let heard = Mutex::new((String::new(), BTreeMap::new()));
        let tell = |event: Event| {
            let line = json!(event).to_string();
            if matches!(event, Event::Step { .. } | Event::Failed(_)) {
                self.trace.say(format!("  {}: {line}", process.name));
            }
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.0.push_str(&line);
            if let Event::Step { step } = &event {
                Tally::one(&mut heard.1, &kind(step));
            }
        };
        let end = match self.options(process) {
            Ok(options) => {
                let killed = async {
                    match &process.kill {
                        Some(kill) => kill.reached().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = killed => End::Killed,
                    ended = orchestrator::apply(loaded, &options, &tell).with_subscriber(log.taker()) => match ended {
                        Ok(outcome) => End::Done(Box::new(outcome)),
                        Err(Fatal::Usage(failures) | Fatal::Nothing(failures)) => {
                            let why: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
                            End::Fatal(why.join("; "))
                        }
                    },
                }
            }
            Err(why) => End::Fatal(why),
        };
        let (mut said, steps) = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&log.text());
        Attempt { end, steps, said }
    }

    /// Where it lives.
    pub(crate) fn place(&self, process: &Process, clock: Clock) -> Result<Place, String> {
        let mut clients = BTreeMap::new();
        for (cluster, faults) in &process.faults {
            let name: ClusterName = cluster.parse().map_err(|_| format!("{cluster} is no name"))?;
            let inner = self
                .sandbox
                .faulty_client(cluster, faults, "jitsictl/simulation")
                .map_err(|error| error.to_string())?;
            clients.insert(
                name,
                middle::client(
                    cluster,
                    inner,
                    self.guard.clone(),
                    process.stale.clone(),
                    (self.sabotage, self.memory.clone()),
                ),
            );
        }
        Ok(Place {
            connector: Connector::Given(clients),
            proxies: Proxies::default(),
            user_agent: "jitsictl/simulation".to_owned(),
            clock,
            entropy: self.entropy.clone(),
        })
    }

    fn options(&self, process: &Process) -> Result<Options, String> {
        let policy =
            Policy { allow_disruption: self.sabotage == Some(Sabotage::DeleteBeforeEmpty), ..Policy::default() };
        Ok(Options {
            place: self.place(process, self.clock.clone())?,
            policy,
            timeout: process.patience,
            create_namespaces: false,
            trust_new_clusters: true,
            restore_passwords_from: None,
            stop: orchestrator::CancellationToken::new(),
            handover: None,
        })
    }

    /// Writes down what came of it.
    fn book(&mut self, number: u64, seconds: u64, attempts: &[Attempt]) -> Result<(), Violation> {
        self.tally.runs += attempts.len() as u64;
        let (requests, writes) = self.guard.take_counts();
        self.tally.requests += requests;
        self.tally.writes += writes;
        self.trace.say(format!("run {number} took {seconds} s: {requests} requests, {writes} writes"));
        for Attempt { end, steps, said } in attempts {
            self.said.push_str(said);
            for (kind, count) in steps {
                *self.tally.steps.entry(kind.clone()).or_default() += count;
            }
            match end {
                End::Done(outcome) => {
                    self.trace.say(format!(
                        "run {number}: {:?}, {} written, {} deleted",
                        outcome.verdict, outcome.written, outcome.deleted
                    ));
                    for blocked in &outcome.blocked {
                        self.trace.say(format!("  blocked: {}", json!(blocked)));
                    }
                    for failure in &outcome.failures {
                        self.trace.say(format!("  failed: {}", failure.message));
                    }
                    self.said.push_str(&json!(outcome).to_string());
                }
                End::Fatal(why) => {
                    self.trace.say(format!("run {number} could not begin: {why}"));
                    self.said.push_str(why);
                }
                End::Killed => {
                    self.tally.kills += 1;
                    self.trace.say(format!("run {number} was killed"));
                }
            }
        }
        if let Some(first) = self.guard.violations().into_iter().next() {
            return Err(first);
        }
        let most = 2_000 + 100 * (seconds + 1) * attempts.len() as u64;
        if requests > most {
            let what = format!("run {number} sent {requests} requests in {seconds} s");
            return Err(Promise::RequestsBounded.broken(what));
        }
        Ok(())
    }
}

/// What kind of step it is.
fn kind(step: &Step) -> String {
    if matches!(step, Step::Prune { object, .. } if object.kind == manifest::Kind::ConfigMap) {
        return SWEEP.to_owned();
    }
    let step = json!(step);
    step.as_object().and_then(|step| step.keys().next()).cloned().unwrap_or_default()
}
