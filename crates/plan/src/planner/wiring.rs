//! Connecting running bridges to slots that appeared after they started, anew to those whose client does not get through,
//! and parting them from slots that are gone.

use fleet::{ClusterName, Index, PoolName, ShardName, Slot};
use manifest::{Names, UnitId};

use super::Draft;
use super::live::Presence;
use crate::{BlockedBy, BridgeView, ClusterView, Given, Known, Live, LivePod, PodPhase, Removal, Step, joining};

impl<'a> Draft<'a> {
    /// Attaches each running bridge to the slots whose client it lacks, or has to no avail.
    pub(super) fn attach(&mut self) {
        let inputs = self.inputs;
        if inputs.policy.removal != Removal::None || !inputs.policy.has_plane(fleet::Plane::Data) {
            return;
        }
        let names = Names(&inputs.fleet.name);
        for pool in inputs.fleet.data.pools.iter().filter(|pool| inputs.policy.has_cluster(&pool.cluster)) {
            let place = |index| (pool.cluster.clone(), pool.name.clone(), Index(index));
            for ((.., index), known) in inputs.observed.bridges.range(place(0)..=place(u16::MAX)) {
                let Some(clients) = known.value().and_then(|bridge| bridge.clients.as_ref()) else { continue };
                let Some((given, pod)) = self.running(&pool.cluster, &pool.name, *index) else { continue };
                for shard in &pool.shards {
                    let slot = inputs.record.allocations.serving(shard);
                    let unwired =
                        inputs.pending.contains_key(&UnitId::Wiring(pool.cluster.clone(), shard.clone(), slot));
                    let listed =
                        inputs.observed.slots.get(&(shard.clone(), slot)).and_then(Known::value).is_some_and(|seen| {
                            seen.bridges.contains_key(&names.bridge_nickname(&pool.cluster, &pool.name, *index))
                        });
                    let replace = clients.contains(&joining::id(shard, slot));
                    if unwired || listed || (replace && !self.is_stuck(pool, *index, pod, shard, slot)) {
                        continue;
                    }
                    self.steps.push(Step::Attach {
                        pool: pool.name.clone(),
                        index: *index,
                        pod: given.clone(),
                        shard: shard.clone(),
                        slot,
                        replace,
                    });
                }
            }
        }
    }

    /// The client may be there with the address, user or password of yesterday: a bridge keeps what it was told first.
    fn is_stuck(&self, pool: &fleet::Pool, index: Index, pod: &LivePod, shard: &ShardName, slot: Slot) -> bool {
        let inputs = self.inputs;
        let witness = inputs.policy.witness;
        let apart = joining::apart(inputs.fleet, inputs.observed, witness, pool, index, shard, slot);
        apart.is_some_and(|as_of| inputs.policy.learnt.joining.is_stuck(pod, shard, slot, as_of))
    }

    /// Tells bridges to give up their clients for what this unit leads to. Whether something of that is left to do: a
    /// client without a server tries for ever, and what is forgotten here is not thought of again.
    pub(super) fn parts(&mut self, unit: &UnitId) -> Option<BlockedBy> {
        let inputs = self.inputs;
        if inputs.policy.removal != Removal::None || !inputs.policy.has_plane(fleet::Plane::Data) {
            return None;
        }
        let (shard, slots, place) = match unit {
            UnitId::Wiring(cluster, shard, slot) => (shard, vec![*slot], Some(cluster)),
            UnitId::Shard(shard) => (shard, vec![Slot::A, Slot::B], None),
            _ => return None,
        };
        let mut why = None;
        for ((cluster, pool, index), known) in &inputs.observed.bridges {
            if place.is_some_and(|place| place != cluster) || !inputs.policy.has_cluster(cluster) {
                continue;
            }
            let Some((given, pod)) = self.running(cluster, pool, *index) else { continue };
            let clients = known.value().and_then(|bridge| bridge.clients.as_ref());
            if clients.is_none() && pod.phase == PodPhase::Ready {
                why = why.or(Some(format!("bridge {pool}/{index} has not said yet whether it is connected to it")));
            }
            for slot in slots.iter().filter(|slot| clients.is_some_and(|ids| ids.contains(&joining::id(shard, **slot))))
            {
                why = Some(format!("bridge {pool}/{index} is still connected to it"));
                self.detach(pool, *index, &given, shard, *slot);
            }
        }
        why.map(|why| BlockedBy::Settling { why })
    }

    /// Tells the bridges of a cluster to give up their clients for a slot that stays, and that no pool there serves any
    /// more. What of that is left to do.
    ///
    /// A bridge that leaves a slot takes those with it whom its jicofo put there, so it leaves when there are none. One
    /// whom jicofo puts there in that very moment is moved by it to another bridge, as when a bridge is lost.
    pub(super) fn part_from_staying(
        &mut self,
        cluster: &ClusterName,
        view: &ClusterView,
        (shard, slot): (&ShardName, Slot),
    ) -> Option<BlockedBy> {
        if let Some(by) = self.others_first(cluster, view) {
            return Some(by);
        }
        let id = joining::id(shard, slot);
        let mut left = None;
        let owned = view.inventories.get(&fleet::Plane::Data).into_iter().flat_map(|inventory| inventory.units.keys());
        for unit in owned {
            let UnitId::Bridge(pool, index) = unit else { continue };
            let Some((given, pod)) = self.running(cluster, pool, *index) else { continue };
            let known = self.inputs.observed.bridges.get(&(cluster.clone(), pool.clone(), *index));
            let Some(bridge) = known.and_then(Known::value).filter(|bridge| bridge.clients.is_some()) else {
                if pod.phase == PodPhase::Ready {
                    let why = format!("bridge {pool}/{index} has not said yet whether it is connected to it");
                    left = left.or(Some(BlockedBy::Settling { why }));
                }
                continue;
            };
            if bridge.clients.as_ref().is_some_and(|clients| !clients.contains(&id)) {
                continue;
            }
            let by = match self.presence_of_slot_on_bridge((shard, slot), (cluster, pool, *index), bridge) {
                Presence::Nobody => {
                    self.detach(pool, *index, &given, shard, slot);
                    BlockedBy::Settling { why: format!("bridge {pool}/{index} is still connected to it") }
                }
                Presence::Somebody(live) => BlockedBy::Participants(live),
                Presence::Unknown(why) => BlockedBy::NoEvidence { why },
            };
            left = match (left, by) {
                // People are what others want to know of.
                (None | Some(BlockedBy::Settling { .. }), by) => Some(by),
                (Some(left), _) => Some(left),
            };
        }
        left
    }

    /// Bridges that go anyway are seen empty by the jicofo whose client they have; recorders part when their turn comes.
    fn others_first(&self, cluster: &ClusterName, view: &ClusterView) -> Option<BlockedBy> {
        let names = Names(&self.inputs.fleet.name);
        let owned = view.inventories.get(&fleet::Plane::Data)?;
        let waits = |unit: &UnitId| match unit {
            UnitId::Bridge(..) => !self.is_desired(cluster, unit),
            UnitId::Recorder(pool, index) => {
                let pod = view.pods.get(&format!("{}-0", names.recorder(pool, *index)));
                let roll = self.inputs.desired.units.get(unit).map(|unit| unit.roll.as_str());
                !self.is_desired(cluster, unit) || pod.is_some_and(|pod| pod.roll.as_deref() != roll)
            }
            _ => false,
        };
        let unit = owned.units.keys().find(|unit| waits(unit))?;
        Some(BlockedBy::Settling { why: format!("{unit} still uses it, and goes or is replaced first") })
    }

    /// Who is on a bridge by the will of that slot's jicofo.
    fn presence_of_slot_on_bridge(
        &self,
        (shard, slot): (&ShardName, Slot),
        (cluster, pool, index): (&ClusterName, &PoolName, Index),
        bridge: &BridgeView,
    ) -> Presence {
        if self.inputs.policy.allow_disruption || bridge.endpoints == 0 {
            return Presence::Nobody;
        }
        let nickname = Names(&self.inputs.fleet.name).bridge_nickname(cluster, pool, index);
        match self.inputs.observed.slots.get(&(shard.clone(), slot)) {
            Some(Known::Yes(seen)) => match seen.value.bridges.get(&nickname).map_or(0, |bridge| bridge.endpoints) {
                0 => Presence::Nobody,
                participants => Presence::Somebody(Live { conferences: 0, participants }),
            },
            Some(Known::Unknown { why }) => Presence::Unknown(why.to_string()),
            Some(Known::Absent { .. }) | None => Presence::Unknown("its jicofo was not asked".to_owned()),
        }
    }

    fn detach(&mut self, pool: &PoolName, index: Index, pod: &Given, shard: &ShardName, slot: Slot) {
        let (pool, pod, shard) = (pool.clone(), pod.clone(), shard.clone());
        let step = Step::Detach { pool, index, pod, shard, slot };
        // Units of one shard ask for the same.
        if !self.steps.contains(&step) {
            self.steps.push(step);
        }
    }

    /// A bridge's pod, if it can be told something.
    fn running(&self, cluster: &ClusterName, pool: &PoolName, index: Index) -> Option<(Given, &'a LivePod)> {
        let name = format!("{}-0", Names(&self.inputs.fleet.name).bridge(pool, index));
        let pod = self.view(cluster)?.pods.get(&name)?;
        let runs = matches!(pod.phase, PodPhase::Running | PodPhase::Ready);
        runs.then(|| (Given { cluster: cluster.clone(), pod: name, uid: pod.uid.clone() }, pod))
    }
}
