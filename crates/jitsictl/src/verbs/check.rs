//! `jitsictl check`: every problem of the fleet file at once. Offline: no kubeconfig is read.

use fleet::diagnostic::Report;

use crate::{Error, Exit, context::Context, load};

pub(super) fn run(context: &Context) -> Result<Exit, Error> {
    let (report, good) = match load::load(&context.input(context.path())) {
        Ok(loaded) => (Report::new(loaded.warnings), true),
        Err(report) => (report, false),
    };
    if context.printer.is_json() {
        context.printer.json(&report.to_json())?;
    } else if report.problems.is_empty() {
        context.printer.result("no problems\n")?;
    } else {
        let end = if good { "" } else { "; nothing was sent to any cluster" };
        context.printer.result(&format!("{}{end}\n", report.render(true).trim_end()))?;
    }
    Ok(if good { Exit::Converged } else { Exit::Usage })
}
