//! Connections: over anything that reads and writes, over loopback TCP, and within the process.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Hooks;
use super::caller::Caller;
use super::handle::handle;
use super::users::anonymous;
use crate::request::User;
use crate::server::ApiServer;

/// How much a connection within the process buffers in each direction.
const BUFFER: usize = 64 * 1024;

/// All connections that were made with the same hooks. Copies are the same.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Mutex<CancellationToken>>);

impl Connections {
    /// Breaks all of them, as the restart of an API server does: watches and port-forwards too. New ones can be made.
    pub fn cut(&self) {
        let mut token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *token).cancel();
    }

    fn token(&self) -> CancellationToken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves one connection to its end. Who sends no token is the administrator: the other end is in the same process.
pub async fn serve<S>(server: ApiServer, stream: S, hooks: Hooks)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    connection(server, stream, hooks, User::admin()).await;
}

/// Accepts connections until the token is cancelled, each served by a task of its own: with TLS if there is something to
/// do that with. Who sends no token is [`Hooks::stranger`]. The connections that are open then are cut.
///
/// # Errors
/// The listener's.
pub async fn listen(
    server: ApiServer,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    hooks: Hooks,
    stop: CancellationToken,
) -> io::Result<()> {
    let stranger = hooks.stranger.clone().unwrap_or_else(anonymous);
    loop {
        let (stream, _): (_, SocketAddr) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted?,
        };
        // Small answers must not wait for more.
        stream.set_nodelay(true)?;
        let (server, hooks, stranger, tls) = (server.clone(), hooks.clone(), stranger.clone(), tls.clone());
        let serving = async move {
            match tls {
                None => connection(server, stream, hooks, stranger).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => connection(server, stream, hooks, stranger).await,
                    Err(error) => tracing::debug!(%error, "a client and TLS did not come together"),
                },
            }
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = serving => {}
            }
        });
    }
    hooks.connections.cut();
    Ok(())
}

async fn connection<S>(server: ApiServer, stream: S, hooks: Hooks, stranger: User)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let token = hooks.connections.token();
    let caller = Arc::new(Caller { server, hooks, stranger });
    let service = service_fn(move |request| handle(Arc::clone(&caller), request));
    let stream = TokioIo::new(Cuttable::new(stream, token.clone()));
    let serving = http1::Builder::new().serve_connection(stream, service).with_upgrades();
    tokio::select! {
        biased;
        () = token.cancelled() => {}
        // A connection that breaks concerns its client only.
        result = serving => if let Err(error) = result { tracing::debug!(%error, "a connection broke") },
    }
}

/// A stream that breaks when its token is cancelled, also after an upgrade took it from the HTTP connection.
struct Cuttable<S> {
    stream: S,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Cuttable<S> {
    fn new(stream: S, token: CancellationToken) -> Self {
        Self { stream, cut: Box::pin(token.cancelled_owned()) }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Only here, since it remembers one waker, and whoever has a connection reads from it.
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Connects a hyper client to a server in the same process and runtime.
#[derive(Clone)]
pub struct Connector {
    server: ApiServer,
    hooks: Hooks,
}

impl Connector {
    /// To one server. Its clients are the administrator, unless they send a token.
    #[must_use]
    pub const fn new(server: ApiServer, hooks: Hooks) -> Self {
        Self { server, hooks }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = InMemory;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<InMemory>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (near, far) = tokio::io::duplex(BUFFER);
        tokio::spawn(serve(self.server.clone(), far, self.hooks.clone()));
        Box::pin(std::future::ready(Ok(InMemory(TokioIo::new(near)))))
    }
}

/// The client's end of a connection within the process.
#[derive(Debug)]
pub struct InMemory(TokioIo<DuplexStream>);

impl Connection for InMemory {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for InMemory {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, to)
    }
}

impl hyper::rt::Write for InMemory {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, Response};
    use hyper::body::Incoming;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::body::full;
    use super::*;

    /// Upgrades, and sends back what it gets.
    async fn echo(mut request: Request<Incoming>) -> io::Result<Response<super::super::Body>> {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
        let response = Response::builder().status(101).header("connection", "Upgrade").header("upgrade", "websocket");
        Ok(response.body(full("")).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgraded_stream_lives_for_hours_and_breaks_with_its_connection() {
        let connections = Connections::default();
        let (near, far) = tokio::io::duplex(BUFFER);
        let far = TokioIo::new(Cuttable::new(far, connections.token()));
        tokio::spawn(http1::Builder::new().serve_connection(far, service_fn(echo)).with_upgrades());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let request = Request::get("/").header("connection", "Upgrade").header("upgrade", "websocket");
        let response = sender.send_request(request.body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 101);
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let mut word = [0; 5];
        for _ in 0..2 {
            stream.write_all(b"hello").await.unwrap();
            stream.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"hello");
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        connections.cut();
        assert!(stream.read_exact(&mut word).await.is_err());
    }
}
