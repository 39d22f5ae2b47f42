//! Keeping the records: what must survive us is written before the act that it explains.

use std::collections::BTreeSet;

use fleet::Plane;
use fleet::load::Loaded;
use manifest::{Kind, Names, UnitId};
use plan::{Intent, Known, Record, Removal, Step};

use crate::apply::Run;
use crate::execute::failure;
use crate::report::Event;
use crate::round::Round;

impl Run<'_> {
    /// Writes down, before anything is done, what must survive us; after convergence, that this intent is good.
    pub(crate) async fn remember(&mut self, round: &mut Round, converged: bool) -> bool {
        let loaded = self.session.loaded;
        let planes: Vec<Plane> = round.policy.planes.iter().copied().collect();
        for plane in planes {
            let Some((old, version)) = round.records.get(&plane).cloned() else { continue };
            let Some(home) = self.session.home(plane) else { continue };
            if round.without_namespace().contains(home.name()) || self.policy.removal != Removal::None {
                continue;
            }
            let new = self.next_record(round, plane, &old, loaded, converged);
            if new == old {
                continue;
            }
            match home.write_record(&loaded.fleet.name, plane, &new, version.as_deref()).await {
                Ok(version) => {
                    round.records.insert(plane, (new, Some(version)));
                }
                Err(error) => {
                    let error = failure(&error, None, None);
                    (self.tell)(Event::Failed(error.clone()));
                    self.failures.push(error);
                    return false;
                }
            }
        }
        if self.policy.removal == Removal::None {
            self.pin_elsewhere(round).await;
        }
        true
    }

    /// A cluster can't vouch for itself: the record of the other plane, where there is one that we may write, keeps its
    /// pin too. Where we may not, the pin in its own home has to do.
    async fn pin_elsewhere(&self, round: &mut Round) {
        let others: Vec<Plane> =
            round.records.keys().copied().filter(|plane| !round.policy.planes.contains(plane)).collect();
        for plane in others {
            let Some((old, Some(version))) = round.records.get(&plane).cloned() else { continue };
            let mut new = old.clone();
            for (name, pin) in &self.session.identities {
                new.pins.entry(name.clone()).or_insert_with(|| pin.clone());
            }
            let Some(home) = self.session.home(plane).filter(|_| new != old) else { continue };
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
        let names = Names(&self.session.loaded.fleet.name);
        let mut failures = Vec::new();
        for cluster in self.session.clusters.values() {
            for plane in &self.session.planes {
                let chunks = (0..).map(|chunk| names.inventory(*plane, chunk));
                for name in std::iter::once(names.record(*plane)).chain(chunks) {
                    let object = cluster.object(Kind::ConfigMap, &name);
                    let gone = match cluster.get(&object).await {
                        Ok(Some(live)) => cluster.delete(&object, &live.uid, None).await.map(|_| true),
                        Ok(None) => Ok(false),
                        Err(error) => Err(error),
                    };
                    match gone {
                        Ok(true) => {}
                        // The record of a plane is in its home only; inventories are numbered without gaps.
                        Ok(false) if name == names.record(*plane) => {}
                        Ok(false) => break,
                        Err(error) => {
                            failures.push(failure(&error, None, Some(&object)));
                            break;
                        }
                    }
                }
            }
        }
        for failure in failures {
            (self.tell)(Event::Failed(failure.clone()));
            self.failures.push(failure);
        }
    }

    fn next_record(&self, round: &Round, plane: Plane, old: &Record, loaded: &Loaded, converged: bool) -> Record {
        let mut new = old.clone();
        let hash = manifest::short_hash(&loaded.intent_text);
        if old.intent.as_ref().is_none_or(|intent| intent.hash != hash) {
            new.intent = Some(Intent { text: loaded.intent_text.clone(), hash, since: self.session.now() });
        }
        new.allocations = round.record.allocations.clone();
        new.allocations.leaving.clear();
        for (name, pin) in &self.session.identities {
            new.pins.entry(name.clone()).or_insert_with(|| pin.clone());
        }
        if converged {
            new.last_good = new.intent.clone();
            // What is nowhere any more is no debt any more.
            let owned: BTreeSet<&UnitId> = round
                .observed
                .clusters
                .values()
                .filter_map(Known::value)
                .flat_map(|view| view.inventories.values())
                .flat_map(|inventory| inventory.units.keys())
                .collect();
            new.tombstones.retain(|stone| {
                !round.observed.clusters.contains_key(&stone.cluster)
                    || stone.units.iter().any(|unit| owned.contains(unit))
            });
        } else {
            for step in &round.plan.steps {
                if let Step::Bury(stone) = step
                    && stone.units.iter().any(|unit| unit.plane() == plane)
                {
                    new.tombstones.push(stone.clone());
                }
            }
        }
        if !converged && !round.plan.steps.is_empty() {
            new.generation = round.plan.generation;
        }
        new
    }
}
