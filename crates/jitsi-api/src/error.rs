//! Why a daemon gave no usable answer.

use std::fmt;
use std::time::Duration;

/// How much of an unwelcome answer an error repeats.
const EXCERPT: usize = 200;

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// A video bridge.
    Jvb,
    /// The conference focus of a slot.
    Jicofo,
    /// A recorder.
    Jibri,
    /// The entrance's runtime socket.
    Haproxy,
    /// The fleet's public URL.
    PublicUrl,
}

impl fmt::Display for Daemon {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Jvb => "jvb",
            Self::Jicofo => "jicofo",
            Self::Jibri => "jibri",
            Self::Haproxy => "haproxy",
            Self::PublicUrl => "the public URL",
        })
    }
}

/// Which daemon, which request, and what came back.
#[derive(Debug, thiserror::Error)]
#[error("{daemon} did not answer `{request}` as it should: {cause}")]
pub struct ApiError {
    /// Who was asked.
    pub daemon: Daemon,
    /// What was asked, without its body.
    pub request: String,
    /// What went wrong.
    pub cause: Cause,
}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The caller's deadline passed. Whether a change was made is not known.
    #[error("nothing came back in {0:?}")]
    Deadline(Duration),
    /// The connection broke. Whether a change was made is not known.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The request could not be built from what the caller gave.
    #[error("the request can't be sent: {0}")]
    Request(String),
    /// An HTTP status other than success.
    #[error("status {status}{}", quoted(.body))]
    Status {
        /// The status code.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// An answer that does not say what we need.
    #[error("{why}{}", quoted(.body))]
    Content {
        /// What is wrong with it.
        why: String,
        /// The start of the body.
        body: String,
    },
}

impl Cause {
    pub(crate) fn content(why: impl fmt::Display, body: &[u8]) -> Self {
        Self::Content { why: why.to_string(), body: excerpt(body) }
    }
}

fn quoted(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(", with `{body}`") }
}

/// The first characters of a body, on one line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let head = body.get(..EXCERPT * 4).unwrap_or(body);
    let text: String = String::from_utf8_lossy(head).chars().take(EXCERPT).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_daemon_request_and_answer() {
        let cause = Cause::Status { status: 503, body: excerpt(b"not\n yet") };
        let error = ApiError { daemon: Daemon::Jvb, request: "GET /colibri/stats".into(), cause };
        assert_eq!(
            error.to_string(),
            "jvb did not answer `GET /colibri/stats` as it should: status 503, with `not yet`"
        );
    }

    #[test]
    fn a_long_answer_is_cut() {
        assert_eq!(excerpt("ä".repeat(5000).as_bytes()).chars().count(), 200);
    }
}
