//! `jitsictl status`: the fleet on one screen, from its clusters or from a daemon that watches them.

use orchestrator::Status;
use serde::Serialize;

use crate::{
    Error, Exit,
    cli::{Scope, StatusArgs},
    context::{Context, Run},
    daemon::{Asked, ask},
    environment::DAEMON,
    print,
};

pub(super) fn run(context: &Context, arguments: &StatusArgs) -> Result<Exit, Error> {
    // Whoever wants a part, or has a handover file, wants the clusters to be asked.
    let StatusArgs { scope: Scope { plane, cluster }, handover, daemon } = arguments;
    let of_clusters = plane.is_some() || !cluster.is_empty() || handover.is_some();
    let daemon = daemon.as_deref().or_else(|| context.environment.get(DAEMON).filter(|_| !of_clusters));
    match daemon {
        Some(address) => of_daemon(context, address),
        None => of_fleet(context, arguments),
    }
}

fn of_fleet(context: &Context, arguments: &StatusArgs) -> Result<Exit, Error> {
    let loaded = context.load()?;
    let run = Run { scope: arguments.scope.clone(), handover: arguments.handover.as_deref(), ..Run::default() };
    let options = context.options(&loaded, run)?;
    let status = context.wait_for(orchestrator::status(&loaded, &options))??;
    if context.printer.is_json() {
        context.printer.json(&status)?;
    } else {
        context.printer.result(&print::status(&status))?;
    }
    Ok(judged(&status))
}

/// The same facts, and who told them.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    status: &'a Status,
    daemon: String,
    planes: &'a std::collections::BTreeMap<fleet::Plane, orchestrator::daemon::PlaneState>,
}

fn of_daemon(context: &Context, address: &str) -> Result<Exit, Error> {
    let asked = context.wait_for(ask(address))??;
    let line = asked.line();
    let Asked { daemon, planes, status } = asked;
    let Some(status) = status else {
        let message = format!("{line} has not seen the fleet yet");
        return Err(Error::failed(message, "ask again in a moment; its log says what it waits for"));
    };
    if context.printer.is_json() {
        context.printer.json(&Told { status: &status, daemon: daemon.name, planes: &planes })?;
    } else {
        context.printer.result(&format!("{}{line}\n", print::status(&status)))?;
    }
    Ok(judged(&status))
}

fn judged(status: &Status) -> Exit {
    let whole = status.unreachable.is_empty() && status.proof.holds();
    if whole { Exit::Converged } else { Exit::NotConverged }
}
