//! The server: takes a request through all its stations.

use std::sync::Arc;

use clock::Clock;

use crate::error::ApiError;
use crate::request::{Answer, Request};

/// What differs from one server to the next.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's name; the UIDs of its objects follow from it and the seed.
    pub name: String,
    /// What stamps objects.
    pub clock: Clock,
    /// Where UIDs, generated names and allocated ports and addresses come from.
    pub seed: u64,
    /// Whether the kinds of CRDs are there.
    pub custom_kinds: bool,
}

/// One cluster's API server. Copies are the same server.
#[derive(Debug, Clone)]
pub struct ApiServer(Arc<Options>);

impl ApiServer {
    /// An empty cluster: the namespaces `default` and `kube-system`, and the roles that every cluster has.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self(Arc::new(options))
    }

    /// Takes a request through all its stations.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn call(&self, request: Request) -> Result<Answer, ApiError> {
        Err(ApiError::not_implemented(format!(
            "{} {} in {}",
            request.verb.name(),
            request.kind.resource(),
            self.0.name
        )))
    }
}
