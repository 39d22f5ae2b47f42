//! Whose turn it is. Before a run changes anything of a plane it takes the plane's Lease, or learns who has it: a daemon,
//! which is told what to do by the record, or another run, which is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use cluster::{Cluster, ClusterError, Fence, LeaseKeeper, Standing};
use fleet::{FleetName, Plane};
use futures::future::{join_all, select_all};
use rand::RngExt as _;
use tokio::sync::watch;

use crate::Place;

/// What the name of a holder begins with that passes by. Everybody else stays.
const RUN: &str = "run/";

/// What a run is to a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Its one writer.
    Ours,
    /// A daemon is, or was until a moment ago.
    Daemon(String),
    /// Another run is, or was until a moment ago.
    Run(String),
    /// The home cluster does not say any more, for this reason.
    Unknown(String),
}

impl Turn {
    /// That of another.
    pub(crate) fn of(holder: String) -> Self {
        if holder.starts_with(RUN) { Self::Run(holder) } else { Self::Daemon(holder) }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => f.write_str("this run"),
            Self::Daemon(name) => write!(f, "the daemon {name}"),
            Self::Run(name) => write!(f, "another run ({})", name.strip_prefix(RUN).unwrap_or(name)),
            Self::Unknown(why) => write!(f, "nobody known ({why})"),
        }
    }
}

/// The Leases of a run, from the first change on to its end.
pub(crate) struct Hold {
    place: Place,
    fleet: FleetName,
    holder: String,
    planes: BTreeMap<Plane, (LeaseKeeper, watch::Receiver<Standing>)>,
}

impl Hold {
    pub(crate) fn new(place: &Place, fleet: &FleetName) -> Self {
        let holder = format!("{RUN}{}", place.entropy.suffix());
        Self { place: place.clone(), fleet: fleet.clone(), holder, planes: BTreeMap::new() }
    }

    /// Asks for the Leases of these planes, whose homes are these, from now on.
    pub(crate) async fn claim(&mut self, homes: BTreeMap<Plane, Cluster>) -> Vec<ClusterError> {
        let Self { place, fleet, holder, planes } = self;
        let (place, fleet, holder) = (&*place, &*fleet, holder.as_str());
        let new = homes.into_iter().filter(|(plane, _)| !planes.contains_key(plane));
        let pursuits = new.map(|(plane, home)| {
            let seed = place.entropy.generator().random();
            async move { (plane, home.pursue_lease(fleet, plane, holder, place.clock.clone(), seed).await) }
        });
        let mut failed = Vec::new();
        for (plane, pursued) in join_all(pursuits).await {
            match pursued {
                Ok(keeper) => {
                    let standing = keeper.subscribe();
                    planes.insert(plane, (keeper, standing));
                }
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// What we are to each plane that was asked for.
    pub(crate) fn turns(&self) -> BTreeMap<Plane, Turn> {
        let turn = |keeper: &LeaseKeeper| match keeper.standing() {
            Standing::Leading { .. } => Turn::Ours,
            Standing::Following { holder, .. } => Turn::of(holder),
            Standing::Unknown { why, .. } => Turn::Unknown(why),
        };
        self.planes.iter().map(|(plane, (keeper, _))| (*plane, turn(keeper))).collect()
    }

    /// What the writes of each plane have to go by.
    pub(crate) fn fences(&self) -> BTreeMap<Plane, Fence> {
        self.planes.iter().map(|(plane, (keeper, _))| (*plane, keeper.fence())).collect()
    }

    /// Waits until that changes for some plane, but no longer than this.
    pub(crate) async fn changes(&mut self, longest: Duration) {
        let changes = self.planes.values_mut().map(|(_, standing)| Box::pin(standing.changed()));
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            return tokio::time::sleep(longest).await;
        }
        // Too late or not, it is looked at again.
        let _ = tokio::time::timeout(longest, select_all(changes)).await;
    }

    /// Gives back what is ours; of these planes nothing is left that a Lease could be about.
    pub(crate) async fn end(self, gone: &BTreeSet<Plane>) -> Vec<ClusterError> {
        let end = async |plane: Plane, keeper: LeaseKeeper| {
            if gone.contains(&plane) {
                return keeper.remove().await.err();
            }
            keeper.release().await;
            None
        };
        join_all(self.planes.into_iter().map(|(plane, (keeper, _))| end(plane, keeper)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}
