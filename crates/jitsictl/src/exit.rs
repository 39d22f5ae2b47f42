//! How a command ends: exit codes, and errors with a way out.

use std::{io, process::ExitCode};

use orchestrator::{Failure, Fatal, Verdict};

use crate::print::Printer;

/// Exit codes. Scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything is as it should be.
    Converged = 0,
    /// Nothing could be done.
    Failed = 1,
    /// The command or the fleet file is wrong; nothing was sent.
    Usage = 2,
    /// Something was done; something is left or waits, and was named.
    NotConverged = 3,
    /// `plan --exit-code`: there are changes.
    Changes = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Converged => Self::Converged,
            Verdict::NotConverged => Self::NotConverged,
            Verdict::Failed => Self::Failed,
        }
    }
}

/// Something that went wrong, for people: what and where, why, and the next thing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Notice {
    /// What and where.
    pub message: String,
    /// Why.
    pub detail: Option<String>,
    /// The next thing to do.
    pub hint: Option<String>,
}

impl Notice {
    /// With a way out.
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None, hint: Some(hint.into()) }
    }

    /// Without one.
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}

impl From<&Failure> for Notice {
    /// A failure may name its cluster and object in its words already.
    fn from(failure: &Failure) -> Self {
        let mut message = failure.message.clone();
        if let Some(object) = failure.object.as_ref().filter(|object| !message.contains(object.as_str())) {
            message = format!("{object}: {message}");
        }
        let cluster = failure.cluster.as_str();
        if !message.contains(cluster) {
            message = format!("{cluster}: {message}");
        }
        Self { message, detail: failure.detail.clone(), hint: failure.hint.clone() }
    }
}

/// Why a command could not do what it is for.
#[derive(Debug)]
pub enum Error {
    /// The command or the fleet file is wrong.
    Usage(Vec<Notice>),
    /// Nothing could be done.
    Failed(Vec<Notice>),
    /// The fleet file has problems; they were printed.
    Fleet,
    /// Results can't be written.
    Output(io::Error),
}

impl Error {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage(vec![Notice::new(message, hint)])
    }

    pub(crate) fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed(vec![Notice::new(message, hint)])
    }

    /// Tells what went wrong, and gives the exit code.
    pub(crate) fn report(self, printer: &Printer) -> Exit {
        match self {
            Self::Usage(notices) => {
                notices.iter().for_each(|notice| printer.error(notice));
                Exit::Usage
            }
            Self::Failed(notices) => {
                notices.iter().for_each(|notice| printer.error(notice));
                Exit::Failed
            }
            Self::Fleet => Exit::Usage,
            // Whoever read our output has enough: `jitsictl render | head` is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Converged,
            Self::Output(error) => {
                printer.error(&Notice::plain(format!("cannot write the results: {error}")));
                Exit::Failed
            }
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Fatal> for Error {
    fn from(fatal: Fatal) -> Self {
        let notices = |failures: Vec<Failure>| failures.iter().map(Notice::from).collect();
        match fatal {
            Fatal::Usage(failures) => Self::Usage(notices(failures)),
            Fatal::Nothing(failures) => Self::Failed(notices(failures)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> Failure {
        Failure {
            cluster: "frankfurt".parse().unwrap(),
            unit: None,
            object: Some("Service media/meet-jvb-eu-3".to_owned()),
            message: message.to_owned(),
            detail: None,
            hint: None,
        }
    }

    #[test]
    fn a_failure_names_its_cluster_and_object_once() {
        let whole = "frankfurt: Service media/meet-jvb-eu-3: node port 30003 is taken";
        assert_eq!(Notice::from(&failure("node port 30003 is taken")).message, whole);
        assert_eq!(Notice::from(&failure(whole)).message, whole);
    }
}
