//! HTTP: URLs and bodies to requests, answers to bytes; discovery and tables.
//!
//! [`serve`] takes one connection, [`listen`] those of a TCP listener, and a [`Connector`] makes them within the
//! process, for hyper's client. All of them share [`Hooks`].

mod body;
mod caller;
mod discovery;
mod gate;
mod handle;
mod json;
mod log;
mod media;
mod openapi;
mod protobuf;
mod query;
mod relay;
mod render;
mod reviews;
mod table;
mod target;
mod token;
mod transport;
mod users;

use std::sync::Arc;

pub use body::{Body, full, streamed};
pub use gate::{Gate, Kubelets, RequestLine, Verdict};
pub use log::{Entry, RequestLog};
pub use transport::{Connections, Connector, InMemory, listen, serve};
pub use users::Users;

use crate::request::User;

/// What stands around a server's connections. Copies share all of it.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Who may connect.
    pub users: Users,
    /// Who sends no token over TCP; anonymous if unset. Without TLS kubectl sends none.
    pub stranger: Option<User>,
    /// Sees each request first, and each answer.
    pub gate: Option<Arc<dyn Gate>>,
    /// Who answers port-forwards and logs.
    pub kubelets: Option<Arc<dyn Kubelets>>,
    /// Where requests are written down.
    pub log: Option<Arc<RequestLog>>,
    /// The connections that are open.
    pub connections: Connections,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Hooks")
            .field("users", &self.users)
            .field("stranger", &self.stranger)
            .field("gate", &self.gate.is_some())
            .field("kubelets", &self.kubelets.is_some())
            .field("log", &self.log.is_some())
            .finish_non_exhaustive()
    }
}
