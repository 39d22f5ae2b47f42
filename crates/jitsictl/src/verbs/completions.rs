//! `jitsictl completions`: what a shell needs to complete our words.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Error, Exit, cli::Cli, context::Context};

pub(super) fn run(context: &Context, shell: Shell) -> Result<Exit, Error> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "jitsictl", &mut text);
    context.printer.bytes(&text)?;
    Ok(Exit::Converged)
}
