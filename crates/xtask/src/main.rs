//! What a developer runs: `cargo xtask VERB`. One module per verb, but for those that need clusters: they are the
//! `workbench`'s.
//!
//! This program depends on next to nothing, so that it is built in no time and builds the rest with the features of the
//! whole workspace, once.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "these are commands for a terminal")]

mod day;
mod rest;
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
    /// Run all tests, everything that they need included
    Test(test::Arguments),
    /// Build the Kubernetes API servers that the tests run against (once), and print their folder
    ApiServers(rest::Arguments),
    /// Bring up two real clusters, apply the split-cluster example and show its status
    Demo(rest::Arguments),
    /// Measure rendering, applying and the daemon, and print tables
    Bench(rest::Arguments),
    /// Write down the types of a real API server for the one in memory
    Openapi(rest::Arguments),
    /// Let people call into a fleet in memory for a day, and print how long that took
    Day(day::Arguments),
    /// Play made-up days with faults, each from a seed, and check what must hold
    Simulate(rest::Arguments),
    /// Leave daemons alone for hours of faults in virtual time, and print what they went through
    Soak(rest::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Test(arguments) => test::run(&arguments),
        Verb::ApiServers(arguments) => rest::workbench("api-servers", &[], &arguments),
        Verb::Demo(arguments) => rest::workbench("demo", &["jitsictl"], &arguments),
        Verb::Bench(arguments) => rest::bench(&arguments),
        Verb::Openapi(arguments) => rest::workbench("openapi", &[], &arguments),
        Verb::Day(arguments) => day::run(&arguments),
        Verb::Simulate(arguments) => simulate::run("simulate", &arguments),
        Verb::Soak(arguments) => simulate::run("soak", &arguments),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}
