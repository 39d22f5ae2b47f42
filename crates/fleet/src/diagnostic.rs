//! Problems of a fleet file: what is wrong, where it stands, and a way out.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value as Json, json};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used, but probably not as meant.
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The file as the user names it, or what else the value came from (a variable, a flag).
    pub file: String,
    /// Line, counted from 1; 0 when the source has no lines.
    pub line: usize,
    /// Column, counted from 1 in characters.
    pub column: usize,
    /// How many characters are meant.
    pub len: usize,
    /// The line's text; empty where showing it could show a secret.
    pub snippet: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where; the first is the one to look at.
    pub labels: Vec<Label>,
    /// The way out.
    pub hint: Option<String>,
}

impl Problem {
    /// An error without a place.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), labels: Vec::new(), hint: None }
    }

    /// A warning without a place.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// The same with a place.
    #[must_use]
    pub fn at(mut self, label: impl Into<Option<Label>>) -> Self {
        self.labels.extend(label.into());
        self
    }

    /// The same with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn render(&self, paint: Paint, out: &mut String) {
        let (tint, word) = match self.severity {
            Severity::Error => ("1;31", "error"),
            Severity::Warning => ("1;33", "warning"),
        };
        let _ = writeln!(out, "{}: {}", paint.with(tint, word), paint.with("1", &clean(&self.message)));
        let snippet = match self.labels.as_slice() {
            [label] if !label.snippet.is_empty() => Some(label),
            _ => None,
        };
        let gutter = snippet.map_or(2, |label| label.line.to_string().len());
        let pad = " ".repeat(gutter);
        if !self.labels.is_empty() {
            let places: Vec<String> = self.labels.iter().map(place).collect();
            let _ = writeln!(out, "{pad} {}{}", paint.with("2", "╭─"), places.join(" and "));
        }
        if let Some(label) = snippet {
            let view = Excerpt::of(label);
            let _ = writeln!(out, "{} │ {}", label.line, view.text);
            let _ = writeln!(out, "{pad} · {}{}", " ".repeat(view.start), paint.with(tint, &underline(view.len)));
        }
        match (&self.hint, self.labels.is_empty()) {
            (Some(hint), true) => drop(writeln!(out, "  ╰ {} {}", paint.with("36", "hint:"), clean(hint))),
            (Some(hint), false) => drop(writeln!(out, "{pad} ╰ {} {}", paint.with("36", "hint:"), clean(hint))),
            (None, false) => drop(writeln!(out, "{pad} ╰")),
            (None, true) => {}
        }
    }
}

fn place(label: &Label) -> String {
    match label.line {
        0 => format!("[{}]", clean(&label.file)),
        line => format!("[{}:{line}:{}]", clean(&label.file), label.column),
    }
}

/// The underline of a span: `───┬───`.
fn underline(len: usize) -> String {
    let len = len.max(1);
    let middle = len / 2;
    (0..len).map(|i| if i == middle { '┬' } else { '─' }).collect()
}

/// Text without control characters, so that a file can't paint the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const WIDTH: usize = 110;

/// The part of a line that is shown.
struct Excerpt {
    text: String,
    start: usize,
    len: usize,
}

impl Excerpt {
    fn of(label: &Label) -> Self {
        let chars: Vec<char> = clean(&label.snippet).chars().collect();
        let at = label.column.saturating_sub(1).min(chars.len());
        let from = if chars.len() <= WIDTH { 0 } else { at.saturating_sub(WIDTH / 3).min(chars.len() - WIDTH) };
        let to = (from + WIDTH).min(chars.len());
        let (head, tail) = (if from > 0 { "…" } else { "" }, if to < chars.len() { "…" } else { "" });
        let text = format!("{head}{}{tail}", chars[from..to].iter().collect::<String>());
        let start = at - from + head.chars().count();
        let len = label.len.min(to.saturating_sub(at)).max(1);
        Self { text, start, len }
    }
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// All problems of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Errors first, each kind in the file's order.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Sorted: errors first, each kind in the file's order; said once each.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| {
            let place = problem.labels.first().map_or((usize::MAX, 0), |label| (label.line, label.column));
            (problem.severity, place)
        });
        problems.dedup();
        Self { problems }
    }

    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// The problems as text for people, and how many there are of each kind.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for problem in &self.problems {
            problem.render(Paint(colour), &mut out);
            out.push('\n');
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// Such as `2 errors, 1 warning`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}, {}", counted(self.errors(), Severity::Error), counted(self.warnings(), Severity::Warning))
    }

    /// The problems for programs.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({ "errors": self.errors(), "warnings": self.warnings(), "problems": self.problems })
    }
}

fn counted(n: usize, severity: Severity) -> String {
    format!("{n} {}{}", severity.as_str(), if n == 1 { "" } else { "s" })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_a_way_out() {
        let label = Label {
            file: "fleet.yaml".into(),
            line: 41,
            column: 20,
            len: 8,
            snippet: "      bridges: { replicaz: 3 }".into(),
        };
        let report =
            Report::new(vec![Problem::error("unknown key `replicaz`").at(label).hint("did you mean `replicas`?")]);
        assert_eq!(
            report.render(false),
            "error: unknown key `replicaz`\n   ╭─[fleet.yaml:41:20]\n41 │       bridges: { replicaz: 3 }\n   ·                    ────┬───\n   ╰ hint: did you mean `replicas`?\n\n1 error, 0 warnings\n"
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let label = Label {
            file: "f".into(),
            line: 1,
            column: 900,
            len: 3,
            snippet: format!("{}bad{}", "x".repeat(899), "y".repeat(900)),
        };
        let text = Report::new(vec![Problem::error("m").at(label)]).render(false);
        let shown = text.lines().nth(2).unwrap();
        assert!(shown.contains("xxbadyy") && shown.chars().count() < 130, "{shown}");
    }
}
