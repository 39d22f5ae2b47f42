//! The planner: what is, what should be, and what may be done about it now.
//!
//! ```text
//! (desired, observed, record, policy, now) ──plan──► Plan { changes, steps, blocked, forecast }
//! ```
//!
//! Pure, synchronous, deterministic, and level-triggered: it holds no script. It looks at what is and says which
//! steps are allowed next; whoever executes them observes again and asks again, until no step is left.

pub mod change;
pub mod compare;
pub mod debt;
pub mod effect;
pub mod evidence;
pub mod health;
pub mod learnt;
pub mod object;
pub mod observed;
pub mod policy;
pub mod record;
pub mod step;

mod forecast;
mod joining;
mod planner;
mod seat;
mod tree;

pub use change::{BlastRadius, Blocked, BlockedBy, Change, Difference, Field, Forecast, Live, Plan};
pub use debt::{Debt, owed};
pub use evidence::{Known, Reason, Seen, Source};
pub use forecast::forecast;
pub use health::Health;
pub use learnt::Learnt;
pub use object::{LiveBody, LiveObject};
pub use observed::{
    BridgeView, ClusterView, Inventory, LivePod, NamespaceState, NodeView, Observed, Occupant, Owned, PodPhase,
    RecorderView, SlotView,
};
pub use planner::{Inputs, plan};
pub use policy::{Policy, Removal, Witness};
pub use record::{Drain, DrainReason, Generation, Good, Intent, Pin, Record, SYSTEM, Tombstone};
pub use step::{Given, Patience, Step};
