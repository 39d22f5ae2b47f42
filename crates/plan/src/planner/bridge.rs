//! Replacing and removing bridges and recorders: drained, confirmed, seen empty after that, then gone; one at a
//! time.

use fleet::{ClusterName, Index, PoolName};
use manifest::{ObjectRef, Unit, UnitId};

use super::Draft;
use super::live::{Presence, none_runs};
use crate::seat::{self, Says, Seat};
use crate::{BlockedBy, ClusterView, Drain, DrainReason, Given, Known, Live, LivePod, PodPhase, Step, Witness};

/// A bridge or recorder that is to be replaced or removed.
pub(super) struct Candidate<'a> {
    unit: UnitId,
    cluster: &'a ClusterName,
    view: &'a ClusterView,
    pods: Vec<String>,
    goal: Goal,
}

/// What is done with it once nobody is on it.
enum Goal {
    /// These objects are applied, then its pod is deleted.
    Replace { roll: Vec<ObjectRef>, hash: String },
    /// These steps are taken.
    Remove(Vec<Step>),
}

impl<'a> Candidate<'a> {
    pub(super) fn replace(
        unit: &'a Unit,
        cluster: &'a ClusterName,
        view: &'a ClusterView,
        roll: Vec<ObjectRef>,
    ) -> Self {
        let goal = Goal::Replace { roll, hash: unit.roll.clone() };
        Self { unit: unit.id.clone(), cluster, view, pods: unit.pods.clone(), goal }
    }

    pub(super) fn remove(
        unit: UnitId,
        cluster: &'a ClusterName,
        view: &'a ClusterView,
        pod: String,
        prunes: Vec<Step>,
    ) -> Self {
        Self { unit, cluster, view, pods: vec![pod], goal: Goal::Remove(prunes) }
    }

    pub(super) const fn is_removal(&self) -> bool {
        matches!(self.goal, Goal::Remove(_))
    }

    const fn reason(&self) -> DrainReason {
        match self.goal {
            Goal::Replace { .. } => DrainReason::Replace,
            Goal::Remove(_) => DrainReason::Remove,
        }
    }
}

impl<'a> Draft<'a> {
    /// Lets one bridge at a time through; those on which nobody can be go at once.
    pub(super) fn take_turns(&mut self) {
        let candidates = std::mem::take(&mut self.waiting);
        let mut turn = self.returning();
        // A bridge that we drained already keeps its turn.
        let (draining, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| self.pod(candidate).is_some_and(|pod| pod.drain.is_some()));
        for candidate in draining.into_iter().chain(others) {
            self.candidate(&candidate, &mut turn);
            self.waiting.push(candidate);
        }
    }

    /// Takes back drains of ours that nothing asks for any more: the file went back, or we were stopped in between.
    pub(super) fn undrain_strays(&mut self) {
        let inputs = self.inputs;
        if !inputs.policy.has_plane(fleet::Plane::Data) {
            return;
        }
        for unit in inputs.desired.units.values() {
            let (UnitId::Bridge(pool, index), Some(first)) = (&unit.id, unit.manifests.first()) else { continue };
            let cluster = &first.object.cluster;
            let wanted = self.waiting.iter().any(|candidate| candidate.unit == unit.id)
                || self.changes.iter().any(|change| change.unit == unit.id);
            if wanted || !inputs.policy.has_cluster(cluster) {
                continue;
            }
            let Some(view) = self.view(cluster) else { continue };
            for pod in unit.pods.iter().filter_map(|name| view.pods.get(name)).filter(|pod| pod.drain.is_some()) {
                self.steps.push(Step::Undrain {
                    pool: pool.clone(),
                    index: *index,
                    pod: Given { cluster: cluster.clone(), pod: pod.name.clone(), uid: pod.uid.clone() },
                });
            }
        }
    }

    /// A bridge that was replaced and has not joined again: nobody else goes before it has.
    fn returning(&self) -> Option<UnitId> {
        if self.inputs.policy.witness == Witness::Bridge {
            return None;
        }
        self.inputs.desired.units.values().find_map(|unit| {
            let UnitId::Bridge(pool, index) = &unit.id else { return None };
            let cluster = &unit.manifests.first()?.object.cluster;
            let view = self.view(cluster)?;
            let pod = view.pods.get(unit.pods.first()?);
            let returns = match pod.map(|pod| &pod.phase) {
                // Its pod is not there yet, or pulls its image.
                None | Some(PodPhase::Waiting(_)) => was_changed(view, unit),
                Some(PodPhase::Running | PodPhase::Ready) => {
                    self.seats(cluster, pool, *index).iter().any(|seat| matches!(seat.says, Says::NotListed))
                }
                Some(PodPhase::Terminating | PodPhase::Ended) => false,
            };
            let current = pod.is_none_or(|pod| pod.roll.as_deref() == Some(unit.roll.as_str()));
            (returns && current).then(|| unit.id.clone())
        })
    }

    fn pod(&self, candidate: &Candidate<'a>) -> Option<&'a LivePod> {
        candidate.pods.iter().find_map(|name| candidate.view.pods.get(name))
    }

    fn candidate(&mut self, candidate: &Candidate<'a>, turn: &mut Option<UnitId>) {
        let (unit, cluster) = (&candidate.unit, candidate.cluster);
        let Some(pod) = self.pod(candidate) else { return self.go(candidate) };
        if none_runs(candidate.view, &candidate.pods) || self.inputs.policy.allow_disruption {
            return self.go(candidate);
        }
        if let Some(holder) = turn.as_ref().filter(|holder| *holder != unit) {
            let holder = holder.clone();
            return self.block(unit, cluster, BlockedBy::Turn { unit: holder });
        }
        let presence = match unit {
            UnitId::Bridge(pool, index) => self.bridge_presence(candidate, pool, *index, pod, turn),
            UnitId::Recorder(pool, index) => self.recorder_presence(cluster, pool, *index),
            _ => Some(Presence::Unknown("it is neither a bridge nor a recorder".to_owned())),
        };
        match presence {
            None => {}
            Some(Presence::Nobody) => {
                *turn = Some(unit.clone());
                self.go(candidate);
            }
            Some(Presence::Somebody(live)) => self.block(unit, cluster, BlockedBy::Participants(live)),
            Some(Presence::Unknown(why)) => self.block(unit, cluster, BlockedBy::NoEvidence { why }),
        }
    }

    /// Says whether a bridge is empty; or takes the next step towards knowing, and says nothing.
    fn bridge_presence(
        &mut self,
        candidate: &Candidate<'a>,
        pool: &PoolName,
        index: Index,
        pod: &LivePod,
        turn: &mut Option<UnitId>,
    ) -> Option<Presence> {
        let (unit, cluster) = (&candidate.unit, candidate.cluster);
        let given = Given { cluster: cluster.clone(), pod: pod.name.clone(), uid: pod.uid.clone() };
        let seats = self.seats(cluster, pool, index);
        let participants: u64 = seats.iter().map(Seat::endpoints).sum();
        let undrain = Step::Undrain { pool: pool.clone(), index, pod: given.clone() };
        let ours = pod.drain.is_some();
        if participants > 0 || self.inputs.policy.last_call || self.inputs.policy.gave_up.contains(unit) {
            if ours {
                self.steps.push(undrain);
            }
            let live = Live { conferences: 0, participants };
            return Some(if participants > 0 {
                Presence::Somebody(live)
            } else {
                let tried = ours || self.inputs.policy.gave_up.contains(unit);
                let why = if tried { "it did not empty in this run" } else { "its turn did not come in this run" };
                Presence::Unknown(why.to_owned())
            });
        }
        if let Some(why) = seats.iter().find_map(Seat::unknown) {
            return Some(Presence::Unknown(why.to_owned()));
        }
        *turn = Some(unit.clone());
        let own = self.inputs.observed.bridges.get(&(cluster.clone(), pool.clone(), index));
        let says_draining = own.and_then(Known::value).is_some_and(|view| view.draining);
        if !ours || (own.and_then(Known::value).is_some() && !says_draining) {
            let drain = pod.drain.clone().unwrap_or(Drain { reason: candidate.reason(), since: self.inputs.now });
            self.steps.push(Step::Drain { pool: pool.clone(), index, pod: given, drain });
            self.block(unit, cluster, BlockedBy::Settling { why: "it is told to take no new conferences".to_owned() });
            return None;
        }
        if !seats.iter().all(Seat::confirms_drain) {
            self.block(unit, cluster, BlockedBy::Settling { why: "jicofo has not confirmed the drain".to_owned() });
            return None;
        }
        if let Some(slot) = self.inputs.policy.learnt.confirmed.about_to_join(&pod.uid, &seats) {
            let why = format!("jicofo of {slot} missed it a moment ago, and it may be about to join");
            self.block(unit, cluster, BlockedBy::Settling { why });
            return None;
        }
        match own {
            Some(Known::Yes(seen)) if seen.as_of < self.inputs.policy.learnt.confirmed.since(&pod.uid, &seats) => {
                self.block(
                    unit,
                    cluster,
                    BlockedBy::Settling { why: "it was asked before the drain was confirmed".into() },
                );
                None
            }
            Some(Known::Yes(seen)) if seen.value.is_empty() => Some(Presence::Nobody),
            Some(Known::Yes(seen)) => {
                self.steps.push(undrain);
                Some(Presence::Somebody(Live {
                    conferences: seen.value.conferences,
                    participants: seen.value.endpoints,
                }))
            }
            Some(Known::Unknown { why }) => Some(Presence::Unknown(why.to_string())),
            Some(Known::Absent { .. }) | None => {
                self.block(unit, cluster, BlockedBy::Settling { why: "it has not been asked yet".to_owned() });
                None
            }
        }
    }

    fn recorder_presence(&self, cluster: &ClusterName, pool: &PoolName, index: Index) -> Option<Presence> {
        Some(match self.inputs.observed.recorders.get(&(cluster.clone(), pool.clone(), index)) {
            Some(Known::Yes(seen)) if seen.value.busy => Presence::Somebody(Live { conferences: 1, participants: 0 }),
            Some(Known::Yes(_)) => Presence::Nobody,
            Some(Known::Unknown { why }) => Presence::Unknown(why.to_string()),
            Some(Known::Absent { .. }) | None => Presence::Unknown("the recorder was not asked".to_owned()),
        })
    }

    /// What each slot that should know the bridge of that cluster says of it.
    pub(super) fn seats(&self, cluster: &ClusterName, pool: &PoolName, index: Index) -> Vec<Seat> {
        seat::seats(self.inputs.fleet, self.inputs.observed, self.inputs.policy.witness, (cluster, pool, index))
    }

    fn go(&mut self, candidate: &Candidate<'a>) {
        match &candidate.goal {
            Goal::Replace { roll, .. } if !roll.is_empty() => {
                self.apply(&candidate.unit, candidate.cluster, roll.clone());
            }
            Goal::Replace { hash, .. } => {
                let outdated: Vec<String> = candidate
                    .pods
                    .iter()
                    .filter(|name| {
                        candidate.view.pods.get(*name).is_some_and(|pod| pod.roll.as_deref() != Some(hash.as_str()))
                    })
                    .cloned()
                    .collect();
                self.delete_pods(&candidate.unit, candidate.cluster, candidate.view, &outdated);
            }
            Goal::Remove(steps) => self.steps.extend(steps.iter().cloned()),
        }
    }
}

/// Whether the workload of a unit is what it became, not what it was made as. One that is new never ran, so nobody waits
/// for its return: it may need the room that others are about to leave.
fn was_changed(view: &ClusterView, unit: &Unit) -> bool {
    unit.manifests.iter().filter(|manifest| manifest.object.kind.has_pods()).any(|manifest| {
        let live = view.objects.get(&manifest.object);
        live.and_then(|live| live.body.generation()).is_some_and(|generation| generation > 1)
    })
}
