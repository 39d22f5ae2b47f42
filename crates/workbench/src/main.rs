//! What is done on real API servers beside the tests: `cargo xtask demo`, `bench`, `openapi` and `api-servers`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "these are commands for a terminal")]

mod api_servers;
mod bench;
mod demo;
mod openapi;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the Kubernetes API servers that the tests run against (once), and print their folder
    ApiServers,
    /// Bring up two real clusters, apply the split-cluster example and show its status
    Demo(demo::Arguments),
    /// Measure rendering, applying and the daemon, and print tables
    Bench(bench::Arguments),
    /// Write down the types of a real API server for the one in memory
    Openapi(openapi::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::ApiServers => api_servers::run(),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Openapi(arguments) => openapi::run(&arguments),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}
