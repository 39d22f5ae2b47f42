//! The loop: wait for news, look, plan, begin what may begin, and never wait for a cluster that is slow.

mod begin;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use fleet::load::Loaded;
use fleet::{ClusterName, Plane};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use plan::{Learnt, Policy};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::Options;

use super::ask::Manner;
use super::guard::Guard;
use super::herald::Herald;
use super::leases::Leases;
use super::link::Links;
use super::patience::Patience;
use super::senses::Kept;
use super::share::Done;
use super::tell::Teller;
use super::{DaemonOptions, Generations, Intake, Notice, Pace};

use self::turn::{Turns, adopt};

/// How long what is under way may take to end when the daemon is told to. What takes longer is cut.
const FAREWELL: Duration = Duration::from_secs(7);
/// And how long giving back the Leases may take.
const RELEASE: Duration = Duration::from_secs(2);

/// Connections, Leases and requests are told anew after this time if no round does it.
const TOLD: Duration = Duration::from_secs(15);

/// Everything that outlives an intent.
pub(crate) struct Daemon {
    options: Options,
    pace: Pace,
    news: Arc<Notify>,
    /// Daemons that are waited for say the same again.
    again: Arc<Notify>,
    /// How often daemons are asked now.
    asking: watch::Sender<Duration>,
    links: Links,
    leases: Leases,
    /// Clusters that may hold what left the file.
    former: BTreeMap<ClusterName, fleet::Cluster>,
    /// Clusters that answer and are not what they should be, since when, and why that is said.
    left_out: BTreeMap<ClusterName, (Timestamp, String)>,
    kept: Kept,
    guard: Guard,
    /// Clusters that were followed well at the last look.
    live: BTreeSet<ClusterName>,
    /// When a cluster's bridges, recorders or pods were last told something: what was seen before is no evidence of what
    /// came of it.
    told: BTreeMap<ClusterName, Timestamp>,
    /// What the rounds showed one after the other.
    learnt: Learnt,
    patience: Patience,
    teller: Arc<Teller>,
    stop: CancellationToken,
}

/// Why an intent is not worked for any more.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Stopped,
    /// Stopped, and something that was under way had not ended in time.
    Cut,
    /// There is a newer file.
    Intake,
    /// Somebody put another intent into the record.
    Adopted(String),
}

/// How long it is waited.
struct Until {
    /// When the next round begins at the latest.
    wake: Instant,
    /// When the last one did.
    begun: Instant,
    took: Duration,
}

type Working<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + 'a>>>;

impl Daemon {
    pub(crate) fn new(
        options: DaemonOptions,
        credentials: watch::Receiver<Generations>,
        teller: Arc<Teller>,
        stop: CancellationToken,
    ) -> Self {
        let DaemonOptions { place, planes, holder, pace } = options;
        let (news, again) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (asking, paced) = watch::channel(pace.ask_soon);
        let manner =
            Manner { clock: place.clock.clone(), pace: paced, news: Arc::clone(&news), again: Arc::clone(&again) };
        let both = || BTreeSet::from([Plane::Control, Plane::Data]);
        let planes = if planes.is_empty() { both() } else { planes };
        Self {
            links: Links::new(place.clone(), Arc::clone(&news), credentials),
            leases: Leases::new(&place, holder, planes.clone(), Arc::clone(&news)),
            options: Options {
                place,
                policy: Policy { planes, ..Policy::default() },
                timeout: Duration::ZERO,
                create_namespaces: false,
                trust_new_clusters: false,
                restore_passwords_from: None,
                stop: CancellationToken::new(),
                handover: None,
            },
            pace,
            news,
            again,
            asking,
            former: BTreeMap::new(),
            left_out: BTreeMap::new(),
            kept: Kept::new(manner),
            guard: Guard::default(),
            live: BTreeSet::new(),
            told: BTreeMap::new(),
            learnt: Learnt::default(),
            patience: Patience::default(),
            teller,
            stop,
        }
    }

    /// Keeps the fleet until it is told to stop.
    pub(crate) async fn run(mut self, mut intake: watch::Receiver<Intake>, notices: broadcast::Receiver<Notice>) {
        let mut herald = Herald::new(notices, self.leases.holder().to_owned());
        let mut adopted: Option<Loaded> = None;
        let cut = loop {
            let newest = intake.borrow_and_update().clone();
            self.teller.intake(&newest);
            self.options.handover = newest.handover.as_deref().cloned();
            let loaded = adopted.take().map_or_else(|| Arc::clone(&newest.loaded), Arc::new);
            match self.keep(&loaded, &newest, &mut intake, &mut herald).await {
                Ended::Stopped => break false,
                Ended::Cut => break true,
                Ended::Intake => {}
                Ended::Adopted(text) => match adopt(&text) {
                    Ok(loaded) => adopted = Some(loaded),
                    Err(problems) => self.teller.refused(problems),
                },
            }
        };
        // It writes too.
        drop(herald);
        if cut {
            // It may yet be executed, and whoever took a Lease now would not expect that.
            tracing::warn!("what was under way has not ended in time: the Leases are not given back, and run out");
        } else {
            let _ = timeout(RELEASE, self.leases.release()).await;
        }
    }

    /// Works for one intent.
    async fn keep(
        &mut self,
        loaded: &Loaded,
        newest: &Intake,
        intake: &mut watch::Receiver<Intake>,
        herald: &mut Herald,
    ) -> Ended {
        self.kept.begin_anew();
        self.guard.begin_anew();
        self.teller.intent(loaded);
        let mut turn =
            Turns { file: manifest::short_hash(&newest.loaded.intent_text), accepted: false, settled: false };
        let mut farewell = pin!(farewell(self.stop.clone()));
        // Whatever ends the work for this intent, nothing more of it is begun then.
        let options = Options { stop: self.stop.child_token(), ..self.options.clone() };
        let mut working: Working<'_> = FuturesUnordered::new();
        let mut busy = BTreeSet::new();
        let ended = loop {
            let begun = Instant::now();
            let next = tokio::select! {
                biased;
                next = self.turn(loaded, &options, &mut turn, &mut working, &mut busy) => next,
                () = &mut farewell => return Ended::Cut,
            };
            herald.take_up(&self.links);
            let wake = match next {
                Ok(wake) => wake,
                Err(ended) => break ended,
            };
            let until = Until { wake, begun, took: begun.elapsed() };
            if let Some(ended) = self.rest(until, intake, &mut working, &mut busy, turn.settled).await {
                break ended;
            }
        };
        options.stop.cancel();
        let finish = async {
            while let Some(done) = working.next().await {
                self.settle(done, &mut busy, false);
            }
        };
        tokio::select! {
            biased;
            () = finish => ended,
            () = &mut farewell => Ended::Cut,
        }
    }

    /// Waits until the next round is due, or tells why there is none.
    async fn rest(
        &mut self,
        until: Until,
        intake: &mut watch::Receiver<Intake>,
        working: &mut Working<'_>,
        busy: &mut BTreeSet<ClusterName>,
        settled: bool,
    ) -> Option<Ended> {
        let Until { mut wake, begun, took } = until;
        // A large fleet's rounds take long: half of the time is left to everything else.
        let debounce = self.pace.debounce.max(took.min(self.pace.ask_soon));
        let again = begun + debounce.max(self.pace.ask_soon / 2);
        self.teller.requests(self.links.requests());
        let mut tell = Instant::now() + TOLD;
        loop {
            // What is under way goes on in here and nowhere else: nothing in here may take long.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Some(Ended::Stopped),
                // Without anybody who reads the file, what is known of it stays in force.
                Ok(()) = intake.changed() => return Some(Ended::Intake),
                Some(done) = working.next(), if !working.is_empty() => self.settle(done, busy, settled),
                () = self.news.notified() => wake = wake.min(Instant::now() + debounce),
                // Many are asked, and each answers when it likes: they are heard together.
                () = self.again.notified() => wake = wake.min(again),
                () = sleep_until(wake) => return None,
                () = sleep_until(tell) => {
                    self.teller.requests(self.links.requests());
                    self.teller.waiting(self.states(), self.leases.states());
                    tell += TOLD;
                }
            }
        }
    }
}

/// Until what is under way has had its time to end, from when the daemon was told to.
async fn farewell(stop: CancellationToken) {
    stop.cancelled().await;
    sleep(FAREWELL).await;
}
