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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Wake, Waker};

    use super::super::Link;
    use super::*;

    /// Looks at the state at the very moment at which something is told.
    struct Hearer {
        state: watch::Receiver<Arc<State>>,
        found: Mutex<Option<Arc<State>>>,
    }

    impl Wake for Hearer {
        fn wake(self: Arc<Self>) {
            self.found.lock().unwrap().get_or_insert(Arc::clone(&self.state.borrow()));
        }
    }

    /// What the state was when the first thing was told.
    fn found(how: impl FnOnce(&Teller)) -> Arc<State> {
        let now: Timestamp = "2026-01-01T10:00:00Z".parse().unwrap();
        let nothing = State::without_intent(Refused { since: now, problems: Vec::new() }, now);
        let state = watch::Sender::new(Arc::new(nothing));
        let notices = broadcast::Sender::new(16);
        let hearer = Arc::new(Hearer { state: state.subscribe(), found: Mutex::default() });
        let mut hearing = notices.subscribe();
        let mut next = pin!(hearing.recv());
        let waker = Waker::from(Arc::clone(&hearer));
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        how(&Teller::new(Clock::starting_at(now), state, notices, Arc::default()));
        hearer.found.lock().unwrap().take().expect("something was told")
    }

    #[test]
    fn whoever_hears_of_something_finds_it_in_the_state() {
        let problems = vec!["no such key".to_owned()];
        let state = found(|teller| teller.refused(problems.clone()));
        assert_eq!(state.intent.refused.as_ref().unwrap().problems, problems);

        let name: ClusterName = "hq".parse().unwrap();
        let since = state.as_of;
        let lost = ClusterState { state: Link::Lost, since, why: None, as_of: None, objects: 0, credentials: None };
        let clusters = BTreeMap::from([(name.clone(), lost)]);
        let planes = BTreeMap::from([(Plane::Data, PlaneState::Leading { since })]);
        let state = found(|teller| teller.waiting(clusters.clone(), planes.clone()));
        assert_eq!((&state.clusters, &state.planes), (&clusters, &planes));

        let fatal = Fatal::Usage(Vec::new());
        let state = found(|teller| teller.failed(fatal, clusters.clone(), planes.clone(), Duration::ZERO));
        assert_eq!((&state.clusters, &state.planes), (&clusters, &planes));
    }
}
