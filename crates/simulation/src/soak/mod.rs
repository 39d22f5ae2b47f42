//! Daemons that are left alone: hour after hour everything goes wrong that can, and at the end of each hour it has to be
//! as the fleet file wants it.
//!
//! ```text
//! 0 min ──── 40 min: one trouble after the other ────► all is healed ──► content ──────► 60 min
//!  └ every third hour: another fleet file                                └ counted: what went wrong, requests, tasks
//! ```
//!
//! What a daemon has gathered in the end (tasks, connections) is compared with what a new one holds: it must be no more.

mod hand;
mod keeper;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use jiff::Timestamp;
use orchestrator::daemon::{Link, PlaneState, State};
use sandbox::{ByDaemon, Timing};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::dice::Dice;
use crate::fleets::Made;
use crate::log::Log;
use crate::onlooker::left_to_do;
use crate::promise::{Promise, Violation};
use crate::script::{People, Script};
use crate::stage::{Stage, load, objects};
use crate::tally::Tally;
use crate::{Callers, Sabotage, Trace};

use self::keeper::Keeper;

const HOUR: Duration = Duration::from_secs(3600);
/// No trouble begins after so much of an hour.
const TROUBLED: Duration = Duration::from_secs(40 * 60);
/// Within so much time after the last trouble everything is as it should be.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// So often somebody looks again at what is left to do.
const LOOKS: u32 = 5;
/// After so long.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
/// Conferences at once.
const PEAK: u32 = 10;
/// Requests of both daemons in an hour: Leases every few seconds, watches, and what troubles cost.
const MOST_REQUESTS: u64 = 20_000;
/// What two daemons may hold after a day beyond what two new ones hold.
const SLACK: usize = 4;

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// Everything follows from it.
    pub seed: u64,
    /// How long, in virtual time.
    pub hours: u64,
    /// A bug that is planted.
    pub sabotage: Option<Sabotage>,
}

/// One hour, in numbers.
#[derive(Debug, Clone, Copy)]
pub struct Hour {
    /// Counted from 1.
    pub number: u64,
    /// Things that went wrong.
    pub troubles: u64,
    /// Requests of both daemons.
    pub requests: u64,
    /// Of these, what changed something.
    pub writes: u64,
    /// Rounds of both.
    pub rounds: u64,
    /// How long after the last trouble all was well.
    pub settled: Duration,
    /// Units that wait for people to leave.
    pub waiting: usize,
    /// Pods of the fleet.
    pub pods: usize,
    /// Tasks of the whole simulation.
    pub tasks: usize,
    /// Connections to API servers that are open.
    pub connections: usize,
}

/// What daemons hold, beyond the world that they live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Tasks.
    pub tasks: usize,
    /// Connections to API servers.
    pub connections: usize,
}

/// A soak that ended well.
#[derive(Debug, Clone)]
pub struct Soaked {
    /// What the daemons held in the end.
    pub old: Held,
    /// What new ones held after that.
    pub new: Held,
    /// What went wrong, by kind.
    pub faults: BTreeMap<String, u64>,
    /// What the callers went through.
    pub callers: Callers,
}

/// A soak that broke promises.
#[derive(Debug, Clone, thiserror::Error)]
#[error("seed {seed}, hour {hour}: {}", violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Spoilt {
    /// Replays it.
    pub seed: u64,
    /// In which hour.
    pub hour: u64,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// What happened.
    pub trace: Trace,
}

/// Plays it in a runtime of its own. `told` hears of each hour when it is over.
///
/// # Errors
/// With every promise that was broken.
pub fn soak(soak: Soak, mut told: impl FnMut(&Hour)) -> Result<Soaked, Box<Spoilt>> {
    let clock = Clock::starting_at(Timestamp::constant(1_795_420_800, 0));
    let trace = Trace::new(clock.clone());
    let spoilt = |hour, violations| Box::new(Spoilt { seed: soak.seed, hour, violations, trace: trace.clone() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| spoilt(0, vec![Promise::Played.broken(error.to_string())]))?;
    let log = Log::default();
    // Daemons have many tasks: what all of this thread's log is listened to.
    let _listening = tracing::dispatcher::set_default(&log.taker());
    LocalSet::new().block_on(&runtime, async {
        let script = script(soak.seed);
        let set = Stage::set(&script, soak.sabotage, clock, trace.clone()).await;
        let stage = set.map_err(|why| spoilt(0, vec![Promise::Played.broken(why)]))?;
        let mut course = match Course::new(stage, &script, log) {
            Ok(course) => course,
            Err(violation) => return Err(spoilt(0, vec![violation])),
        };
        let ended = course.run(soak.hours, &mut told).await;
        let mut violations = course.stage.guard.violations();
        if let Some(last) = ended.as_ref().err().filter(|last| !violations.contains(last)) {
            violations.push(last.clone());
        }
        let hour = course.hour;
        course.stage.sandbox.stop().await;
        match ended {
            Ok(soaked) if violations.is_empty() => Ok(soaked),
            _ => Err(spoilt(hour, violations)),
        }
    })
}

fn script(seed: u64) -> Script {
    let mut dice = Dice::new(seed);
    let before = Made::new(&mut dice);
    // Daemons are asked beside each other, and each takes its time.
    let mut takes = || Duration::from_millis(dice.between(0, 400));
    let answer = ByDaemon { jicofo: takes(), bridge: takes(), recorder: takes(), ..ByDaemon::at_once() };
    Script {
        seed,
        after: before.clone(),
        before,
        changes: Vec::new(),
        people: People::Call(PEAK),
        timing: Timing { answer, ..Timing::real() },
        troubles: Default::default(),
    }
}

/// A soak that is being played.
struct Course {
    stage: Stage,
    made: Made,
    people: Script,
    dice: Dice,
    keepers: Vec<Keeper>,
    log: Log,
    hour: u64,
}

impl Course {
    fn new(mut stage: Stage, script: &Script, log: Log) -> Result<Self, Violation> {
        stage.settle_strangers()?;
        let made = script.before.clone();
        let loaded = Arc::new(load(&made)?);
        stage.trace.say(format!("the fleet:\n{}", made.text()));
        stage.guard.want(objects(&loaded));
        // The first one's clock is the one that jumps.
        let clocks = [stage.clock.clone(), stage.clock.fork()];
        let keepers =
            ["one", "two"].into_iter().zip(clocks).map(|(name, clock)| Keeper::new(&stage, name, clock, &loaded));
        let keepers = keepers.collect::<Result<_, _>>()?;
        let dice = Dice::new(script.seed.wrapping_add(1));
        Ok(Self { stage, made, people: script.clone(), dice, keepers, log, hour: 0 })
    }

    async fn run(&mut self, hours: u64, told: &mut impl FnMut(&Hour)) -> Result<Soaked, Violation> {
        for keeper in &mut self.keepers {
            keeper.start(&self.stage)?;
        }
        self.content("the fleet is made", false).await?;
        self.stage.people_come(&self.people).await;
        for hour in 1..=hours {
            self.hour = hour;
            let numbers = self.an_hour().await?;
            told(&numbers);
        }
        self.stage.people_leave().await?;
        self.content("people have left", true).await?;
        let old = self.held().await?;
        self.stage.trace.say("other daemons begin, and the old ones have ended");
        for keeper in &mut self.keepers {
            keeper.stop().await?;
        }
        let loaded = load(&self.made)?;
        self.stage.guard.take_counts();
        self.stage.nothing_left(&loaded).await?;
        for keeper in &mut self.keepers {
            keeper.start(&self.stage)?;
        }
        self.content("new daemons look after it", true).await?;
        let new = self.held().await?;
        if old.tasks > new.tasks + SLACK || old.connections > new.connections + SLACK {
            return Err(Promise::NothingGathers.broken(format!("daemons held {old:?}, new ones hold {new:?}")));
        }
        for keeper in &mut self.keepers {
            keeper.stop().await?;
        }
        self.stage.strangers_stand()?;
        self.nothing_leaked()?;
        let Tally { faults, callers, .. } = self.stage.tally.clone();
        Ok(Soaked { old, new, faults, callers })
    }

    async fn an_hour(&mut self) -> Result<Hour, Violation> {
        let begun = Instant::now();
        self.stage.trace.say(format!("hour {}", self.hour));
        self.stage.guard.take_counts();
        let rounds = self.rounds();
        if self.hour.is_multiple_of(3) {
            self.change_the_file()?;
        }
        let mut troubles = 0;
        while begun.elapsed() < TROUBLED {
            sleep(Duration::from_secs(self.dice.between(5, 240))).await;
            self.trouble().await?;
            troubles += 1;
        }
        for keeper in &mut self.keepers {
            keeper.heal();
            keeper.start(&self.stage)?;
        }
        let settled = self.content("the hour's troubles are over", false).await?;
        self.nothing_overlooked().await?;
        sleep_until(begun + HOUR).await;
        let (requests, writes) = self.stage.guard.take_counts();
        if requests > MOST_REQUESTS {
            return Err(Promise::RequestsBounded.broken(format!("{requests} requests in an hour")));
        }
        self.nothing_leaked()?;
        self.nothing_violated()?;
        Ok(Hour {
            number: self.hour,
            troubles,
            requests,
            writes,
            // One that was started anew began to count anew.
            rounds: self.rounds().saturating_sub(rounds),
            settled,
            waiting: self.leaders().iter().map(|state| state.blocked.len()).max().unwrap_or(0),
            pods: self.stage.pods().len(),
            tasks: tasks(),
            connections: self.connections(),
        })
    }

    fn change_the_file(&mut self) -> Result<(), Violation> {
        let before = self.made.clone();
        let (kind, what) = self.made.change(&mut self.dice);
        self.stage.trace.say(format!("the change: {what}"));
        Tally::one(&mut self.stage.tally.changes, kind);
        self.stage.guard.fix_ports(before.same_ports(&self.made));
        let loaded = Arc::new(load(&self.made)?);
        self.stage.guard.want(objects(&loaded));
        for keeper in &mut self.keepers {
            keeper.given(&loaded);
        }
        Ok(())
    }

    /// Waits until a daemon leads each plane, all is wired and proven, and nothing is under way; and, if `all`, until
    /// nothing waits for anything.
    async fn content(&self, when: &str, all: bool) -> Result<Duration, Violation> {
        let begun = Instant::now();
        loop {
            let leaders = self.leaders();
            if !leaders.is_empty() && leaders.iter().all(|state| is_content(state, all)) {
                break;
            }
            self.nothing_violated()?;
            if begun.elapsed() > PATIENCE {
                let states =
                    self.keepers.iter().filter_map(Keeper::state).map(|state| serde_json::json!(*state).to_string());
                let states = states.collect::<Vec<_>>().join("\n");
                let pods = self.stage.whereabouts().join("\n");
                return Err(
                    Promise::Converges.broken(format!("not within {PATIENCE:?} after {when}: {states}\n{pods}"))
                );
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.stage.trace.say(format!("all is well {:?} after {when}", begun.elapsed()));
        Ok(begun.elapsed())
    }

    /// Somebody who looks for himself finds nothing to do either, but what waits for people. What he sees once may have
    /// become possible a moment ago; what he sees again and again is overlooked.
    async fn nothing_overlooked(&mut self) -> Result<(), Violation> {
        let loaded = load(&self.made)?;
        let mut left = left_to_do(&self.stage.looked_at(&loaded).await?);
        for _ in 0..LOOKS {
            let fought: BTreeSet<String> = self
                .leaders()
                .iter()
                .flat_map(|state| state.fighting.iter().map(|it| format!("{}: {}", it.cluster, it.object)))
                .collect();
            left.retain(|object| !fought.contains(object));
            if left.is_empty() {
                return Ok(());
            }
            sleep(BETWEEN_LOOKS).await;
            let now = left_to_do(&self.stage.looked_at(&loaded).await?);
            left.retain(|object| now.contains(object));
        }
        if left.is_empty() {
            return Ok(());
        }
        let left = left.into_iter().collect::<Vec<_>>().join(", ");
        Err(Promise::NothingOverlooked.broken(format!("all is well, say the daemons, and they leave as it is: {left}")))
    }

    /// What the daemons hold when nothing happens. Connections are cut once, since those that nobody uses are kept for
    /// ever here: they have a time-out by the machine's clock.
    async fn held(&mut self) -> Result<Held, Violation> {
        for keeper in &self.keepers {
            keeper.cut();
        }
        sleep(PATIENCE).await;
        self.content("connections were cut", true).await?;
        let (with, connections) = (tasks(), self.connections());
        Ok(Held { tasks: with, connections })
    }

    fn nothing_violated(&self) -> Result<(), Violation> {
        self.stage.guard.violations().into_iter().next().map_or(Ok(()), Err)
    }

    /// Looks through all that was said since it was asked last.
    fn nothing_leaked(&mut self) -> Result<(), Violation> {
        self.stage.said.push_str(&self.log.take());
        for keeper in &mut self.keepers {
            self.stage.said.push_str(&keeper.said());
        }
        let searched = self.stage.nothing_leaked();
        self.stage.said.clear();
        searched
    }

    fn connections(&self) -> usize {
        self.keepers.iter().map(Keeper::connections).sum()
    }

    fn rounds(&self) -> u64 {
        self.keepers.iter().map(Keeper::rounds).sum()
    }

    /// What the daemons say that lead a plane; nothing until both planes are led.
    fn leaders(&self) -> Vec<Arc<State>> {
        let mut led = BTreeSet::new();
        let mut leaders: Vec<_> = self.keepers.iter().filter_map(Keeper::state).collect();
        leaders.retain(|state| {
            let leading = state.planes.iter().filter(|(_, is)| matches!(is, PlaneState::Leading { .. }));
            let before = led.len();
            led.extend(leading.map(|(plane, _)| *plane));
            led.len() > before
        });
        if led.len() == 2 { leaders } else { Vec::new() }
    }
}

fn is_content(state: &State, all: bool) -> bool {
    let proven = state.status.as_ref().is_some_and(|status| status.proof.holds() && status.unreachable.is_empty());
    let live = state.clusters.values().all(|cluster| cluster.state == Link::Live);
    proven && live && state.steps == 0 && state.failures.is_empty() && (!all || state.blocked.is_empty())
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
