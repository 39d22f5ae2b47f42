//! The daemon's HTTP side: what it knows, for Prometheus, for the kubelet, and for `jitsictl status`. Nothing can be
//! changed by this way, and nothing that is secret is there to be read.

mod metrics;
mod pages;
mod stall;
mod stream;
mod text;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(super) use pages::{About, Pages, Source};
use stall::Stall;

/// So many connections at once; who comes then is turned away.
const CONNECTIONS: usize = 128;
/// A connection on which no whole request comes for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// A connection that takes nothing of its answer for so long is closed.
const STALLED: Duration = Duration::from_secs(30);
/// A connection is given so long for the answer that is under way when no more are taken.
const CLOSING: Duration = Duration::from_secs(2);
/// All of a request before its body.
const HEAD: usize = 16 * 1024;
/// The number of its header lines.
const HEADERS: usize = 64;

/// Whoever connects is answered, for as long as this is held.
pub(super) struct Served {
    closing: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Served {
    /// Answers with these pages from now on.
    pub(super) fn start<S: Source>(listener: Arc<TcpListener>, pages: Arc<Pages<S>>) -> Self {
        let closing = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(listen(listener, pages, closing.clone())));
        Self { closing, task }
    }

    /// Who has connected gets the answer that he waits for, and who connects now is left to whoever takes the listener.
    pub(super) async fn close(self) {
        self.closing.cancel();
        // It can't have failed: no connection's end is its own.
        let _ = self.task.await;
    }
}

async fn listen<S: Source>(listener: Arc<TcpListener>, pages: Arc<Pages<S>>, closing: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, perhaps: others end meanwhile.
                tracing::warn!(%error, "a connection to the HTTP side could not be taken");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (pages, closing) = (Arc::clone(&pages), closing.clone());
        connections.spawn(async move {
            serve(stream, pages, closing).await;
            drop(place);
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Answers on one connection until it ends, or is closed.
pub(super) async fn serve<S: Source>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    pages: Arc<Pages<S>>,
    closing: CancellationToken,
) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let answer = pages.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(HEAD).max_headers(HEADERS);
    let mut connection = pin!(server.serve_connection(TokioIo::new(Stall::new(stream, STALLED)), service));
    // How a connection ends is its client's business.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(CLOSING, connection).await;
        }
    }
}

#[cfg(test)]
mod tests;
