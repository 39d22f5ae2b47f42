//! Leaves daemons alone for hours in which everything goes wrong, in virtual time, and prints each hour.
//!
//! `cargo xtask soak --help`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use simulation::{Hour, Sabotage, Soak, Soaked, soak};

/// Leaves two daemons alone in clusters in memory: faults, kills, changes by hand and other fleet files, hour after hour,
/// in virtual time; each hour has to end well
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak")]
struct Arguments {
    /// How many hours
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// What everything follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plant a bug, and see that it is noticed
    #[arg(long, value_parser = sabotage)]
    sabotage: Option<Sabotage>,
    /// Print all that happened
    #[arg(long)]
    trace: bool,
}

fn sabotage(name: &str) -> Result<Sabotage, String> {
    let all = || Sabotage::ALL.map(Sabotage::name).join(", ");
    Sabotage::ALL.into_iter().find(|bug| bug.name() == name).ok_or_else(|| format!("there are {}", all()))
}

fn main() -> ExitCode {
    let Arguments { hours, seed, sabotage, trace } = Arguments::parse();
    let begun = Instant::now();
    println!("hour  troubles  requests  writes  rounds  settled  waiting  pods  tasks  connections    memory");
    let ended = soak(Soak { seed, hours, sabotage }, |hour| {
        let Hour { number, troubles, requests, writes, rounds, settled, waiting, pods, tasks, connections } = hour;
        let (settled, memory) = (settled.as_secs(), memory());
        println!(
            "{number:>4}{troubles:>10}{requests:>10}{writes:>8}{rounds:>8}{settled:>7} s{waiting:>9}{pods:>6}{tasks:>7}\
             {connections:>13}{memory:>7.0} MB"
        );
    });
    let seconds = begun.elapsed().as_secs_f64();
    match ended {
        Ok(Soaked { old, new, faults, callers }) => {
            println!(
                "went wrong: {}",
                faults.iter().map(|(kind, count)| format!("{count} × {kind}")).collect::<Vec<_>>().join(", ")
            );
            println!("callers: {} in {} conferences", callers.participants, callers.conferences);
            println!(
                "held after {hours} h: {} tasks, {} connections; by new daemons: {}, {}",
                old.tasks, old.connections, new.tasks, new.connections
            );
            println!("all promises held, {seconds:.0} s");
            ExitCode::SUCCESS
        }
        Err(spoilt) => {
            if trace {
                println!("{}", spoilt.trace.lines().join("\n"));
            }
            eprintln!("error: {spoilt}");
            eprintln!("hint: `cargo xtask soak --seed {seed} --hours {} --trace` plays it again", spoilt.hour);
            ExitCode::FAILURE
        }
    }
}

/// Of the whole simulation, in megabytes.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() * 1024.0 / 1e6
}
