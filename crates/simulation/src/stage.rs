//! Plays a script to its end, in virtual time.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use api_server::{Answer, Request, Verb, kinds};
use clock::Clock;
use fleet::load::Loaded;
use jiff::Timestamp;
use orchestrator::Entropy;
use sandbox::people::{Load, People as Callers};
use sandbox::{Sandbox, SandboxOptions};
use serde_json::Value as Json;
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::fleets::Made;
use crate::guard::Guard;
use crate::promise::{Promise, Violation};
use crate::sabotage::Memory;
use crate::script::{People, Script, Trouble};
use crate::tally::Tally;
use crate::{Sabotage, Trace};

/// The fleet's namespace in every cluster.
pub(crate) const NAMESPACE: &str = "jitsi";

/// How long people wait before they run a program again.
pub(crate) const BREATH: Duration = Duration::from_secs(30);

/// The longest that the last callers are waited for.
const LAST_CALL: Duration = Duration::from_secs(12 * 3600);

/// How a day went that ended well.
#[derive(Debug, Clone)]
pub struct Story {
    /// In numbers.
    pub tally: Tally,
    /// What happened.
    pub trace: Trace,
}

/// Promises that were not kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("seed {seed}: {}", violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Broken {
    /// Replays it.
    pub seed: u64,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// In numbers, as far as it went.
    pub tally: Tally,
    /// What happened.
    pub trace: Trace,
}

/// Plays a script in a runtime of its own.
///
/// # Errors
/// With every promise that was broken.
pub fn run(script: &Script, sabotage: Option<Sabotage>) -> Result<Story, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(play(script, sabotage)),
        Err(error) => Err(Broken::unplayed(
            script,
            format!("no runtime: {error}"),
            Tally::default(),
            Trace::new(Clock::machine()),
        )),
    }
}

impl Broken {
    fn unplayed(script: &Script, why: String, tally: Tally, trace: Trace) -> Self {
        Self { seed: script.seed, violations: vec![Promise::Played.broken(why)], tally, trace }
    }
}

async fn play(script: &Script, sabotage: Option<Sabotage>) -> Result<Story, Broken> {
    let clock = Clock::starting_at(Timestamp::constant(1_795_420_800, 0));
    let trace = Trace::new(clock.clone());
    let begun = tokio::time::Instant::now();
    let mut stage = match Stage::set(script, sabotage, clock, trace.clone()).await {
        Ok(stage) => stage,
        Err(why) => return Err(Broken::unplayed(script, why, Tally::default(), trace)),
    };
    let ended = stage.all_of_it(script).await.err();
    let mut violations = stage.guard.violations();
    violations.extend(ended.filter(|last| !violations.contains(last)));
    let Stage { sandbox, mut tally, .. } = stage;
    sandbox.stop().await;
    tally.seeds = 1;
    tally.virtual_seconds = begun.elapsed().as_secs_f64();
    if violations.is_empty() {
        Ok(Story { tally, trace })
    } else {
        Err(Broken { seed: script.seed, violations, tally, trace })
    }
}

pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    /// The runner's: it can jump.
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) trace: Trace,
    pub(crate) guard: Guard,
    pub(crate) sabotage: Option<Sabotage>,
    /// Of a planted bug.
    pub(crate) memory: Memory,
    pub(crate) seed: u64,
    pub(crate) clusters: &'static [&'static str],
    pub(crate) tally: Tally,
    /// All that was told to people.
    pub(crate) said: String,
    /// Objects of others, by cluster.
    pub(crate) strangers: Vec<(&'static str, Json)>,
    crowd: Vec<(&'static str, String)>,
    callers: Option<Callers>,
    // Ends the guard's watches when dropped.
    _watches: JoinSet<()>,
}

impl Stage {
    pub(crate) async fn set(
        script: &Script,
        sabotage: Option<Sabotage>,
        clock: Clock,
        trace: Trace,
    ) -> Result<Self, String> {
        let options = SandboxOptions {
            clusters: script.before.clusters().iter().map(|name| (*name).to_owned()).collect(),
            timing: script.timing.clone(),
            clock: clock.clone(),
            seed: script.seed,
            custom_kinds: false,
        };
        let sandbox = Sandbox::start(options).await.map_err(|error| format!("no sandbox: {error}"))?;
        let guard = Guard::new(trace.clone(), sandbox.world().census());
        let mut watches = JoinSet::new();
        let clusters = script.before.clusters();
        for cluster in clusters {
            let server = sandbox.server(cluster).map_err(|error| error.to_string())?;
            guard.watch(cluster, server, &mut watches);
        }
        Ok(Self {
            sandbox,
            clock: clock.fork(),
            entropy: Entropy::seeded(script.seed),
            trace,
            guard,
            sabotage,
            memory: Memory::default(),
            seed: script.seed,
            clusters,
            tally: Tally::default(),
            said: String::new(),
            strangers: Vec::new(),
            crowd: Vec::new(),
            callers: None,
            _watches: watches,
        })
    }

    async fn all_of_it(&mut self, script: &Script) -> Result<(), Violation> {
        let (before, after) = (load(&script.before)?, load(&script.after)?);
        self.guard.fix_ports(script.before.same_ports(&script.after));
        self.settle_strangers()?;

        self.trace.say(format!("the fleet:\n{}", script.before.text()));
        self.guard.want(objects(&before));
        for trouble in &script.troubles[0] {
            self.run(&before, trouble).await?;
        }
        self.converge(&before, "the fleet is made").await?;
        self.nothing_left(&before).await?;

        self.people_come(script).await;
        for (kind, what) in &script.changes {
            self.trace.say(format!("the change: {what}"));
            Tally::one(&mut self.tally.changes, kind);
        }
        self.guard.want(objects(&after));
        self.looked_at(&after).await?;
        for trouble in &script.troubles[1] {
            tokio::time::sleep(BREATH).await;
            self.run(&after, trouble).await?;
        }
        // With people on it, some things wait; all that may be done is done.
        self.run(&after, &Trouble { patience: Duration::from_secs(60), ..Trouble::default() }).await?;
        self.people_leave().await?;
        self.converge(&after, "the change is made").await?;
        self.nothing_left(&after).await?;
        self.strangers_stand()?;
        self.nothing_leaked()?;
        self.calls_went_on(script)
    }

    /// All pods of the fleet, by cluster and name.
    pub(crate) fn pods(&self) -> Vec<(&'static str, String)> {
        let name = |pod: &Json| pod.pointer("/metadata/name").and_then(Json::as_str).map(str::to_owned);
        self.of_pods(|cluster, pod| Some((cluster, name(pod)?)))
    }

    /// Where each pod is, and whether it is going: for a report.
    pub(crate) fn whereabouts(&self) -> Vec<String> {
        self.of_pods(|cluster, pod| {
            let text = |pointer: &str| pod.pointer(pointer).and_then(Json::as_str).unwrap_or("-");
            let (name, node) = (text("/metadata/name"), text("/spec/nodeName"));
            let (phase, deleted) = (text("/status/phase"), text("/metadata/deletionTimestamp"));
            let grace = pod.pointer("/metadata/deletionGracePeriodSeconds").unwrap_or(&Json::Null);
            Some(format!("{cluster}/{name} on {node}: {phase}, deleted {deleted} with {grace} s"))
        })
    }

    fn of_pods<T>(&self, told: impl Fn(&'static str, &Json) -> Option<T>) -> Vec<T> {
        let mut all = Vec::new();
        for cluster in self.clusters {
            let Ok(server) = self.sandbox.server(cluster) else { continue };
            let request = Request::new(Verb::List, &kinds::POD, Some(NAMESPACE), None);
            let Ok(Answer::List { items, .. }) = server.call(request) else { continue };
            all.extend(items.iter().filter_map(|pod| told(cluster, pod)));
        }
        all
    }

    pub(crate) async fn people_come(&mut self, script: &Script) {
        match script.people {
            People::Sit(percent) => self.people_sit_down(percent),
            People::Call(peak) => {
                // Most last some minutes, so that bridges are empty every now and then.
                let load = Load { per_day: peak * 200, peak, ..Load::default() };
                self.callers = Some(Callers::start(self.sandbox.world(), load, self.seed));
                tokio::time::sleep(Duration::from_secs(400)).await;
                self.trace.say(format!("callers come, up to {peak} conferences at once"));
            }
        }
    }

    fn people_sit_down(&mut self, percent: u64) {
        for (salt, kinds) in [(77, &["-jvb-", "-jibri-"][..]), (78, &["-jicofo-"])] {
            let mut dice = Dice::new(self.seed.wrapping_add(salt));
            for (cluster, pod) in self.pods() {
                let can_have = kinds.iter().any(|kind| pod.contains(kind));
                if can_have
                    && dice.comes(percent)
                    && self.sandbox.world().set_load(cluster, NAMESPACE, &pod, 2, 9).is_ok()
                {
                    self.crowd.push((cluster, pod));
                }
            }
        }
        self.trace.say(format!("people are on {} bridges, recorders and shards", self.crowd.len()));
    }

    pub(crate) async fn people_leave(&mut self) -> Result<(), Violation> {
        for (cluster, pod) in std::mem::take(&mut self.crowd) {
            // Whoever was on a daemon that crashed meanwhile has left already.
            let _ = self.sandbox.world().set_load(cluster, NAMESPACE, &pod, 0, 0);
        }
        if let Some(callers) = &self.callers {
            callers.stop_arrivals();
            let begun = tokio::time::Instant::now();
            // Who was thrown out a moment ago is in no conference, and about to come back.
            while !callers.settled() || callers.report().conferences_now > 0 {
                if begun.elapsed() > LAST_CALL {
                    return Err(Promise::Played.broken("there are callers who never leave"));
                }
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            self.tally.called(&callers.report());
        }
        self.trace.say("people have left");
        Ok(())
    }
}

pub(crate) fn load(made: &Made) -> Result<Loaded, Violation> {
    fleet::load::load_text("fleet.yaml", &made.text(), Path::new("."), &made.environment())
        .map_err(|report| Promise::Played.broken(format!("the made-up fleet is none: {}", report.render(false))))
}

/// What a fleet has, by cluster, plural and name.
pub(crate) fn objects(loaded: &Loaded) -> BTreeSet<(String, String, String)> {
    let allocations = manifest::Allocations::default().extended(&loaded.fleet);
    let mut units = control_plane::render(&loaded.fleet, &allocations);
    units.extend(data_plane::render(&loaded.fleet, &allocations, &manifest::Surroundings::default()));
    let manifests = units.into_iter().flat_map(|unit| unit.manifests);
    manifests
        .map(|manifest| manifest.object)
        .map(|object| (object.cluster.to_string(), object.kind.plural().to_owned(), object.name))
        .collect()
}
