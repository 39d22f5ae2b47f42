//! What the daemon tells about itself: one value that is replaced after each round, and what happened in between.

use std::collections::{BTreeMap, BTreeSet};

use cluster::Lifetime;
use fleet::{ClusterName, Plane, ShardName, Slot};
use jiff::Timestamp;
use manifest::{Endpoint, Kind};
use plan::Blocked;
use serde::ser::{SerializeStruct as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::report::{Event, Failure, Status};

use super::Intake;

/// Everything that is worth asking a daemon: as of its last round, connections and Leases as of a moment ago.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    /// The fleet.
    pub fleet: String,
    /// Since when this daemon runs.
    pub started: Timestamp,
    /// When this was true.
    pub as_of: Timestamp,
    /// What it works towards.
    pub intent: IntentState,
    /// Its planes, and whether it may write for them.
    pub planes: BTreeMap<Plane, PlaneState>,
    /// The clusters, and how current its picture of each is.
    pub clusters: BTreeMap<ClusterName, ClusterState>,
    /// What `jitsictl status` shows; none before the first round.
    pub status: Option<Status>,
    /// Where data clusters reach each slot's XMPP, and since when that is so.
    pub endpoints: Vec<EndpointState>,
    /// Steps of the last plan: what was begun.
    pub steps: usize,
    /// What waits, and for what.
    pub blocked: Vec<Blocked>,
    /// What did not work, and was not done since.
    pub failures: Vec<Failure>,
    /// Objects that somebody else changes again and again: they are left alone for a while.
    pub fighting: Vec<Fighting>,
}

impl State {
    /// Of a daemon that has not looked around yet.
    pub(crate) fn before(intake: &Intake, planes: &BTreeSet<Plane>, now: Timestamp) -> Self {
        let hash = manifest::short_hash(&intake.loaded.intent_text);
        Self {
            fleet: intake.loaded.fleet.name.to_string(),
            intent: IntentState { hash, since: now, refused: intake.refused.clone() },
            planes: planes.iter().map(|plane| (*plane, PlaneState::Starting)).collect(),
            ..Self::nothing(now)
        }
    }

    /// Of one that has not had a fleet file that makes sense: it knows of no fleet.
    #[must_use]
    pub fn without_intent(refused: Refused, now: Timestamp) -> Self {
        let intent = IntentState { hash: String::new(), since: now, refused: Some(refused) };
        Self { intent, ..Self::nothing(now) }
    }

    const fn nothing(now: Timestamp) -> Self {
        Self {
            fleet: String::new(),
            started: now,
            as_of: now,
            intent: IntentState { hash: String::new(), since: now, refused: None },
            planes: BTreeMap::new(),
            clusters: BTreeMap::new(),
            status: None,
            endpoints: Vec::new(),
            steps: 0,
            blocked: Vec::new(),
            failures: Vec::new(),
            fighting: Vec::new(),
        }
    }

    /// Whether it leads or follows in each plane, and of each cluster that answers there is a picture. One that does not
    /// answer is no reason to wait: what it holds can't be known, and the others are kept.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let settled = !self.planes.is_empty() && self.planes.values().all(PlaneState::is_settled);
        settled && self.status.is_some() && self.clusters.values().all(ClusterState::is_settled)
    }
}

/// The fleet file, as far as it was understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntentState {
    /// A hash of the intent that is worked towards.
    pub hash: String,
    /// Since when.
    pub since: Timestamp,
    /// A newer file that makes no sense: the last good one stays in force.
    pub refused: Option<Refused>,
}

/// A fleet file that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// When it was found.
    pub since: Timestamp,
    /// What is wrong with it: all of it.
    pub problems: Vec<String>,
}

/// Whether a daemon may write for a plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PlaneState {
    /// Nobody knows yet.
    Starting,
    /// It holds the plane's Lease.
    Leading {
        /// Since when.
        since: Timestamp,
    },
    /// Somebody else does.
    Following {
        /// Who.
        holder: String,
        /// Since when.
        since: Timestamp,
    },
    /// The plane's home does not answer: nobody can prove to be the one writer, so it is observed only.
    Frozen {
        /// Why.
        why: String,
        /// Since when.
        since: Timestamp,
    },
}

impl PlaneState {
    /// Whether it is known who writes.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Leading { .. } | Self::Following { .. })
    }
}

/// How current the picture of a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterState {
    /// In one word.
    pub state: Link,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why it is not live.
    pub why: Option<String>,
    /// Until when its picture is certainly complete.
    pub as_of: Option<Timestamp>,
    /// Objects of the fleet there.
    pub objects: usize,
    /// How long the token or the certificate of the kubeconfig is good for, where it ends.
    pub credentials: Option<Lifetime>,
}

impl ClusterState {
    /// Whether it is known what the cluster holds, or why that can't be known: an old picture is one, and where not
    /// everything could be listed yet there is none.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        match self.state {
            Link::Connecting | Link::Syncing => false,
            Link::Live | Link::Degraded => self.as_of.is_some(),
            Link::Lost => true,
        }
    }
}

/// The state of the connection to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// No answer yet.
    Connecting,
    /// Its objects are being listed.
    Syncing,
    /// Its objects are watched.
    Live,
    /// It answers, and not everything: what is known may be old.
    Degraded,
    /// It does not answer.
    Lost,
}

impl Link {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Connecting, Self::Syncing, Self::Live, Self::Degraded, Self::Lost];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Syncing => "syncing",
            Self::Live => "live",
            Self::Degraded => "degraded",
            Self::Lost => "lost",
        }
    }
}

/// Where data clusters reach a slot's XMPP.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointState {
    /// The shard.
    pub shard: ShardName,
    /// The slot.
    pub slot: Slot,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Since when it is in this state.
    pub since: Timestamp,
}

/// An object that somebody else changes again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fighting {
    /// Where.
    pub cluster: ClusterName,
    /// Kind, namespace and name.
    pub object: String,
    /// The other managers of its fields.
    pub managers: Vec<String>,
    /// How often it was repaired before that was given up.
    pub repairs: usize,
    /// It is left alone until then.
    pub until: Timestamp,
}

/// Something that happened, for those who listen.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happens in a daemon's life.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// A cluster's connection changed.
    Cluster {
        /// Which.
        cluster: ClusterName,
        /// What it is now.
        state: Link,
        /// Why, where that is not good.
        why: Option<String>,
    },
    /// A plane's writer changed.
    Plane {
        /// Which.
        plane: Plane,
        /// What this daemon is to it now.
        #[serde(flatten)]
        state: PlaneState,
    },
    /// Another fleet file is in force.
    Intent {
        /// Its hash.
        hash: String,
    },
    /// A fleet file was not accepted.
    IntentRefused {
        /// All that is wrong with it.
        problems: Vec<String>,
    },
    /// An object that had changed, or was gone, is again as it should be, with nothing new in the fleet file.
    Repaired {
        /// Where.
        cluster: ClusterName,
        /// What it is.
        kind: Kind,
        /// Kind, namespace and name.
        object: String,
    },
    /// An object is left alone, since somebody else changes it again and again.
    Fighting(Fighting),
    /// A slot's endpoint changed.
    Endpoint {
        /// The shard.
        shard: ShardName,
        /// The slot.
        slot: Slot,
        /// What it is now.
        endpoint: Endpoint,
    },
    /// Bridges that were missing have all joined.
    Joined,
    /// Bridges are missing.
    Missing {
        /// How many.
        bridges: usize,
        /// Why, one line each.
        why: Vec<String>,
    },
    /// Something of a run: a step, a write, a failure.
    #[serde(serialize_with = "of_a_run")]
    Run(Event),
}

/// In a field of its own: a run's events have a field `event` themselves.
fn of_a_run<S: Serializer>(event: &Event, serializer: S) -> Result<S::Ok, S::Error> {
    let mut outer = serializer.serialize_struct("Run", 1)?;
    outer.serialize_field("run", event)?;
    outer.end()
}

/// What is counted, since the daemon started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rounds, by how they ended.
    pub rounds: BTreeMap<RoundEnd, u64>,
    /// Rounds by how long they took: below 1, 5, 10, 25, 50, 100, 250, 500 ms, 1, 2.5, 5, 10 s, and longer.
    pub durations: [u64; BUCKETS.len() + 1],
    /// All rounds' time together, in microseconds.
    pub spent: u64,
    /// Objects that were put right again, by cluster and kind.
    pub repaired: BTreeMap<(ClusterName, Kind), u64>,
    /// Requests over all connections, by cluster, verb (`connect` for streams to pods) and status; 0: there was no answer.
    pub requests: BTreeMap<(ClusterName, String, u16), u64>,
}

/// The upper ends of [`Counters::durations`], in milliseconds.
pub const BUCKETS: [u64; 12] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

impl Counters {
    /// Counts a round.
    pub(crate) fn round(&mut self, end: RoundEnd, took: std::time::Duration) {
        *self.rounds.entry(end).or_default() += 1;
        let millis = took.as_secs_f64() * 1e3;
        let bucket = BUCKETS.iter().position(|upper| millis <= *upper as f64).unwrap_or(BUCKETS.len());
        self.durations[bucket] += 1;
        self.spent += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    }
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundEnd {
    /// Nothing was to be done.
    Nothing,
    /// Steps were begun.
    Acted,
    /// Something waits, and nothing could be done about it.
    Waiting,
    /// It could not be planned.
    Failed,
}

impl RoundEnd {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Acted => "acted",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_notice_has_each_field_once() {
        let connected = Event::Connected { cluster: "hq".parse().unwrap() };
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let notice = serde_json::to_string(&Notice { at, what: Happening::Run(connected) }).unwrap();
        let wanted = r#"{"at":"2026-01-01T00:00:00Z","event":"run","run":{"event":"connected","cluster":"hq"}}"#;
        assert_eq!(notice, wanted);
        let state = PlaneState::Leading { since: at };
        let notice = Notice { at, what: Happening::Plane { plane: Plane::Data, state } };
        let wanted = r#"{"at":"2026-01-01T00:00:00Z","event":"plane","plane":"data","state":"leading","since":"2026-01-01T00:00:00Z"}"#;
        assert_eq!(serde_json::to_string(&notice).unwrap(), wanted);
    }

    #[test]
    fn rounds_are_counted_where_they_belong() {
        let mut counters = Counters::default();
        for millis in [0, 1, 2, 250, 251, 60_000] {
            counters.round(RoundEnd::Nothing, Duration::from_millis(millis));
        }
        assert_eq!(counters.rounds[&RoundEnd::Nothing], 6);
        assert_eq!(counters.durations[0], 2);
        assert_eq!(counters.durations[1], 1);
        assert_eq!((counters.durations[6], counters.durations[7], counters.durations[12]), (1, 1, 1));
        assert_eq!(counters.spent, 60_504_000);
    }
}
