//! Plays made-up days on all cores, and says what came of it.
//!
//! `cargo xtask simulate --help`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod report;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use clap::{Parser, ValueEnum};
use simulation::{Broken, Sabotage, Script, Story, Tally};

use report::Report;

/// How often those who wait are told how far it is.
const NEWS: Duration = Duration::from_secs(10);

/// Plays made-up days with faults in virtual time, each from a seed, and checks what must hold
#[derive(Debug, Parser)]
#[command(name = "cargo xtask simulate")]
struct Arguments {
    /// How many; 100 unless the time is limited, 1 if a first one is given
    #[arg(long)]
    seeds: Option<u64>,
    /// The first one [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// No further day begins after so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// After those, others that nobody has played yet, from the time of day on, until the time is over
    #[arg(long, requires = "minutes")]
    fresh: bool,
    /// Plant a bug, and look for the first seed that shows it
    #[arg(long, value_parser = sabotage)]
    sabotage: Option<Sabotage>,
    /// Print all that happened, of each seed
    #[arg(long)]
    trace: bool,
    /// How many are played at once [default: as many as there are cores]
    #[arg(long)]
    threads: Option<usize>,
    /// How the result is printed
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

fn sabotage(name: &str) -> Result<Sabotage, String> {
    let all = || Sabotage::ALL.map(Sabotage::name).join(", ");
    Sabotage::ALL.into_iter().find(|bug| bug.name() == name).ok_or_else(|| format!("there are {}", all()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let plan = Plan::of(&arguments, begun);
    if let Some((first, _)) = plan.fresh {
        eprintln!("after the first {}, seeds from {first} on", plan.count.unwrap_or_default());
    }
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let played = Played { state: Arc::default(), begun };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| played.work(&plan, &arguments));
        }
    });
    let report = played.report(&arguments);
    match arguments.output {
        Output::Text => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
    }
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Which seeds are played.
#[derive(Debug)]
struct Plan {
    first: u64,
    count: Option<u64>,
    /// From where on when those are through.
    fresh: Option<(u64, Instant)>,
    until: Option<Instant>,
}

impl Plan {
    fn of(arguments: &Arguments, begun: Instant) -> Self {
        let until = arguments.minutes.map(|minutes| begun + Duration::from_secs_f64(minutes * 60.0));
        let count = match (arguments.seeds, arguments.seed, until) {
            (Some(count), ..) => Some(count),
            (None, _, Some(_)) => None,
            (None, Some(_), None) => Some(1),
            (None, None, None) => Some(100),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let fresh = until.filter(|_| arguments.fresh && count.is_some()).map(|until| (now * 1000, until));
        Self { first: arguments.seed.unwrap_or(1), count, fresh, until }
    }

    /// The seed of this number, counted from 0.
    fn seed(&self, number: u64) -> Option<u64> {
        match (self.count, self.fresh) {
            (Some(count), Some((fresh, _))) if number >= count => Some(fresh + number - count),
            (Some(count), None) if number >= count => None,
            _ => Some(self.first + number),
        }
        .filter(|_| self.until.is_none_or(|until| Instant::now() < until))
    }
}

#[derive(Default)]
struct State {
    next: u64,
    tally: Tally,
    broken: Vec<Broken>,
    told: Option<Instant>,
}

struct Played {
    state: Arc<Mutex<State>>,
    begun: Instant,
}

impl Played {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, plan: &Plan, arguments: &Arguments) {
        loop {
            let seed = {
                let mut state = self.state();
                // One seed that shows a planted bug is enough.
                let found = arguments.sabotage.is_some() && !state.broken.is_empty();
                let Some(seed) = plan.seed(state.next).filter(|_| !found) else { return };
                state.next += 1;
                seed
            };
            let ended = simulation::run(&Script::new(seed), arguments.sabotage);
            self.take(ended, arguments);
        }
    }

    fn take(&self, ended: Result<Story, Broken>, arguments: &Arguments) {
        let trace = match &ended {
            Ok(story) => &story.trace,
            Err(broken) => &broken.trace,
        };
        if arguments.trace {
            println!("{}", trace.lines().join("\n"));
        }
        let mut state = self.state();
        match ended {
            Ok(story) => state.tally.add(&story.tally),
            Err(broken) => {
                state.tally.add(&broken.tally);
                if arguments.sabotage.is_none() {
                    eprint!("{}", report::broken(&broken, arguments.trace));
                }
                // A planted bug is noticed when it is called by its name.
                let named = |bug: Sabotage| broken.violations.iter().any(|it| bug.breaks().contains(&it.promise));
                if arguments.sabotage.is_none_or(named) {
                    state.broken.push(broken);
                }
            }
        }
        let now = Instant::now();
        let due = *state.told.get_or_insert(self.begun) + NEWS <= now;
        if due {
            state.told = Some(now);
            let seconds = self.begun.elapsed().as_secs_f64();
            let seeds = state.tally.seeds;
            eprintln!("{seeds} seeds, {} broken, {:.1} a second", state.broken.len(), seeds as f64 / seconds);
        }
    }

    fn report(self, arguments: &Arguments) -> Report {
        let mut state = self.state();
        let mut broken = std::mem::take(&mut state.broken);
        broken.sort_by_key(|broken| broken.seed);
        Report::new(state.tally.clone(), &broken, arguments.sabotage, self.begun.elapsed())
    }
}
