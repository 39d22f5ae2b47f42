//! `jitsictl status`: the fleet on one screen.

use crate::{
    Error, Exit,
    cli::StatusArgs,
    context::{Context, Run},
    print,
};

pub(super) fn run(context: &Context, arguments: &StatusArgs) -> Result<Exit, Error> {
    let loaded = context.load()?;
    let run = Run { scope: arguments.scope.clone(), handover: arguments.handover.as_deref(), ..Run::default() };
    let options = context.options(&loaded, run)?;
    let status = context.wait_for(orchestrator::status(&loaded, &options))??;
    if context.printer.is_json() {
        context.printer.json(&status)?;
    } else {
        context.printer.result(&print::status(&status))?;
    }
    let whole = status.unreachable.is_empty() && status.proof.holds();
    Ok(if whole { Exit::Converged } else { Exit::NotConverged })
}
