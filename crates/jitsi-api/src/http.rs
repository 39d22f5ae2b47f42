//! HTTP/1.1 requests over byte streams.

use std::pin::Pin;
use std::time::Duration;

use ::http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use ::http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{ApiError, Cause, Daemon, excerpt};

/// The longest body that is read: jicofo's `/debug` of a full shard is some hundred kilobytes.
const LONGEST_BODY: usize = 16 << 20;

/// Any two-way byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// One request to one daemon.
pub(crate) struct Ask<'a> {
    pub(crate) daemon: Daemon,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    /// Sent as JSON.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) deadline: Duration,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(daemon: Daemon, path: &'a str, deadline: Duration) -> Self {
        Self { daemon, method: Method::GET, path, body: None, deadline }
    }

    pub(crate) fn post(daemon: Daemon, path: &'a str, deadline: Duration) -> Self {
        Self { daemon, method: Method::POST, path, body: None, deadline }
    }

    pub(crate) fn json(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends it and reads the answer as JSON.
    pub(crate) async fn read<T: DeserializeOwned>(self, stream: impl Stream) -> Result<T, ApiError> {
        let (daemon, request) = (self.daemon, self.name());
        let body = self.send(stream).await?;
        serde_json::from_slice(&body).map_err(|error| ApiError { daemon, request, cause: Cause::content(error, &body) })
    }

    /// Sends it and gives the body of a success.
    pub(crate) async fn send(self, stream: impl Stream) -> Result<Bytes, ApiError> {
        let (daemon, request, deadline) = (self.daemon, self.name(), self.deadline);
        let outcome = tokio::time::timeout(deadline, self.exchange(stream)).await;
        outcome.unwrap_or(Err(Cause::Deadline(deadline))).map_err(|cause| ApiError { daemon, request, cause })
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The same on a connection that stays.
    pub(crate) async fn read_on<T: DeserializeOwned>(self, line: &mut Line) -> Result<T, ApiError> {
        let (daemon, request, deadline) = (self.daemon, self.name(), self.deadline);
        let outcome = tokio::time::timeout(deadline, line.exchange(self, "keep-alive")).await;
        let body = outcome.unwrap_or(Err(Cause::Deadline(deadline)));
        body.and_then(|body| serde_json::from_slice(&body).map_err(|error| Cause::content(error, &body)))
            .map_err(|cause| ApiError { daemon, request, cause })
    }

    async fn exchange(self, stream: impl Stream) -> Result<Bytes, Cause> {
        Line::open(stream).await?.exchange(self, "close").await
    }
}

/// A connection that stays open between requests, for whoever asks the same daemon again and again. After an error it
/// is of no use any more.
pub struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Driven while a request is under way and not in a task of its own, so that a dropped request leaves nothing
    /// behind.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line {
    /// Begins to speak HTTP on a stream.
    ///
    /// # Errors
    /// When the stream is closed already.
    pub async fn open(stream: impl Stream) -> Result<Self, Cause> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        Ok(Self { sender, connection: Some(Box::pin(connection)) })
    }

    async fn exchange(&mut self, ask: Ask<'_>, connection: &'static str) -> Result<Bytes, Cause> {
        let Some(driven) = &mut self.connection else { return Err(Cause::Connection("it was closed".to_owned())) };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(HOST, "localhost")
            .header(ACCEPT, "application/json")
            .header(CONNECTION, connection);
        if ask.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(ask.body.unwrap_or_default()));
        let request = request.body(body).map_err(|error| Cause::Request(error.to_string()))?;
        let sender = &mut self.sender;
        let answer = async move {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST_BODY).collect().await;
            let body = body.map_err(|error| Cause::Connection(error.to_string()))?.to_bytes();
            if status.is_success() {
                Ok(body)
            } else {
                Err(Cause::Status { status: status.as_u16(), body: excerpt(&body) })
            }
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // When it has ended, what it read last still waits for the answer's side.
            _ = driven => {
                self.connection = None;
                answer.await
            }
        }
    }
}

fn broken(error: hyper::Error) -> Cause {
    use std::error::Error as _;
    let reason = error.source().map(|source| format!("{error} ({source})"));
    Cause::Connection(reason.unwrap_or_else(|| error.to_string()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::stub;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_refusal_is_told_with_its_status_and_text() {
        let (stream, _) = stub::answer(503, "starting up");
        let error = Ask::get(Daemon::Jibri, "/x", SECOND).send(stream).await.unwrap_err();
        assert_eq!(error.to_string(), "jibri did not answer `GET /x` as it should: status 503, with `starting up`");
    }

    #[tokio::test]
    async fn a_line_carries_one_request_after_another() {
        let (stream, mut other) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            for _ in 0..3 {
                let mut seen = [0; 1024];
                let length = other.read(&mut seen).await.unwrap();
                assert!(seen[..length].starts_with(b"GET /x HTTP/1.1"));
                let _ = other.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            }
        });
        let mut line = Line::open(stream).await.unwrap();
        for _ in 0..3 {
            let answer: serde_json::Value = Ask::get(Daemon::Jicofo, "/x", SECOND).read_on(&mut line).await.unwrap();
            assert_eq!(answer, serde_json::json!({}));
        }
        // The other side has closed: that shows at the next request, not before, and is so from then on.
        let error = Ask::get(Daemon::Jicofo, "/x", SECOND).read_on::<serde_json::Value>(&mut line).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Connection(_)), "{error}");
        assert!(Ask::get(Daemon::Jicofo, "/x", SECOND).read_on::<serde_json::Value>(&mut line).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_deadline() {
        let (stream, _kept) = tokio::io::duplex(1024);
        let error = Ask::get(Daemon::Jvb, "/x", SECOND).send(stream).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Deadline(SECOND)), "{error}");
    }

    #[tokio::test]
    async fn a_stream_that_closes_is_a_failed_connection() {
        let (stream, other) = tokio::io::duplex(1024);
        drop(other);
        let error = Ask::get(Daemon::Jvb, "/x", SECOND).send(stream).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Connection(_)), "{error}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_answer() {
        let (stream, mut other) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut seen = [0; 1024];
            let _ = other.read(&mut seen).await;
            let _ = other.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"drain\":").await;
        });
        let error = Ask::get(Daemon::Jvb, "/x", SECOND).send(stream).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Connection(_)), "{error}");
    }
}
