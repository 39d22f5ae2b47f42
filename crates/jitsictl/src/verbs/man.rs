//! `jitsictl man`: the manual page, all verbs in one.

use clap::CommandFactory;

use crate::{Error, Exit, cli::Cli, context::Context};

pub(super) fn run(context: &Context) -> Result<Exit, Error> {
    let mut command = Cli::command();
    command.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        clap_mangen::Man::new(verb.clone()).render(&mut text)?;
    }
    context.printer.bytes(&text)?;
    Ok(Exit::Converged)
}
