//! What `apply`, `delete` and `sandbox run` have in common: a run to its end, and what is told of its outcome.

use std::{pin::pin, time::Duration};

use fleet::load::Loaded;
use futures::StreamExt as _;
use orchestrator::report::{Joined, Witness};
use orchestrator::{Options, Outcome, Verdict};

use crate::{
    Error, Notice,
    context::Context,
    duration,
    print::{self, Printer, Progress, count, seconds},
    signals::signals,
};

/// Runs to the end, telling of progress. A first signal makes the end come soon, a second at once.
pub(super) async fn reach(context: &Context, loaded: &Loaded, options: &Options) -> Result<Outcome, Error> {
    let mut signals = signals()?;
    let progress = Progress::new(&context.printer, context.global.verbose > 0);
    let outcome = {
        let tell = |event| progress.on(&event);
        let mut run = pin!(orchestrator::apply(loaded, options, &tell));
        tokio::select! {
            biased;
            outcome = &mut run => Some(outcome),
            _ = signals.next() => {
                let note = "told to stop: what is under way is finished, drains are taken back; once more ends it at once";
                context.printer.warning(&Notice::plain(note));
                options.stop.cancel();
                tokio::select! {
                    biased;
                    outcome = &mut run => Some(outcome),
                    _ = signals.next() => None,
                }
            }
        }
    };
    progress.finish();
    let hint = "run the command again: it takes up where this one was, as soon as its Leases have run out (15 s)";
    Ok(outcome.ok_or_else(|| Error::failed("ended at once", hint))??)
}

/// What failed, waits or is missing, each with its way out.
pub(super) fn left_over(printer: &Printer, outcome: &Outcome) {
    for failure in &outcome.failures {
        printer.error(&failure.into());
    }
    for notice in print::blocked(&outcome.blocked) {
        printer.warning(&notice);
    }
    for debt in &outcome.debts {
        printer.warning(&Notice::plain(format!("left the file, not gone yet: {}", print::debt(debt))));
    }
    if outcome.verdict != Verdict::Converged {
        // First what explains the rest.
        for notice in print::endpoints(&outcome.proof.endpoints) {
            printer.warning(&notice);
        }
        for notice in print::missing(&outcome.proof.missing, &outcome.proof.unhealthy) {
            printer.warning(&notice);
        }
    }
    for notice in print::strangers(&outcome.proof) {
        printer.warning(&notice);
    }
}

/// One line that says what was done.
pub(super) fn done(outcome: &Outcome) -> Option<String> {
    let mut what = Vec::new();
    if outcome.written > 0 {
        what.push(format!("{} written", count(outcome.written, "object")));
    }
    if outcome.deleted > 0 {
        what.push(format!("{} deleted", count(outcome.deleted, "object")));
    }
    let idle = what.is_empty();
    let mut daemons: Vec<&str> = outcome.daemons.values().map(String::as_str).collect();
    daemons.dedup();
    what.extend(daemons.iter().map(|daemon| format!("the daemon {daemon} did its part")));
    let idle = idle && daemons.is_empty();
    if let Some(Joined { joined, expected }) = outcome.bridges {
        let whose = if outcome.proof.witness == Witness::Bridges { " (the bridges' own word)" } else { "" };
        what.push(format!("{joined} of {} joined{whose}", count(expected, "bridge")));
    }
    match (outcome.verdict, idle) {
        (Verdict::Converged, true) => Some("nothing to do\n".to_owned()),
        (Verdict::Converged, false) => {
            Some(format!("converged in {}: {}\n", seconds(outcome.seconds), what.join(", ")))
        }
        (_, true) => None,
        (_, false) => Some(format!("applied in {}: {}\n", seconds(outcome.seconds), what.join(", "))),
    }
}

pub(super) fn not_converged(outcome: &Outcome, timeout: Duration) -> Notice {
    let unreachable = outcome.clusters.iter().filter(|(_, cluster)| cluster.unreachable.is_some());
    let unreachable: Vec<String> = unreachable.map(|(name, _)| name.to_string()).collect();
    let timed_out = outcome.seconds >= timeout.as_secs_f64();
    let message = match (outcome.verdict, timed_out) {
        (Verdict::Failed, _) => "nothing could be done".to_owned(),
        (_, true) => format!("not converged after {}", duration::exact(timeout)),
        (_, false) => "not converged".to_owned(),
    };
    let hint = match unreachable.as_slice() {
        [] => "`jitsictl status` shows what is missing; run again, or give it more time with --timeout".to_owned(),
        [one] => format!("run again when {one} answers; nothing there was changed"),
        many => format!("run again when {} answer; nothing there was changed", many.join(", ")),
    };
    Notice::new(message, hint)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orchestrator::Proof;
    use orchestrator::report::{ClusterOutcome, SlotProof};

    use super::*;

    fn outcome(verdict: Verdict, written: usize) -> Outcome {
        let slot = SlotProof {
            shard: "alpha".parse().unwrap(),
            slot: fleet::Slot::A,
            joined: 7,
            expected: 9,
            foreign: Vec::new(),
            live: plan::Live::default(),
            why: None,
        };
        Outcome {
            verdict,
            seconds: 4.12,
            written,
            deleted: 0,
            clusters: BTreeMap::new(),
            failures: Vec::new(),
            blocked: Vec::new(),
            daemons: BTreeMap::new(),
            bridges: Some(Joined { joined: 7, expected: 9 }),
            debts: Vec::new(),
            proof: Proof { slots: vec![slot], ..Proof::default() },
        }
    }

    #[test]
    fn the_last_line_says_what_was_done() {
        assert_eq!(done(&outcome(Verdict::Converged, 0)).unwrap(), "nothing to do\n");
        assert_eq!(
            done(&outcome(Verdict::Converged, 63)).unwrap(),
            "converged in 4.1 s: 63 objects written, 7 of 9 bridges joined\n"
        );
        assert_eq!(
            done(&outcome(Verdict::NotConverged, 1)).unwrap(),
            "applied in 4.1 s: 1 object written, 7 of 9 bridges joined\n"
        );
        assert_eq!(done(&outcome(Verdict::NotConverged, 0)), None);
        let daemons = [(fleet::Plane::Control, "one".to_owned()), (fleet::Plane::Data, "one".to_owned())];
        assert_eq!(
            done(&Outcome { daemons: daemons.into(), ..outcome(Verdict::Converged, 0) }).unwrap(),
            "converged in 4.1 s: the daemon one did its part, 7 of 9 bridges joined\n"
        );
    }

    #[test]
    fn what_is_left_names_the_cluster_that_is_missing() {
        let mut outcome = outcome(Verdict::NotConverged, 63);
        assert_eq!(not_converged(&outcome, Duration::from_secs(4)).message, "not converged after 4s");
        assert_eq!(not_converged(&outcome, Duration::from_secs(120)).message, "not converged");
        let gone = ClusterOutcome { unreachable: Some("timed out".into()), ..ClusterOutcome::default() };
        outcome.clusters.insert("brisbane".parse().unwrap(), gone);
        let hint = not_converged(&outcome, Duration::from_secs(4)).hint.unwrap();
        assert_eq!(hint, "run again when brisbane answers; nothing there was changed");
    }
}
