//! `jitsictl apply`: makes the fleet real, and waits until the bridges have joined.

use orchestrator::Verdict;

use super::outcome::{done, left_over, not_converged, reach};
use crate::{
    Error, Exit,
    cli::Apply,
    context::{Context, Run},
};

pub(super) fn run(context: &Context, arguments: &Apply) -> Result<Exit, Error> {
    let loaded = context.load()?;
    let run = Run {
        scope: arguments.scope.clone(),
        timeout: arguments.timeout,
        create_namespaces: arguments.create_namespaces,
        trust_new_clusters: arguments.trust_new_cluster,
        allow_disruption: arguments.allow_disruption,
        restore_passwords_from: arguments.restore_passwords_from.clone(),
        handover: arguments.handover.as_deref(),
    };
    let options = context.options(&loaded, run)?;
    let outcome = context.wait_for(reach(context, &loaded, &options))??;
    if context.printer.is_json() {
        context.printer.json(&outcome)?;
    } else {
        left_over(&context.printer, &outcome);
        if let Some(line) = done(&outcome) {
            context.printer.result(&line)?;
        }
        if outcome.verdict != Verdict::Converged {
            context.printer.error(&not_converged(&outcome, arguments.timeout));
        }
    }
    Ok(outcome.verdict.into())
}
