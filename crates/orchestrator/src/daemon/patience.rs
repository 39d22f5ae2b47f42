//! How often it is looked, and daemons are asked, while something is waited for: often as long as things move, and ever
//! more rarely while nothing does.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::{ClusterName, ShardName, Slot};
use plan::{Blocked, BlockedBy, PodPhase};
use tokio::time::Instant;

use crate::report::{Missing, Unhealthy};
use crate::round::Round;

use super::Pace;

/// For how long nothing has moved.
#[derive(Debug, Default)]
pub(crate) struct Patience(Option<(Instant, Scene)>);

impl Patience {
    /// How long the next look may be away, when this is what the last one showed: as long as it has been so already.
    pub(crate) fn wait(&mut self, scene: Scene, pace: &Pace, now: Instant) -> Duration {
        let since = match &self.0 {
            Some((since, before)) if *before == scene => *since,
            _ => now,
        };
        self.0 = Some((since, scene));
        now.duration_since(since).clamp(pace.ask_soon, pace.ask.max(pace.ask_soon))
    }

    /// Something was done, or nothing is waited for.
    pub(crate) fn lose(&mut self) {
        self.0 = None;
    }
}

/// What somebody who waits sees. How many people are on calls is none of it, unless it is they who are waited for.
#[derive(Debug, PartialEq)]
pub(crate) struct Scene {
    steps: usize,
    blocked: Vec<Blocked>,
    missing: Vec<Missing>,
    unhealthy: Vec<Unhealthy>,
    slots: Vec<(ShardName, Slot, usize, Option<String>)>,
    /// By UID: another pod of a name is another one.
    pods: BTreeMap<ClusterName, BTreeMap<String, PodPhase>>,
}

impl Scene {
    /// What a round shows.
    pub(crate) fn of(round: &Round) -> Self {
        let clusters = round.observed.clusters.iter();
        let views = clusters.filter_map(|(name, known)| Some((name, known.value()?)));
        let slots = round.proof.slots.iter();
        Self {
            steps: round.plan.steps.len(),
            blocked: round.plan.blocked.clone(),
            missing: round.proof.missing.clone(),
            unhealthy: round.proof.unhealthy.clone(),
            slots: slots.map(|slot| (slot.shard.clone(), slot.slot, slot.joined, slot.why.clone())).collect(),
            pods: views
                .map(|(name, view)| {
                    let pods = view.pods.values().map(|pod| (pod.uid.clone(), pod.phase.clone()));
                    (name.clone(), pods.collect())
                })
                .collect(),
        }
    }
}

/// Whether something is on its way that daemons are to be asked about.
pub(crate) fn waits(round: &Round) -> bool {
    let passing =
        |by: &BlockedBy| matches!(by, BlockedBy::Settling { .. } | BlockedBy::Turn { .. } | BlockedBy::Participants(_));
    !round.plan.steps.is_empty()
        || round.plan.blocked.iter().any(|blocked| passing(&blocked.by))
        || !round.proof.missing.is_empty()
        || round.proof.slots.iter().any(|slot| slot.why.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(steps: usize) -> Scene {
        let (blocked, missing, unhealthy, slots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Scene { steps, blocked, missing, unhealthy, slots, pods: BTreeMap::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_waited_as_long_as_it_has_been_so_already() {
        let (mut patience, pace, begun) = (Patience::default(), Pace::default(), Instant::now());
        let mut looks = Vec::new();
        for _ in 0..8 {
            let wait = patience.wait(scene(1), &pace, Instant::now());
            tokio::time::advance(wait).await;
            looks.push(begun.elapsed().as_secs());
        }
        assert_eq!(looks, [1, 2, 4, 8, 16, 31, 46, 61]);
        assert_eq!(patience.wait(scene(2), &pace, Instant::now()), pace.ask_soon, "it has moved");
        tokio::time::advance(pace.ask).await;
        assert_eq!(patience.wait(scene(2), &pace, Instant::now()), pace.ask);
        patience.lose();
        assert_eq!(patience.wait(scene(2), &pace, Instant::now()), pace.ask_soon, "it was acted");
    }
}
