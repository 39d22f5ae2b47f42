//! Where streams leave what they bring, and readers find it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clock::Clock;
use fleet::FleetName;
use jiff::{SignedDuration, Timestamp};
use manifest::{Kind, ObjectRef};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::content::{Content, Listing};
use super::state::{CacheState, Strand, age, is_cut_off, judge};
use super::subject::{Item, Subject};
use super::writes::Writes;
use crate::{Cluster, ErrorKind, Look};

/// LISTs at once: each holds a page of objects as text.
const LISTS: usize = 4;

/// What can be done without is tried so often while all else is well.
const TRIES: u32 = 3;

/// How often the API server was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// For a list, or a page of one.
    pub lists: u64,
    /// To begin a watch.
    pub watches: u64,
}

pub(super) struct Hub {
    pub(super) cluster: Cluster,
    pub(super) fleet: FleetName,
    pub(super) lists: Semaphore,
    clock: Clock,
    changes: watch::Sender<u64>,
    /// One for each stream: it has to think again about how long it may wait.
    nudges: BTreeMap<Subject, Notify>,
    /// The cluster was lost and says something again.
    revived: Notify,
    /// Kinds that somebody waits for.
    sought: watch::Sender<BTreeSet<Kind>>,
    inner: Mutex<Inner>,
}

struct Inner {
    content: Content,
    strands: BTreeMap<Subject, Strand>,
    requests: BTreeMap<Subject, Requests>,
    writes: Writes,
    answered: bool,
    /// When the server last said anything.
    heard: Instant,
    /// The cluster was lost, and not everything is followed again since.
    lost: bool,
    stopped: bool,
    state: CacheState,
    since: Timestamp,
}

impl Hub {
    pub(super) fn new(cluster: Cluster, fleet: FleetName, clock: Clock) -> Self {
        let inner = Inner {
            content: Content::new(cluster.clone(), fleet.clone()),
            strands: Subject::all().map(|subject| (subject, Strand::default())).collect(),
            requests: BTreeMap::new(),
            writes: Writes::default(),
            answered: false,
            heard: Instant::now(),
            lost: false,
            stopped: false,
            state: CacheState::Connecting,
            since: clock.now(),
        };
        Self {
            cluster,
            fleet,
            lists: Semaphore::new(LISTS),
            clock,
            changes: watch::Sender::new(0),
            nudges: Subject::all().map(|subject| (subject, Notify::new())).collect(),
            revived: Notify::new(),
            sought: watch::Sender::default(),
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a stream's share, and tells if anything is different then.
    fn change(&self, subject: Subject, act: impl FnOnce(&mut Content, &mut Strand, &mut Writes) -> bool) {
        let mut inner = self.lock();
        let Inner { content, strands, writes, .. } = &mut *inner;
        let Some(strand) = strands.get_mut(&subject) else { return };
        let waited = !writes.is_empty();
        let mut changed = act(content, strand, writes);
        writes.settle(subject, strand.position.as_deref(), content);
        changed |= waited && writes.is_empty();
        changed |= self.judge(&mut inner);
        drop(inner);
        if changed {
            self.changes.send_modify(|number| *number = number.wrapping_add(1));
        }
    }

    /// Whether the state is another one.
    fn judge(&self, inner: &mut Inner) -> bool {
        let state = if inner.stopped {
            CacheState::Lost { why: "it is not watched any more".to_owned() }
        } else {
            let strands = inner.strands.iter().map(|(subject, strand)| (*subject, strand));
            judge(strands, inner.answered, inner.heard, inner.lost)
        };
        if state == inner.state {
            return false;
        }
        if matches!(inner.state, CacheState::Lost { .. }) && !state.is_like(&inner.state) {
            self.revived.notify_waiters();
        }
        match &state {
            CacheState::Lost { .. } => inner.lost = true,
            CacheState::Live => inner.lost = false,
            CacheState::Connecting | CacheState::Syncing { .. } | CacheState::Degraded { .. } => {}
        }
        if !state.is_like(&inner.state) {
            tracing::debug!(cluster = %self.cluster.name(), ?state, "watch cache");
            inner.since = self.clock.now();
        }
        inner.state = state;
        true
    }

    /// The server said something.
    fn hear(&self) {
        let mut inner = self.lock();
        inner.heard = Instant::now();
        inner.answered = true;
    }

    pub(super) fn count(&self, subject: Subject, add: impl FnOnce(&mut Requests)) {
        add(self.lock().requests.entry(subject).or_default());
    }

    /// Of a list: what is known in this version need not be read again.
    pub(super) fn knows(&self, subject: Subject, name: &str, version: &str) -> bool {
        self.lock().content.version(subject, name) == Some(version)
    }

    /// A whole list that was asked for then. `confirms` is whether it is certainly no older than that.
    pub(super) fn listed(&self, subject: Subject, listing: Listing, version: String, asked: Instant, confirms: bool) {
        self.hear();
        self.change(subject, |content, strand, writes| {
            *strand = Strand { position: Some(version), as_of: Some(asked), ..Strand::default() };
            if confirms {
                writes.confirmed(subject, asked);
            }
            content.listed(subject, listing)
        });
    }

    /// A watch brought something, with which it has come to this version.
    pub(super) fn brought(&self, subject: Subject, version: &str, what: Brought) {
        self.hear();
        self.change(subject, |content, strand, _| {
            if !version.is_empty() {
                strand.position = Some(version.to_owned());
            }
            match what {
                Brought::Item(item) => content.put(item),
                Brought::Gone(name) => content.remove(subject, &name),
                Brought::Nothing => false,
            }
        });
    }

    /// A watch has brought everything up to now.
    pub(super) fn current(&self, subject: Subject, as_of: Instant) {
        self.hear();
        self.change(subject, |_, strand, _| {
            strand.as_of = strand.as_of.max(Some(as_of));
            strand.failures = 0;
            strand.trouble = None;
            false
        });
    }

    /// Nothing can be followed for now.
    pub(super) fn failed(&self, subject: Subject, why: ErrorKind) {
        if !matches!(why, ErrorKind::Unreachable { .. } | ErrorKind::Timeout { .. } | ErrorKind::Credentials(_)) {
            self.hear();
        }
        self.change(subject, |_, strand, _| {
            strand.failures = strand.failures.saturating_add(1);
            strand.trouble = Some(why);
            false
        });
    }

    /// Whether a failure is that of one kind alone which can be done without, and not its first one: then nothing else
    /// is to wait for it.
    pub(super) fn is_left_out(&self, subject: Subject, why: &ErrorKind) -> bool {
        let inner = self.lock();
        let its_own = match why {
            ErrorKind::Unauthorized | ErrorKind::Credentials(_) | ErrorKind::Unreachable { .. } => false,
            // The server is there: others heard of it meanwhile.
            ErrorKind::Timeout { after, .. } => inner.heard.elapsed() < *after,
            _ => true,
        };
        let tried = inner.strands.get(&subject).is_some_and(|strand| strand.failures + 1 >= TRIES);
        let mut others = inner.strands.iter().filter(|(other, _)| !other.is_dispensable());
        subject.is_dispensable() && its_own && tried && others.all(|(_, strand)| strand.is_well())
    }

    /// The cluster does not know this kind.
    pub(super) fn missing(&self, subject: Subject, kind: Kind) {
        self.aside(subject, |content| content.missing(kind));
    }

    /// It may not be read.
    pub(super) fn unreadable(&self, subject: Subject, why: String) {
        self.aside(subject, |content| content.unreadable(subject, why));
    }

    /// It can't be followed, but it was read once.
    pub(super) fn read(&self, subject: Subject, item: Item) {
        self.aside(subject, |content| content.put(item));
    }

    /// Nobody needs it, so nobody asks: what there is of it is not known.
    pub(super) fn needless(&self, subject: Subject) {
        let why = "nothing of these planes is there, as far as is known".to_owned();
        self.set_aside(subject, |content| content.unreadable(subject, why));
    }

    fn aside(&self, subject: Subject, act: impl FnOnce(&mut Content) -> bool) {
        self.hear();
        self.set_aside(subject, act);
    }

    fn set_aside(&self, subject: Subject, act: impl FnOnce(&mut Content) -> bool) {
        self.change(subject, |content, strand, writes| {
            *strand = Strand { aside: true, ..Strand::default() };
            writes.forget(subject);
            act(content)
        });
    }

    /// When a stream has to list, since a write of our own was not seen.
    pub(super) fn due(&self, subject: Subject) -> Option<Instant> {
        self.lock().writes.due(subject)
    }

    /// Until a cluster that was lost says something again: then there is no need to wait any longer.
    pub(super) async fn revived(&self) {
        self.revived.notified().await;
    }

    /// From now on these kinds are waited for, and no others.
    pub(super) fn seek(&self, kinds: BTreeSet<Kind>) {
        self.sought.send_if_modified(|known| {
            let differs = *known != kinds;
            *known = kinds;
            differs
        });
    }

    /// Until somebody waits for this kind.
    pub(super) async fn sought(&self, kind: Kind) {
        // Its sender is ours: it does not go before us.
        let _ = self.sought.subscribe().wait_for(|kinds| kinds.contains(&kind)).await;
    }

    /// Until it has to think again about how long it may wait.
    pub(super) async fn nudged(&self, subject: Subject) {
        match self.nudges.get(&subject) {
            Some(nudge) => nudge.notified().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn write(&self, subject: Subject, act: impl FnOnce(&mut Writes)) {
        self.change(subject, |_, strand, writes| {
            if !strand.aside {
                act(writes);
            }
            false
        });
        if let Some(nudge) = self.nudges.get(&subject) {
            nudge.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        let mut inner = self.lock();
        inner.stopped = true;
        let changed = self.judge(&mut inner);
        drop(inner);
        if changed {
            self.changes.send_modify(|number| *number = number.wrapping_add(1));
        }
    }

    pub(super) fn state(&self) -> CacheState {
        self.lock().state.clone()
    }

    pub(super) fn since(&self) -> Timestamp {
        self.lock().since
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn requests(&self) -> BTreeMap<&'static str, Requests> {
        self.lock().requests.iter().map(|(subject, requests)| (subject.plural(), *requests)).collect()
    }

    pub(super) fn objects(&self) -> usize {
        self.lock().content.objects()
    }

    pub(super) fn is_cut_off(&self) -> bool {
        is_cut_off(self.lock().strands.values())
    }

    pub(super) fn caught_up(&self) -> bool {
        let inner = self.lock();
        inner.is_whole() && inner.writes.is_empty()
    }

    pub(super) fn look(&self) -> Option<(Look, Timestamp)> {
        let inner = self.lock();
        let as_of = self.as_of_in(&inner)?;
        Some((inner.content.look(), as_of))
    }

    pub(super) fn uid(&self, object: &ObjectRef) -> Option<String> {
        self.lock().content.uid(object)
    }

    pub(super) fn as_of(&self) -> Option<Timestamp> {
        self.as_of_in(&self.lock())
    }

    /// By age, so that a clock that was set meanwhile does not matter.
    fn as_of_in(&self, inner: &Inner) -> Option<Timestamp> {
        let oldest = inner.strands.values().filter_map(|strand| strand.as_of).min().filter(|_| inner.is_whole())?;
        let age = SignedDuration::try_from(age(oldest)).unwrap_or(SignedDuration::MAX);
        Some(self.clock.now().checked_sub(age).unwrap_or(Timestamp::MIN))
    }
}

impl Inner {
    /// Whether it is a picture of the cluster, old or not.
    fn is_whole(&self) -> bool {
        !self.lost && !self.stopped && self.strands.values().all(Strand::is_listed)
    }
}

/// What one line of a watch means.
pub(super) enum Brought {
    Item(Item),
    Gone(String),
    /// Nothing but that it has come so far.
    Nothing,
}
