//! What a step does when all goes well: the world after it. Iterating [`plan`](crate::plan) over it gives the
//! forecast, and the property that every plan reaches a fixed point.

use std::collections::BTreeSet;
use std::sync::Arc;

use fleet::{ClusterName, Fleet, Index, PoolName};
use jiff::Timestamp;
use manifest::{Desired, Kind, Names, UnitId, labels};

use crate::{
    BridgeView, ClusterView, Given, Known, LiveBody, LiveObject, LivePod, Observed, Occupant, Owned, PodPhase, Record,
    Seen, Source, Step, joining,
};

/// The world that steps act on.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// What is seen.
    pub observed: Observed,
    /// What is remembered.
    pub record: Record,
}

impl World {
    /// Takes a step.
    pub fn take(&mut self, step: &Step, fleet: &Fleet, desired: &Desired, now: Timestamp) {
        match step {
            Step::Bury(stone) => self.record.tombstones.push(stone.clone()),
            Step::Apply { unit, cluster, objects } => {
                let Some(view) = view(&mut self.observed, cluster) else { return };
                let Some(wanted) = desired.unit(unit) else { return };
                let inventory = view.inventories.entry(unit.plane()).or_default();
                let owned = inventory.units.entry(unit.clone()).or_default();
                for manifest in wanted.manifests.iter().filter(|manifest| objects.contains(&manifest.object)) {
                    let uid = format!("uid-of-{}-{}", manifest.object.kind, manifest.object.name);
                    owned.insert(
                        Owned { kind: manifest.object.kind, name: manifest.object.name.clone() },
                        Some(uid.clone()),
                    );
                    let live = LiveObject {
                        object: manifest.object.clone(),
                        uid,
                        version: "1".to_owned(),
                        body: Arc::new(LiveBody::new(manifest.object.kind, manifest.body.clone())),
                        managers: BTreeSet::from([format!("jitsictl/{}", unit.plane())]),
                        deleting: false,
                    };
                    view.objects.insert(manifest.object.clone(), live);
                }
                for pod in &wanted.pods {
                    let started = !view.pods.contains_key(pod);
                    if started {
                        view.pods.insert(pod.clone(), new_pod(pod, unit, &wanted.roll));
                    }
                    if let (true, UnitId::Bridge(pool, index)) = (started, unit) {
                        join(&mut self.observed, fleet, pool, *index, now);
                        return;
                    }
                }
            }
            Step::Drain { pool, index, pod, drain } => {
                if let Some(pod) = self.pod(pod) {
                    pod.drain = Some(drain.clone());
                }
                set_draining(&mut self.observed, fleet, (&pod.cluster, pool, *index), true, now);
            }
            Step::Undrain { pool, index, pod } => {
                if let Some(pod) = self.pod(pod) {
                    pod.drain = None;
                }
                set_draining(&mut self.observed, fleet, (&pod.cluster, pool, *index), false, now);
            }
            Step::Attach { pool, index, pod, shard, slot, .. } => {
                let place = (pod.cluster.clone(), pool.clone(), *index);
                if let Some(Known::Yes(seen)) = self.observed.bridges.get_mut(&place) {
                    seen.value.clients.get_or_insert_with(BTreeSet::new).insert(joining::id(shard, *slot));
                }
                join(&mut self.observed, fleet, pool, *index, now);
            }
            Step::Detach { pool, index, pod, shard, slot } => {
                let place = (pod.cluster.clone(), pool.clone(), *index);
                if let Some(Known::Yes(seen)) = self.observed.bridges.get_mut(&place)
                    && let Some(clients) = &mut seen.value.clients
                {
                    clients.remove(&joining::id(shard, *slot));
                }
            }
            Step::DeletePod { unit, pod, .. } => {
                let Some(view) = view(&mut self.observed, &pod.cluster) else { return };
                view.pods.remove(&pod.pod);
                if let Some(wanted) = desired.units.get(unit) {
                    view.pods.insert(pod.pod.clone(), new_pod(&pod.pod, unit, &wanted.roll));
                }
                if let UnitId::Bridge(pool, index) = unit {
                    join(&mut self.observed, fleet, pool, *index, now);
                    set_draining(&mut self.observed, fleet, (&pod.cluster, pool, *index), false, now);
                }
            }
            Step::Forget { unit, cluster, objects } => {
                let Some(view) = view(&mut self.observed, cluster) else { return };
                if let Some(inventory) = view.inventories.get_mut(&unit.plane())
                    && let Some(owned) = inventory.units.get_mut(unit)
                {
                    owned.retain(|known, _| !objects.contains(known));
                    if owned.is_empty() {
                        inventory.units.remove(unit);
                    }
                }
            }
            Step::Prune { unit, object, .. } => {
                let Some(view) = view(&mut self.observed, &object.cluster) else { return };
                view.objects.remove(object);
                if let Some(inventory) = view.inventories.get_mut(&unit.plane())
                    && let Some(owned) = inventory.units.get_mut(unit)
                {
                    owned.remove(&Owned { kind: object.kind, name: object.name.clone() });
                    if owned.is_empty() {
                        inventory.units.remove(unit);
                    }
                }
                if matches!(object.kind, Kind::StatefulSet | Kind::Deployment) {
                    let label = unit.label();
                    view.pods.retain(|_, pod| pod.labels.get(labels::UNIT) != Some(&label));
                }
            }
        }
    }

    /// All daemons that have said something say the same again.
    pub(crate) fn is_asked_again(&mut self, now: Timestamp) {
        let observed = &mut self.observed;
        observed.slots.values_mut().for_each(|known| known.renew(now));
        observed.former.values_mut().for_each(|known| known.renew(now));
        observed.bridges.values_mut().for_each(|known| known.renew(now));
    }

    fn pod(&mut self, given: &Given) -> Option<&mut LivePod> {
        view(&mut self.observed, &given.cluster)?.pods.get_mut(&given.pod)
    }
}

fn view<'o>(observed: &'o mut Observed, cluster: &ClusterName) -> Option<&'o mut ClusterView> {
    match observed.clusters.get_mut(cluster) {
        Some(Known::Yes(seen)) => Some(&mut seen.value),
        Some(Known::Absent { .. } | Known::Unknown { .. }) | None => None,
    }
}

fn new_pod(name: &str, unit: &UnitId, roll: &str) -> LivePod {
    LivePod {
        name: name.to_owned(),
        uid: format!("uid-of-{name}-{roll}"),
        labels: [(labels::UNIT.to_owned(), unit.label())].into(),
        roll: Some(roll.to_owned()),
        node: None,
        phase: PodPhase::Ready,
        references: BTreeSet::new(),
        drain: None,
    }
}

/// A bridge that has started is listed by the jicofo of every slot it serves.
fn join(observed: &mut Observed, fleet: &Fleet, pool: &PoolName, index: Index, now: Timestamp) {
    let Some(pool) = fleet.data.pool(pool) else { return };
    let nickname = Names(&fleet.name).bridge_nickname(&pool.cluster, &pool.name, index);
    for ((shard, _), known) in &mut observed.slots {
        if let Known::Yes(seen) = known
            && pool.shards.contains(shard)
        {
            seen.as_of = now;
            seen.value.bridges.entry(nickname.clone()).or_insert_with(|| Occupant {
                operational: true,
                draining: false,
                version: None,
                region: None,
                relay_id: None,
                endpoints: 0,
                stress: 0.0,
            });
        }
    }
}

fn set_draining(
    observed: &mut Observed,
    fleet: &Fleet,
    (cluster, pool, index): (&ClusterName, &PoolName, Index),
    draining: bool,
    now: Timestamp,
) {
    let mut endpoints = 0;
    let nickname = Names(&fleet.name).bridge_nickname(cluster, pool, index);
    for known in observed.slots.values_mut() {
        if let Known::Yes(seen) = known {
            seen.as_of = now;
            if let Some(occupant) = seen.value.bridges.get_mut(&nickname) {
                occupant.draining = draining;
                endpoints += occupant.endpoints;
            }
        }
    }
    let bridge = observed.bridges.entry((cluster.clone(), pool.clone(), index)).or_insert_with(|| {
        Known::Yes(Seen {
            value: BridgeView {
                endpoints,
                conferences: 0,
                draining,
                clients: None,
                clients_configured: 0,
                clients_connected: 0,
                mucs_joined: 0,
            },
            source: Source::Daemon,
            as_of: now,
        })
    });
    if let Known::Yes(seen) = bridge {
        seen.value.draining = draining;
        seen.as_of = now;
    }
}
