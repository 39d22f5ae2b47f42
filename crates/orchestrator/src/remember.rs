//! Keeping the records: what must survive us is written before the act that it explains.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::Cluster;
use fleet::load::Loaded;
use fleet::{ClusterName, Plane};
use manifest::{Kind, Names};
use plan::{Intent, Known, NamespaceState, Pin, Record, Removal, Step, Tombstone, owed};

use crate::apply::Run;
use crate::execute::{behind, failure};
use crate::hold::Turn;
use crate::left;
use crate::report::Event;
use crate::round::{Round, last};

impl Run<'_> {
    /// Writes down, before anything is done, what must survive us; after convergence, that this intent is good. The
    /// generation is raised once a turn: a repair is not to wait for a record that has nothing new to say.
    pub(crate) async fn remember(&mut self, round: &mut Round, converged: bool) -> bool {
        let loaded = &*self.session.loaded;
        let planes: Vec<Plane> = round.policy.planes.iter().copied().collect();
        let mut written = false;
        for plane in planes {
            let Some((old, version)) = round.records.get(&plane).cloned() else { continue };
            let Some(home) = self.home(plane).filter(|_| self.may_remember(plane, converged)) else { continue };
            let uncounted = self.fences.get(&plane).filter(|fence| fence.generation().is_none());
            let next = old.generation.max(last(&round.observed, plane)).next();
            if self.policy.removal != Removal::None {
                // The record is among what goes, so the inventories have to tell.
                if let Some(fence) = uncounted {
                    fence.counts_as(next);
                }
                continue;
            }
            if round.without_namespace().contains(home.name()) {
                continue;
            }
            let mut new = self.next_record(round, plane, &old, loaded, converged);
            if uncounted.is_some() && !converged && !round.plan.steps.is_empty() {
                new.generation = next;
            }
            if new == old {
                continue;
            }
            match home.write_record(&loaded.fleet.name, plane, &new, version.as_deref()).await {
                Ok(version) => {
                    if let Some(fence) = uncounted.filter(|_| new.generation > old.generation) {
                        fence.counts_as(new.generation);
                    }
                    round.records.insert(plane, (new, Some(version)));
                    written = true;
                }
                Err(error) => {
                    let error = failure(&error, None, None);
                    (self.tell)(Event::Failed(error.clone()));
                    self.failures.push(error);
                    return false;
                }
            }
        }
        if written {
            self.pin_elsewhere(round).await;
        }
        true
    }

    /// Whether a plane's record is ours to keep. Where nothing had to be done, nobody was asked, or somebody who may have
    /// died is in the Lease: the record is written then only if nobody else has written it meanwhile, as always.
    fn may_remember(&self, plane: Plane, converged: bool) -> bool {
        match self.turns.get(&plane) {
            None | Some(Turn::Ours) => true,
            Some(Turn::Run(_)) => converged,
            Some(Turn::Daemon(_) | Turn::Unknown(_)) => false,
        }
    }

    /// Puts the intent where the daemons that keep planes read it: they work for what the record says.
    pub(crate) async fn instruct(&mut self, round: &mut Round) {
        let loaded = &*self.session.loaded;
        for (plane, turn) in self.turns.clone() {
            let Some((old, Some(version))) = round.records.get(&plane).cloned() else { continue };
            let mut new = old.clone();
            self.accept(&mut new, loaded);
            let home = self.session.home(plane).filter(|_| matches!(turn, Turn::Daemon(_)) && new != old);
            let Some(home) = home else { continue };
            match home.write_record(&loaded.fleet.name, plane, &new, Some(&version)).await {
                Ok(version) => {
                    round.records.insert(plane, (new, Some(version)));
                }
                Err(error) => {
                    let error = failure(&error, None, None);
                    (self.tell)(Event::Failed(error.clone()));
                    self.failures.push(error);
                }
            }
        }
    }

    /// A cluster can't vouch for itself: the record of the other plane, where there is one that we may write, keeps its
    /// pin too. Where we may not, the pin in its own home has to do.
    async fn pin_elsewhere(&self, round: &mut Round) {
        let others: Vec<Plane> =
            round.records.keys().copied().filter(|plane| !round.policy.planes.contains(plane)).collect();
        for plane in others {
            let Some((old, Some(version))) = round.records.get(&plane).cloned() else { continue };
            let mut new = old.clone();
            self.pin(round, &mut new.pins);
            let Some(home) = self.home(plane).filter(|_| new != old) else { continue };
            match home.write_record(&self.session.loaded.fleet.name, plane, &new, Some(&version)).await {
                Ok(version) => {
                    round.records.insert(plane, (new, Some(version)));
                }
                Err(error) => tracing::info!(%error, "the other plane's record keeps no pin"),
            }
        }
    }

    /// Deletes our own books, once nothing is left that they are about.
    pub(crate) async fn sweep(&mut self) {
        let books = self.session.clusters.values();
        let books: Vec<(&Cluster, Plane)> =
            books.flat_map(|cluster| self.session.planes.iter().map(move |plane| (cluster, *plane))).collect();
        for (cluster, plane) in books {
            self.sweep_one(cluster, plane).await;
        }
    }

    /// The same where a plane has been and nothing of it is left.
    pub(crate) async fn close_books(&mut self, round: &Round) {
        for (name, look) in &round.looks {
            let Some(cluster) = self.session.clusters.get(name) else { continue };
            let view = round.observed.clusters.get(name).and_then(Known::value);
            for plane in &round.policy.planes {
                let owned = view.and_then(|view| view.inventories.get(plane));
                let empty = owned.is_none_or(|inventory| inventory.units.is_empty());
                let been = look.records.contains_key(plane) || look.shelves.contains_key(plane);
                let left = !self.session.loaded.fleet.has_plane_in(*plane, name);
                if left && been && empty && self.is_owed(round, name, *plane) {
                    self.sweep_one(cluster, *plane).await;
                }
            }
        }
    }

    /// Whether a plane is known to have been in a cluster that it has left.
    fn is_owed(&self, round: &Round, name: &ClusterName, plane: Plane) -> bool {
        let stones = round.record.tombstones.iter().filter(|stone| stone.cluster == *name);
        let known = stones.flat_map(|stone| &stone.units).any(|unit| unit.plane() == plane);
        known && self.may_remember(plane, true)
    }

    async fn sweep_one(&mut self, cluster: &Cluster, plane: Plane) {
        let names = Names(&self.session.loaded.fleet.name);
        let cluster = behind(&self.fences, plane, cluster);
        let chunks = (0..).map(|chunk| names.inventory(plane, chunk));
        for name in std::iter::once(names.record(plane)).chain(chunks) {
            let object = cluster.object(Kind::ConfigMap, &name);
            let gone = match cluster.get(&object).await {
                Ok(Some(live)) => cluster.delete(&object, &live.uid, None).await.map(|_| true),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            match gone {
                Ok(true) => {}
                // The record of a plane is in its home only; inventories are numbered without gaps.
                Ok(false) if name == names.record(plane) => {}
                Ok(false) => break,
                Err(error) => {
                    let failure = failure(&error, None, Some(&object));
                    (self.tell)(Event::Failed(failure.clone()));
                    self.failures.push(failure);
                    break;
                }
            }
        }
    }

    /// Takes over this run's intent.
    fn accept(&self, record: &mut Record, loaded: &Loaded) {
        let hash = manifest::short_hash(&loaded.intent_text);
        if record.intent.as_ref().is_some_and(|intent| intent.hash == hash) {
            return;
        }
        // Later than what it replaces, whatever the clock says of whoever wrote that.
        let earliest = record.intent.as_ref().map(|intent| intent.since + Duration::from_millis(1));
        let since = earliest.map_or(self.session.now(), |earliest| earliest.max(self.session.now()));
        record.accept(Intent { text: loaded.intent_text.clone(), hash, since });
    }

    fn next_record(&self, round: &Round, plane: Plane, old: &Record, loaded: &Loaded, converged: bool) -> Record {
        let mut new = old.clone();
        self.accept(&mut new, loaded);
        if let Some(file) = &self.kept_file {
            new.kept_file = Some(file.clone());
        }
        new.allocations = round.record.allocations.clone();
        new.allocations.leaving.clear();
        self.pin(round, &mut new.pins);
        Self::owe(round, plane, &mut new);
        if converged {
            new.converged();
            // What is nowhere any more is no debt any more.
            let left: Vec<Tombstone> =
                owed(&new, &round.desire.desired, &round.observed).into_iter().map(|debt| debt.stone.clone()).collect();
            new.tombstones = left;
        } else {
            for step in &round.plan.steps {
                if let Step::Bury(stone) = step
                    && is_of(stone, plane)
                {
                    new.tombstones.push(stone.clone());
                }
            }
        }
        new
    }

    /// Pins the clusters of this run, and completes the pins of those that are certainly the same: others who keep this
    /// fleet may not be allowed to read what we can.
    fn pin(&self, round: &Round, pins: &mut BTreeMap<ClusterName, Pin>) {
        for (name, identity) in &self.session.identities {
            let pin = pins.entry(name.clone()).or_insert_with(|| identity.clone());
            if pin.agrees(identity) != Some(true) {
                continue;
            }
            pin.complete(identity);
            // It may have been made since.
            let view = round.observed.clusters.get(name).and_then(Known::value);
            let cluster = self.session.clusters.get(name);
            if let (Some(NamespaceState::Present { uid, .. }), Some(cluster)) = (view.map(|v| &v.namespace), cluster) {
                pin.complete(&Pin::new(cluster.namespace(), uid));
            }
        }
    }

    /// Takes over the debts of a plane, and those of the other one until it has noted them itself: with the intent goes the
    /// last that is known of what has left it, and that plane may not be ours to write yet, or have a home without a record.
    fn owe(round: &Round, plane: Plane, new: &mut Record) {
        let is_noted = |stone: &Tombstone| {
            let owners = round.records.iter().filter(|(of, _)| **of != plane && is_of(stone, **of));
            owners.flat_map(|(_, (record, _))| &record.tombstones).any(|known| left::is_same(known, stone))
        };
        let ours = |stone: &Tombstone| is_of(stone, plane) || !is_noted(stone);
        new.tombstones.retain(ours);
        round
            .record
            .tombstones
            .iter()
            .filter(|stone| ours(stone))
            .for_each(|stone| left::put(&mut new.tombstones, stone));
    }
}

/// Whether a debt is one of that plane.
fn is_of(stone: &Tombstone, plane: Plane) -> bool {
    stone.units.iter().any(|unit| unit.plane() == plane)
}
