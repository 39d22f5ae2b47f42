//! What others learn of the daemon: its state after each round, and what happened in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use fleet::load::Loaded;
use fleet::{ClusterName, Plane, ShardName, Slot};
use jiff::Timestamp;
use manifest::{Endpoint, ObjectRef};
use tokio::sync::{broadcast, watch};

use crate::report::{Event, Failure};
use crate::round::Round;
use crate::{Fatal, Session, status};

use super::{
    ClusterState, Counters, EndpointState, Fighting, Happening, Intake, IntentState, Notice, PlaneState, Refused,
    RoundEnd, State,
};

/// The one place from which others are told.
pub(crate) struct Teller {
    clock: Clock,
    state: watch::Sender<Arc<State>>,
    notices: broadcast::Sender<Notice>,
    counters: Arc<Mutex<Counters>>,
}

/// A round, and all around it.
pub(crate) struct Seen<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) round: &'a Round,
    pub(crate) steps: usize,
    pub(crate) failures: Vec<Failure>,
    pub(crate) refusals: Vec<Failure>,
    pub(crate) fights: Vec<Fighting>,
    pub(crate) clusters: BTreeMap<ClusterName, ClusterState>,
    pub(crate) planes: BTreeMap<Plane, PlaneState>,
    pub(crate) end: RoundEnd,
    pub(crate) took: Duration,
}

impl Teller {
    pub(crate) fn new(
        clock: Clock,
        state: watch::Sender<Arc<State>>,
        notices: broadcast::Sender<Notice>,
        counters: Arc<Mutex<Counters>>,
    ) -> Self {
        Self { clock, state, notices, counters }
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: Happening) {
        // Nobody may be listening.
        let _ = self.notices.send(Notice { at: self.clock.now(), what });
    }

    /// Something of a run.
    pub(crate) fn event(&self, event: Event) {
        self.tell(Happening::Run(event));
    }

    /// An object had drifted.
    pub(crate) fn repaired(&self, object: &ObjectRef) {
        *self.counters().repaired.entry((object.cluster.clone(), object.kind)).or_default() += 1;
        self.tell(Happening::Repaired {
            cluster: object.cluster.clone(),
            kind: object.kind,
            object: object.to_string(),
        });
    }

    /// An object is fought over.
    pub(crate) fn fighting(&self, fighting: Fighting) {
        self.tell(Happening::Fighting(fighting));
    }

    /// A file came, or one that makes no sense.
    pub(crate) fn intake(&self, intake: &Intake) {
        let before = self.change(|state| state.intent.refused.clone_from(&intake.refused));
        if let Some(refused) = &intake.refused
            && before.intent.refused.as_ref() != Some(refused)
        {
            self.tell(Happening::IntentRefused { problems: refused.problems.clone() });
        }
    }

    /// What the record holds makes no sense to us.
    pub(crate) fn refused(&self, problems: Vec<String>) {
        let refused = Refused { since: self.clock.now(), problems: problems.clone() };
        self.change(|state| state.intent.refused = Some(refused));
        self.tell(Happening::IntentRefused { problems });
    }

    /// This is worked for from now on.
    pub(crate) fn intent(&self, loaded: &Loaded) {
        let hash = manifest::short_hash(&loaded.intent_text);
        if self.state.borrow().intent.hash != hash {
            let refused = self.state.borrow().intent.refused.clone();
            let intent = IntentState { hash: hash.clone(), since: self.clock.now(), refused };
            self.change(|state| state.intent = intent);
            self.tell(Happening::Intent { hash });
        }
    }

    /// So many requests were made.
    pub(crate) fn requests(&self, requests: BTreeMap<(ClusterName, String, u16), u64>) {
        self.counters().requests = requests;
    }

    /// How connections and Leases are, with nothing new beside them.
    pub(crate) fn waiting(&self, clusters: BTreeMap<ClusterName, ClusterState>, planes: BTreeMap<Plane, PlaneState>) {
        let before = self.change(|state| {
            state.clusters = clusters;
            state.planes = planes;
        });
        self.links(&before);
    }

    /// A round that could not be planned.
    pub(crate) fn failed(
        &self,
        fatal: Fatal,
        clusters: BTreeMap<ClusterName, ClusterState>,
        planes: BTreeMap<Plane, PlaneState>,
        took: Duration,
    ) {
        let (Fatal::Usage(failures) | Fatal::Nothing(failures)) = fatal;
        self.counters().round(RoundEnd::Failed, took);
        let before = self.change(|state| {
            state.failures.clone_from(&failures);
            state.clusters = clusters;
            state.planes = planes;
        });
        self.links(&before);
        for failure in failures.into_iter().filter(|failure| !before.failures.contains(failure)) {
            self.event(Event::Failed(failure));
        }
    }

    /// A round.
    pub(crate) fn round(&self, seen: &Seen<'_>) {
        self.counters().round(seen.end, seen.took);
        let now = self.clock.now();
        let endpoints = endpoints(seen.round, &self.state.borrow().endpoints, now);
        let mut failures = seen.failures.clone();
        failures.extend(seen.refusals.iter().cloned());
        let before = self.change(|state| {
            state.planes.clone_from(&seen.planes);
            state.clusters.clone_from(&seen.clusters);
            state.status = Some(status::screen(seen.session, seen.round, now));
            state.endpoints.clone_from(&endpoints);
            state.steps = seen.steps;
            state.blocked.clone_from(&seen.round.plan.blocked);
            state.failures = failures;
            state.fighting.clone_from(&seen.fights);
        });
        self.links(&before);
        for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.since == now && before.status.is_some()) {
            let EndpointState { shard, slot, endpoint, .. } = endpoint;
            self.tell(Happening::Endpoint { shard, slot, endpoint });
        }
        self.bridges(&before, seen.round);
    }

    /// Bridges that went missing, or have all joined.
    fn bridges(&self, before: &State, round: &Round) {
        let missing =
            |proof: &crate::Proof| proof.missing.iter().map(|bridge| bridge.why.clone()).collect::<BTreeSet<_>>();
        let (now, then) = (missing(&round.proof), before.status.as_ref().map(|status| missing(&status.proof)));
        let Some(then) = then.filter(|then| *then != now) else { return };
        if now.is_empty() {
            self.tell(Happening::Joined);
        } else if now.difference(&then).next().is_some() {
            let why = now.into_iter().take(8).collect();
            self.tell(Happening::Missing { bridges: round.proof.missing.len(), why });
        }
    }

    /// Connections and Leases that are not what they were.
    fn links(&self, before: &State) {
        let state = Arc::clone(&self.state.borrow());
        for (name, now) in &state.clusters {
            if before.clusters.get(name).map(|then| then.state) != Some(now.state) {
                self.tell(Happening::Cluster { cluster: name.clone(), state: now.state, why: now.why.clone() });
            }
        }
        for (plane, now) in &state.planes {
            if before.planes.get(plane) != Some(now) {
                self.tell(Happening::Plane { plane: *plane, state: now.clone() });
            }
        }
    }

    /// What was before. It is told afterwards: whoever hears of something new finds it in the state.
    fn change(&self, how: impl FnOnce(&mut State)) -> Arc<State> {
        let mut state = State::clone(&self.state.borrow());
        how(&mut state);
        state.as_of = self.clock.now();
        self.state.send_replace(Arc::new(state))
    }
}

/// The endpoints of a round, each with the moment since when it is what it is.
fn endpoints(round: &Round, before: &[EndpointState], now: Timestamp) -> Vec<EndpointState> {
    let since = |shard: &ShardName, slot: Slot, endpoint: &Endpoint| {
        let last = before.iter().find(|last| last.shard == *shard && last.slot == slot);
        last.filter(|last| last.endpoint == *endpoint).map_or(now, |last| last.since)
    };
    round
        .proof
        .endpoints
        .iter()
        .map(|status| EndpointState {
            shard: status.shard.clone(),
            slot: status.slot,
            endpoint: status.endpoint.clone(),
            since: since(&status.shard, status.slot, &status.endpoint),
        })
        .collect()
}
