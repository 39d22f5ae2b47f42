//! What stands between a connection and the server: tests count requests here, and break them.

use futures::future::BoxFuture;
use http::Method;
use hyper::body::Incoming;

use super::body::Body;
use crate::error::ApiError;
use crate::request::User;

/// A request, as logs and gates see it.
#[derive(Debug, Clone)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// Path and query. A copy: a [`Uri`](http::Uri) keeps the whole buffer that it was read from, as long as a log lives.
    pub uri: String,
    /// Who asks.
    pub user: User,
    /// With what program; empty if it doesn't say.
    pub user_agent: String,
    /// As RBAC spells it: `get`, `list`, `watch`, …; for URLs that are no resources, the method in lower case.
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: String,
    /// `pods`; empty for URLs that are no resources.
    pub resource: String,
    /// `status`, `portforward`, …
    pub subresource: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The object.
    pub name: Option<String>,
    /// Nothing is kept of what it does.
    pub dry_run: bool,
}

impl RequestLine {
    /// The address without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        !self.dry_run && !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// What becomes of a request, or of its answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// This is the answer.
    Answer(ApiError),
    /// There is no answer, ever; the connection stays open.
    Hang,
    /// The connection breaks without an answer.
    Reset,
}

/// Sees each request of a connection, twice. A delay is awaited inside of the future.
pub trait Gate: Send + Sync {
    /// Before it is executed.
    fn on_request(&self, request: &RequestLine) -> BoxFuture<'static, Verdict>;

    /// After it was executed, before the answer (for a watch: its beginning) is sent.
    fn on_response(&self, request: &RequestLine, code: u16) -> BoxFuture<'static, Verdict>;
}

/// The kubelets of a cluster: port-forwards and logs are theirs to answer.
pub trait Kubelets: Send + Sync {
    /// Calls the kubelet of a node. The path is the kubelet's (`/portForward/{namespace}/{pod}`,
    /// `/containerLogs/{namespace}/{pod}/{container}`), the query the caller's, and an upgrade is still to be made
    /// (`hyper::upgrade::on`, and a 101).
    fn call(&self, node: &str, request: http::Request<Incoming>) -> BoxFuture<'static, http::Response<Body>>;
}
