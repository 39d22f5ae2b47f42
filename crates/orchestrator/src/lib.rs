//! Executes plans over many clusters, and wires signalling to media across them.
//!
//! ```text
//! connect ─► look around (Observed) ─► render (Desired) ─► plan ─► execute ─┐
//!               ▲                                                          │
//!               └──────────── until converged, blocked or out of time ◄────┘
//! ```
//!
//! Nothing in here prints: progress leaves as [`Event`]s, results as [`report`]s.

pub mod apply;
pub mod connect;
pub mod daemon;
pub mod handover;
pub mod report;
pub mod status;

mod desire;
mod entropy;
mod execute;
pub mod forget;
mod hold;
mod left;
mod look;
mod notes;
mod options;
mod proof;
mod rehearse;
mod remember;
mod round;
mod secrets;
mod vain;
mod wire;

pub use apply::apply;
pub use connect::{Fatal, Session};
pub use entropy::Entropy;
pub use forget::forget;
pub use handover::Handover;
pub use options::{Options, Place};
pub use rehearse::plan;
pub use report::{Event, Failure, Outcome, PlanReport, Proof, Status, Verdict};
pub use status::status;
pub use tokio_util::sync::CancellationToken;
