//! `jitsictl delete`: removes the fleet. Calls come first here too; claims and made secrets stay unless told otherwise.

use orchestrator::Verdict;
use plan::Removal;

use super::outcome::{left_over, reach};
use crate::{
    Error, Exit, Notice,
    cli::Delete,
    context::{Context, Run},
    duration,
    print::{count, seconds},
};

pub(super) fn run(context: &Context, arguments: &Delete) -> Result<Exit, Error> {
    let loaded = context.load()?;
    let run = Run {
        scope: arguments.scope.clone(),
        timeout: arguments.timeout,
        allow_disruption: arguments.allow_disruption,
        ..Run::default()
    };
    let mut options = context.options(&loaded, run)?;
    options.policy.removal = if arguments.secrets { Removal::Everything } else { Removal::KeepSecrets };
    let outcome = context.wait_for(reach(context, &loaded, &options))??;
    if context.printer.is_json() {
        context.printer.json(&outcome)?;
        return Ok(outcome.verdict.into());
    }
    left_over(&context.printer, &outcome);
    let deleted = count(outcome.deleted, "object");
    if outcome.verdict == Verdict::Converged {
        let kept = if arguments.secrets { "" } else { "; claims and secrets were kept" };
        let took = seconds(outcome.seconds);
        context.printer.result(&format!("deleted {deleted} in {took}{kept}\n"))?;
    } else {
        let message = format!("{deleted} deleted, not everything is gone after {}", duration::exact(arguments.timeout));
        context.printer.error(&Notice::new(message, "run `jitsictl delete` again; what is gone is not touched again"));
    }
    Ok(outcome.verdict.into())
}
