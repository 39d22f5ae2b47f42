//! Who writes: a Lease per plane in its home cluster, and what that allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clock::Clock;
use cluster::{Fence, LeaseKeeper, Standing};
use fleet::{Fleet, Plane};
use futures::future::join_all;
use rand::RngExt as _;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::hold::Turn;
use crate::{Entropy, Place};

use super::PlaneState;
use super::link::Links;

/// The Leases of a daemon's planes.
pub(crate) struct Leases {
    clock: Clock,
    entropy: Entropy,
    holder: String,
    news: Arc<Notify>,
    planes: BTreeMap<Plane, Option<Kept>>,
}

struct Kept {
    /// The connection to the home through which it is kept.
    connection: u64,
    keeper: LeaseKeeper,
    _news: AbortOnDropHandle<()>,
}

impl Leases {
    pub(crate) fn new(place: &Place, holder: String, planes: BTreeSet<Plane>, news: Arc<Notify>) -> Self {
        let planes = planes.into_iter().map(|plane| (plane, None)).collect();
        Self { clock: place.clock.clone(), entropy: place.entropy.clone(), holder, news, planes }
    }

    /// The name in them.
    pub(crate) fn holder(&self) -> &str {
        &self.holder
    }

    /// Keeps, or tries to get, the Lease of each plane whose home is connected. A Lease that is held over a connection
    /// goes on over the next one: it knows its holder by name.
    pub(crate) fn follow(&mut self, fleet: &Fleet, links: &Links) {
        for (plane, kept) in &mut self.planes {
            let home = match plane {
                Plane::Control => &fleet.control.cluster,
                Plane::Data => &fleet.data.home,
            };
            let Some(up) = links.up(home) else { continue };
            if kept.as_ref().is_some_and(|kept| kept.connection == up.number && *kept.keeper.home() == *home) {
                continue;
            }
            let seed = self.entropy.generator().random();
            let keeper =
                LeaseKeeper::start(up.cluster.clone(), &fleet.name, *plane, &self.holder, self.clock.clone(), seed);
            let (mut changes, news) = (keeper.subscribe(), Arc::clone(&self.news));
            let told = tokio::spawn(async move {
                while changes.changed().await.is_ok() {
                    news.notify_one();
                }
            });
            *kept = Some(Kept { connection: up.number, keeper, _news: AbortOnDropHandle::new(told) });
        }
    }

    /// What this daemon is to each plane.
    pub(crate) fn states(&self) -> BTreeMap<Plane, PlaneState> {
        self.planes.iter().map(|(plane, kept)| (*plane, self.state(kept.as_ref()))).collect()
    }

    fn state(&self, kept: Option<&Kept>) -> PlaneState {
        let Some(kept) = kept else { return PlaneState::Starting };
        match kept.keeper.standing() {
            Standing::Leading { since, .. } => PlaneState::Leading { since },
            Standing::Following { holder, since } => PlaneState::Following { holder, since },
            Standing::Unknown { why, since } => PlaneState::Frozen { why, since },
        }
    }

    /// The same, as runs see it.
    pub(crate) fn turns(&self) -> BTreeMap<Plane, Turn> {
        let turn = |kept: Option<&Kept>| match kept.map(|kept| kept.keeper.standing()) {
            Some(Standing::Leading { .. }) => Turn::Ours,
            Some(Standing::Following { holder, .. }) => Turn::of(holder),
            Some(Standing::Unknown { why, .. }) => Turn::Unknown(why),
            None => Turn::Unknown("it was not asked for yet".to_owned()),
        };
        self.planes.iter().map(|(plane, kept)| (*plane, turn(kept.as_ref()))).collect()
    }

    /// Whether this daemon may write for a plane.
    pub(crate) fn leads(&self, plane: Plane) -> bool {
        let kept = self.planes.get(&plane).and_then(Option::as_ref);
        kept.is_some_and(|kept| matches!(kept.keeper.standing(), Standing::Leading { .. }))
    }

    /// Whether this daemon may write for all of these.
    pub(crate) fn leads_all(&self, planes: &BTreeSet<Plane>) -> bool {
        planes.iter().all(|plane| self.leads(*plane))
    }

    /// What closes as soon as somebody else may lead a plane.
    pub(crate) fn fences(&self) -> BTreeMap<Plane, Fence> {
        let kept = self.planes.iter().filter_map(|(plane, kept)| Some((*plane, kept.as_ref()?.keeper.fence())));
        kept.collect()
    }

    /// Gives them back, so that another daemon need not wait.
    pub(crate) async fn release(&mut self) {
        join_all(self.planes.values_mut().filter_map(Option::take).map(|kept| kept.keeper.release())).await;
    }
}
