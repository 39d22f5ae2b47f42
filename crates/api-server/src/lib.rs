//! A Kubernetes API server in memory: a closed list of kinds and verbs, those that a Jitsi fleet touches, and these
//! exactly. For everything else it says loudly what is missing (501).
//!
//! ```text
//! bytes ──http──► Request ──ApiServer::call──► identify, authorise (access)
//!                                              check fields (schema), default (admission::defaults)
//!                                              merge, own (merge, patch), admit (admission), store (store)
//!                                                                   └──► Answer | Watch ──http──► bytes
//! ```
//!
//! `call` is synchronous and everything in it deterministic: no task, no thread, no clock but the one given, no random
//! number but from the seed given. Controllers, schedulers and kubelets are not part of an API server: the `sandbox`
//! crate plays them, by the same requests.

pub mod admission;
pub mod error;
pub mod fields;
pub mod http;
pub mod kinds;
pub mod merge;
pub mod patch;
pub mod request;
pub mod schema;
pub mod selector;
pub mod server;
pub mod store;
pub mod surroundings;

mod access;
mod quantity;

pub use error::ApiError;
pub use kinds::Kind;
pub use request::{Answer, Request, User, Verb};
pub use server::{ApiServer, Options, Refusal};
