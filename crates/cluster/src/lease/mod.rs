//! Exactly one writer per plane: a Lease in the plane's home cluster, beside its record and named like it.
//!
//! ```text
//! Elector ──what to do──► Pursuit ──requests──► the Lease     pure decision; one step at a time
//!                            │
//!                            └─► Standing, Fence              what is told, and what writes go by
//! ```
//!
//! A [`LeaseKeeper`] pursues for ever: it takes the Lease when it can, and keeps it. [`Cluster::pursue_lease`] is for
//! a command that passes by and wants to know at once whose it is.
//!
//! The Lease carries the fleet's labels and is none of the kinds that are listed, so that nothing ever prunes it.

mod elector;
mod keeper;
mod object;
mod pursuit;

use clock::Clock;
use fleet::{FleetName, Plane};
use jiff::Timestamp;

pub use elector::{Action, Elector, Reading, Terms};
pub use keeper::LeaseKeeper;

use crate::{Cluster, ClusterError};
use pursuit::Pursuit;

/// What one is to a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its one writer.
    Leading {
        /// Since when, by our own time of day.
        since: Timestamp,
        /// The how many-th holder that makes.
        transitions: u64,
    },
    /// Somebody else is, or may be.
    Following {
        /// Who.
        holder: String,
        /// Since when, by our own time of day.
        since: Timestamp,
    },
    /// The home cluster does not say.
    Unknown {
        /// Why.
        why: String,
        /// Since when, by our own time of day.
        since: Timestamp,
    },
}

impl Cluster {
    /// Pursues the Lease of a plane whose home this is, from the moment on at which it is known whose it is: ours if it was
    /// free. A holder who has died is told from one who lives only when the Lease was watched for its whole duration.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn pursue_lease(
        &self,
        fleet: &FleetName,
        plane: Plane,
        holder: &str,
        clock: Clock,
        seed: u64,
    ) -> Result<LeaseKeeper, ClusterError> {
        let mut pursuit = Pursuit::new(self.clone(), fleet, plane, holder, clock, seed);
        while matches!(pursuit.standing(), Standing::Unknown { .. }) {
            pursuit.step().await?;
        }
        Ok(LeaseKeeper::of(pursuit))
    }
}
