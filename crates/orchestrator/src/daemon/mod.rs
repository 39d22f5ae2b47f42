//! The daemon: the same looking, planning and acting as `apply`, for ever, woken by what changes.
//!
//! ```text
//! links     one task per cluster: connect, watch, back off           ─┐
//! leases    one task per plane: who writes                           ─┼─► rounds: look (no request), plan, act
//! daemons   one task per jicofo, bridge or recorder that is asked    ─┤       │
//! intake    the fleet file, as somebody else reads it                ─┘       └─► State, Notices, Counters
//! ```

mod ask;
mod events;
mod guard;
mod herald;
mod leases;
mod link;
mod patience;
mod run;
mod senses;
mod share;
mod state;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::load::Loaded;
use fleet::{ClusterName, Plane};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

pub use events::{KubernetesEvent, Telling, Told, event_of};
pub use state::{
    BUCKETS, ClusterState, Counters, EndpointState, Fighting, Happening, IntentState, Link, Notice, PlaneState,
    Refused, RoundEnd, State,
};

use crate::{Handover, Place};

use self::run::Daemon;
use self::tell::Teller;

/// What a daemon is told once.
#[derive(Debug)]
pub struct DaemonOptions {
    /// Where it lives.
    pub place: Place,
    /// The planes that it keeps; empty: both.
    pub planes: BTreeSet<Plane>,
    /// Who it is, in Leases: unique among all that run.
    pub holder: String,
    /// How often things are done.
    pub pace: Pace,
}

/// How often things are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// What comes within this time after a change is one change.
    pub debounce: Duration,
    /// A jicofo, bridge or recorder is asked this often while nothing is under way.
    pub ask: Duration,
    /// And this often while something is; from then on ever more rarely, as long as nothing moves.
    pub ask_soon: Duration,
    /// A round comes at least this often.
    pub round: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(20),
            ask: Duration::from_secs(15),
            ask_soon: Duration::from_secs(1),
            round: Duration::from_secs(600),
        }
    }
}

/// The newest word about the fleet file, and what goes with it.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The last one that made sense.
    pub loaded: Arc<Loaded>,
    /// What the control plane's keepers handed over, instead of access to their cluster.
    pub handover: Option<Arc<Handover>>,
    /// Since then a file was found that made none.
    pub refused: Option<Refused>,
}

/// What grows for a cluster when it is to be connected to anew, since what opens it is another thing by now.
pub type Generations = BTreeMap<ClusterName, u64>;

/// What others hold of a daemon that runs.
#[derive(Debug, Clone)]
pub struct Handle {
    state: watch::Receiver<Arc<State>>,
    notices: broadcast::Sender<Notice>,
    counters: Arc<Mutex<Counters>>,
}

impl Handle {
    /// What it says of itself now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Each new state.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }

    /// What happens from now on. Who is too slow misses the oldest.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes a daemon that keeps a fleet as the newest [`Intake`] says: a handle to look at it, and what runs it. That ends
/// when `stop` is cancelled: requests on their way are finished, then its Leases are released. Where `credentials`
/// grow, a cluster is connected to anew. It is to be polled where it was made: it is not `Send`.
pub fn daemon(
    intake: watch::Receiver<Intake>,
    credentials: watch::Receiver<Generations>,
    options: DaemonOptions,
    stop: CancellationToken,
) -> (Handle, impl Future<Output = ()>) {
    let now = options.place.clock.now();
    let first = intake.borrow().clone();
    let (told, state) = watch::channel(Arc::new(State::before(&first, &options.planes, now)));
    let handle = Handle { state, notices: broadcast::Sender::new(1024), counters: Arc::default() };
    let clock = options.place.clock.clone();
    let teller = Teller::new(clock, told, handle.notices.clone(), Arc::clone(&handle.counters));
    let notices = handle.notices.subscribe();
    let daemon = Daemon::new(options, credentials, Arc::new(teller), stop);
    (handle, daemon.run(intake, notices))
}
