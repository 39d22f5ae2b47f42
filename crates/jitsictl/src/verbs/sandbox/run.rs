//! `jitsictl sandbox run`: the fleet, applied to clusters in memory, and its status.

use clock::Clock;
use fleet::load::Loaded;
use orchestrator::{Options, Outcome, Status, Verdict};
use plan::Policy;
use serde::Serialize;

use super::{
    ground::{Ground, brisk},
    stay::stay,
    supplies,
};
use crate::{
    Error, Exit, Notice,
    cli::SandboxRun,
    context::{Context, Time},
    print,
    verbs::outcome::{done, left_over, not_converged, reach},
};

/// What `sandbox run -o json` writes.
#[derive(Serialize)]
struct Shown<'a> {
    outcome: &'a Outcome,
    status: &'a Status,
    made_up: &'a [String],
}

pub(super) fn run(context: &Context, arguments: &SandboxRun) -> Result<Exit, Error> {
    let path = arguments.path.clone().unwrap_or_else(|| context.path());
    let mut loaded = context.load_at(path.clone())?;
    let made_up = supplies::make_up(&mut loaded.fleet);
    context.wait_alone(Time::Real, async {
        let ground = Ground::start(&[&loaded.fleet], brisk(), Clock::machine(), 1).await?;
        let exit = show(context, &ground, &loaded, arguments, &made_up).await?;
        if arguments.stay {
            stay(context, &ground, &loaded.fleet, &path).await?;
        }
        ground.sandbox.stop().await;
        Ok(exit)
    })?
}

async fn show(
    context: &Context,
    ground: &Ground,
    loaded: &Loaded,
    arguments: &SandboxRun,
    made_up: &[String],
) -> Result<Exit, Error> {
    let printer = &context.printer;
    let options = Options {
        place: ground.place(&loaded.fleet)?,
        policy: Policy::default(),
        timeout: arguments.timeout,
        create_namespaces: true,
        trust_new_clusters: true,
        restore_passwords_from: None,
        stop: orchestrator::CancellationToken::new(),
        handover: None,
    };
    if !printer.is_json() {
        for one in made_up {
            printer.warning(&Notice::plain(format!("made up for the sandbox: {one}")));
        }
    }
    let outcome = reach(context, loaded, &options).await?;
    let status = orchestrator::status(loaded, &options).await?;
    if printer.is_json() {
        printer.json(&Shown { outcome: &outcome, status: &status, made_up })?;
    } else {
        left_over(printer, &outcome);
        printer.result(&format!("{}\n{}", done(&outcome).unwrap_or_default(), print::status(&status)))?;
        if outcome.verdict != Verdict::Converged {
            printer.error(&not_converged(&outcome, arguments.timeout));
        }
    }
    let whole = outcome.verdict == Verdict::Converged && status.unreachable.is_empty() && status.proof.holds();
    Ok(if whole { Exit::Converged } else { Exit::NotConverged })
}
