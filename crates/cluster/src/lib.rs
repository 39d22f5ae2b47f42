//! The only crate that speaks with API servers.
//!
//! ```text
//! Kubeconfigs ──connect──► Cluster ──look──► ClusterView, inventories, records
//!                             │
//!                             ├─ apply, create, delete, annotate     every call with a deadline, none retried
//!                             └─ port_forward                        a disposable byte stream
//! ```
//!
//! A [`Cluster`] is cheap to clone and may be used from many tasks at once: it keeps to its share of connections.
//! Nothing here decides what should be done; that is the planner's business.

mod apply;
mod cache;
mod client;
mod conflict;
mod connect;
mod credentials;
mod error;
mod event;
mod fence;
mod fields;
mod identity;
mod immutable;
mod inventory;
mod items;
mod kubeconfig;
pub mod lease;
mod lifetime;
mod live;
mod login;
mod look;
mod objects;
mod patience;
mod pods;
mod proxy;
mod record;
mod refusal;
pub mod rights;
pub mod secrets;
mod stranger;
mod stream;
mod tally;
mod warning;
mod wire;

pub use apply::{Applied, ApplyMode, Before, Outcome};
pub use cache::{Cache, CacheState, Requests};
pub use connect::{Cluster, Connector, Limits, Options};
pub use credentials::Token;
pub use error::{ClusterError, ErrorKind, FieldConflict};
pub use event::Remark;
pub use fence::{Fence, Fenced};
pub use inventory::Shelf;
pub use kubeconfig::Kubeconfigs;
pub use lease::{LeaseKeeper, Standing, Terms};
pub use lifetime::Lifetime;
pub use login::Logins;
pub use look::{Look, known};
pub use objects::{Created, Deletion};
pub use patience::patiently;
pub use proxy::Proxies;
pub use secrets::{RunKey, SecretBytes, SecretMap, StoredSecret};
pub use stream::ByteStream;
pub use tally::Tallies;

/// Makes `ring` the one TLS provider of this process. Call it before anything connects; again is harmless.
pub fn install_crypto_provider() {
    // The only failure is that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
