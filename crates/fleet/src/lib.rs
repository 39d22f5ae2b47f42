//! The fleet file: its model, layered loading, diagnostics and checks.
//!
//! ```text
//! fleet.yaml + env files + JITSICTL_ variables + flags ──load──► Fleet (validated; pure from here on)
//! ```
//!
//! [`load`](load::load) is the only part that touches the file system, and it is handed the environment as a
//! value. Everything that comes after works on a [`Fleet`], whose types cannot hold nonsense.

mod check;
pub mod diagnostic;
mod env_file;
mod env_lists;
pub mod import;
mod intent;
mod layers;
pub mod load;
#[cfg(test)]
mod load_tests;
pub mod model;
pub mod names;
mod raw;
pub mod release;
mod renames;
mod resolve;
pub mod schema;
mod secrets;
mod source;

pub use env_lists::{is_made, reads};
pub use model::*;
pub use names::{ClusterName, EnvName, FleetName, Index, InvalidName, Plane, PoolName, ShardName, Slot};
pub use release::{Component, Era, Release};
pub use renames::Renames;
pub use secrets::looks_secret;
