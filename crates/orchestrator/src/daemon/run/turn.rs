//! One round of the daemon: who can be spoken with, what there is to see, and what follows from it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fleet::ClusterName;
use fleet::load::Loaded;
use manifest::{Kind, ObjectRef};
use plan::{BlockedBy, Known, Policy, Record};
use tokio::time::Instant;

use crate::apply::Run;
use crate::connect;
use crate::hold::Turn;
use crate::report::Event;
use crate::round::Round;
use crate::{Fatal, Options, Session, left};

use super::super::patience::{Scene, waits};
use super::super::senses::Memory;
use super::super::tell::Seen;
use super::super::{ClusterState, Link, RoundEnd};
use super::{Daemon, Ended, Working};

impl Daemon {
    /// The clusters that can be spoken with now.
    fn session<'a>(&mut self, loaded: &'a Loaded, options: &'a Options) -> Result<Session<'a>, Fatal> {
        let planes = options.policy.planes.clone();
        let mut wanted = connect::wanted(loaded, options, &planes)?;
        wanted.extend(self.former.keys().cloned());
        let loaded = left::widened(&Cow::Borrowed(loaded), &self.former);
        self.links.follow(&loaded.fleet, &planes, &wanted);
        let mut session = Session::of_nobody(loaded, options, planes, self.links.run_key().clone());
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
    pub(super) async fn turn<'a>(
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
        let soon = self.soon(&round, begins || !busy.is_empty(), now);
        let wanted = soon.unwrap_or(self.pace.ask);
        self.asking.send_if_modified(|pace| std::mem::replace(pace, wanted) != wanted);
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
            self.learnt.told(&steps, self.options.place.clock.now());
            self.begin(&session, round, steps, &left_alone, working, busy);
        }
        let soon = soon.map_or(later, |soon| begun + soon);
        Ok(self.guard.next(now).map_or(soon, |next| next.min(soon)))
    }

    /// How soon it is looked again without any news, and how often daemons are asked, if something is waited for.
    fn soon(&mut self, round: &Round, at_work: bool, now: Instant) -> Option<Duration> {
        if !at_work && waits(round) {
            return Some(self.patience.wait(Scene::of(round), &self.pace, now));
        }
        self.patience.lose();
        at_work.then_some(self.pace.ask_soon)
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
            let policy = Policy { learnt: self.learnt.clone(), ..options.policy.clone() };
            match Round::by(&memory, &session, &policy).await {
                Ok(round) => {
                    let former = left::places(&round.record.tombstones, &loaded.fleet, &options.policy.planes, options);
                    if former != self.former {
                        self.former = former;
                        session = self.session(loaded, options)?;
                        continue;
                    }
                    round.teach(&loaded.fleet, &mut self.learnt);
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
    pub(super) fn states(&self) -> BTreeMap<ClusterName, ClusterState> {
        let mut states = self.links.states();
        for (name, (since, why)) in &self.left_out {
            if let Some(state) = states.get_mut(name) {
                (state.state, state.since, state.why) = (Link::Lost, *since, Some(why.clone()));
            }
        }
        states
    }
}

/// What is remembered from round to round of one intent.
pub(super) struct Turns {
    /// The hash of the file, whether its intent is worked for or another that was found in the record.
    pub(super) file: String,
    /// A record says that it is kept.
    pub(super) accepted: bool,
    /// It has converged once: what differs from now on has drifted.
    pub(super) settled: bool,
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
pub(super) fn adopt(text: &str) -> Result<Loaded, Vec<String>> {
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

/// Whether a plan has something to say about an object.
fn differs(round: &Round, object: &ObjectRef) -> bool {
    round.plan.changes.iter().any(|change| change.objects.iter().any(|(differing, _)| differing == object))
}
