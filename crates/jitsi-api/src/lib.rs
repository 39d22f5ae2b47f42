//! What Jitsi's daemons say and are told: typed requests over any byte stream, which the caller opens (a port-forward, a
//! socket, a pipe in a test). One stream carries one request, or, as a
//! [`Line`], one after another.
//!
//! ```text
//! jicofo  ── which bridges it lists, which conferences it leads
//! jvb     ── load, drain, the XMPP servers it is joined to
//! jibri   ── health, graceful shutdown
//! haproxy ── weights of servers, the table that keeps rooms on their shard
//! public  ── what people see under the fleet's URL
//! ```
//!
//! Unknown fields are passed over: daemons are of other releases than we are. A field we need and don't find is an
//! error, never a zero. Every request takes its deadline from the caller, and nothing here sleeps or tries again.

mod error;
pub mod haproxy;
mod http;
pub mod jibri;
pub mod jicofo;
pub mod jvb;
mod password;
pub mod public;
#[cfg(test)]
mod stub;
mod version;

pub use error::{ApiError, Cause, Daemon};
pub use http::{Line, Stream};
pub use password::Password;
pub use version::Version;
