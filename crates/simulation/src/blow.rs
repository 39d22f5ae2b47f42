//! What happens to the world at one moment, and passes again.

use crate::dice::Dice;
use crate::fleets::RELEASES;

/// Something that happens at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// All connections to an API server are cut, as by a load balancer before it.
    Cut(&'static str),
    /// An API server goes down, and comes back after so many seconds.
    Down(&'static str, u64),
    /// An API server goes down, and when it comes back after so many seconds it has forgotten all changes before: watches
    /// can't go on from where they were, nor lists.
    Forget(&'static str, u64),
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
        match dice.between(0, 14) {
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
            13 => Self::Forget(cluster, dice.pick(&[0, 5, 60]).unwrap_or(5)),
            _ => Self::Jump(dice.pick(&[3600, -3600, 100_000, -100_000]).unwrap_or(3600)),
        }
    }

    /// What kind of blow it is.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Cut(_) => "connections to an API server cut",
            Self::Down(..) => "API server down",
            Self::Forget(..) => "history forgotten",
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
            Self::Cut(_)
            | Self::Down(..)
            | Self::Forget(..)
            | Self::Partition(..)
            | Self::Hold(..)
            | Self::Image(..)
            | Self::Jump(_) => false,
        }
    }
}
