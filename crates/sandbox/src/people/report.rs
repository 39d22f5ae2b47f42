//! What happened to people.

use serde::Serialize;

/// Interruptions by what caused them. Each is one participant from when something broke until he was back: what befell
/// him in between belongs to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Interruptions {
    /// The bridge ended with people on it: seconds without media.
    pub bridge_killed: u64,
    /// The focus moved people to another bridge that still lived, or gave up one that it lost sight of.
    pub bridge_moved: u64,
    /// A Service dropped the bridge's media flows while the bridge lived.
    pub media_cut: u64,
    /// prosody or jicofo of the shard ended: everybody on it loads the page anew.
    pub shard_restarted: u64,
    /// Somebody found himself on another shard than the others of his room, and loaded the page anew.
    pub wrong_shard: u64,
    /// The proxy or the web server in between ended; media went on.
    pub websocket_cut: u64,
}

/// Why somebody is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    BridgeKilled,
    BridgeMoved,
    MediaCut,
    ShardRestarted,
    WrongShard,
    WebsocketCut,
}

impl Interruptions {
    /// Of all causes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.bridge_killed
            + self.bridge_moved
            + self.media_cut
            + self.shard_restarted
            + self.wrong_shard
            + self.websocket_cut
    }

    pub(super) const fn of(&mut self, cause: Cause) -> &mut u64 {
        match cause {
            Cause::BridgeKilled => &mut self.bridge_killed,
            Cause::BridgeMoved => &mut self.bridge_moved,
            Cause::MediaCut => &mut self.media_cut,
            Cause::ShardRestarted => &mut self.shard_restarted,
            Cause::WrongShard => &mut self.wrong_shard,
            Cause::WebsocketCut => &mut self.websocket_cut,
        }
    }
}

impl Cause {
    /// Whether it is what somebody remembers of the two: a page loaded anew is more than a silence, and that is more
    /// than a websocket that nobody misses.
    pub(super) const fn outweighs(self, other: Self) -> bool {
        self.weight() > other.weight()
    }

    const fn weight(self) -> u8 {
        match self {
            Self::WebsocketCut => 0,
            Self::BridgeKilled | Self::BridgeMoved | Self::MediaCut => 1,
            Self::ShardRestarted | Self::WrongShard => 2,
        }
    }
}

/// One minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Minutes since the callers started.
    pub minute: u64,
    /// Conferences with somebody in them.
    pub conferences: u64,
    /// People in them.
    pub participants: u64,
    /// Bridges that run.
    pub bridges: u64,
    /// Those of them that drain.
    pub draining_bridges: u64,
    /// Interruptions so far.
    pub interruptions: u64,
}

/// What the callers of a run went through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PeopleReport {
    /// What everything was drawn from.
    pub seed: u64,
    /// Conferences that began.
    pub conferences: u64,
    /// People who came into one.
    pub participants: u64,
    /// Conferences now.
    pub conferences_now: u64,
    /// People in them now.
    pub participants_now: u64,
    /// The most conferences at once.
    pub peak_conferences: u64,
    /// The most people at once.
    pub peak_participants: u64,
    /// Interruptions by cause.
    pub interruptions: Interruptions,
    /// People who had at least one.
    pub interrupted_participants: u64,
    /// The most that one person had.
    pub worst: u64,
    /// Times somebody couldn't come in at the first attempt.
    pub failed_joins: u64,
    /// Conferences whose people were on two shards at once.
    pub split_conferences: u64,
    /// What callers did: each counts one event of the simulation.
    pub events: Events,
    /// Minute by minute.
    pub samples: Vec<Sample>,
}

/// Events of the simulation by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Conferences that came up to begin, those that the time of day ruled out included.
    pub arrivals: u64,
    /// Somebody comes in, or tries to.
    pub joins: u64,
    /// Somebody leaves.
    pub leaves: u64,
    /// The keep-alives of a whole conference.
    pub keep_alives: u64,
    /// Looks at what ended.
    pub looks: u64,
}
