//! A rehearsal as a web page: one file, no scripts, nothing from elsewhere.

use std::fmt::Write as _;

use super::{
    Ended, Report,
    chart::{chart, escape},
    report::{moment, span},
};
use crate::print::number;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let title = format!("{}: {} → {}", report.fleet, report.old, report.new);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>Rehearsal of {title}</title>\n<style>\n{STYLE}</style>\n<main>\n",
        title = escape(&title)
    );
    let _ = writeln!(out, "<h1>Rehearsal of {}</h1>", escape(&report.fleet));
    let _ = writeln!(
        out,
        "<p class=\"what\">{} → {} · seed {} · simulated daemons and callers, virtual time</p>",
        escape(&report.old),
        escape(&report.new),
        report.seed
    );
    figures(&mut out, report);
    out.push_str("<figure>\n");
    out.push_str(&chart(report));
    out.push_str(LEGEND);
    out.push_str("</figure>\n");
    causes(&mut out, report);
    waits(&mut out, report);
    runs(&mut out, report);
    steps(&mut out, report);
    if !report.made_up.is_empty() {
        list(&mut out, "Made-up values", &report.made_up);
    }
    out.push_str("</main>\n</html>\n");
    out
}

const LEGEND: &str = "<figcaption><span class=\"participants\">participants</span> <span \
                      class=\"conferences\">conferences</span> <span class=\"draining\">draining bridges</span> <span \
                      class=\"steps\">steps (point at one)</span></figcaption>\n";

fn figures(out: &mut String, report: &Report) {
    let callers = &report.callers;
    let (class, ended) = match report.ended {
        Ended::Converged => ("good", format!("converged after {}", span(report.seconds))),
        Ended::TimeUp => ("bad", format!("not converged within {}", span(report.horizon))),
    };
    let cost = if callers.interrupted == 0 { "good" } else { "bad" };
    let figures = [
        (class, ended, format!("{} steps in {} runs of apply", report.steps.len(), report.runs.len())),
        (
            cost,
            format!("{} interrupted", number(callers.interrupted)),
            format!(
                "of {} participants; {} could not come in at the first attempt",
                number(callers.participants),
                number(callers.failed_joins)
            ),
        ),
        (
            "",
            format!("{} conferences", number(callers.conferences)),
            format!(
                "at most {} with {} people at once",
                number(callers.peak_conferences),
                number(callers.peak_participants)
            ),
        ),
    ];
    out.push_str("<section class=\"figures\">\n");
    for (class, large, small) in figures {
        let _ = writeln!(out, "<div class=\"{class}\"><b>{large}</b><span>{small}</span></div>");
    }
    out.push_str("</section>\n");
}

fn causes(out: &mut String, report: &Report) {
    let causes: Vec<_> = report.callers.interruptions.iter().filter(|(_, n)| **n > 0).collect();
    if causes.is_empty() {
        return;
    }
    out.push_str("<h2>Interruptions by cause</h2>\n<table>\n");
    for (cause, n) in causes {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"end\">{}</td></tr>",
            escape(&cause.replace('_', " ")),
            number(*n)
        );
    }
    out.push_str("</table>\n");
}

fn waits(out: &mut String, report: &Report) {
    let Some(last) = report.runs.last().filter(|_| report.ended == Ended::TimeUp) else { return };
    let left: Vec<String> = last.failures.iter().chain(&last.waits).cloned().collect();
    list(out, "Left when the time was up", &left);
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2>\n<ul>");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escape(line));
    }
    out.push_str("</ul>\n");
}

fn runs(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Runs of apply</h2>\n<table>\n<tr><th>when</th><th>took</th><th>written</th><th>deleted</th><th>what waited \
         at its end</th></tr>\n",
    );
    for alike in report.runs.chunk_by(|one, next| next.found_the_same_as(one)) {
        let Some((run, same)) = alike.split_first() else { continue };
        let left: Vec<String> = run.failures.iter().chain(&run.waits).map(|line| escape(line)).collect();
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{:.0} s</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            moment(run.at),
            run.seconds,
            run.written,
            run.deleted,
            left.join("<br>")
        );
        if let Some(last) = same.last() {
            let _ = writeln!(
                out,
                "<tr class=\"same\"><td>to {}</td><td colspan=\"4\">{} more that found the same</td></tr>",
                moment(last.at),
                same.len()
            );
        }
    }
    out.push_str("</table>\n");
}

fn steps(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Steps</h2>\n<table>\n<tr><th>when</th><th>run</th><th>cluster</th><th colspan=\"2\">step</th></tr>\n",
    );
    for step in &report.steps {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            moment(step.at),
            step.run,
            escape(&step.cluster),
            escape(&step.verb),
            escape(&step.what)
        );
    }
    out.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::super::report::example;
    use super::*;

    #[test]
    fn the_page_is_one_file_with_a_chart() {
        let page = html(&example());
        insta::assert_snapshot!(page.replace(STYLE, "(style)\n"));
        for foreign in ["<script", "http:", "https:", "url(", "@import", "src="] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("bridge eu/1 &lt;2&gt;"));
    }
}
