//! What a developer runs: `cargo xtask VERB`. One module per verb.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "these are commands for a terminal")]

mod api_servers;
mod bench;
mod day;
mod demo;
mod openapi;
mod shell;
mod simulate;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the jitsictl workspace")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the Kubernetes API servers that the tests run against (once), and print their folder
    ApiServers,
    /// Run all tests, everything that they need included
    Test(test::Arguments),
    /// Bring up two real clusters, apply the split-cluster example and show its status
    Demo(demo::Arguments),
    /// Measure rendering and applying, and print a table
    Bench(bench::Arguments),
    /// Let people call into a fleet in memory for a day, and print how long that took
    Day(day::Arguments),
    /// Play made-up days with faults, each from a seed, and check what must hold
    Simulate(simulate::Arguments),
    /// Leave daemons alone for hours of faults in virtual time, and print what they went through
    Soak(simulate::Arguments),
    /// Write down the types of a real API server for the one in memory
    Openapi(openapi::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::ApiServers => api_servers::run(),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Day(arguments) => day::run(&arguments),
        Verb::Simulate(arguments) => simulate::run("simulate", &arguments),
        Verb::Soak(arguments) => simulate::run("soak", &arguments),
        Verb::Openapi(arguments) => openapi::run(&arguments),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}
