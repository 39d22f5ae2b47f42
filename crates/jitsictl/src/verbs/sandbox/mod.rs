//! `jitsictl sandbox`: whole clusters in memory.

mod crowd;
mod ground;
mod rehearse;
mod run;
mod stay;
mod supplies;
mod up;

use crate::{Error, Exit, cli::SandboxVerb, context::Context};

pub(super) fn run(context: &Context, verb: &SandboxVerb) -> Result<Exit, Error> {
    match verb {
        SandboxVerb::Run(arguments) => run::run(context, arguments),
        SandboxVerb::Up(arguments) => up::run(context, arguments),
        SandboxVerb::Rehearse(arguments) => rehearse::run(context, arguments),
    }
}
