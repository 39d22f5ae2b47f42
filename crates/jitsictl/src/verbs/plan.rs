//! `jitsictl plan`: what `apply` would do, server-true, and nothing done.

use crate::{
    Error, Exit,
    cli::PlanArgs,
    context::{Context, Run},
    print,
};

pub(super) fn run(context: &Context, arguments: &PlanArgs) -> Result<Exit, Error> {
    let loaded = context.load()?;
    let run = Run {
        scope: arguments.scope.clone(),
        allow_disruption: arguments.allow_disruption,
        handover: arguments.handover.as_deref(),
        ..Run::default()
    };
    let options = context.options(&loaded, run)?;
    let report = context.wait_for(orchestrator::plan(&loaded, &options))??;
    if context.printer.is_json() {
        context.printer.json(&report)?;
    } else {
        context.printer.result(&print::plan(&report, context.global.verbose > 0))?;
    }
    let changes = !report.plan.changes.is_empty() || !report.plan.steps.is_empty();
    Ok(match (changes, report.unreachable.is_empty()) {
        (true, _) if arguments.exit_code => Exit::Changes,
        (_, true) => Exit::Converged,
        (_, false) => Exit::NotConverged,
    })
}
