//! The command line of jitsictl: verbs, what people see, and exit codes.
//!
//! ```text
//! arguments, environment ──cli──► verb ──load──► orchestrator ──► print (stdout: results, stderr: progress)
//! ```
//!
//! A library behind a three-line `main`, so that the reference, the completions and the tests see the same things.

pub mod cli;
pub mod print;
pub mod verbs;

mod context;
mod daemon;
mod desired;
mod duration;
mod environment;
mod exit;
mod file;
mod load;
mod log;
mod panics;
mod rehearsal;
mod signals;

pub use environment::Environment;
pub use exit::{Error, Exit, Notice};

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, context::Context, print::Printer};

/// Runs one command from its arguments to its exit code.
#[must_use]
pub fn run(environment: Environment) -> ExitCode {
    let cli = match Cli::try_parse_from(&environment.arguments) {
        Ok(cli) => cli,
        Err(stop) => {
            // `--help` and `--version` come by this way too; a closed pipe is no news here.
            let _ = stop.print();
            return if stop.use_stderr() { Exit::Usage.into() } else { Exit::Converged.into() };
        }
    };
    panics::install(log::format(&cli));
    log::start(&cli, &environment);
    let printer = Printer::of_process(cli.global.output);
    let context = Context { global: cli.global, environment, printer };
    let ended = verbs::run(&context, &cli.verb);
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => error.report(&context.printer).into(),
    }
}
