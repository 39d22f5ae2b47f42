//! What the verbs report: stable field names, for people and for `-o json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fleet::{ClusterName, Index, Plane, PoolName, ShardName, Slot};
use jiff::Timestamp;
use manifest::{Endpoint, UnitId};
use plan::{Blocked, Live, Plan, Reason, Step};
use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything is as it should be.
    Converged,
    /// Something was done, or was not necessary; something is left, and it is named.
    NotConverged,
    /// Nothing could be done.
    Failed,
}

/// Something that happened, as it happens: one JSON line each.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A cluster answered.
    Connected {
        /// Which.
        cluster: ClusterName,
    },
    /// A cluster did not answer, or refused us.
    Unreachable {
        /// Which.
        cluster: ClusterName,
        /// Why.
        why: String,
    },
    /// A plan was made: what it holds for each cluster.
    Planned {
        /// Objects that differ, by cluster.
        changes: BTreeMap<ClusterName, usize>,
        /// Steps that are allowed now.
        steps: usize,
        /// Things that wait.
        blocked: usize,
    },
    /// A step begins.
    Step {
        /// Which.
        step: Step,
    },
    /// An object was written.
    Written {
        /// Its unit.
        unit: UnitId,
        /// Where.
        cluster: ClusterName,
        /// Kind, namespace and name.
        object: String,
        /// Warnings of the API server.
        warnings: Vec<String>,
        /// Fields left to a controller that owns them by design.
        yielded: Vec<String>,
    },
    /// A step did not work.
    Failed(Failure),
    /// Bridges that have joined, of those that should.
    Joined {
        /// By data cluster: joined all their slots, expected.
        clusters: BTreeMap<ClusterName, (usize, usize)>,
    },
    /// What is waited for now.
    Waiting {
        /// In words, one line each.
        why: Vec<String>,
    },
    /// Something that a person should know.
    Note {
        /// The cluster concerned.
        cluster: Option<ClusterName>,
        /// In words.
        text: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A step that did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where.
    pub cluster: ClusterName,
    /// Which unit.
    pub unit: Option<UnitId>,
    /// Kind, namespace and name.
    pub object: Option<String>,
    /// What and why.
    pub message: String,
    /// Detail that explains it, such as who owns what is in the way.
    pub detail: Option<String>,
    /// The next thing to do.
    pub hint: Option<String>,
}

/// What keeps a run from even beginning in a cluster.
pub(crate) fn usage(cluster: &ClusterName, message: String, hint: String) -> Failure {
    Failure { cluster: cluster.clone(), unit: None, object: None, message, detail: None, hint: Some(hint) }
}

/// What `apply` and `delete` report.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Objects written.
    pub written: usize,
    /// Objects deleted.
    pub deleted: usize,
    /// By cluster.
    pub clusters: BTreeMap<ClusterName, ClusterOutcome>,
    /// What failed, in the last round.
    pub failures: Vec<Failure>,
    /// What waits.
    pub blocked: Vec<Blocked>,
    /// Daemons that did the work of a plane, by their names.
    pub daemons: BTreeMap<Plane, String>,
    /// Bridges that joined every slot they serve, of those there should be; none if nobody could be asked.
    pub bridges: Option<Joined>,
    /// Whether the bridges have really joined.
    pub proof: Proof,
    /// What left the file and has not gone.
    pub debts: Vec<Debt>,
}

/// Something that left the file while it was, or may have been, live somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Debt {
    /// The cluster, as the file called it.
    pub cluster: ClusterName,
    /// The context by which it was reached.
    pub context: String,
    /// The namespace there.
    pub namespace: String,
    /// The UID by which the cluster is known again.
    pub uid: Option<String>,
    /// What is, or may be, still there.
    pub units: BTreeSet<UnitId>,
    /// Since when.
    pub since: Timestamp,
    /// Why nobody could look, where that is so.
    pub why: Option<String>,
}

/// How many of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// That joined.
    pub joined: usize,
    /// That should.
    pub expected: usize,
}

/// What became of one cluster.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClusterOutcome {
    /// Objects that are as they should be.
    pub current: usize,
    /// Objects that should be.
    pub total: usize,
    /// Why the cluster was left as it is.
    pub unreachable: Option<String>,
}

/// What `plan` reports.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// The fleet.
    pub fleet: String,
    /// Its URL.
    pub url: String,
    /// Clusters, shards and bridges of the file.
    pub size: (usize, usize, usize),
    /// Who is on the fleet now, if it can be said.
    pub live: Option<Live>,
    /// The plan.
    pub plan: Plan,
    /// Clusters that could not be asked.
    pub unreachable: BTreeMap<ClusterName, Reason>,
    /// Objects that the API server would refuse, from its own dry run.
    pub refused: Vec<Failure>,
    /// What left the file and has not gone.
    pub debts: Vec<Debt>,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// Whether signalling really sees media.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Proof {
    /// Whose word it is.
    pub witness: Witness,
    /// Slot by slot.
    pub slots: Vec<SlotProof>,
    /// Bridges that are not where they should be, and why.
    pub missing: Vec<Missing>,
    /// Workloads that are not healthy, with the reason.
    pub unhealthy: Vec<Unhealthy>,
    /// Where each slot is reached, or why that is not known.
    pub endpoints: Vec<EndpointStatus>,
    /// Bridges that take no new conferences, and not because of us.
    #[serde(default)]
    pub drained: Vec<Drained>,
}

impl Proof {
    /// Whether exactly what should be there is.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.unhealthy.is_empty() && self.is_exact()
    }

    /// Whether every slot was asked, misses no bridge, and lists none that is not its own.
    pub(crate) fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.slots.iter().all(|slot| slot.why.is_none() && slot.foreign.is_empty())
    }
}

/// Whose word a proof is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// Each serving slot's jicofo.
    #[default]
    Jicofo,
    /// The bridges' own: weaker, since a bridge can't tell whether jicofo may use it.
    Bridges,
}

/// What a slot's jicofo was asked and said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlotProof {
    /// The shard.
    pub shard: ShardName,
    /// The slot.
    pub slot: Slot,
    /// Bridges that it lists as operational, of those expected.
    pub joined: usize,
    /// Bridges that it should list.
    pub expected: usize,
    /// Nicknames in its brewery that should not be there: jicofo puts people on them all the same.
    pub foreign: Vec<String>,
    /// Conferences and people now.
    pub live: Live,
    /// Why it could not be asked.
    pub why: Option<String>,
}

/// A bridge that a slot's jicofo does not list as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The pool.
    pub pool: PoolName,
    /// The bridge.
    pub index: Index,
    /// Where it runs.
    pub cluster: ClusterName,
    /// The slot that misses it.
    pub shard: ShardName,
    /// The slot that misses it.
    pub slot: Slot,
    /// What is wrong, in words.
    pub why: String,
    /// The next thing to do.
    pub hint: Option<String>,
}

/// A bridge that somebody else drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// The pool.
    pub pool: PoolName,
    /// The bridge.
    pub index: Index,
    /// Where it runs.
    pub cluster: ClusterName,
}

/// A workload that is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unhealthy {
    /// Where.
    pub cluster: ClusterName,
    /// Its unit.
    pub unit: String,
    /// Kind and name.
    pub object: String,
    /// Why.
    pub why: String,
}

/// Where a slot's XMPP is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// The shard.
    pub shard: ShardName,
    /// The slot.
    pub slot: Slot,
    /// The endpoint.
    pub endpoint: Endpoint,
}

impl fmt::Display for EndpointStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the XMPP endpoint of {}/{} ", self.shard, self.slot)?;
        match &self.endpoint {
            Endpoint::Known(target) => write!(f, "is {target}"),
            Endpoint::Pending { why } => write!(f, "is pending: {why}"),
            Endpoint::Stale { last, why } => write!(f, "is stale: {last} is kept, but {why}"),
            Endpoint::Moving { old, new } => write!(f, "is moving from {old} to {new}"),
        }
    }
}

/// What `status` reports: one screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The fleet.
    pub fleet: String,
    /// Its URL.
    pub url: String,
    /// When it was asked.
    pub as_of: Timestamp,
    /// Who is on the fleet now, if it can be said.
    pub live: Option<Live>,
    /// The control cluster.
    pub control: ControlStatus,
    /// Pools, in the file's order.
    pub pools: Vec<PoolStatus>,
    /// Clusters that could not be asked, with the reason.
    pub unreachable: BTreeMap<ClusterName, String>,
    /// Records' generations, by plane.
    pub generations: BTreeMap<Plane, u64>,
    /// What left the file and has not gone.
    pub tombstones: Vec<String>,
    /// The proof behind it.
    pub proof: Proof,
}

/// The control plane on that screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Where.
    pub cluster: ClusterName,
    /// Shard by shard.
    pub shards: Vec<ShardStatus>,
    /// Ready haproxy pods, of those wanted.
    pub haproxy: (usize, usize),
    /// What each of them says of the shards' web servers.
    #[serde(default)]
    pub proxies: Vec<ProxyStatus>,
}

/// A proxy on that screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Its pod.
    pub pod: String,
    /// The servers that it has.
    pub servers: Vec<ServerStatus>,
    /// Why it could not be asked.
    pub why: Option<String>,
}

/// A slot's web servers, as one proxy sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The shard.
    pub shard: ShardName,
    /// The slot.
    pub slot: Slot,
    /// Whether its checks pass: else nobody gets there through this proxy.
    pub up: bool,
    /// Its weight: with 0 it keeps its rooms and gets no new ones.
    pub weight: u32,
}

/// A shard on that screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Its name.
    pub shard: ShardName,
    /// The slot that serves.
    pub slot: Slot,
    /// Its release.
    pub release: String,
    /// Whether prosody's pod is ready.
    pub prosody: bool,
    /// Whether jicofo's pod is ready.
    pub jicofo: bool,
    /// Ready web pods, of those wanted.
    pub web: (usize, usize),
    /// Bridges joined, of those expected.
    pub bridges: (usize, usize),
    /// Conferences and people now, if jicofo says.
    pub live: Option<Live>,
    /// Its XMPP endpoint, as data clusters see it.
    pub endpoint: Option<Endpoint>,
}

/// A pool on that screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub pool: PoolName,
    /// Where it runs.
    pub cluster: ClusterName,
    /// Bridges that joined every slot they serve, of those wanted.
    pub bridges: (usize, usize),
    /// Recorders ready, of those wanted.
    pub recorders: (usize, usize),
    /// Average load of the bridges that say; 1 is full.
    pub stress: Option<f64>,
    /// Bridges that take no new conferences.
    pub draining: usize,
}
