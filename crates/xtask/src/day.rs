//! `cargo xtask day`: a working day of callers over a fleet in memory, and how long it took.

use std::process::ExitCode;

use xtask::shell::{self, Result, cargo};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Conferences in the day
    #[arg(long, default_value_t = 60_000)]
    conferences: u32,
    /// Conferences at once, at the day's peak
    #[arg(long, default_value_t = 5_000)]
    peak: u32,
    /// Shards of the fleet
    #[arg(long, default_value_t = 10)]
    shards: u32,
    /// Its bridges, each in all shards
    #[arg(long, default_value_t = 200)]
    bridges: u32,
    /// How much of the day, from midnight on
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// Only daemons and callers: no API server, no controllers, no node agents
    #[arg(long)]
    daemons_alone: bool,
}

/// By an optimised build of the sandbox's own example.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { conferences, peak, shards, bridges, hours, daemons_alone } = arguments;
    let mut day = cargo();
    day.args(["run", "--quiet", "--release", "--package", "sandbox", "--example", "day", "--"]);
    let numbers = [
        ("--conferences", conferences),
        ("--peak", peak),
        ("--shards", shards),
        ("--bridges", bridges),
        ("--hours", hours),
    ];
    for (option, number) in numbers {
        day.arg(option).arg(number.to_string());
    }
    if *daemons_alone {
        day.arg("--daemons-alone");
    }
    shell::run(&mut day).map(|()| ExitCode::SUCCESS)
}
