//! What happens to the world at one moment, and passes again.

use std::time::Duration;

use jiff::SignedDuration;
use sandbox::fault::Faults;

use crate::dice::Dice;
use crate::fleets::RELEASES;
use crate::stage::{NAMESPACE, Stage};

/// Something that happens at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// All connections to an API server are cut, as by a load balancer before it.
    Cut(&'static str),
    /// An API server goes down, and comes back after so many seconds.
    Down(&'static str, u64),
    /// Nothing reaches an API server, for so long in seconds; it answers nothing, or refuses connections.
    Partition(&'static str, u64, bool),
    /// A daemon of some pod crashes.
    Crash(u64),
    /// A pod has too little memory.
    OutOfMemory(u64),
    /// A machine is lost, for so many seconds.
    Node(&'static str, u64, u64),
    /// A zone is lost, for so many seconds.
    Zone(&'static str, u64, u64),
    /// A load balancer moves to another address.
    Move,
    /// Load balancers that are made now get no address for so many seconds.
    Hold(&'static str, u64),
    /// An image can't be pulled for so many seconds.
    Image(&'static str, u64),
    /// The runner's clock jumps by so many seconds.
    Jump(i64),
}

impl Blow {
    pub(crate) fn new(clusters: &[&'static str], dice: &mut Dice) -> Self {
        let cluster = dice.pick(clusters).unwrap_or("hq");
        match dice.between(0, 13) {
            0 => Self::Cut(cluster),
            1 | 2 => Self::Down(cluster, dice.between(1, 60)),
            3 | 4 => Self::Partition(cluster, dice.between(1, 90), dice.comes(50)),
            5 => Self::Crash(dice.next()),
            6 => Self::OutOfMemory(dice.next()),
            // Long enough for evictions, or too short for anybody to notice.
            7 | 8 => Self::Node(cluster, dice.between(1, 6), dice.pick(&[5, 60, 500]).unwrap_or(5)),
            9 => Self::Zone(cluster, dice.between(0, 2), dice.pick(&[30, 500]).unwrap_or(30)),
            10 => Self::Move,
            11 => Self::Hold(cluster, dice.between(5, 200)),
            12 => Self::Image(dice.pick(&RELEASES).unwrap_or(RELEASES[0]), dice.between(5, 100)),
            _ => Self::Jump(dice.pick(&[3600, -3600, 100_000, -100_000]).unwrap_or(3600)),
        }
    }

    /// What kind of blow it is.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Cut(_) => "connections to an API server cut",
            Self::Down(..) => "API server down",
            Self::Partition(_, _, true) => "silent partition",
            Self::Partition(_, _, false) => "partition with resets",
            Self::Crash(_) => "daemon crashed",
            Self::OutOfMemory(_) => "out of memory",
            Self::Node(..) => "node lost",
            Self::Zone(..) => "zone lost",
            Self::Move => "load balancer moved",
            Self::Hold(..) => "load balancers held",
            Self::Image(..) => "image not pulled",
            Self::Jump(_) => "clock jumped",
        }
    }

    /// Whether it can cost a caller something, whatever the orchestrator does.
    pub(crate) const fn hurts_people(self) -> bool {
        match self {
            Self::Crash(_) | Self::OutOfMemory(_) | Self::Node(..) | Self::Zone(..) | Self::Move => true,
            Self::Cut(_) | Self::Down(..) | Self::Partition(..) | Self::Hold(..) | Self::Image(..) | Self::Jump(_) => {
                false
            }
        }
    }
}

impl Stage {
    /// Strikes, and returns when it has passed. `faults` are those on the way to each cluster.
    pub(crate) async fn strike(&self, blow: Blow, faults: impl Fn(&str) -> Vec<Faults>) {
        self.trace.say(format!("{blow:?}"));
        let world = self.sandbox.world();
        let passes = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        match blow {
            Blow::Cut(cluster) => faults(cluster).iter().for_each(Faults::cut_connections),
            Blow::Down(cluster, seconds) => {
                faults(cluster).iter().for_each(|faults| faults.set_down(true));
                passes(seconds).await;
                faults(cluster).iter().for_each(|faults| faults.set_down(false));
            }
            Blow::Partition(cluster, seconds, silent) => {
                let part = if silent { Faults::partition } else { Faults::partition_with_resets };
                faults(cluster).iter().for_each(part);
                passes(seconds).await;
                faults(cluster).iter().for_each(Faults::heal);
            }
            Blow::Crash(number) => {
                if let Some((cluster, pod)) = self.some_pod(number) {
                    self.trace.say(format!("{cluster}: the daemon of {pod} crashes"));
                    // A pod without a daemon has nothing that could crash.
                    let _ = world.crash(cluster, NAMESPACE, &pod);
                }
            }
            Blow::OutOfMemory(number) => {
                if let Some((cluster, pod)) = self.some_pod(number) {
                    self.trace.say(format!("{cluster}: {pod} has too little memory"));
                    // As above.
                    let _ = world.out_of_memory(cluster, NAMESPACE, &pod);
                }
            }
            Blow::Node(cluster, number, seconds) => {
                let node = format!("{cluster}-node-{number}");
                // There may be fewer.
                let _ = world.lose_node(cluster, &node);
                passes(seconds).await;
                let _ = world.restore_node(cluster, &node);
            }
            Blow::Zone(cluster, number, seconds) => {
                let zone = ["a", "b", "c"].get(usize::try_from(number).unwrap_or(0)).copied().unwrap_or("a");
                let lost = world.lose_zone(cluster, &format!("{cluster}-{zone}")).unwrap_or_default();
                passes(seconds).await;
                for node in lost {
                    let _ = world.restore_node(cluster, &node);
                }
            }
            Blow::Move => {
                let moved = vec!["203.0.113.99".to_owned()];
                // Without such a Service there is nothing that could move.
                let _ = world.set_load_balancer_address("hq", NAMESPACE, "meet-alpha-xmpp", moved).await;
            }
            Blow::Hold(cluster, seconds) => {
                // All these clusters are there.
                let _ = world.hold_load_balancers(cluster, true);
                passes(seconds).await;
                let _ = world.hold_load_balancers(cluster, false);
            }
            Blow::Image(tag, seconds) => {
                world.fail_image(tag, true);
                passes(seconds).await;
                world.fail_image(tag, false);
            }
            Blow::Jump(seconds) => self.clock.jump(SignedDuration::from_secs(seconds)),
        }
        self.trace.say(format!("{} has passed", blow.kind()));
    }

    fn some_pod(&self, number: u64) -> Option<(&'static str, String)> {
        let mut pods = self.pods();
        let count = u64::try_from(pods.len()).unwrap_or(0).max(1);
        let index = usize::try_from(number % count).unwrap_or(0);
        (index < pods.len()).then(|| pods.swap_remove(index))
    }
}
