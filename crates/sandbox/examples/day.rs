//! A simulated working day of callers over the daemons alone, on one thread: how long it takes, and what it consists of.
//!
//! `cargo run --release -p sandbox --example day [CONFERENCES_A_DAY PEAK SHARDS BRIDGES HOURS]`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement for a terminal")]

use std::time::{Duration, Instant};

use sandbox::people::{
    Load, People,
    fixture::{Fixture, Size},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let mut next = |default: u32| numbers.next().unwrap_or(Ok(default));
    let (per_day, peak, shards, bridges, hours) = (next(60_000)?, next(5_000)?, next(10)?, next(200)?, next(24)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        let begun = Instant::now();
        let size = Size { shards: usize::try_from(shards)?, bridges: usize::try_from(bridges)?, proxies: 2 };
        let fixture = Fixture::start(size);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let started = begun.elapsed();
        let people = People::start(fixture.world(), Load { per_day, peak, ..Load::default() }, 1);
        tokio::time::sleep(Duration::from_secs(u64::from(hours) * 3600)).await;
        let took = begun.elapsed().saturating_sub(started);
        let mut report = people.report();
        let events = report.events;
        let count = events.arrivals + events.joins + events.leaves + events.keep_alives + events.looks;
        report.samples.clear();
        println!("{report:#?}");
        println!(
            "{hours} h in {took:.1?} after {started:.1?} to start: {:.0} events/s",
            count as f64 / took.as_secs_f64()
        );
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
        }
        Ok(())
    })
}
