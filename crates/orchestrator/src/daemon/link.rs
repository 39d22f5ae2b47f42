//! One task per cluster: connect, ask who it is, watch what it holds; and again when that is of no use any more.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cache, CacheState, Cluster, ClusterError, ErrorKind};
use fleet::{ClusterName, Fleet, FleetName, Plane};
use jiff::Timestamp;
use manifest::Kind;
use plan::Pin;
use rand::RngExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::Place;

use super::{ClusterState, Generations, Link};

/// The first and the longest wait before another try to connect.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A connection over which nothing is reached for so long is made anew: its address or its certificates may be other ones
/// by now. One whose credentials are refused is made anew at once, but not twice within this time.
const TIRED: Duration = Duration::from_secs(60);

/// So long the picture of a connection before stays in force while that of a new one is made.
const HAND_OVER: Duration = Duration::from_secs(30);

/// A certificate that a credentials program gave is renewed so long before its end: in the last minute, in which the
/// program is asked for another one.
const RENEWAL: Duration = Duration::from_secs(50);

/// A cluster that answered, and what it holds.
pub(crate) struct Up {
    /// Which connection to this cluster it is.
    pub(crate) number: u64,
    pub(crate) cluster: Cluster,
    pub(crate) identity: Pin,
    pub(crate) cache: Cache,
}

/// What became of the last try.
#[derive(Clone)]
enum View {
    Connecting,
    Up(Arc<Up>),
    /// There was no other connection to be had, for this reason. What the last one shows is still known, and grows old.
    Worn(Arc<Up>, String),
    Down(String),
}

/// Why a connection is left, or another one is tried.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// There are other credentials: it may lead elsewhere.
    Told,
    /// It is of no use any more, or will soon be.
    Tired,
}

struct Task {
    spec: fleet::Cluster,
    view: watch::Receiver<(Timestamp, View)>,
    _task: AbortOnDropHandle<()>,
}

/// The connections to all clusters.
pub(crate) struct Links {
    place: Place,
    /// The same for all of them, so that hashes of secrets can be compared.
    connect: cluster::Options,
    news: Arc<Notify>,
    /// What grows when a cluster's kubeconfig has changed.
    credentials: watch::Receiver<Generations>,
    tasks: BTreeMap<ClusterName, Task>,
}

impl Links {
    pub(crate) fn new(place: Place, news: Arc<Notify>, credentials: watch::Receiver<Generations>) -> Self {
        let connect = place.connection();
        Self { place, connect, news, credentials, tasks: BTreeMap::new() }
    }

    /// The key with which secrets are hashed, for as long as this lives.
    pub(crate) const fn run_key(&self) -> &cluster::RunKey {
        &self.connect.run_key
    }

    /// The requests so far, over all connections, as [`Counters`](super::Counters) hold them.
    pub(crate) fn requests(&self) -> BTreeMap<(ClusterName, String, u16), u64> {
        let requests = self.connect.tallies.requests().into_iter();
        requests.map(|((cluster, verb, code), times)| ((cluster, verb.to_owned(), code), times)).collect()
    }

    /// Connects to these clusters, and to no others.
    pub(crate) fn follow(&mut self, fleet: &Fleet, planes: &BTreeSet<Plane>, wanted: &BTreeSet<ClusterName>) {
        self.tasks.retain(|name, task| wanted.contains(name) && fleet.clusters.get(name) == Some(&task.spec));
        for name in wanted {
            let Some(spec) = fleet.clusters.get(name).filter(|_| !self.tasks.contains_key(name)) else { continue };
            let (told, view) = watch::channel((self.place.clock.now(), View::Connecting));
            let keeper = Keeper {
                name: name.clone(),
                spec: spec.clone(),
                fleet: fleet.name.clone(),
                needless: cluster::rights::needless(fleet, planes, name),
                place: self.place.clone(),
                connect: self.connect.clone(),
                news: Arc::clone(&self.news),
                credentials: self.credentials.clone(),
                refused: None,
                told,
            };
            let task = AbortOnDropHandle::new(tokio::spawn(keeper.run()));
            self.tasks.insert(name.clone(), Task { spec: spec.clone(), view, _task: task });
        }
    }

    /// A cluster's connection, where there is one.
    pub(crate) fn up(&self, name: &ClusterName) -> Option<Arc<Up>> {
        match &self.tasks.get(name)?.view.borrow().1 {
            View::Up(up) | View::Worn(up, _) => Some(Arc::clone(up)),
            View::Connecting | View::Down(_) => None,
        }
    }

    /// The same where something may come of using it.
    pub(crate) fn works(&self, name: &ClusterName) -> Option<Arc<Up>> {
        match &self.tasks.get(name)?.view.borrow().1 {
            View::Up(up) => Some(Arc::clone(up)),
            View::Worn(..) | View::Connecting | View::Down(_) => None,
        }
    }

    /// Why nothing is known of a cluster, where that is so.
    pub(crate) fn why_not(&self, name: &ClusterName) -> Option<String> {
        match &self.tasks.get(name)?.view.borrow().1 {
            View::Connecting => Some("no connection yet".to_owned()),
            View::Down(why) => Some(why.clone()),
            View::Up(_) | View::Worn(..) => None,
        }
    }

    /// How each cluster is doing.
    pub(crate) fn states(&self) -> BTreeMap<ClusterName, ClusterState> {
        self.tasks.iter().map(|(name, task)| (name.clone(), state(&task.view.borrow()))).collect()
    }
}

fn state((since, view): &(Timestamp, View)) -> ClusterState {
    let none =
        ClusterState { state: Link::Connecting, since: *since, why: None, as_of: None, objects: 0, credentials: None };
    match view {
        View::Connecting => none,
        View::Down(why) => ClusterState { state: Link::Lost, why: Some(why.clone()), ..none },
        View::Up(up) | View::Worn(up, _) => {
            let worn = if let View::Worn(_, why) = view { Some(why.clone()) } else { None };
            let (state, why) = match (up.cache.state(), worn) {
                (CacheState::Lost { why }, _) => (Link::Lost, Some(why)),
                (_, Some(why)) | (CacheState::Degraded { why }, None) => (Link::Degraded, Some(why)),
                (CacheState::Connecting, None) => (Link::Connecting, None),
                (CacheState::Syncing { .. }, None) => (Link::Syncing, None),
                (CacheState::Live, None) => (Link::Live, None),
            };
            let as_of = up.cache.as_of();
            let (objects, credentials) = (up.cache.objects(), up.cluster.lifetime());
            ClusterState { state, since: up.cache.since(), why, as_of, objects, credentials }
        }
    }
}

struct Keeper {
    name: ClusterName,
    spec: fleet::Cluster,
    fleet: FleetName,
    /// Kinds that are not followed before a plan seeks them; another fleet file may make it do so.
    needless: BTreeSet<Kind>,
    place: Place,
    connect: cluster::Options,
    news: Arc<Notify>,
    credentials: watch::Receiver<Generations>,
    /// When a connection was last left since its credentials were refused.
    refused: Option<Instant>,
    told: watch::Sender<(Timestamp, View)>,
}

impl Keeper {
    async fn run(mut self) {
        let mut wait = WAITS.0;
        // What is shown until there is something better.
        let mut shown: Option<Arc<Up>> = None;
        let mut left = Left::Tired;
        for number in 1.. {
            let generation = self.generation();
            self.place.connector = self.place.connector.renewed();
            match self.connect(number).await {
                Ok(up) => {
                    wait = WAITS.0;
                    let up = Arc::new(up);
                    if let Some(old) = shown.take().filter(|old| old.identity == up.identity) {
                        self.hand_over(&old, &up).await;
                    }
                    self.tell(View::Up(Arc::clone(&up)));
                    left = self.stay(&up, generation).await;
                    shown = Some(up);
                    tracing::info!(cluster = %self.name, "connecting anew");
                }
                Err(error) => {
                    shown = shown.filter(|old| left == Left::Tired && old.cache.as_of().is_some());
                    let why = error.kind.to_string();
                    self.tell(match &shown {
                        Some(old) => View::Worn(Arc::clone(old), why),
                        None => View::Down(why),
                    });
                    let jitter = self.place.entropy.generator().random_range(0.75..1.25);
                    let refused = error.kind == ErrorKind::Unauthorized;
                    let pause = if refused { TIRED } else { wait.mul_f64(jitter) };
                    left = self.rest(pause, generation, shown.as_deref()).await;
                    wait = (wait * 2).min(WAITS.1);
                }
            }
        }
    }

    fn generation(&self) -> u64 {
        self.credentials.borrow().get(&self.name).copied().unwrap_or_default()
    }

    fn tell(&self, view: View) {
        self.told.send_replace((self.place.clock.now(), view));
        self.news.notify_one();
    }

    async fn connect(&self, number: u64) -> Result<Up, ClusterError> {
        let cluster = self.place.connector.connect(&self.name, &self.spec, &self.connect).await?;
        let identity = cluster.identity().await?;
        let seed = self.place.entropy.generator().random();
        let cache = Cache::start(cluster.clone(), self.fleet.clone(), &self.needless, self.place.clock.clone(), seed);
        Ok(Up { number, cluster, identity, cache })
    }

    /// Until it is time for another try to connect.
    async fn rest(&mut self, wait: Duration, generation: u64, shown: Option<&Up>) -> Left {
        let end = Instant::now() + wait;
        let mut changes = shown.map(|up| up.cache.subscribe());
        loop {
            let news = async {
                match &mut changes {
                    Some(changes) => changes.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = told(&mut self.credentials, &self.name, generation) => return Left::Told,
                Ok(()) = news => self.news.notify_one(),
                () = sleep_until(end) => return Left::Tired,
            }
        }
    }

    /// Until a new connection shows as much as the one before: who looks meanwhile sees what that showed.
    async fn hand_over(&self, old: &Up, new: &Up) {
        let end = Instant::now() + HAND_OVER;
        let (mut before, mut changes) = (old.cache.subscribe(), new.cache.subscribe());
        while old.cache.as_of().is_some() && new.cache.as_of().is_none() {
            tokio::select! {
                biased;
                Ok(()) = changes.changed() => {}
                Ok(()) = before.changed() => self.news.notify_one(),
                () = sleep_until(end) => return,
            }
        }
    }

    /// Until the connection is of no use any more, or there are other credentials, or should be.
    async fn stay(&mut self, up: &Up, generation: u64) -> Left {
        let cache = &up.cache;
        let expiry = up.cluster.connect_anew_by().map(|ends| Instant::now() + lasting(self.place.clock.now(), ends));
        let mut changes = cache.subscribe();
        let mut tired: Option<Instant> = None;
        let mut refused = pin!(refused(up.cluster.refused(), self.refused.map(|last| last + TIRED)));
        loop {
            tired = if cache.is_cut_off() { tired.or_else(|| Some(Instant::now() + TIRED)) } else { None };
            let enough = async {
                match tired.into_iter().chain(expiry).min() {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        return Left::Tired;
                    }
                    self.news.notify_one();
                }
                () = told(&mut self.credentials, &self.name, generation) => return Left::Told,
                () = &mut refused => {
                    self.refused = Some(Instant::now());
                    return Left::Tired;
                }
                () = enough => return Left::Tired,
            }
        }
    }
}

/// Until a cluster's credentials are of another generation than this.
async fn told(credentials: &mut watch::Receiver<Generations>, name: &ClusterName, generation: u64) {
    while credentials.borrow_and_update().get(name).copied().unwrap_or_default() == generation {
        if credentials.changed().await.is_err() {
            // Nobody is left who could tell.
            std::future::pending::<()>().await;
        }
    }
}

/// Until the credentials of a connection are refused, but not before then.
async fn refused(mut times: watch::Receiver<u64>, earliest: Option<Instant>) {
    // Its sender is the connection's own.
    let _ = times.wait_for(|times| *times > 0).await;
    if let Some(earliest) = earliest {
        sleep_until(earliest).await;
    }
}

/// How long a connection may last whose certificate ends then. A program that goes on giving one that has ended is asked
/// once a minute.
fn lasting(now: Timestamp, ends: Timestamp) -> Duration {
    let left = Duration::try_from(ends.duration_since(now)).unwrap_or_default();
    left.saturating_sub(RENEWAL).max(TIRED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_its_last_minute_and_never_twice_in_a_minute() {
        let now: Timestamp = "2026-01-01T10:00:00Z".parse().unwrap();
        for (ends, seconds) in [
            ("2026-01-01T11:00:00Z", 3550),
            ("2026-01-01T10:01:30Z", 60),
            ("2026-01-01T10:00:00Z", 60),
            ("2025-01-01T10:00:00Z", 60),
        ] {
            assert_eq!(lasting(now, ends.parse().unwrap()), Duration::from_secs(seconds), "{ends}");
        }
    }
}
