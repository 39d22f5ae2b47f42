//! The daemon's HTTP side: what it knows, for Prometheus, for the kubelet, and for `jitsictl status`. Nothing can be
//! changed by this way, and nothing that is secret is there to be read.

mod metrics;
mod pages;
mod stall;
mod stream;
mod text;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub(super) use pages::{About, Pages, Source};
use stall::Stall;

/// So many connections at once; who comes then is turned away.
const CONNECTIONS: usize = 128;
/// A connection on which no whole request comes for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// A connection that takes nothing of its answer for so long is closed.
const STALLED: Duration = Duration::from_secs(30);
/// All of a request before its body.
const HEAD: usize = 16 * 1024;
/// The number of its header lines.
const HEADERS: usize = 64;

/// Answers whoever connects.
pub(super) async fn listen<S: Source>(listener: Arc<TcpListener>, pages: Arc<Pages<S>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, perhaps: others end meanwhile.
                tracing::warn!(%error, "a connection to the HTTP side could not be taken");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let pages = Arc::clone(&pages);
        connections.spawn(async move {
            serve(stream, pages).await;
            drop(place);
        });
    }
}

/// Answers on one connection until it ends.
pub(super) async fn serve<S: Source>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    pages: Arc<Pages<S>>,
) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let answer = pages.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(HEAD).max_headers(HEADERS);
    // How a connection ends is its client's business.
    let _ = server.serve_connection(TokioIo::new(Stall::new(stream, STALLED)), service).await;
}

#[cfg(test)]
mod tests;
