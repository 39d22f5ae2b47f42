//! Asking a daemon that runs: what `jitsictl status` shows without asking any cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::Plane;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use orchestrator::Status;
use orchestrator::daemon::PlaneState;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::Error;

/// All of it together takes no longer.
const DEADLINE: Duration = Duration::from_secs(10);
/// An answer is no longer.
const LONGEST: usize = 64 << 20;

/// What a daemon says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Who answers.
    pub(crate) daemon: Named,
    /// Its planes, and what it is to each.
    pub(crate) planes: BTreeMap<Plane, PlaneState>,
    /// What `status` shows; none before its first round.
    pub(crate) status: Option<Status>,
}

/// Who answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Named {
    /// Its name, as in Leases.
    pub(crate) name: String,
}

impl Asked {
    /// `daemon jitsictl-0 (control: leading since …; data: …)`.
    pub(crate) fn line(&self) -> String {
        let mut said: Vec<String> = Vec::new();
        for state in self.planes.values() {
            let word = match state {
                PlaneState::Starting => "starting".to_owned(),
                PlaneState::Leading { since } => format!("leading since {since:.0}"),
                PlaneState::Following { holder, since } => format!("following {holder} since {since:.0}"),
                PlaneState::Frozen { why, since } => format!("observing only since {since:.0}: {why}"),
            };
            said.push(word);
        }
        let same = said.windows(2).all(|two| two[0] == two[1]);
        let what = if same {
            said.pop().unwrap_or_default()
        } else {
            let each = self.planes.keys().zip(&said).map(|(plane, word)| format!("{plane}: {word}"));
            each.collect::<Vec<_>>().join("; ")
        };
        format!("daemon {} ({what})", self.daemon.name)
    }
}

/// Asks the daemon at an address.
///
/// # Errors
/// When it does not answer, or is none.
pub(crate) async fn ask(address: &str) -> Result<Asked, Error> {
    let failed = |why: String| {
        let message = format!("cannot ask the daemon at {address}: {why}");
        Error::failed(message, "check --daemon and $JITSICTL_DAEMON; without them, status asks the clusters itself")
    };
    let asking = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        over(stream, address).await
    };
    timeout(DEADLINE, asking).await.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(failed)
}

async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, host: &str) -> Result<Asked, String> {
    let said = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = http::Request::get("/state").header(http::header::HOST, host);
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(said)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| error.to_string())?;
    if status != http::StatusCode::OK {
        return Err(format!("it answers {status}"));
    }
    serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("it is no daemon of this version: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::made_up;

    #[test]
    fn one_line_says_who_answers() {
        let state = made_up::good();
        let daemon = Named { name: "jitsictl-0".into() };
        let mut asked = Asked { daemon, planes: state.planes, status: None };
        assert_eq!(asked.line(), "daemon jitsictl-0 (leading since 2026-01-01T09:00:00Z)");
        asked.planes = made_up::bad().planes;
        let why = "observing only since 2026-01-01T09:59:30Z: the Lease can't be renewed: no answer";
        let wanted = format!("daemon jitsictl-0 (control: leading since 2026-01-01T09:00:00Z; data: {why})");
        assert_eq!(asked.line(), wanted);
    }
}
