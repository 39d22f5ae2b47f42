//! What is printed in the end.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use simulation::{Broken, Sabotage, Tally, Violation};

/// So many lines of a trace are shown at once.
const TAIL: usize = 60;

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    wall_seconds: f64,
    seeds_per_second: f64,
    tally: Tally,
    broken: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sabotage: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Shown {
    seed: u64,
    violations: Vec<Violation>,
    replay: String,
}

fn replay(seed: u64) -> String {
    format!("cargo xtask simulate --seed {seed} --trace")
}

/// A day that broke a promise, for people.
pub(crate) fn broken(broken: &Broken, traced: bool) -> String {
    let mut text = format!("BROKEN {broken}\n  replay: {}\n", replay(broken.seed));
    if !traced {
        let lines = broken.trace.lines();
        let hidden = lines.len().saturating_sub(TAIL);
        text.push_str(&format!("  the last of {} lines:\n", lines.len()));
        for line in lines.into_iter().skip(hidden) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

impl Report {
    pub(crate) fn new(tally: Tally, broken: &[Broken], sabotage: Option<Sabotage>, took: Duration) -> Self {
        let shown = broken.iter().map(|broken| Shown {
            seed: broken.seed,
            violations: broken.violations.clone(),
            replay: replay(broken.seed),
        });
        let wall_seconds = took.as_secs_f64();
        Self {
            wall_seconds,
            seeds_per_second: tally.seeds as f64 / wall_seconds.max(f64::EPSILON),
            broken: shown.collect(),
            sabotage: sabotage.map(Sabotage::name),
            tally,
        }
    }

    /// Whether all promises held, or a planted bug was found.
    pub(crate) const fn is_good(&self) -> bool {
        self.broken.is_empty() == self.sabotage.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { seeds, virtual_seconds, runs, kills, requests, writes, callers, .. } = &self.tally;
        let days = virtual_seconds / 86_400.0;
        writeln!(f, "{seeds} seeds in {:.0} s ({:.1} a second)", self.wall_seconds, self.seeds_per_second)?;
        writeln!(f, "{days:.1} days of virtual time, {runs} runs, {kills} of them killed")?;
        writeln!(f, "{requests} requests, {writes} of them changed something")?;
        writeln!(
            f,
            "{} conferences with {} people, {} interruptions: bridge killed {}, bridge moved {}, media cut {}, \
             shard restarted {}, wrong shard {}, websocket cut {}",
            callers.conferences,
            callers.participants,
            callers.interruptions,
            callers.bridge_killed,
            callers.bridge_moved,
            callers.media_cut,
            callers.shard_restarted,
            callers.wrong_shard,
            callers.websocket_cut
        )?;
        for (what, kinds) in
            [("faults", &self.tally.faults), ("changes", &self.tally.changes), ("steps", &self.tally.steps)]
        {
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            writeln!(f, "{what}: {}", kinds.join(", "))?;
        }
        match (self.sabotage, self.broken.as_slice()) {
            (None, []) => writeln!(f, "all promises held"),
            (None, all) => {
                writeln!(f, "{} seeds broke a promise:", all.len())?;
                all.iter().try_for_each(|one| writeln!(f, "  {one}"))
            }
            (Some(bug), []) => writeln!(f, "{bug} was not noticed by {seeds} seeds"),
            (Some(bug), [first, ..]) => writeln!(f, "{bug} is noticed by\n  {first}"),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let violations: Vec<String> = self.violations.iter().map(ToString::to_string).collect();
        write!(f, "seed {}: {}", self.seed, violations.join("; "))
    }
}
