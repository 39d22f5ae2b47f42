//! What a cluster holds of a fleet, kept current by watches.
//!
//! ```text
//! one stream per kind:  LIST ──► watch ──► watch ──► …   each goes on at the version where the last one ended
//!                         ▲                   │
//!                         └── 410, once in an hour, or a write of our own that was not seen
//! all streams ──► Look ──► readers                       no request
//! ```
//!
//! Whatever breaks, what was known stays known, and grows old: a gap is never an absence. Nothing here decides what is
//! too old.

mod content;
mod hub;
mod lines;
mod pace;
mod state;
mod stream;
mod subject;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use clock::Clock;
use fleet::FleetName;
use jiff::Timestamp;
use manifest::{Kind, ObjectRef};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::hub::Requests;
pub use self::state::CacheState;

use self::hub::Hub;
use self::stream::Stream;
use self::subject::Subject;
use crate::{Cluster, Look};

/// What a cluster holds of a fleet, kept current by watches. Copies are the same; with the last one its tasks end.
#[derive(Clone)]
pub struct Cache(Arc<Handle>);

struct Handle {
    hub: Arc<Hub>,
    /// Aborted when dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl Cache {
    /// Begins to list and to watch, in the current runtime; kinds that nobody needs there only when somebody seeks them.
    /// What chance decides follows from the seed.
    #[must_use]
    pub fn start(cluster: Cluster, fleet: FleetName, needless: &BTreeSet<Kind>, clock: Clock, seed: u64) -> Self {
        let hub = Arc::new(Hub::new(cluster, fleet, clock));
        let mut tasks = JoinSet::new();
        for (index, subject) in (1..).zip(Subject::all()) {
            // Different streams draw different numbers.
            let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index);
            let rests = matches!(subject, Subject::Kind(kind) if needless.contains(&kind));
            tasks.spawn(Stream::new(Arc::clone(&hub), subject, rests, seed).run());
        }
        Self(Arc::new(Handle { hub, tasks: Mutex::new(tasks) }))
    }

    /// Says which kinds somebody waits for that are not installed there, may not be read, or were not needed: they are
    /// asked for every few minutes, others that are missing or forbidden once in an hour.
    pub fn seek(&self, kinds: BTreeSet<Kind>) {
        self.0.hub.seek(kinds);
    }

    /// How current it is.
    #[must_use]
    pub fn state(&self) -> CacheState {
        self.0.hub.state()
    }

    /// Since when it is in that state.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.0.hub.since()
    }

    /// What [`Cluster::look`] would show, without a request, and until when that is certainly what the server had.
    /// `None` until everything was listed; and from when the cluster was lost until everything is followed again.
    #[must_use]
    pub fn look(&self) -> Option<(Look, Timestamp)> {
        self.0.hub.look()
    }

    /// Until when a look is certainly what the server had, by the stream that has been silent for longest.
    #[must_use]
    pub fn as_of(&self) -> Option<Timestamp> {
        self.0.hub.as_of()
    }

    /// The UID of an object of the fleet, where it is there.
    #[must_use]
    pub fn uid(&self, object: &ObjectRef) -> Option<String> {
        self.0.hub.uid(object)
    }

    /// How many objects of the fleet there are, pods apart.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.0.hub.objects()
    }

    /// A number that grows with each change of the content or the state, and when our own writes have been seen.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.hub.subscribe()
    }

    /// We wrote an object, and this is its version.
    pub fn wrote(&self, object: &ObjectRef, version: &str) {
        let subject = Subject::of(object.kind);
        self.0.hub.write(subject, |writes| writes.wrote(subject, &object.name, version));
    }

    /// We deleted the object of this UID.
    pub fn deleted(&self, object: &ObjectRef, uid: &str) {
        let subject = Subject::of(object.kind);
        self.0.hub.write(subject, |writes| writes.deleted(subject, &object.name, uid));
    }

    /// We changed a pod, and this is its version.
    pub fn wrote_pod(&self, name: &str, version: &str) {
        self.0.hub.write(Subject::Pods, |writes| writes.wrote(Subject::Pods, name, version));
    }

    /// We deleted the pod of this UID.
    pub fn deleted_pod(&self, name: &str, uid: &str) {
        self.0.hub.write(Subject::Pods, |writes| writes.deleted(Subject::Pods, name, uid));
    }

    /// Whether a look shows our own last writes, or what has become of them.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.0.hub.caught_up()
    }

    /// Whether another connection may help: our credentials are not accepted, or nothing at all can be reached over this
    /// one.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.0.hub.is_cut_off()
    }

    /// Requests by the plural of what was asked for.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<&'static str, Requests> {
        self.0.hub.requests()
    }

    /// Ends it: from now on it is lost.
    pub fn stop(&self) {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.0.hub.stop();
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("cluster", &self.0.hub.cluster).field("state", &self.state()).finish()
    }
}
