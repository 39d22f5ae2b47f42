//! What every renderer shares: manifests and the units they belong to, names, labels, hashes, and the inputs of
//! rendering that are neither in the fleet file nor constant.
//!
//! ```text
//! (Fleet, Allocations)               ──control_plane::render──► [Unit]
//! (Fleet, Allocations, Surroundings) ──data_plane::render─────► [Unit]
//! ```

pub mod allocations;
pub mod body;
pub mod build;
pub mod kind;
pub mod labels;
mod metadata;
pub mod names;
pub mod parallel;
pub mod pod;
pub mod quantity;
pub mod scripts;
mod stencil;
pub mod surroundings;
mod template;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::expect_used)]
pub mod testing;
pub mod unit;

pub use allocations::{Allocations, ShardAllocation};
pub use body::Body;
pub use build::UnitBuilder;
pub use kind::{Kind, Scope};
pub use metadata::Metadata;
pub use names::Names;
pub use surroundings::{Endpoint, PendingReason, Surroundings, Target};
pub use template::Template;
pub use unit::{Clash, Desired, Manifest, ObjectRef, Part, SecretRef, Unit, UnitId, short_hash};
