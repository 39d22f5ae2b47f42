//! The way from a Kubernetes client to an API server in the same process: connections that are pairs of buffers.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use api_server::{ApiServer, http::Hooks};
use futures::future::BoxFuture;
use http::{HeaderValue, Uri, header};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::{TokioExecutor, TokioIo},
};
use kube::{
    Client,
    client::{Body, ClientBuilder, ConfigExt},
};

use crate::{
    error::SandboxError,
    fault::{Faults, Link},
};

/// How much a connection buffers in each direction.
const BUFFER: usize = 64 * 1024;

/// Makes connections to one server.
#[derive(Clone)]
pub(crate) struct Way {
    server: ApiServer,
    hooks: Hooks,
    faults: Faults,
}

impl Way {
    pub(crate) fn new(server: ApiServer, hooks: Hooks) -> Self {
        Self { server, hooks, faults: Faults::new(0) }
    }

    /// The same with faults on its connections.
    pub(crate) fn through(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }
}

impl tower_service::Service<Uri> for Way {
    type Response = End;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<End>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (near, far) = tokio::io::duplex(BUFFER);
        let made = match self.faults.link(near) {
            Some(link) => {
                tokio::spawn(api_server::http::serve(self.server.clone(), far, self.hooks.clone()));
                Ok(End(TokioIo::new(link)))
            }
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        Box::pin(std::future::ready(made))
    }
}

/// The client's end of a connection.
pub(crate) struct End(TokioIo<Link>);

impl Connection for End {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for End {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A client that goes this way. The first part of `agent` is the manager of what it writes without naming one.
pub(crate) fn client(cluster: &str, way: Way, agent: &str) -> Result<Client, SandboxError> {
    let agent = HeaderValue::from_str(agent);
    let agent = agent.map_err(|error| SandboxError::Listen { cluster: cluster.to_owned(), why: error.to_string() })?;
    connect(cluster, way, vec![(header::USER_AGENT, agent)])
}

/// The same as the user with this token.
pub(crate) fn client_of(cluster: &str, way: Way, agent: &'static str, token: &str) -> Result<Client, SandboxError> {
    let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
    let bearer =
        bearer.map_err(|error| SandboxError::Listen { cluster: cluster.to_owned(), why: error.to_string() })?;
    connect(cluster, way, vec![(header::USER_AGENT, HeaderValue::from_static(agent)), (header::AUTHORIZATION, bearer)])
}

fn connect(cluster: &str, way: Way, headers: Vec<(header::HeaderName, HeaderValue)>) -> Result<Client, SandboxError> {
    let failed = |why: String| SandboxError::Listen { cluster: cluster.to_owned(), why };
    // Nobody resolves it.
    let address = Uri::from_static("http://api-server.invalid");
    let mut config = kube::Config::new(address);
    config.headers = headers;
    let headers = config.extra_headers_layer().map_err(|error| failed(error.to_string()))?;
    let transport = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        // Its clock is not that of the runtime.
        .pool_idle_timeout(None)
        .build::<_, Body>(way);
    let builder = ClientBuilder::new(transport, config.default_namespace.clone());
    Ok(builder.with_layer(&config.base_uri_layer()).with_layer(&headers).build())
}

/// A token that nobody guesses. It opens a door for other processes, so it follows from no seed.
pub(crate) fn secret() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}
