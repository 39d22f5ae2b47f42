//! What people and programs see: results on stdout, progress and errors on stderr.

pub mod yaml;

mod failures;
mod passing;
mod plan;
mod progress;
mod status;
mod story;
mod words;

pub(crate) use failures::{blocked, debt, endpoints, missing, strangers};
pub(crate) use passing::Passing;
pub(crate) use plan::{described, plan};
pub(crate) use progress::Progress;
pub(crate) use status::status;
pub(crate) use words::{columns, count, endpoint, live, number, seconds};

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::{Notice, cli::Output};

/// The only way to stdout and stderr. Colours leave it only towards a terminal, and never with `NO_COLOR`.
#[derive(Debug)]
pub struct Printer {
    output: Output,
    results: ColorChoice,
    progress: ColorChoice,
    live: bool,
}

impl Printer {
    /// To this process's streams.
    #[must_use]
    pub fn of_process(output: Output) -> Self {
        let results = AutoStream::choice(&io::stdout());
        let progress = AutoStream::choice(&io::stderr());
        Self { output, results, progress, live: io::stderr().is_terminal() }
    }

    /// Whether programs read the results.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Whether somebody watches: bars may move.
    pub(crate) fn is_live(&self) -> bool {
        self.live && !self.is_json()
    }

    /// Writes a result for people.
    pub(crate) fn result(&self, text: &str) -> io::Result<()> {
        let mut out = AutoStream::new(io::stdout().lock(), self.results);
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Writes a result that holds no colours and may be large.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes the one JSON document of a verb.
    pub(crate) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
        bytes.push(b'\n');
        self.bytes(&bytes)
    }

    /// Writes a line of progress. Nobody is stopped by a closed stderr.
    pub(crate) fn line(&self, text: &str) {
        let mut err = AutoStream::new(io::stderr().lock(), self.progress);
        let _ = writeln!(err, "{text}");
    }

    /// Writes what happened, for programs.
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Tells what went wrong.
    pub(crate) fn error(&self, notice: &Notice) {
        if self.is_json() {
            self.json_line(&serde_json::json!({ "event": "error", "error": notice }));
        } else {
            self.line(&styled(notice, &"error:".red().bold().to_string()));
        }
    }

    /// Tells what somebody should know.
    pub(crate) fn warning(&self, notice: &Notice) {
        if self.is_json() {
            self.json_line(&serde_json::json!({ "event": "warning", "warning": notice }));
        } else {
            self.line(&styled(notice, &"warning:".yellow().bold().to_string()));
        }
    }
}

/// A notice with its label: the message, what explains it, and a way out.
fn styled(notice: &Notice, label: &str) -> String {
    let mut text = format!("{label} {}", notice.message);
    if let Some(detail) = &notice.detail {
        for (at, line) in detail.lines().enumerate() {
            let edge = if at == 0 && notice.hint.is_some() { "╭" } else { " " };
            text.push_str(&format!("\n  {edge} {line}"));
        }
    }
    if let Some(hint) = &notice.hint {
        text.push_str(&format!("\n  ╰ {} {hint}", "hint:".cyan()));
    }
    text
}

#[cfg(test)]
pub(crate) fn bare(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_next() {
        let notice = Notice {
            message: "frankfurt: cannot apply Service jitsi-media/meet-jvb-eu-3: node port 30003 is taken".into(),
            detail: Some("by Service default/legacy-turn (not ours)".into()),
            hint: Some("free it, or move the pool: data.pools.eu.bridges.base_port (now 30000)".into()),
        };
        insta::assert_snapshot!(bare(&styled(&notice, "error:")), @r"
        error: frankfurt: cannot apply Service jitsi-media/meet-jvb-eu-3: node port 30003 is taken
          ╭ by Service default/legacy-turn (not ours)
          ╰ hint: free it, or move the pool: data.pools.eu.bridges.base_port (now 30000)
        ");
    }
}
