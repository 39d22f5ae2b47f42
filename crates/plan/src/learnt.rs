//! What a run has seen since it began. Nothing of it needs to survive the run: whoever comes after it sees for himself.

use fleet::Fleet;
use jiff::Timestamp;
use manifest::Allocations;

use crate::joining::Joining;
use crate::seat::Confirmed;
use crate::{Observed, Step, Witness};

/// What the looks of a run showed one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Clients of bridges that have not joined, and since when.
    pub(crate) joining: Joining,
    /// Drains of bridges that the jicofos know of, and since when.
    pub(crate) confirmed: Confirmed,
}

impl Learnt {
    /// Takes up what a look around showed.
    pub fn saw(&mut self, fleet: &Fleet, allocations: &Allocations, observed: &Observed, witness: Witness) {
        self.joining.saw(fleet, allocations, observed, witness);
        self.confirmed.saw(fleet, observed, witness);
    }

    /// Takes up which bridges are told something: what they looked like before counts no more.
    pub fn told(&mut self, steps: &[Step], now: Timestamp) {
        self.joining.told(steps, now);
        self.confirmed.told(steps);
    }
}
