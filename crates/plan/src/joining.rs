//! How long clients of bridges have been apart from their slots.

use std::collections::BTreeMap;

use fleet::{Fleet, Index, Pool, ShardName, Slot};
use jiff::{SignedDuration, Timestamp};
use manifest::{Allocations, Names};

use crate::{Known, LivePod, Observed, PodPhase, Step, Witness};

/// A client that is only about to join, or to join again after its server was away, has done so by then.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Whoever was told in vain is told again after twice the time, up to `PATIENCE << MOST`.
const MOST: u32 = 6;

/// Clients that are configured and not joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Joining(BTreeMap<Client, Apart>);

/// The UID of a bridge's pod, and the id of its client.
type Client = (String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Apart {
    /// Seen so first, or told last.
    since: Timestamp,
    /// How often it was told to join.
    told: u32,
}

impl Joining {
    /// Takes up what a look around showed.
    pub(crate) fn saw(&mut self, fleet: &Fleet, allocations: &Allocations, observed: &Observed, witness: Witness) {
        let before = std::mem::take(&mut self.0);
        for pool in &fleet.data.pools {
            let place = |index| (pool.cluster.clone(), pool.name.clone(), Index(index));
            for (.., index) in observed.bridges.range(place(0)..=place(u16::MAX)).map(|(key, _)| key) {
                let Some(pod) = pod(fleet, observed, pool, *index) else { continue };
                for shard in &pool.shards {
                    let slot = allocations.serving(shard);
                    let Some(since) = apart(fleet, observed, witness, pool, *index, shard, slot) else { continue };
                    let client = client(pod, shard, slot);
                    let seen = before.get(&client).copied().unwrap_or(Apart { since, told: 0 });
                    self.0.insert(client, seen);
                }
            }
        }
    }

    /// Takes up which bridges are told to join: what they looked like before counts no more.
    pub(crate) fn told(&mut self, steps: &[Step], now: Timestamp) {
        for step in steps {
            let Step::Attach { pod, shard, slot, .. } = step else { continue };
            let apart = self.0.entry((pod.uid.clone(), id(shard, *slot))).or_insert(Apart { since: now, told: 0 });
            *apart = Apart { since: now, told: (apart.told + 1).min(MOST) };
        }
    }

    /// Whether a client that was seen apart at that time has been so for too long.
    pub(crate) fn is_stuck(&self, pod: &LivePod, shard: &ShardName, slot: Slot, as_of: Timestamp) -> bool {
        let patience = |told: u32| SignedDuration::from_secs(PATIENCE.as_secs() << told);
        let apart = self.0.get(&client(pod, shard, slot));
        apart.is_some_and(|apart| as_of.duration_since(apart.since) >= patience(apart.told))
    }
}

/// The id of a slot's client on every bridge.
pub(crate) fn id(shard: &ShardName, slot: Slot) -> String {
    format!("{shard}-{slot}")
}

fn client(pod: &LivePod, shard: &ShardName, slot: Slot) -> Client {
    (pod.uid.clone(), id(shard, slot))
}

fn pod<'o>(fleet: &Fleet, observed: &'o Observed, pool: &Pool, index: Index) -> Option<&'o LivePod> {
    let view = observed.clusters.get(&pool.cluster)?.value()?;
    view.pods.get(&format!("{}-0", Names(&fleet.name).bridge(&pool.name, index)))
}

/// Since when a bridge is known to have a client for a slot that is not joined to it, though the slot is up: the older of
/// the bridge's own word and that of the slot's jicofo.
pub(crate) fn apart(
    fleet: &Fleet,
    observed: &Observed,
    witness: Witness,
    pool: &Pool,
    index: Index,
    shard: &ShardName,
    slot: Slot,
) -> Option<Timestamp> {
    let Some(Known::Yes(own)) = observed.bridges.get(&(pool.cluster.clone(), pool.name.clone(), index)) else {
        return None;
    };
    let bridge = &own.value;
    if !bridge.clients.as_ref()?.contains(&id(shard, slot)) || bridge.clients_connected >= bridge.clients_configured {
        return None;
    }
    if witness == Witness::Bridge {
        // Which of them is not connected, the bridge does not say: only with none there is no doubt.
        return (bridge.clients_connected == 0).then_some(own.as_of);
    }
    let names = Names(&fleet.name);
    let Some(Known::Yes(jicofo)) = observed.slots.get(&(shard.clone(), slot)) else { return None };
    let listed = jicofo.value.bridges.contains_key(&names.bridge_nickname(&pool.cluster, &pool.name, index));
    let prosody = format!("{}-0", names.of_slot(shard, slot, fleet::Component::Prosody));
    let control = observed.clusters.get(&fleet.control.cluster).and_then(Known::value)?;
    let up = control.pods.get(&prosody).is_some_and(|pod| pod.phase == PodPhase::Ready);
    (up && !listed).then_some(own.as_of.min(jicofo.as_of))
}
