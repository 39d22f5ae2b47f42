//! What the jicofos that should know a bridge say of it, and since when each of them is known to send nobody there.

use std::collections::BTreeMap;

use fleet::{ClusterName, Fleet, Index, PoolName, ShardName};
use jiff::Timestamp;
use manifest::Names;

use crate::joining::PATIENCE;
use crate::{Known, Observed, Occupant, Step, Witness};

/// What one slot's jicofo says of a bridge.
pub(crate) struct Seat {
    /// The slot, and where it is if that is not where the file has it.
    slot: String,
    /// When it was asked, if it could be.
    as_of: Option<Timestamp>,
    pub(crate) says: Says,
}

pub(crate) enum Says {
    /// It lists it.
    Listed(Occupant),
    /// It does not.
    NotListed,
    /// It can't be asked.
    Unknown(String),
}

impl Seat {
    pub(crate) const fn endpoints(&self) -> u64 {
        match &self.says {
            Says::Listed(occupant) => occupant.endpoints,
            Says::NotListed | Says::Unknown(_) => 0,
        }
    }

    /// Why it can't be asked, if it can't.
    pub(crate) fn unknown(&self) -> Option<&str> {
        match &self.says {
            Says::Unknown(why) => Some(why),
            Says::Listed(_) | Says::NotListed => None,
        }
    }

    pub(crate) const fn confirms_drain(&self) -> bool {
        match &self.says {
            Says::Listed(occupant) => occupant.draining,
            Says::NotListed => true,
            Says::Unknown(_) => false,
        }
    }
}

/// What each slot that should know the bridge of that cluster says of it.
pub(crate) fn seats(
    fleet: &Fleet,
    observed: &Observed,
    witness: Witness,
    (cluster, pool, index): (&ClusterName, &PoolName, Index),
) -> Vec<Seat> {
    if witness == Witness::Bridge {
        return Vec::new();
    }
    let nickname = Names(&fleet.name).bridge_nickname(cluster, pool, index);
    // A pool that left the file, or the cluster, may have served any shard, also where the control plane has been.
    let stays = fleet.data.pool(pool).filter(|pool| pool.cluster == *cluster);
    let serves = |shard: &ShardName| stays.is_none_or(|pool| pool.shards.contains(shard));
    let slots = observed.slots.iter().filter(|((shard, _), _)| serves(shard));
    let slots = slots.map(|((shard, slot), known)| (format!("{shard}-{slot}"), known));
    let former = observed.former.iter().filter(|_| stays.is_none());
    let former = former.map(|((place, shard, slot), known)| (format!("{shard}-{slot} in {place}"), known));
    slots
        .chain(former)
        .map(|(slot, known)| {
            let says = match known {
                Known::Yes(seen) => match seen.value.bridges.get(&nickname) {
                    Some(occupant) => Says::Listed(occupant.clone()),
                    None => Says::NotListed,
                },
                Known::Absent { .. } => Says::NotListed,
                Known::Unknown { why } => Says::Unknown(format!("jicofo of {slot} can't be asked: {why}")),
            };
            Seat { slot, as_of: known.as_of(), says }
        })
        .collect()
}

/// Since when the jicofos have confirmed drains in every look of this run. Bridges and jicofos are asked each in their
/// own time: a jicofo that says the same again is no reason to ask the bridge again, or they might never come together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confirmed(BTreeMap<Seated, Confirmation>);

/// The UID of a bridge's pod, and a slot.
type Seated = (String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Confirmation {
    since: Timestamp,
    /// It lists the bridge, as draining. Or it does not list it.
    listed: bool,
}

impl Confirmed {
    /// Takes up what a look around showed.
    pub(crate) fn saw(&mut self, fleet: &Fleet, observed: &Observed, witness: Witness) {
        let before = std::mem::take(&mut self.0);
        for (cluster, pool, index) in observed.bridges.keys() {
            let name = format!("{}-0", Names(&fleet.name).bridge(pool, *index));
            let view = observed.clusters.get(cluster).and_then(Known::value);
            let Some(pod) = view.and_then(|view| view.pods.get(&name)).filter(|pod| pod.drain.is_some()) else {
                continue;
            };
            for seat in seats(fleet, observed, witness, (cluster, pool, *index)) {
                let (true, Some(as_of)) = (seat.confirms_drain(), seat.as_of) else { continue };
                let listed = matches!(seat.says, Says::Listed(_));
                let key = (pod.uid.clone(), seat.slot);
                let same = before.get(&key).copied().filter(|before| before.listed == listed);
                self.0.insert(key, same.unwrap_or(Confirmation { since: as_of, listed }));
            }
        }
    }

    /// Takes up who is told anything about drains: what was confirmed before is of another one.
    pub(crate) fn told(&mut self, steps: &[Step]) {
        for step in steps {
            let (Step::Drain { pod, .. } | Step::Undrain { pod, .. }) = step else { continue };
            self.0.retain(|(uid, _), _| *uid != pod.uid);
        }
    }

    /// The moment since which all of these are known to confirm the drain of a bridge's pod.
    pub(crate) fn since(&self, uid: &str, seats: &[Seat]) -> Timestamp {
        seats.iter().filter_map(|seat| self.first(uid, seat)).max().unwrap_or(Timestamp::MIN)
    }

    /// The slot that a bridge's pod may be about to join, as one does whose server was away: a jicofo sends people to a
    /// draining bridge where it has no other.
    pub(crate) fn about_to_join<'s>(&self, uid: &str, seats: &'s [Seat]) -> Option<&'s str> {
        let missed = seats.iter().filter(|seat| matches!(seat.says, Says::NotListed));
        let mut recently = missed.filter(|seat| match (self.first(uid, seat), seat.as_of) {
            (Some(first), Some(last)) => last.duration_since(first) < PATIENCE,
            _ => true,
        });
        recently.next().map(|seat| seat.slot.as_str())
    }

    fn first(&self, uid: &str, seat: &Seat) -> Option<Timestamp> {
        self.0.get(&(uid.to_owned(), seat.slot.clone())).map(|confirmation| confirmation.since).or(seat.as_of)
    }
}
