//! Who is on a unit now, and when a slot may be replaced.

use fleet::{ClusterName, ShardName, Slot};
use manifest::{Names, ObjectRef, UnitId};

use super::Draft;
use crate::{BlockedBy, ClusterView, Given, Known, Live, Patience, PodPhase, SlotView, Step};

/// What evidence says about people on a unit.
pub(super) enum Presence {
    /// Nobody is on it.
    Nobody,
    /// Somebody is.
    Somebody(Live),
    /// Nobody could say.
    Unknown(String),
}

impl<'a> Draft<'a> {
    /// What the jicofo of a slot said that runs in this cluster.
    fn jicofo(&self, cluster: &ClusterName, shard: &ShardName, slot: Slot) -> Option<&'a Known<SlotView>> {
        let observed = self.inputs.observed;
        if *cluster == self.inputs.fleet.control.cluster {
            observed.slots.get(&(shard.clone(), slot))
        } else {
            observed.former.get(&(cluster.clone(), shard.clone(), slot))
        }
    }

    /// Who is on a unit of that cluster now, as far as jicofo says.
    pub(super) fn live(&self, cluster: &ClusterName, unit: &UnitId) -> Option<Live> {
        match unit {
            UnitId::Slot(shard, slot) | UnitId::Web(shard, slot) => {
                let view = self.jicofo(cluster, shard, *slot)?.value()?;
                Some(Live { conferences: view.conferences, participants: view.participants })
            }
            UnitId::Bridge(pool, index) => {
                let nickname = Names(&self.inputs.fleet.name).bridge_nickname(cluster, pool, *index);
                let views: Vec<_> = self.inputs.observed.slots.values().filter_map(Known::value).collect();
                if views.is_empty() {
                    return None;
                }
                let participants =
                    views.iter().filter_map(|view| view.bridges.get(&nickname)).map(|seen| seen.endpoints).sum();
                Some(Live { conferences: 0, participants })
            }
            UnitId::Haproxy => {
                let views = self.inputs.observed.slots.values().filter_map(Known::value);
                Some(views.fold(Live::default(), |sum, view| Live {
                    conferences: sum.conferences + view.conferences,
                    participants: sum.participants + view.participants,
                }))
            }
            UnitId::Base(..) | UnitId::Shard(_) | UnitId::Wiring(..) | UnitId::Pool(_) | UnitId::Recorder(..) => None,
        }
    }

    /// Whether a slot is without conferences.
    pub(super) fn presence_in_slot(
        &self,
        cluster: &ClusterName,
        (shard, slot): (&ShardName, Slot),
        view: &ClusterView,
        pods: &[String],
    ) -> Presence {
        if self.inputs.policy.allow_disruption {
            return Presence::Nobody;
        }
        match self.jicofo(cluster, shard, slot) {
            Some(Known::Yes(seen)) if seen.value.conferences == 0 => Presence::Nobody,
            Some(Known::Yes(seen)) => {
                Presence::Somebody(Live { conferences: seen.value.conferences, participants: seen.value.participants })
            }
            // Without a running jicofo there is no conference to lose.
            _ if none_runs(view, pods.iter().filter(|pod| pod.ends_with("-jicofo-0"))) => Presence::Nobody,
            Some(Known::Unknown { why }) => Presence::Unknown(why.to_string()),
            Some(Known::Absent { .. }) | None => Presence::Unknown("its jicofo was not asked".to_owned()),
        }
    }

    pub(super) fn replace_slot(
        &mut self,
        unit: &UnitId,
        (shard, slot): (&ShardName, Slot),
        cluster: &ClusterName,
        view: &'a ClusterView,
        roll: Vec<ObjectRef>,
        outdated: &[String],
    ) {
        let pods = self.inputs.desired.units.get(unit).map(|unit| unit.pods.clone()).unwrap_or_default();
        match self.presence_in_slot(cluster, (shard, slot), view, &pods) {
            Presence::Somebody(live) => self.block(unit, cluster, BlockedBy::Participants(live)),
            Presence::Unknown(why) => self.block(unit, cluster, BlockedBy::NoEvidence { why }),
            // The template first; pods go once the controller has seen it, or they would come back as they were.
            Presence::Nobody if !roll.is_empty() => self.apply(unit, cluster, roll),
            Presence::Nobody => self.delete_pods(unit, cluster, view, outdated),
        }
    }

    pub(super) fn delete_pods(&mut self, unit: &UnitId, cluster: &ClusterName, view: &ClusterView, pods: &[String]) {
        for name in pods {
            let Some(pod) = view.pods.get(name) else { continue };
            if pod.phase == PodPhase::Terminating {
                let why = format!("pod {name} is ending");
                self.block(unit, cluster, BlockedBy::Settling { why });
            } else if controller_is_behind(view, unit) {
                let why = "its controller has not seen the new template yet".to_owned();
                self.block(unit, cluster, BlockedBy::Settling { why });
            } else {
                self.steps.push(Step::DeletePod {
                    unit: unit.clone(),
                    pod: Given { cluster: cluster.clone(), pod: name.clone(), uid: pod.uid.clone() },
                    patience: if self.inputs.policy.allow_disruption { Patience::Brief } else { Patience::Graceful },
                });
            }
        }
    }
}

/// Whether none of these pods has a running container.
pub(super) fn none_runs<'p>(view: &ClusterView, pods: impl IntoIterator<Item = &'p String>) -> bool {
    pods.into_iter().all(|name| match view.pods.get(name).map(|pod| &pod.phase) {
        None | Some(PodPhase::Waiting(_) | PodPhase::Ended) => true,
        Some(PodPhase::Ready | PodPhase::Running | PodPhase::Terminating) => false,
    })
}

/// Whether a workload of the unit has a spec that its controller has not acknowledged.
fn controller_is_behind(view: &ClusterView, unit: &UnitId) -> bool {
    let label = unit.label();
    view.objects
        .values()
        .filter(|object| object.label(manifest::labels::UNIT) == Some(label.as_str()))
        .any(|object| object.body.is_behind())
}
