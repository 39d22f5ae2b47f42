//! A rehearsal as text: the verdict first, then whom it cost, then step by step.

use std::fmt::Write as _;

use owo_colors::OwoColorize;

use super::{
    Ended, Moment, Report,
    report::{moment, span},
};
use crate::print::{columns, count, number};

/// Lines of the timeline are as wide as this, at most.
const WIDTH: usize = 60;
/// Steps that are shown; the JSON document has all.
const STEPS: usize = 60;

/// The screen.
pub(crate) fn text(report: &Report) -> String {
    let mut out = head(report);
    for (title, lines) in [
        ("change", change(report)),
        ("callers", callers(report)),
        ("interrupted", interrupted(report)),
        ("waits", waits(report)),
        ("timeline", timeline(&report.timeline)),
        ("made up", report.made_up.clone()),
    ] {
        for (at, line) in lines.iter().enumerate() {
            let _ = writeln!(out, "{:<13}{line}", if at == 0 { title } else { "" });
        }
    }
    if !report.steps.is_empty() {
        out.push('\n');
        steps(&mut out, report);
    }
    out
}

fn head(report: &Report) -> String {
    let title = format!("rehearsal of {} · {} → {}", report.fleet, report.old, report.new);
    format!("{} {}\n\n", title.bold(), format!("· seed {} · virtual time", report.seed).dimmed())
}

fn change(report: &Report) -> Vec<String> {
    let ended = match report.ended {
        Ended::Converged => format!("converged after {}", span(report.seconds)).green().to_string(),
        Ended::TimeUp => format!("not converged within {}", span(report.horizon)).red().to_string(),
    };
    let runs = count(report.runs.len(), "run");
    let (written, deleted) = report.runs.iter().fold((0, 0), |sum, run| (sum.0 + run.written, sum.1 + run.deleted));
    vec![format!(
        "{ended} · {runs} of `apply` · {} · {} written, {} deleted",
        count(report.steps.len(), "step"),
        count(written, "object"),
        number(deleted as u64),
    )]
}

fn callers(report: &Report) -> Vec<String> {
    let callers = &report.callers;
    vec![format!(
        "{} conferences, {} participants · at most {} and {} at once",
        number(callers.conferences),
        number(callers.participants),
        number(callers.peak_conferences),
        number(callers.peak_participants),
    )]
}

fn interrupted(report: &Report) -> Vec<String> {
    let callers = &report.callers;
    if callers.interruptions.values().all(|n| *n == 0) {
        return std::iter::once("nobody".green().to_string()).chain(late(report)).collect();
    }
    let mut rows: Vec<(&String, &u64)> = callers.interruptions.iter().filter(|(_, n)| **n > 0).collect();
    rows.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    let people = format!("{} of {} participants", number(callers.interrupted), number(callers.participants));
    let mut lines = vec![people.yellow().to_string()];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(cause, n)| vec![number(*n), cause.replace('_', " ")]).collect();
    lines.extend(columns(&rows, 2).into_iter().map(|line| format!("  {line}")));
    lines.extend(late(report));
    lines
}

fn late(report: &Report) -> Option<String> {
    let late = report.callers.failed_joins;
    (late > 0).then(|| format!("{} times somebody could not come in at the first attempt", number(late)))
}

/// What waited at the end of the last run, and what failed in it.
fn waits(report: &Report) -> Vec<String> {
    let last = report.runs.last().filter(|_| report.ended == Ended::TimeUp);
    last.into_iter().flat_map(|run| run.failures.iter().chain(&run.waits)).cloned().collect()
}

fn timeline(moments: &[Moment]) -> Vec<String> {
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Vec::new() };
    let draining: Vec<u64> = moments.iter().map(|moment| moment.draining).collect();
    let people: Vec<u64> = moments.iter().map(|moment| moment.participants).collect();
    let mut rows = vec![vec!["participants".to_owned(), bars(&people)]];
    if draining.iter().any(|n| *n > 0) {
        rows.push(vec!["draining bridges".to_owned(), bars(&draining)]);
    }
    let mut lines: Vec<String> = columns(&rows, 2).iter().map(|line| line.trim_end().to_owned()).collect();
    lines.push(format!("{} to {}", moment(first.at), moment(last.at)).dimmed().to_string());
    lines
}

/// One character for each stretch of time: how high it got there.
fn bars(values: &[u64]) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = values.iter().copied().max().unwrap_or_default().max(1);
    let each = values.len().div_ceil(WIDTH).max(1);
    values
        .chunks(each)
        .map(|chunk| {
            let value = chunk.iter().copied().max().unwrap_or_default();
            let step = usize::try_from(value * 8 / top).unwrap_or_default();
            if value == 0 { ' ' } else { STEPS.get(step.clamp(1, 8) - 1).copied().unwrap_or(' ') }
        })
        .collect()
}

fn steps(out: &mut String, report: &Report) {
    let mut rows = vec![["when", "run", "cluster", "step", ""].map(str::to_owned).to_vec()];
    rows.extend(report.steps.iter().take(STEPS).map(|step| {
        vec![moment(step.at), step.run.to_string(), step.cluster.clone(), step.verb.clone(), step.what.clone()]
    }));
    for (at, line) in columns(&rows, 2).into_iter().enumerate() {
        let _ = if at == 0 { writeln!(out, "{}", line.trim_end().dimmed()) } else { writeln!(out, "{line}") };
    }
    if let Some(more) = report.steps.len().checked_sub(STEPS).filter(|more| *more > 0) {
        let _ = writeln!(out, "… and {}: `-o json` or `--html PATH` show all", count(more, "more step"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::example;
    use super::*;
    use crate::print::bare;

    #[test]
    fn the_verdict_comes_first_then_whom_it_cost_then_the_steps() {
        insta::assert_snapshot!(bare(&text(&example())));
    }

    #[test]
    fn what_does_not_converge_says_what_it_waits_for() {
        let mut report = example();
        report.ended = Ended::TimeUp;
        report.runs.pop();
        report.callers.interruptions.clear();
        let text = bare(&text(&report));
        assert!(text.contains("not converged within 8 h"), "{text}");
        assert!(text.contains("waits        frankfurt: bridge eu/1 waits: 2 conferences"), "{text}");
        assert!(text.contains("interrupted  nobody"), "{text}");
    }

    #[test]
    fn bars_show_the_highest_of_each_stretch() {
        assert_eq!(bars(&[]), "");
        assert_eq!(bars(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(bars(&[0; 600]).chars().count(), WIDTH);
    }
}
