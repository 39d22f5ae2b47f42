//! `apply` and `delete`: rounds of looking and acting until nothing is left to do.

mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{Cluster, Fence};
use fleet::load::Loaded;
use fleet::{ClusterName, Plane};
use manifest::{Endpoint, ObjectRef, PendingReason, UnitId};
use plan::{BlockedBy, Plan, Policy, Removal, Step};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::execute::{Executed, Execution, behind, execute, failure};
use crate::hold::{Hold, Turn};
use crate::notes::{not_handed_over, notes};
use crate::report::{Event, Failure, Outcome, Verdict, usage};
use crate::round::Round;
use crate::vain::InVain;
use crate::{Fatal, Options, Session, secrets};

/// The shortest and the longest pause between two looks when nothing can be done but wait.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// The longest pause after something has moved. No shorter one: where clusters fail in turn, something always does.
const PAUSE_AT_NEWS: Duration = Duration::from_secs(1);

/// The longest pause when steps are possible but nothing comes of them.
const PAUSE_AT_FAILURE: Duration = Duration::from_secs(5);

/// So often it is tried to write down that all has converged.
const TRIES: usize = 3;

/// Makes the fleet real: until it has converged, is blocked, or the time is up.
///
/// # Errors
/// When nothing could be begun; nothing was written then.
pub async fn apply(loaded: &Loaded, options: &Options, tell: &(dyn Fn(Event) + Sync)) -> Result<Outcome, Fatal> {
    let started = Instant::now();
    let session = Session::open(loaded, options, tell).await?;
    let mut run = Run::new(&session, tell, options.policy.clone(), BTreeMap::new());
    let mut hold = Hold::new(&options.place, &loaded.fleet.name);
    let mut ended = run.until_done(&mut hold, started).await;
    let gone = match &ended {
        Ok(outcome) if outcome.verdict == Verdict::Converged && options.policy.removal == Removal::Everything => {
            session.planes.clone()
        }
        _ => BTreeSet::new(),
    };
    let left = hold.end(&gone).await;
    if let Ok(outcome) = &mut ended
        && !left.is_empty()
    {
        outcome.verdict = Verdict::Failed;
        outcome.failures.extend(left.iter().map(|error| failure(error, None, None)));
    }
    ended
}

/// A run of `apply`.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) tell: &'a (dyn Fn(Event) + Sync),
    pub(crate) policy: Policy,
    /// What the writes of a plane have to go by.
    pub(crate) fences: BTreeMap<Plane, Fence>,
    /// The hash of the file that a daemon keeps, if this is a round of one.
    pub(crate) kept_file: Option<String>,
    /// What this run is to each plane, once it was asked.
    pub(crate) turns: BTreeMap<Plane, Turn>,
    /// Daemons that were told what to do.
    daemons: BTreeMap<Plane, String>,
    done: Executed,
    /// Of the last round that did something.
    pub(crate) failures: Vec<Failure>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        session: &'a Session<'a>,
        tell: &'a (dyn Fn(Event) + Sync),
        policy: Policy,
        fences: BTreeMap<Plane, Fence>,
    ) -> Self {
        let (turns, daemons, done, failures) = (BTreeMap::new(), BTreeMap::new(), Executed::default(), Vec::new());
        Self { session, tell, policy, fences, kept_file: None, turns, daemons, done, failures }
    }

    async fn until_done(&mut self, hold: &mut Hold, started: Instant) -> Result<Outcome, Fatal> {
        let deadline = started + self.session.options.timeout;
        let mut pause = PAUSE.0;
        let mut in_vain = InVain::default();
        let mut waited_for = None;
        let mut tries = 0;
        loop {
            let mut round = Round::look(self.session, &self.policy).await?;
            round.teach(&self.session.loaded.fleet, &mut self.policy.learnt);
            self.begin(&mut round).await?;
            self.report(&round);
            let mut steps = self.possible(&round.plan);
            let waits = !steps.is_empty();
            if waits {
                self.claim(hold, &round).await?;
                steps.retain(|step| step.plane().is_none_or(|plane| self.is_ours(plane)));
            }
            let now = Some((round.plan.blocked.clone(), round.proof.missing.clone(), round.proof.unhealthy.clone()));
            if steps.is_empty() && waited_for != now {
                // Where something has moved, more may: what took long lies behind us.
                pause = pause.min(PAUSE_AT_NEWS);
            }
            waited_for = now;
            let left = |pause: Duration| pause.min(deadline.saturating_duration_since(Instant::now()));
            let stop = &self.session.options.stop;
            if !steps.is_empty() {
                let before = (self.done.written, self.done.deleted);
                let again = in_vain.again(&steps);
                if self.policy.last_call {
                    // Once, whatever comes of it: there is no time left for more.
                    self.policy.gave_up.extend(steps.iter().filter_map(undrained));
                }
                self.act(&mut round, steps).await;
                if again || before == (self.done.written, self.done.deleted) {
                    // What could not be done now, or was undone, is done ever more slowly: a cluster may be gone, and
                    // somebody may change back what we write.
                    unless(stop, sleep(left(pause))).await;
                    pause = (pause * 2).min(PAUSE_AT_FAILURE);
                } else {
                    pause = (pause / 2).max(PAUSE.0);
                }
            } else if self.has_converged(&round) {
                if self.policy.removal == Removal::Everything {
                    self.claim(hold, &round).await?;
                    let others = self.turns.values().any(|turn| *turn != Turn::Ours);
                    if others && !self.policy.last_call {
                        // Whoever holds a Lease comes to his end before it is taken away, or has died with it.
                        unless(stop, hold.changes(left(PAUSE_AT_FAILURE))).await;
                        self.policy.last_call = stop.is_cancelled() || Instant::now() >= deadline;
                        continue;
                    }
                    self.sweep().await;
                } else {
                    self.close_books(&round).await;
                    let before = self.failures.len();
                    if !self.remember(&mut round, true).await {
                        tries += 1;
                        if tries < TRIES && !self.policy.last_call {
                            // Somebody may have written it meanwhile.
                            self.failures.truncate(before);
                            unless(stop, sleep(left(pause))).await;
                            continue;
                        }
                        let verdict = self.verdict(&round);
                        return Ok(self.outcome(&round, verdict, started));
                    }
                }
                return Ok(self.outcome(&round, Verdict::Converged, started));
            } else if self.policy.last_call || !(waits || self.has_hope(&round)) {
                let verdict = self.verdict(&round);
                return Ok(self.outcome(&round, verdict, started));
            } else if waits {
                self.instruct(&mut round).await;
                unless(stop, hold.changes(left(pause))).await;
                pause = (pause * 2).min(PAUSE_AT_FAILURE);
            } else {
                unless(stop, sleep(left(pause))).await;
                // What took long may take longer: it is seen late by a quarter of the time that it took.
                pause = (pause * 5 / 4).min(PAUSE.1);
            }
            // Drains that have not led to anything are taken back before we leave.
            self.policy.last_call = self.policy.last_call || stop.is_cancelled() || Instant::now() >= deadline;
        }
    }

    /// Asks for the Leases of the planes of this run, and learns whose turn it is.
    async fn claim(&mut self, hold: &mut Hold, round: &Round) -> Result<(), Fatal> {
        self.failures.clear();
        let absent = round.without_namespace();
        let homes = round.policy.planes.iter().filter_map(|plane| Some((*plane, self.session.home(*plane)?.clone())));
        let failed = hold.claim(homes.filter(|(_, home)| !absent.contains(home.name())).collect()).await;
        for error in failed {
            let failure = failure(&error, None, None);
            (self.tell)(Event::Failed(failure.clone()));
            self.failures.push(failure);
        }
        let turns = hold.turns();
        self.fences = hold.fences();
        self.fences.retain(|plane, _| turns.get(plane) == Some(&Turn::Ours));
        for (plane, turn) in turns.iter().filter(|(plane, turn)| self.turns.get(plane) != Some(turn)) {
            let home = self.session.home_name(*plane);
            let text = match turn {
                Turn::Ours => continue,
                Turn::Daemon(_) if self.policy.removal != Removal::None => {
                    return Err(Fatal::Usage(vec![usage(
                        home,
                        format!("cluster {home}: {turn} keeps the {plane} plane, and would make anew what is deleted"),
                        "stop the daemon first, then run the command again".to_owned(),
                    )]));
                }
                Turn::Daemon(name) => {
                    self.daemons.insert(*plane, name.clone());
                    if *plane == Plane::Control && !round.secrets.brought.is_empty() {
                        (self.tell)(not_handed_over(home, name, &round.secrets.brought));
                    }
                    format!("{turn} keeps the {plane} plane: it is told what to do, and followed")
                }
                Turn::Run(_) => format!("{turn} is at work on the {plane} plane: waiting for its end"),
                Turn::Unknown(why) => format!("it is not known any more who may write the {plane} plane: {why}"),
            };
            (self.tell)(Event::Note { cluster: Some(home.clone()), text, hint: None });
        }
        self.turns = turns;
        Ok(())
    }

    fn is_ours(&self, plane: Plane) -> bool {
        self.turns.get(&plane) == Some(&Turn::Ours)
    }

    /// A cluster as those see it who write for a plane.
    pub(crate) fn home(&self, plane: Plane) -> Option<Cluster> {
        self.session.home(plane).map(|home| behind(&self.fences, plane, home))
    }

    /// Prepares what plans take for granted: namespaces, and secret values.
    async fn begin(&mut self, round: &mut Round) -> Result<(), Fatal> {
        let fleet = &self.session.loaded.fleet;
        if self.policy.removal == Removal::None && round.policy.has_plane(Plane::Control) {
            if !round.secrets.lacking.is_empty() {
                return Err(Fatal::Usage(std::mem::take(&mut round.secrets.lacking)));
            }
            if !round.secrets.lost.is_empty() && self.session.options.restore_passwords_from.is_none() {
                return Err(Fatal::Usage(vec![self.lost_passwords(round)]));
            }
        }
        let absent = round.without_namespace();
        if self.session.options.create_namespaces && !absent.is_empty() {
            for name in absent {
                let Some(cluster) = self.session.clusters.get(&name) else { continue };
                match cluster.create_namespace().await {
                    Ok(()) => self.done.written += 1,
                    Err(error) => self.failures.push(failure(&error, None, None)),
                }
            }
            // One at a time: a large fleet takes tens of megabytes.
            round.desire.desired = manifest::Desired::default();
            *round = Round::look(self.session, &self.policy).await?;
        }
        for note in notes(fleet, round) {
            (self.tell)(note);
        }
        Ok(())
    }

    pub(crate) fn lost_passwords(&self, round: &Round) -> Failure {
        let names: Vec<&str> = round.secrets.lost.iter().map(ClusterName::as_str).collect();
        let fleet = &self.session.loaded.fleet;
        usage(
            &fleet.control.cluster,
            format!(
                "the passwords are gone from {}, while {} still {} with them; new ones would lock every bridge out",
                fleet.control.cluster,
                names.join(", "),
                if names.len() == 1 { "works" } else { "work" }
            ),
            format!(
                "pass --restore-passwords-from {} to put its copy back",
                names.first().copied().unwrap_or_default()
            ),
        )
    }

    /// The steps of a plan that have not been refused in this run. On the last call nothing new begins: only drains are
    /// taken back, each tried once.
    fn possible(&self, plan: &Plan) -> Vec<Step> {
        let refused = |objects: &[ObjectRef]| objects.iter().all(|object| self.done.refused.contains_key(object));
        plan.steps
            .iter()
            .filter(|step| !matches!(step, Step::Apply { objects, .. } if refused(objects)))
            .filter(|step| !self.policy.last_call || self.is_farewell(step))
            .cloned()
            .collect()
    }

    fn is_farewell(&self, step: &Step) -> bool {
        undrained(step).is_some_and(|bridge| !self.policy.gave_up.contains(&bridge))
    }

    async fn act(&mut self, round: &mut Round, steps: Vec<Step>) {
        let fleet = &self.session.loaded.fleet;
        self.instruct(round).await;
        if !self.remember(round, false).await {
            return;
        }
        // What is being deleted needs no passwords: making them would put off everything else, again and again.
        let wanted = self.policy.removal == Removal::None && round.policy.has_plane(Plane::Control);
        if round.secrets.to_make && wanted {
            if self.is_ours(Plane::Control) {
                // What reads them is rendered anew: its pods carry a hash that is keyed with them.
                self.make_secrets(round).await;
            }
            return;
        }
        let plan = Plan { steps, ..round.plan.clone() };
        self.policy.learnt.told(&plan.steps, self.session.now());
        let shelves = round.looks.iter().map(|(name, look)| (name.clone(), look.shelves.clone())).collect();
        let servers = |cluster: &ClusterName, shard: &fleet::ShardName, slot: fleet::Slot| {
            data_plane::xmpp_address(fleet, &round.desire.surroundings, cluster, shard, slot)
        };
        // The last call itself is made when nothing else is to begin any more.
        let last_call = CancellationToken::new();
        let stop = if self.policy.last_call { &last_call } else { &self.session.options.stop };
        let executed = execute(
            &Execution {
                fleet,
                desired: &round.desire.desired,
                observed: &round.observed,
                shelves: &shelves,
                clusters: &self.session.clusters,
                fences: &self.fences,
                secrets: &round.secrets.values,
                servers: &servers,
                refused: &self.done.refused,
                tell: self.tell,
                stop,
            },
            &plan,
        )
        .await;
        self.policy.gave_up.extend(executed.undrained.iter().cloned());
        self.failures.extend(executed.failures.iter().cloned());
        self.done.add(executed);
    }

    /// Makes the passwords that are nowhere, or puts back what a data cluster still has of them.
    pub(crate) async fn make_secrets(&mut self, round: &mut Round) {
        let fleet = &self.session.loaded.fleet;
        let from = self.session.options.restore_passwords_from.as_ref();
        let restored = match from.and_then(|name| self.session.clusters.get(name)) {
            Some(cluster) => secrets::restore(fleet, cluster, &mut round.secrets).await,
            None => Ok(()),
        };
        let made = match (restored, self.home(Plane::Control)) {
            (Ok(()), Some(control)) => {
                let entropy = &self.session.options.place.entropy;
                secrets::make(fleet, &control, &round.desire.desired, &mut round.secrets, entropy).await
            }
            (Err(error), _) => Err(error),
            (Ok(()), None) => Ok(()),
        };
        match made {
            Ok(()) => self.done.written += 1,
            Err(error) => {
                (self.tell)(Event::Failed(error.clone()));
                self.failures.push(error);
            }
        }
    }

    fn report(&self, round: &Round) {
        let mut changes: BTreeMap<ClusterName, usize> = BTreeMap::new();
        for change in &round.plan.changes {
            *changes.entry(change.cluster.clone()).or_default() += change.objects.len();
        }
        (self.tell)(Event::Planned { changes, steps: round.plan.steps.len(), blocked: round.plan.blocked.len() });
        (self.tell)(Event::Joined { clusters: outcome::joined(round) });
        let proof = self.proof(round);
        let unknown = proof.endpoints.iter().filter(|status| !matches!(status.endpoint, Endpoint::Known(_)));
        let mut why: Vec<String> = unknown.map(ToString::to_string).collect();
        why.extend(
            proof.missing.iter().map(|missing| format!("bridge {}/{}: {}", missing.pool, missing.index, missing.why)),
        );
        why.extend(proof.unhealthy.iter().map(|bad| format!("{}: {}: {}", bad.cluster, bad.object, bad.why)));
        let foreign = round.proof.slots.iter().flat_map(|slot| &slot.foreign);
        why.extend(foreign.map(|name| format!("bridge {name} is not of this fleet")));
        if round.plan.steps.is_empty() && !why.is_empty() {
            why.truncate(8);
            (self.tell)(Event::Waiting { why });
        }
    }

    pub(crate) fn has_converged(&self, round: &Round) -> bool {
        if self.policy.removal != Removal::None {
            return round.plan.is_empty();
        }
        let endpoints_known = round.proof.endpoints.iter().all(|status| matches!(status.endpoint, Endpoint::Known(_)));
        let wired = !round.policy.has_plane(Plane::Data) || round.proof.is_exact();
        let complete = round.policy.planes == self.session.planes;
        round.plan.is_empty() && complete && round.proof.unhealthy.is_empty() && endpoints_known && wired
    }

    /// Whether waiting may help: something is still on its way that nobody has to do anything about.
    fn has_hope(&self, round: &Round) -> bool {
        let fleet = &self.session.loaded.fleet;
        let reachable =
            |cluster: &ClusterName| round.observed.clusters.get(cluster).is_some_and(|known| known.value().is_some());
        let on_its_way = round.plan.blocked.iter().any(|blocked| may_pass(&blocked.by));
        let failures = self.done.refused.values().chain(&self.failures);
        let failed_units: BTreeSet<String> =
            failures.filter_map(|failure| failure.unit.as_ref()).map(ToString::to_string).collect();
        let unhealthy =
            round.proof.unhealthy.iter().any(|bad| reachable(&bad.cluster) && !failed_units.contains(&bad.unit));
        let missing = round.policy.has_plane(Plane::Data)
            && round.proof.missing.iter().any(|missing| {
                reachable(&missing.cluster)
                    && !failed_units.contains(&UnitId::Bridge(missing.pool.clone(), missing.index).to_string())
            });
        // A bridge of ours that has just gone is listed for some more seconds.
        let ours: Vec<String> = fleet.clusters.keys().map(|cluster| format!("{cluster}-{}-jvb-", fleet.name)).collect();
        let mut foreign = round.proof.slots.iter().flat_map(|slot| &slot.foreign);
        let passing = round.policy.has_plane(Plane::Data)
            && foreign.any(|name| ours.iter().any(|prefix| name.starts_with(prefix)));
        let pending = round.proof.endpoints.iter().any(|status| {
            matches!(
                status.endpoint.unknown(),
                Some(PendingReason::Allocating | PendingReason::NodePort(_) | PendingReason::NoService)
            )
        });
        let control = reachable(&fleet.control.cluster);
        let silent =
            control && round.policy.has_plane(Plane::Data) && round.proof.slots.iter().any(|slot| slot.why.is_some());
        let namespaces = round.without_namespace();
        let blind = round.policy.planes.iter().all(|plane| namespaces.contains(self.session.home_name(*plane)));
        let removal = self.policy.removal != Removal::None;
        on_its_way || (!blind && !removal && (unhealthy || missing || passing || (pending && control) || silent))
    }
}

/// The bridge whose drain a step takes back, if it does that.
fn undrained(step: &Step) -> Option<UnitId> {
    match step {
        Step::Undrain { pool, index, .. } => Some(UnitId::Bridge(pool.clone(), *index)),
        _ => None,
    }
}

/// Waits, unless it is told to stop.
async fn unless(stop: &CancellationToken, waits: impl Future<Output = ()>) {
    // Either way it is looked around again.
    let _ = stop.run_until_cancelled(waits).await;
}

/// Whether what blocks may pass by itself.
const fn may_pass(by: &BlockedBy) -> bool {
    match by {
        BlockedBy::Settling { .. }
        | BlockedBy::Turn { .. }
        | BlockedBy::Endpoint { .. }
        | BlockedBy::Referenced { .. } => true,
        BlockedBy::Participants(_)
        | BlockedBy::NoEvidence { .. }
        | BlockedBy::Unreachable { .. }
        | BlockedBy::Owed { .. }
        | BlockedBy::Unreadable { .. }
        | BlockedBy::NoNamespace { .. }
        | BlockedBy::KindMissing { .. }
        | BlockedBy::EmptyRender => false,
    }
}
