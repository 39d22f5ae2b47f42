//! `jitsictl sandbox rehearse`: a change while people are on calls, in virtual time.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use clock::Clock;
use fleet::load::Loaded;
use jiff::{SignedDuration, Timestamp};
use orchestrator::{Event, Options, Outcome, Verdict};
use plan::{Live, Policy};
use sandbox::{Timing, people::People};
use tokio::time::{Instant, sleep, sleep_until};

use super::{crowd, ground::Ground, supplies};
use crate::{
    Error, Exit, Notice,
    cli::Rehearse,
    context::{Context, Time},
    print::{self, Passing, count, described, live},
    rehearsal::{self, Attempt, Ended, Report, Taken},
    verbs::outcome::left_over,
};

/// Midnight before a working day.
const MIDNIGHT: Timestamp = Timestamp::constant(1_767_657_600, 0);
/// How long callers come before the change begins.
const WARM_UP: Duration = Duration::from_secs(45 * 60);
/// The same and a little more: the old fleet has to come up first.
const WHILE_IT_COMES_UP: SignedDuration = SignedDuration::from_mins(50);
/// How long callers still come when the change has ended.
const AFTERMATH: Duration = Duration::from_secs(15 * 60);
/// What `apply` is given, as by default.
const PATIENCE: Duration = Duration::from_secs(2 * 60);
/// How long an operator waits before running `apply` again.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// How often somebody who watches is told.
const LOOK: Duration = Duration::from_secs(60);
/// How often the old fleet is applied until it must stand.
const ATTEMPTS: usize = 5;

pub(super) fn run(context: &Context, arguments: &Rehearse) -> Result<Exit, Error> {
    let mut old = context.load_at(arguments.old.clone())?;
    let mut new = context.load_at(arguments.new.clone())?;
    if old.fleet.name != new.fleet.name {
        let message = format!("the files are of two fleets: {} and {}", old.fleet.name, new.fleet.name);
        return Err(Error::usage(message, "a change keeps the name: give both files the same `fleet`"));
    }
    let mut made_up = supplies::make_up(&mut old.fleet);
    made_up.extend(supplies::make_up(&mut new.fleet));
    made_up.sort();
    made_up.dedup();
    if let Some(path) = &arguments.html {
        // Said before the work is done, not after it.
        fs::write(path, "").map_err(|error| unwritable(path, &error))?;
    }
    let report = context.wait_alone(Time::Virtual, rehearse(context, &old, &new, arguments, made_up))??;
    if let Some(path) = &arguments.html {
        fs::write(path, rehearsal::html(&report)).map_err(|error| unwritable(path, &error))?;
    }
    if context.printer.is_json() {
        context.printer.json(&report)?;
    } else {
        context.printer.result(&rehearsal::text(&report))?;
    }
    Ok(if report.ended == Ended::Converged { Exit::Converged } else { Exit::NotConverged })
}

/// As in production, except that nodes, of which none is lost here, are heard of less often: a third of the work.
fn timing() -> Timing {
    Timing { heartbeat: Duration::from_secs(30), ..Timing::real() }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::usage(format!("cannot write {}: {error}", path.display()), "name a file in a folder of yours with --html")
}

async fn rehearse(
    context: &Context,
    old: &Loaded,
    new: &Loaded,
    arguments: &Rehearse,
    made_up: Vec<String>,
) -> Result<Report, Error> {
    let begin = SignedDuration::from_hours(arguments.at.into()).saturating_sub(WHILE_IT_COMES_UP);
    let clock = Clock::starting_at(MIDNIGHT.saturating_add(begin).unwrap_or(MIDNIGHT));
    let ground = Ground::start(&[&old.fleet, &new.fleet], timing(), clock, arguments.seed).await?;
    let horizon = Duration::from_secs(u64::from(arguments.hours) * 3600);
    let passing = Passing::new(&context.printer, WARM_UP + horizon + AFTERMATH);
    passing.phase("old file");
    bring_up(context, &ground, old).await?;

    passing.phase("calls");
    let people = crowd::start(ground.sandbox.world(), &old.fleet, arguments.calls, arguments.seed);
    let stage = Stage { began: Instant::now() + WARM_UP, horizon, steps: Mutex::default() };
    let change = async {
        sleep_until(stage.began).await;
        passing.phase("change");
        let done = stage.change(&ground, new).await;
        let seconds = stage.now();
        passing.phase("aftermath");
        sleep(AFTERMATH).await;
        done.map(|(ended, runs)| (ended, runs, seconds))
    };
    let done = tokio::select! {
        biased;
        done = change => done,
        () = stage.watch(&people, &passing) => Err(Error::failed("the rehearsal stopped", "run it again with -vv")),
    };
    passing.finish();
    let (ended, runs, seconds) = done?;
    let (callers, timeline) = crowd::told(&people, WARM_UP);
    let report = Report {
        fleet: new.fleet.name.to_string(),
        old: arguments.old.display().to_string(),
        new: arguments.new.display().to_string(),
        seed: arguments.seed,
        horizon: horizon.as_secs(),
        ended,
        seconds: seconds.unsigned_abs(),
        runs,
        steps: stage.steps.into_inner().unwrap_or_else(PoisonError::into_inner),
        callers,
        timeline,
        made_up,
    };
    ground.sandbox.stop().await;
    Ok(report)
}

fn options(ground: &Ground, loaded: &Loaded) -> Result<Options, Error> {
    Ok(Options {
        place: ground.place(&loaded.fleet)?,
        policy: Policy::default(),
        timeout: PATIENCE,
        create_namespaces: true,
        trust_new_clusters: true,
        restore_passwords_from: None,
        stop: orchestrator::CancellationToken::new(),
        handover: None,
    })
}

/// Applies the old fleet until it stands: what does not stand can't be changed.
async fn bring_up(context: &Context, ground: &Ground, old: &Loaded) -> Result<(), Error> {
    let options = options(ground, old)?;
    let mut last: Option<Outcome> = None;
    for _ in 0..ATTEMPTS {
        let outcome = orchestrator::apply(old, &options, &|_| {}).await?;
        if outcome.verdict == Verdict::Converged {
            return Ok(());
        }
        last = Some(outcome);
    }
    if let Some(outcome) = &last {
        left_over(&context.printer, outcome);
    }
    let message = format!("{} does not come up in a sandbox: there is nothing to change", old.source.display());
    Err(Error::failed(message, "`jitsictl sandbox run` with it shows why"))
}

/// The change as it is played, and what is gathered of it.
struct Stage {
    /// When the change begins.
    began: Instant,
    horizon: Duration,
    steps: Mutex<Vec<Taken>>,
}

impl Stage {
    /// Seconds since the change began; negative before.
    fn now(&self) -> i64 {
        let (now, seconds) = (Instant::now(), |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
        if now < self.began { -seconds(self.began - now) } else { seconds(now - self.began) }
    }

    /// Applies the new fleet again and again, as an operator would.
    async fn change(&self, ground: &Ground, new: &Loaded) -> Result<(Ended, Vec<Attempt>), Error> {
        let options = options(ground, new)?;
        let mut runs: Vec<Attempt> = Vec::new();
        loop {
            let (at, run) = (self.now(), runs.len() + 1);
            let tell = |event| self.take(event, run);
            let outcome = orchestrator::apply(new, &options, &tell).await?;
            runs.push(attempt(at, &outcome));
            if outcome.verdict == Verdict::Converged {
                return Ok((Ended::Converged, runs));
            }
            let left = (self.began + self.horizon).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok((Ended::TimeUp, runs));
            }
            sleep(AGAIN.min(left)).await;
        }
    }

    /// Writes down a step.
    fn take(&self, event: Event, run: usize) {
        let Event::Step { step } = event else { return };
        let (verb, cluster, what, objects) = described(&step);
        let what = if objects > 0 { format!("{what} ({})", count(objects, "object")) } else { what };
        let (at, cluster, verb) = (self.now(), cluster.to_string(), verb.to_owned());
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(Taken { at, run, cluster, verb, what });
    }

    /// Shows how time passes, for as long as it is let.
    async fn watch(&self, people: &People, passing: &Passing) {
        loop {
            let passed = (Instant::now() + WARM_UP).saturating_duration_since(self.began);
            passing.at(passed, || {
                let report = people.report();
                let now = Live { conferences: report.conferences_now, participants: report.participants_now };
                format!("{} {}", rehearsal::moment(self.now()), live(&now, " · "))
            });
            sleep(LOOK).await;
        }
    }
}

fn attempt(at: i64, outcome: &Outcome) -> Attempt {
    let said = |notice: Notice| notice.message;
    let blocked = print::blocked(&outcome.blocked);
    let missing = print::missing(&outcome.proof.missing, &outcome.proof.unhealthy);
    Attempt {
        at,
        seconds: outcome.seconds,
        written: outcome.written,
        deleted: outcome.deleted,
        waits: match outcome.verdict {
            Verdict::Converged => Vec::new(),
            Verdict::NotConverged | Verdict::Failed => blocked.into_iter().chain(missing).map(said).collect(),
        },
        failures: outcome.failures.iter().map(|failure| said(failure.into())).collect(),
    }
}
