//! The promises of this project, tried on thousands of made-up days.
//!
//! ```text
//! seed ──script──► a fleet, a change of it, people on it, faults ──stage──► run to the end in virtual time
//!                                                   guard: what must never happen, seen as it happens
//!                                                   verdict: what must be so in the end
//! ```
//!
//! Everything follows from the seed: a failure is replayed by it. [`Sabotage`] plants bugs on purpose between the
//! orchestrator and the API servers; a harness that does not notice them proves nothing.

mod attempt;
mod blow;
mod dice;
mod fleets;
mod guard;
mod log;
mod middle;
mod onlooker;
mod promise;
mod sabotage;
mod script;
mod soak;
mod stage;
mod strike;
mod tally;
mod trace;
mod verdict;

pub use promise::{Promise, Violation};
pub use sabotage::Sabotage;
pub use script::Script;
pub use soak::{Held, Hour, Soak, Soaked, Spoilt, soak};
pub use stage::{Broken, Story, run};
pub use tally::{Callers, Tally};
pub use trace::Trace;
