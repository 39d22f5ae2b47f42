//! The loop: wait for news, look, plan, begin what may begin, and never wait for a cluster that is slow.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use fleet::load::Loaded;
use fleet::{ClusterName, Plane};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use manifest::{Kind, ObjectRef};
use plan::{BlockedBy, Joining, Known, Observed, Policy, Record, Step};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::apply::Run;
use crate::connect;
use crate::hold::Turn;
use crate::report::{Event, Failure};
use crate::round::Round;
use crate::{Fatal, Options, Session, left};

use super::ask::Manner;
use super::guard::Guard;
use super::herald::Herald;
use super::leases::Leases;
use super::link::Links;
use super::senses::{Kept, Memory};
use super::share::{Done, Share, drifted};
use super::tell::{Seen, Teller};
use super::{ClusterState, DaemonOptions, Generations, Intake, Link, Notice, Pace, RoundEnd};

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
    /// Clients of bridges that have not joined.
    joining: Joining,
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
            joining: Joining::default(),
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

    /// The clusters that can be spoken with now.
    fn session<'a>(&mut self, loaded: &'a Loaded, options: &'a Options) -> Result<Session<'a>, Fatal> {
        let planes = options.policy.planes.clone();
        let mut wanted = connect::wanted(loaded, options, &planes)?;
        wanted.extend(self.former.keys().cloned());
        let loaded = left::widened(&Cow::Borrowed(loaded), &self.former);
        self.links.follow(&loaded.fleet, &planes, &wanted);
        let mut session = Session {
            loaded,
            options,
            planes,
            clusters: BTreeMap::new(),
            identities: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            left_out: BTreeSet::new(),
            run_key: self.links.run_key().clone(),
        };
        for name in wanted {
            match self.links.up(&name) {
                Some(up) => {
                    session.identities.insert(name.clone(), up.identity.clone());
                    session.clusters.insert(name, up.cluster.clone());
                }
                None => {
                    let why = self.links.why_not(&name).unwrap_or_default();
                    session.unreachable.insert(name, why);
                }
            }
        }
        let impostors = session.impostors();
        session.leave_out(&impostors);
        Ok(session)
    }

    /// One round, and what it begins. Returns when the next one comes if there is no news.
    async fn turn<'a>(
        &mut self,
        loaded: &'a Loaded,
        options: &'a Options,
        turns: &mut Turns,
        working: &mut Working<'a>,
        busy: &mut BTreeSet<ClusterName>,
    ) -> Result<Instant, Ended> {
        let begun = Instant::now();
        let later = begun + self.pace.round;
        let looked = tokio::select! {
            biased;
            // Whatever is asked here changes nothing: it need not be waited for.
            () = options.stop.cancelled() => return Err(Ended::Stopped),
            looked = self.look(loaded, options) => looked,
        };
        let (session, mut round) = match looked {
            Ok(Some((session, round))) => (Arc::new(session), round),
            Ok(None) => {
                self.teller.waiting(self.states(), self.leases.states());
                return Ok(later);
            }
            Err(fatal) => {
                self.teller.failed(fatal, self.states(), self.leases.states(), begun.elapsed());
                return Ok(begun + self.pace.ask);
            }
        };
        self.leases.follow(&session.loaded.fleet, &self.links);
        if let Some(text) = turns.adopts(&round, &session) {
            return Err(Ended::Adopted(text));
        }
        let now = Instant::now();
        self.welcome();
        self.guard.keep_only(|object| differs(&round, object));
        let left_alone = self.guard.left_alone(now);
        let tell = {
            let teller = Arc::clone(&self.teller);
            move |event: Event| teller.event(event)
        };
        let mut run = Run::new(&session, &tell, options.policy.clone(), self.leases.fences());
        run.kept_file = Some(turns.file.clone());
        run.turns = self.leases.turns();
        let steps = self.possible(&round, &left_alone, busy, now);
        let mut begins = !steps.is_empty();
        if begins {
            begins = self.prepare(&mut run, &mut round, &steps).await;
        } else if run.has_converged(&round) && run.turns.values().any(|turn| *turn == Turn::Ours) {
            run.close_books(&round).await;
            run.remember(&mut round, true).await;
            turns.settled = true;
        } else if !turns.accepted {
            // Blocked or not: whoever applies something from now on means it to go before the file.
            run.remember(&mut round, false).await;
        }
        turns.accepted = turns.accepted || round.records.values().any(|(record, _)| turns.is_of(record));
        let failures = std::mem::take(&mut run.failures);
        drop(run);
        let end = match (begins, round.plan.blocked.is_empty()) {
            (true, _) => RoundEnd::Acted,
            (false, true) => RoundEnd::Nothing,
            (false, false) => RoundEnd::Waiting,
        };
        let under_way = begins || !busy.is_empty() || waits(&round);
        self.asking.send_if_modified(|pace| {
            let wanted = if under_way { self.pace.ask_soon } else { self.pace.ask };
            std::mem::replace(pace, wanted) != wanted
        });
        self.teller.round(&Seen {
            session: &session,
            round: &round,
            steps: if begins { steps.len() } else { 0 },
            failures,
            refusals: self.guard.refusals().cloned().collect(),
            fights: self.guard.fights(now),
            clusters: self.states(),
            planes: self.leases.states(),
            end,
            took: begun.elapsed(),
        });
        for cluster in session.clusters.keys() {
            let Some(up) = self.links.up(cluster) else { continue };
            up.cache.seek(sought(&round, cluster));
        }
        if begins {
            self.joining.told(&steps, self.options.place.clock.now());
            self.begin(&session, round, steps, &left_alone, working, busy);
        }
        let soon = if under_way { begun + self.pace.ask_soon } else { later };
        Ok(self.guard.next(now).map_or(soon, |next| next.min(soon)))
    }

    /// What led to nothing while a cluster was in trouble may be tried at once when it is well again.
    fn welcome(&mut self) {
        let states = self.links.states().into_iter();
        let live = states.filter(|(_, is)| is.state == Link::Live).map(|(name, _)| name).collect();
        let before = std::mem::replace(&mut self.live, live);
        self.live.difference(&before).for_each(|name| self.guard.recovered(name));
    }

    /// Looks around. Nothing at all is known while no cluster is connected.
    async fn look<'a>(
        &mut self,
        loaded: &'a Loaded,
        options: &'a Options,
    ) -> Result<Option<(Session<'a>, Round)>, Fatal> {
        let mut session = self.session(loaded, options)?;
        while !session.clusters.is_empty() {
            let memory = Memory { kept: &self.kept, links: &self.links };
            let policy = Policy { joining: self.joining.clone(), ..options.policy.clone() };
            match Round::by(&memory, &session, &policy).await {
                Ok(round) => {
                    let former = left::places(&round.record.tombstones, &loaded.fleet, &options.policy.planes, options);
                    if former != self.former {
                        self.former = former;
                        session = self.session(loaded, options)?;
                        continue;
                    }
                    round.tell_apart(&loaded.fleet, &mut self.joining);
                    let round = round.with_proxies(&memory, &session).await;
                    self.kept.sweep();
                    self.note(&session);
                    return Ok(Some((session, round)));
                }
                // What leads elsewhere than it should is no reason to leave the others alone.
                Err(Fatal::Usage(problems)) if session.leave_out(&problems) => {}
                Err(fatal) => {
                    self.note(&session);
                    return Err(fatal);
                }
            }
        }
        self.note(&session);
        Ok(None)
    }

    /// Keeps which clusters a session left out.
    fn note(&mut self, session: &Session<'_>) {
        let now = self.options.place.clock.now();
        let why = |name| session.unreachable.get(name).cloned().unwrap_or_default();
        let since = |name| self.left_out.get(name).map_or(now, |(since, _)| *since);
        self.left_out = session.left_out.iter().map(|name| (name.clone(), (since(name), why(name)))).collect();
    }

    /// How each cluster is doing. One that is left out is as good as lost, however well it answers.
    fn states(&self) -> BTreeMap<ClusterName, ClusterState> {
        let mut states = self.links.states();
        for (name, (since, why)) in &self.left_out {
            if let Some(state) = states.get_mut(name) {
                (state.state, state.since, state.why) = (Link::Lost, *since, Some(why.clone()));
            }
        }
        states
    }

    /// The steps that may begin now: of planes that we lead, in clusters whose picture is current and that are not at
    /// work, without what is better left alone.
    fn possible(
        &self,
        round: &Round,
        left_alone: &BTreeMap<ObjectRef, Failure>,
        busy: &BTreeSet<ClusterName>,
        now: Instant,
    ) -> Vec<Step> {
        let free = |cluster: &ClusterName| {
            let current = self.links.works(cluster).is_some_and(|up| up.cache.caught_up());
            current && !busy.contains(cluster) && !self.guard.rests(cluster, now)
        };
        let begins = |step: &&Step| match step {
            Step::Apply { objects, .. } => objects.iter().any(|object| !left_alone.contains_key(object)),
            _ => true,
        };
        let anew = |step: &&Step| {
            let told = step.cluster().and_then(|cluster| self.told.get(cluster));
            is_of_objects(step) || told.is_none_or(|told| is_newer(&round.observed, *told))
        };
        let steps: Vec<Step> = round
            .plan
            .steps
            .iter()
            .filter(|step| step.plane().is_none_or(|plane| self.leases.leads(plane)))
            .filter(|step| step.cluster().is_none_or(free))
            .filter(begins)
            .filter(anew)
            .cloned()
            .collect();
        // What is only written down is no work of its own.
        if steps.iter().all(|step| matches!(step, Step::Bury(_))) && !self.leases.leads_all(&round.policy.planes) {
            return Vec::new();
        }
        steps
    }

    /// Writes down what must survive us, and makes passwords if there are none. Whether steps may begin now.
    async fn prepare(&self, run: &mut Run<'_>, round: &mut Round, steps: &[Step]) -> bool {
        let control = round.policy.has_plane(Plane::Control) && self.leases.leads(Plane::Control);
        if control && !round.secrets.lacking.is_empty() {
            run.failures.extend(std::mem::take(&mut round.secrets.lacking));
            return false;
        }
        if control && !round.secrets.lost.is_empty() {
            let lost = run.lost_passwords(round);
            run.failures.push(lost);
            return false;
        }
        if !steps.is_empty() && !run.remember(round, false).await {
            return false;
        }
        if control && round.secrets.to_make {
            run.make_secrets(round).await;
            // The next round renders with them.
            self.news.notify_one();
            return false;
        }
        true
    }

    /// Begins each cluster's share.
    fn begin<'a>(
        &self,
        session: &Arc<Session<'a>>,
        round: Round,
        steps: Vec<Step>,
        left_alone: &BTreeMap<ObjectRef, Failure>,
        working: &mut Working<'a>,
        busy: &mut BTreeSet<ClusterName>,
    ) {
        let round = Arc::new(round);
        let mut shares: BTreeMap<ClusterName, Vec<Step>> = BTreeMap::new();
        for step in steps {
            if let Some(cluster) = step.cluster().cloned() {
                shares.entry(cluster).or_default().push(step);
            }
        }
        for (cluster, steps) in shares {
            let (session, round, teller) = (Arc::clone(session), Arc::clone(&round), Arc::clone(&self.teller));
            let (refused, fences) = (left_alone.clone(), self.leases.fences());
            busy.insert(cluster.clone());
            let told = steps.iter().any(|step| !is_of_objects(step));
            working.push(Box::pin(async move {
                let share =
                    Share { session: &session, round: &round, fences: &fences, refused: &refused, teller: &teller };
                let executed = share.execute(&cluster, steps).await;
                let drifted = drifted(&round, executed.versions.iter().map(|(object, _)| object).collect());
                Done { cluster, executed, drifted, told }
            }));
        }
    }

    /// A cluster's share is done.
    fn settle(&mut self, done: Done, busy: &mut BTreeSet<ClusterName>, settled: bool) {
        let Done { cluster, executed, drifted, told } = done;
        busy.remove(&cluster);
        let (now, time) = (Instant::now(), self.options.place.clock.now());
        if told {
            self.told.insert(cluster.clone(), time);
        }
        let in_vain = executed.written + executed.deleted == 0 && !executed.failures.is_empty();
        self.guard.acted(&cluster, in_vain, now);
        if let Some(up) = self.links.up(&cluster) {
            for (object, version) in executed.versions.iter().chain(&executed.books) {
                up.cache.wrote(object, version);
            }
            for (object, uid) in &executed.gone {
                up.cache.deleted(object, uid);
            }
        }
        for (object, managers) in &drifted {
            if settled {
                self.teller.repaired(object);
            }
            if let Some(fighting) = self.guard.repaired(object, managers, now, time) {
                self.teller.fighting(fighting);
            }
        }
        for (object, failure) in executed.refused {
            self.guard.refused(object, failure, now);
        }
        self.news.notify_one();
    }
}

/// Until what is under way has had its time to end, from when the daemon was told to.
async fn farewell(stop: CancellationToken) {
    stop.cancelled().await;
    sleep(FAREWELL).await;
}

/// What is remembered from round to round of one intent.
struct Turns {
    /// The hash of the file, whether its intent is worked for or another that was found in the record.
    file: String,
    /// A record says that it is kept.
    accepted: bool,
    /// It has converged once: what differs from now on has drifted.
    settled: bool,
}

impl Turns {
    /// Whether this file is the one that a record is kept by.
    fn is_of(&self, record: &Record) -> bool {
        record.kept_file.as_ref() == Some(&self.file)
    }

    /// The intent that somebody put into the record of a plane of ours since this file was accepted, if it is to be
    /// worked for instead: `apply` beside a daemon does that, and a daemon that starts anew goes on with it.
    fn adopts(&self, round: &Round, session: &Session<'_>) -> Option<String> {
        let hash = manifest::short_hash(&session.loaded.intent_text);
        let records = session.planes.iter().filter_map(|plane| round.records.get(plane));
        let since = records.filter(|(record, _)| self.is_of(record));
        let last = since.filter_map(|(record, _)| record.intent.as_ref()).max_by_key(|intent| intent.since)?;
        (last.hash != hash).then(|| last.text.clone())
    }
}

/// An intent from the record, as a fleet: without its secrets, which are read from where they are stored.
fn adopt(text: &str) -> Result<Loaded, Vec<String>> {
    let nowhere = std::path::Path::new("/");
    fleet::load::load_text("the record's intent", text, nowhere, &BTreeMap::new())
        .map_err(|report| report.problems.iter().map(|problem| problem.message.clone()).collect())
}

/// Kinds of which nothing is known in a cluster while it matters: something of theirs should be there, or stands in an
/// inventory of ours.
fn sought(round: &Round, cluster: &ClusterName) -> BTreeSet<Kind> {
    let blocked = round.plan.blocked.iter().filter(|blocked| blocked.cluster == *cluster);
    let waited = blocked.filter_map(|blocked| match &blocked.by {
        BlockedBy::KindMissing { kind } | BlockedBy::Unreadable { kind, .. } => Some(*kind),
        _ => None,
    });
    let view = round.observed.clusters.get(cluster).and_then(Known::value);
    let owned = view.into_iter().flat_map(|view| {
        let ours = view.inventories.iter().filter(|(plane, _)| round.policy.has_plane(**plane));
        let objects = ours.flat_map(|(_, inventory)| inventory.units.values().flat_map(BTreeMap::keys));
        objects.map(|owned| owned.kind).filter(|kind| view.unreadable_kinds.contains_key(kind))
    });
    waited.chain(owned).collect()
}

/// Whether a step changes nothing but objects: what came of it shows in the cache.
const fn is_of_objects(step: &Step) -> bool {
    match step {
        Step::Bury(_) | Step::Apply { .. } | Step::Prune { .. } | Step::Forget { .. } => true,
        Step::Drain { .. }
        | Step::Undrain { .. }
        | Step::Attach { .. }
        | Step::Detach { .. }
        | Step::DeletePod { .. } => false,
    }
}

/// Whether all that daemons said was asked after this.
fn is_newer(observed: &Observed, than: Timestamp) -> bool {
    fn newer<T>(known: &Known<T>, than: Timestamp) -> bool {
        !matches!(known, Known::Yes(seen) if seen.as_of <= than)
    }
    observed.slots.values().all(|known| newer(known, than))
        && observed.bridges.values().all(|known| newer(known, than))
        && observed.recorders.values().all(|known| newer(known, than))
}

/// Whether a plan has something to say about an object.
fn differs(round: &Round, object: &ObjectRef) -> bool {
    round.plan.changes.iter().any(|change| change.objects.iter().any(|(differing, _)| differing == object))
}

/// Whether something is on its way that daemons are to be asked about often.
fn waits(round: &Round) -> bool {
    let passing =
        |by: &BlockedBy| matches!(by, BlockedBy::Settling { .. } | BlockedBy::Turn { .. } | BlockedBy::Participants(_));
    !round.plan.steps.is_empty()
        || round.plan.blocked.iter().any(|blocked| passing(&blocked.by))
        || !round.proof.missing.is_empty()
        || round.proof.slots.iter().any(|slot| slot.why.is_some())
}
