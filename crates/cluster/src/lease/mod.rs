//! Exactly one writer per plane: a Lease in the plane's home cluster, beside its record and named like it.
//!
//! ```text
//! Elector ──what to do──► Pursuit ──requests──► the Lease     pure decision; one step at a time
//!                            │
//!                            └─► Standing, Fence              what is told, and what writes go by
//! ```
//!
//! A [`LeaseKeeper`] pursues for ever: it takes the Lease when it can, and keeps it. [`Cluster::take_lease`] is for a
//! command that passes by: it takes what is free, and goes away when somebody is at work.
//!
//! The Lease carries the fleet's labels and is none of the kinds that are listed, so that nothing ever prunes it.

mod elector;
mod keeper;
mod object;
mod pursuit;

use std::fmt;

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

/// Somebody is at work on the plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The plane.
    pub plane: Plane,
    /// Who, as it stands in the Lease.
    pub holder: String,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keeps the {} plane", self.holder, self.plane)
    }
}

/// Why there is no Lease for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// Somebody was seen to renew it.
    Held(Held),
    /// The home cluster did not answer, or refused.
    Failed(ClusterError),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(held) => held.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotTaken {}

impl Cluster {
    /// Takes the Lease of a plane whose home this is, if it is free, and keeps it. Whether a Lease that names a holder is
    /// free shows only when it is watched for its whole duration; somebody who is alive shows it sooner.
    ///
    /// # Errors
    /// When somebody else holds it, or the cluster does not answer.
    pub async fn take_lease(
        &self,
        fleet: &FleetName,
        plane: Plane,
        holder: &str,
        clock: Clock,
        seed: u64,
    ) -> Result<LeaseKeeper, NotTaken> {
        let mut pursuit = Pursuit::new(self.clone(), fleet, plane, holder, clock, seed);
        while !pursuit.leads() {
            pursuit.step().await.map_err(NotTaken::Failed)?;
            if let Some(holder) = pursuit.live_holder() {
                return Err(NotTaken::Held(Held { plane, holder: holder.to_owned() }));
            }
        }
        Ok(LeaseKeeper::of(pursuit))
    }
}
