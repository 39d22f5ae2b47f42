//! A simulated working day over a fleet that is really rendered and applied to a cluster in memory, on one thread: how
//! long it takes, and what it consists of.
//!
//! `cargo xtask day [--conferences N] [--peak N] [--shards N] [--bridges N] [--hours N] [--daemons-alone]`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement for a terminal")]

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use sandbox::{
    World,
    people::{
        Load, People,
        fixture::{Fixture, Size},
    },
};

#[path = "../tests/support/mod.rs"]
mod support;

use support::{Ground, Result};

const HOUR: Duration = Duration::from_secs(3600);

/// What is asked for.
struct Wanted {
    conferences: u32,
    peak: u32,
    shards: u32,
    bridges: u32,
    hours: u32,
    daemons_alone: bool,
}

impl Wanted {
    fn of(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut wanted =
            Self { conferences: 60_000, peak: 5_000, shards: 10, bridges: 200, hours: 24, daemons_alone: false };
        let mut words = words;
        while let Some(word) = words.next() {
            let place = match word.as_str() {
                "--conferences" => &mut wanted.conferences,
                "--peak" => &mut wanted.peak,
                "--shards" => &mut wanted.shards,
                "--bridges" => &mut wanted.bridges,
                "--hours" => &mut wanted.hours,
                "--daemons-alone" => {
                    wanted.daemons_alone = true;
                    continue;
                }
                other => return Err(format!("unknown option {other}").into()),
            };
            *place = words.next().ok_or_else(|| format!("{word} needs a number"))?.parse()?;
        }
        Ok(wanted)
    }

    /// One cluster; bridges of eight cores, each in all shards.
    fn fleet(&self) -> String {
        let mut text = "fleet: day\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters:\n  \
                        hq: { context: hq, region: fra }\ncontrol:\n  cluster: hq\n  shards:\n"
            .to_owned();
        for shard in 0..self.shards {
            let _ = writeln!(text, "    s{shard}: {{}}");
        }
        let _ = writeln!(
            text,
            "data:\n  pools:\n    main:\n      cluster: hq\n      bridges:\n        replicas: {}\n        \
             expose: node_port\n        base_port: 30000",
            self.bridges
        );
        text
    }
}

fn main() -> Result<()> {
    let wanted = Wanted::of(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        let begun = Instant::now();
        if wanted.daemons_alone {
            let size = Size { shards: wanted.shards as usize, bridges: wanted.bridges as usize, proxies: 2 };
            let fixture = Fixture::start(size);
            call(&wanted, fixture.world(), begun).await
        } else {
            let ground = Ground::start(&wanted.fleet(), 0).await?;
            call(&wanted, ground.sandbox.world(), begun).await
        }
    })
}

async fn call(wanted: &Wanted, world: &World, begun: Instant) -> Result<()> {
    println!(
        "{} shards, {} bridges: up after {:.1?}, {}",
        wanted.shards,
        wanted.bridges,
        begun.elapsed(),
        peak_memory()
    );
    let quiet = Instant::now();
    tokio::time::sleep(HOUR).await;
    let quiet = quiet.elapsed() * wanted.hours;
    let begun = Instant::now();
    let load = Load { per_day: wanted.conferences, peak: wanted.peak, ..Load::default() };
    let people = People::start(world, load, 1);
    tokio::time::sleep(HOUR * wanted.hours).await;
    let took = begun.elapsed();
    let mut report = people.report();
    report.samples.clear();
    let events = report.events;
    let count = events.arrivals + events.joins + events.leaves + events.keep_alives + events.looks;
    println!("{report:#?}");
    println!("{} h in {took:.1?}, {:.0} events/s, {}", wanted.hours, count as f64 / took.as_secs_f64(), peak_memory());
    println!("of that nodes, controllers and idle daemons, from an hour without callers: {quiet:.1?}");
    Ok(())
}

/// The most memory that the process ever had, where the system tells.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.map_or_else(String::new, |kilobytes: u64| format!("{} MiB at most", kilobytes >> 10))
}
