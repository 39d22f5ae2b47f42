//! A recorder. Its health is on port 2222 of the pod's loopback, its shutdown on port 3333.

use std::time::Duration;

use serde::Deserialize;

use crate::http::{Ask, Stream};
use crate::{ApiError, Daemon};

/// What `/jibri/api/v1.0/health` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawHealth")]
pub struct Health {
    /// What it does.
    pub busy: Busy,
    /// Whether it could do it.
    pub healthy: bool,
}

/// What a recorder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Busy {
    /// It waits for work.
    Idle,
    /// It records or streams.
    Busy,
    /// It did its one job and waits to be started anew; jicofo is never told.
    Expired,
}

impl Health {
    /// Whether somebody's recording would be lost with it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy == Busy::Busy
    }

    /// Whether it takes no work until it is started anew.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.busy == Busy::Expired
    }
}

#[derive(Deserialize)]
struct RawHealth {
    status: RawStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatus {
    busy_status: Busy,
    health: RawOwn,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawOwn {
    health_status: String,
}

impl From<RawHealth> for Health {
    fn from(raw: RawHealth) -> Self {
        Self { busy: raw.status.busy_status, healthy: raw.status.health.health_status == "HEALTHY" }
    }
}

/// What it does, and whether it could.
///
/// # Errors
/// When the recorder does not answer as expected.
pub async fn health(stream: impl Stream, deadline: Duration) -> Result<Health, ApiError> {
    Ask::get(Daemon::Jibri, "/jibri/api/v1.0/health", deadline).read(stream).await
}

/// Tells it to end after its work; at once when it has none.
///
/// # Errors
/// When the recorder does not answer as expected.
pub async fn graceful_shutdown(stream: impl Stream, deadline: Duration) -> Result<(), ApiError> {
    let path = "/jibri/api/internal/v1.0/gracefulShutdown";
    Ask::post(Daemon::Jibri, path, deadline).send(stream).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub;

    const SECOND: Duration = Duration::from_secs(1);

    fn body(busy: &str) -> String {
        format!(
            r#"{{"status":{{"busyStatus":"{busy}","health":{{"healthStatus":"HEALTHY","details":{{}}}}}},
               "environmentContext":{{"name":"x"}}}}"#
        )
    }

    #[tokio::test]
    async fn the_three_states_are_told_apart() {
        for (word, busy, expired) in [("IDLE", false, false), ("BUSY", true, false), ("EXPIRED", false, true)] {
            let (stream, _) = stub::answer(200, &body(word));
            let health = health(stream, SECOND).await.unwrap();
            assert_eq!((health.is_busy(), health.is_expired(), health.healthy), (busy, expired, true));
        }
    }

    #[tokio::test]
    async fn a_new_word_is_unknown_and_not_idle() {
        let (stream, _) = stub::answer(200, &body("NAPPING"));
        health(stream, SECOND).await.unwrap_err();
    }

    #[tokio::test]
    async fn shutdown_is_asked_for() {
        let (stream, mut asked) = stub::answer(200, "");
        graceful_shutdown(stream, SECOND).await.unwrap();
        assert_eq!(asked.recv().await.unwrap().line, "POST /jibri/api/internal/v1.0/gracefulShutdown");
    }
}
