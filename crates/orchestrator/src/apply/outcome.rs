//! What became of a run, for whoever asked for it.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, Plane};
use manifest::{ObjectRef, UnitId};
use plan::Known;
use tokio::time::Instant;

use super::Run;
use crate::report::{ClusterOutcome, Joined, Outcome, Proof, Verdict};
use crate::round::Round;

impl Run<'_> {
    pub(super) fn verdict(&self, round: &Round) -> Verdict {
        let something = self.done.written + self.done.deleted > 0;
        let current = self.clusters(round).values().any(|cluster| cluster.current > 0);
        if something || current { Verdict::NotConverged } else { Verdict::Failed }
    }

    fn clusters(&self, round: &Round) -> BTreeMap<ClusterName, ClusterOutcome> {
        let differing: BTreeSet<&ObjectRef> =
            round.plan.changes.iter().flat_map(|change| change.objects.iter().map(|(object, _)| object)).collect();
        let mut clusters: BTreeMap<ClusterName, ClusterOutcome> = BTreeMap::new();
        for (unit, manifest) in round.desire.desired.manifests() {
            let name = &manifest.object.cluster;
            if !self.session.planes.contains(&unit.plane()) || !self.policy.has_cluster(name) {
                continue;
            }
            let outcome = clusters.entry(name.clone()).or_default();
            outcome.total += 1;
            match round.observed.clusters.get(name) {
                Some(Known::Yes(seen)) => {
                    let there = seen.value.objects.contains_key(&manifest.object);
                    outcome.current += usize::from(there && !differing.contains(&manifest.object));
                }
                Some(Known::Unknown { why }) => outcome.unreachable = Some(why.to_string()),
                Some(Known::Absent { .. }) | None => {}
            }
        }
        clusters
    }

    pub(crate) fn outcome(&self, round: &Round, verdict: Verdict, started: Instant) -> Outcome {
        Outcome {
            verdict,
            seconds: started.elapsed().as_secs_f64(),
            written: self.done.written,
            deleted: self.done.deleted,
            clusters: self.clusters(round),
            failures: self.done.refused.values().chain(&self.failures).cloned().collect(),
            blocked: round.plan.blocked.clone(),
            daemons: self.daemons.clone(),
            bridges: self.bridges(round),
            proof: self.proof(round),
            debts: round.debts(),
        }
    }

    /// The proof, as far as it is about what this run does: who applies the control plane alone misses no bridge.
    pub(crate) fn proof(&self, round: &Round) -> Proof {
        let mut proof = round.proof.clone();
        if !self.session.planes.contains(&Plane::Data) {
            proof.missing.clear();
        }
        proof
    }

    /// All bridges that this run can tell about.
    pub(crate) fn bridges(&self, round: &Round) -> Option<Joined> {
        let asked = round.proof.slots.iter().any(|slot| slot.why.is_none());
        let clusters = joined(round);
        let ours = clusters.iter().filter(|(name, _)| self.policy.has_cluster(name)).map(|(_, counts)| *counts);
        let (joined, expected) = ours.fold((0, 0), |sum, (joined, expected)| (sum.0 + joined, sum.1 + expected));
        (asked && expected > 0 && round.policy.has_plane(Plane::Data)).then_some(Joined { joined, expected })
    }
}

/// By data cluster: bridges that joined every slot they serve, and all there should be.
pub(super) fn joined(round: &Round) -> BTreeMap<ClusterName, (usize, usize)> {
    let missing: BTreeSet<(&fleet::PoolName, fleet::Index)> =
        round.proof.missing.iter().map(|missing| (&missing.pool, missing.index)).collect();
    let asked = round.proof.slots.iter().all(|slot| slot.why.is_none());
    let mut clusters: BTreeMap<ClusterName, (usize, usize)> = BTreeMap::new();
    for unit in round.desire.desired.units.values() {
        let (UnitId::Bridge(pool, index), Some(first)) = (&unit.id, unit.manifests.first()) else { continue };
        let entry = clusters.entry(first.object.cluster.clone()).or_default();
        entry.1 += 1;
        entry.0 += usize::from(asked && !missing.contains(&(pool, *index)));
    }
    clusters
}
