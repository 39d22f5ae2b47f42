//! Connecting running bridges to slots that appeared after they started.

use manifest::{Names, UnitId};

use super::Draft;
use crate::{Given, Known, PodPhase, Step};

impl Draft<'_> {
    /// Attaches each running bridge to the slots whose client it lacks.
    pub(super) fn attach(&mut self) {
        let inputs = self.inputs;
        if inputs.policy.removal != crate::Removal::None || !inputs.policy.has_plane(fleet::Plane::Data) {
            return;
        }
        let names = Names(&inputs.fleet.name);
        for pool in inputs.fleet.data.pools.iter().filter(|pool| inputs.policy.has_cluster(&pool.cluster)) {
            let Some(view) = self.view(&pool.cluster) else { continue };
            let place = |index| (pool.cluster.clone(), pool.name.clone(), fleet::Index(index));
            for ((.., index), known) in inputs.observed.bridges.range(place(0)..=place(u16::MAX)) {
                let Some(clients) = known.value().and_then(|bridge| bridge.clients.as_ref()) else { continue };
                let name = format!("{}-0", names.bridge(&pool.name, *index));
                let Some(pod) = view.pods.get(&name) else { continue };
                if !matches!(pod.phase, PodPhase::Running | PodPhase::Ready) {
                    continue;
                }
                for shard in &pool.shards {
                    let slot = inputs.record.allocations.serving(shard);
                    let unwired =
                        inputs.pending.contains_key(&UnitId::Wiring(pool.cluster.clone(), shard.clone(), slot));
                    if unwired || clients.contains(&format!("{shard}-{slot}")) {
                        continue;
                    }
                    let listed =
                        inputs.observed.slots.get(&(shard.clone(), slot)).and_then(Known::value).is_some_and(|seen| {
                            seen.bridges.contains_key(&names.bridge_nickname(&pool.cluster, &pool.name, *index))
                        });
                    if !listed {
                        self.steps.push(Step::Attach {
                            pool: pool.name.clone(),
                            index: *index,
                            pod: Given { cluster: pool.cluster.clone(), pod: name.clone(), uid: pod.uid.clone() },
                            shard: shard.clone(),
                            slot,
                            replace: false,
                        });
                    }
                }
            }
        }
    }
}
