//! One queue of events by time; everything that callers do is one of them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::broadcast, time::Instant};

use super::{
    load::Load,
    random::Random,
    report::{Cause, PeopleReport, Sample},
    ways::{Way, Ways},
};
use crate::{daemon::seats::Seats, media::MediaCut, state::Shared};

/// Between two looks at what ended.
const LOOK: u64 = 1_000;
/// Between two tries of somebody who cannot come in.
const RETRY: (u64, u64) = (3_000, 10_000);
/// How often somebody tries before giving up.
const TRIES: u8 = 60;
/// How long after a cut a websocket is there again.
const RECONNECT: (u64, u64) = (1_000, 10_000);
/// How long a page takes to be loaded anew.
const RELOAD: (u64, u64) = (3_000, 20_000);
/// How long media takes to come back over another bridge.
const INVITE: (u64, u64) = (1_500, 4_000);
/// Between two keep-alives, as the web application jitters them.
const KEEP_ALIVE: (u64, u64) = (60_000, 120_000);
const MINUTE: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ConferenceId {
    slot: usize,
    life: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// Somebody comes in, or comes back after he lost everything.
    Join(ConferenceId, u16, u8),
    /// Somebody whose media broke is invited anew.
    Invite(ConferenceId, u16, u8),
    /// Somebody whose websocket broke connects again.
    Reconnect(ConferenceId, u16, u8),
    Leave(ConferenceId, u16),
    End(ConferenceId),
    KeepAlive(ConferenceId),
    Look,
    Sample,
}

struct Conference {
    life: u64,
    number: usize,
    key: String,
    people: Vec<Person>,
    inside: u64,
    split: bool,
}

struct Person {
    region: usize,
    stage: Stage,
    interruptions: u64,
    came: bool,
}

enum Stage {
    /// On the way in, or back in.
    Outside,
    Inside {
        way: Way,
        /// Nothing while the focus has no bridge for him.
        seats: Option<Arc<Seats>>,
        /// Media, or the websocket, is about to come back.
        waits: bool,
    },
    Left,
}

/// Everybody.
pub(super) struct Engine {
    shared: Arc<Shared>,
    load: Load,
    random: Random,
    begun: Instant,
    /// Of the day, when it began.
    second: u64,
    arriving: bool,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    conferences: Vec<Option<Conference>>,
    free: Vec<usize>,
    lives: u64,
    ways: Ways,
    used: BTreeMap<u64, Arc<Seats>>,
    cuts: broadcast::Receiver<MediaCut>,
    /// Who is on the way in or back.
    waiting: u64,
    report: PeopleReport,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("events", &self.report.events).finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>, load: Load, seed: u64) -> Self {
        let second = shared.clock.now().as_second().rem_euclid(86_400);
        let cuts = shared.media_cuts();
        let mut engine = Self {
            shared,
            arriving: load.per_day > 0,
            load,
            random: Random::new(seed),
            begun: Instant::now(),
            second: u64::try_from(second).unwrap_or(0),
            queue: BinaryHeap::new(),
            order: 0,
            conferences: Vec::new(),
            free: Vec::new(),
            lives: 0,
            ways: Ways::new(),
            used: BTreeMap::new(),
            cuts,
            waiting: 0,
            report: PeopleReport { seed, ..PeopleReport::default() },
        };
        engine.at(0, Event::Look);
        engine.at(0, Event::Sample);
        if engine.arriving {
            engine.at(0, Event::Arrival);
        }
        engine
    }

    fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, event)));
    }

    fn soon(&mut self, now: u64, (from, to): (u64, u64), event: Event) {
        let at = now + self.random.between(from, to);
        self.at(at, event);
    }

    /// Lets everything happen that is due; returns when the next thing is.
    pub(super) fn run_due(&mut self) -> Instant {
        let until = millis(self.begun.elapsed());
        while let Some(Reverse((at, _, event))) = self.queue.peek().copied() {
            if at > until {
                return self.begun + Duration::from_millis(at);
            }
            self.queue.pop();
            self.happen(at, event);
        }
        Instant::now() + Duration::from_secs(1)
    }

    fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Arrival => self.arrive(now),
            Event::Join(id, person, tries) => self.join(now, id, person, tries),
            Event::Invite(id, person, tries) => self.invite(now, id, person, tries),
            Event::Reconnect(id, person, tries) => self.reconnect(now, id, person, tries),
            Event::Leave(id, person) => self.leave(id, person),
            Event::End(id) => self.end(id),
            Event::KeepAlive(id) => self.keep_alive(now, id),
            Event::Look => self.look(now),
            Event::Sample => self.sample(now),
        }
    }

    pub(super) fn stop_arrivals(&mut self) {
        self.arriving = false;
    }

    pub(super) const fn settled(&self) -> bool {
        self.waiting == 0
    }

    pub(super) fn report(&self) -> PeopleReport {
        self.report.clone()
    }

    pub(super) fn meet(&mut self, room: &str, people: u16, length: Duration) {
        let now = millis(self.begun.elapsed());
        let id = self.open(room.to_owned());
        for _ in 0..people {
            self.add(id, now, now + millis(length));
        }
        self.at(now + millis(length), Event::End(id));
        self.soon(now, KEEP_ALIVE, Event::KeepAlive(id));
    }

    fn arrive(&mut self, now: u64) {
        if !self.arriving {
            return;
        }
        self.report.events.arrivals += 1;
        let gap = self.random.exponential(1000.0 / self.load.rate()).max(1.0) as u64;
        self.at(now + gap, Event::Arrival);
        if self.random.unit() >= Load::share(self.second + now / 1000) {
            return;
        }
        let number = self.lives + 1;
        let tenant = self.random.below(self.load.tenants.len());
        let key = match self.load.tenants.get(tenant) {
            Some(tenant) => format!("/{}/room{number}", tenant.to_lowercase()),
            None => format!("/room{number}"),
        };
        let length = millis(self.load.length(&mut self.random));
        let size = Load::size(&mut self.random);
        let id = self.open(key);
        for index in 0..size {
            let late = if index == 0 { 0 } else { self.random.exponential(60_000.0) as u64 };
            let late = late.min(length / 2);
            let early = if self.random.unit() < 1.0 / 6.0 { self.random.between(0, (length - late) / 2) } else { 0 };
            self.add(id, now + late, now + length - early);
        }
        self.at(now + length, Event::End(id));
        self.soon(now, KEEP_ALIVE, Event::KeepAlive(id));
    }

    fn open(&mut self, key: String) -> ConferenceId {
        self.lives += 1;
        let life = self.lives;
        let number = usize::try_from(life).unwrap_or(0);
        let conference = Conference { life, number, key, people: Vec::new(), inside: 0, split: false };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.conferences.push(None);
                self.conferences.len() - 1
            }
        };
        if let Some(place) = self.conferences.get_mut(slot) {
            *place = Some(conference);
        }
        ConferenceId { slot, life }
    }

    fn add(&mut self, id: ConferenceId, comes: u64, goes: u64) {
        let region = self.random.below(self.load.regions.len());
        let Some(conference) = find(&mut self.conferences, id) else { return };
        let Ok(person) = u16::try_from(conference.people.len()) else { return };
        conference.people.push(Person { region, stage: Stage::Outside, interruptions: 0, came: false });
        self.at(comes, Event::Join(id, person, 0));
        self.at(goes, Event::Leave(id, person));
    }

    /// By the entrance to a shard, and by its focus to a bridge.
    fn join(&mut self, now: u64, id: ConferenceId, person: u16, tries: u8) {
        self.report.events.joins += 1;
        let Some(conference) = find(&mut self.conferences, id) else { return };
        let Some(who) = conference.people.get_mut(usize::from(person)) else { return };
        if !matches!(who.stage, Stage::Outside) {
            return;
        }
        let way = self.ways.enter(&self.shared, &conference.key, conference.number, &mut self.random);
        let region = self.load.regions.get(who.region).map(String::as_str);
        let found = way.filter(|way| !way.shard.is_over()).and_then(|way| {
            let seats = way.shard.focus.join(&conference.key, region)?;
            Some((way, seats))
        });
        let Some((way, seats)) = found else {
            self.report.failed_joins += u64::from(tries == 0);
            self.waiting += u64::from(tries == 0 && !who.came);
            if tries < TRIES {
                self.soon(now, RETRY, Event::Join(id, person, tries + 1));
            } else {
                self.waiting = self.waiting.saturating_sub(1);
                who.stage = Stage::Left;
            }
            return;
        };
        if who.came || tries > 0 {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let shard = way.shard.id;
        let open = self.shared.media_open(&seats.pod);
        self.used.entry(seats.id).or_insert_with(|| Arc::clone(&seats));
        who.stage = Stage::Inside { way, seats: Some(seats), waits: false };
        if !std::mem::replace(&mut who.came, true) {
            self.report.participants += 1;
            if conference.inside == 0 && person == 0 {
                self.report.conferences += 1;
            }
        }
        self.report.failed_joins += u64::from(!open);
        conference.inside += 1;
        if conference.inside == 1 {
            self.report.conferences_now += 1;
            self.report.peak_conferences = self.report.peak_conferences.max(self.report.conferences_now);
        }
        self.report.participants_now += 1;
        self.report.peak_participants = self.report.peak_participants.max(self.report.participants_now);
        let split = conference
            .people
            .iter()
            .any(|other| matches!(&other.stage, Stage::Inside { way, .. } if way.shard.id != shard));
        if split && !std::mem::replace(&mut conference.split, true) {
            self.report.split_conferences += 1;
        }
    }

    /// Media comes back: over the bridge that the focus chooses now.
    fn invite(&mut self, now: u64, id: ConferenceId, person: u16, tries: u8) {
        let Some(conference) = find(&mut self.conferences, id) else { return };
        let Some(who) = conference.people.get_mut(usize::from(person)) else { return };
        let Stage::Inside { way, seats, waits } = &mut who.stage else { return };
        if !*waits {
            return;
        }
        if way.shard.is_over() {
            // The next look sees that, too.
            return;
        }
        if seats.is_none() {
            let region = self.load.regions.get(who.region).map(String::as_str);
            *seats = way.shard.focus.join(&conference.key, region);
            if let Some(seats) = seats {
                self.used.entry(seats.id).or_insert_with(|| Arc::clone(seats));
            }
        }
        if seats.as_ref().is_some_and(|seats| self.shared.media_open(&seats.pod)) {
            *waits = false;
            self.waiting = self.waiting.saturating_sub(1);
        } else {
            self.soon(now, RETRY, Event::Invite(id, person, tries.saturating_add(1)));
        }
    }

    /// The websocket comes back, and with it, on the same shard, the session.
    fn reconnect(&mut self, now: u64, id: ConferenceId, person: u16, tries: u8) {
        let Some(conference) = find(&mut self.conferences, id) else { return };
        let Some(who) = conference.people.get_mut(usize::from(person)) else { return };
        let Stage::Inside { way, .. } = &mut who.stage else { return };
        let found = self.ways.enter(&self.shared, &conference.key, conference.number, &mut self.random);
        match found {
            Some(found) if found.shard.id == way.shard.id => {
                way.fronts = found.fronts;
                self.waiting = self.waiting.saturating_sub(1);
            }
            Some(_) => {
                self.waiting = self.waiting.saturating_sub(1);
                self.thrown_out(now, id, person, Cause::WrongShard);
            }
            // After a minute the server has given the session up.
            None if tries >= 12 => {
                self.waiting = self.waiting.saturating_sub(1);
                self.thrown_out(now, id, person, Cause::WebsocketCut);
            }
            None => self.at(now + 5_000, Event::Reconnect(id, person, tries + 1)),
        }
    }

    fn leave(&mut self, id: ConferenceId, person: u16) {
        self.report.events.leaves += 1;
        let stage = self.step_out(id, person);
        if stage.is_some_and(|waited| waited) {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let Some(conference) = find(&mut self.conferences, id) else { return };
        if let Some(who) = conference.people.get_mut(usize::from(person)) {
            who.stage = Stage::Left;
        }
    }

    /// Takes somebody out of shard and bridge; says whether he was waiting for his media, or nothing if he was not in.
    fn step_out(&mut self, id: ConferenceId, person: u16) -> Option<bool> {
        let conference = find(&mut self.conferences, id)?;
        let who = conference.people.get_mut(usize::from(person))?;
        let Stage::Inside { way, seats, waits } = std::mem::replace(&mut who.stage, Stage::Outside) else {
            return None;
        };
        if let Some(seats) = seats {
            way.shard.focus.leave(&conference.key, seats.id);
        }
        conference.inside -= 1;
        self.report.participants_now -= 1;
        self.report.conferences_now -= u64::from(conference.inside == 0);
        Some(waits)
    }

    /// Somebody has to load the page anew.
    fn thrown_out(&mut self, now: u64, id: ConferenceId, person: u16, cause: Cause) {
        let Some(waited) = self.step_out(id, person) else { return };
        if !waited {
            self.waiting += 1;
        }
        self.interrupt(id, person, cause);
        self.soon(now, RELOAD, Event::Join(id, person, 1));
    }

    fn interrupt(&mut self, id: ConferenceId, person: u16, cause: Cause) {
        let Some(conference) = find(&mut self.conferences, id) else { return };
        let Some(who) = conference.people.get_mut(usize::from(person)) else { return };
        who.interruptions += 1;
        self.report.interrupted_participants += u64::from(who.interruptions == 1);
        self.report.worst = self.report.worst.max(who.interruptions);
        self.report.interruptions.count(cause);
    }

    fn end(&mut self, id: ConferenceId) {
        let Some(count) = find(&mut self.conferences, id).map(|conference| conference.people.len()) else { return };
        for person in 0..count {
            if let Ok(person) = u16::try_from(person)
                && self.step_out(id, person).is_some_and(|waited| waited)
            {
                self.waiting = self.waiting.saturating_sub(1);
            }
        }
        if let Some(place) = self.conferences.get_mut(id.slot) {
            *place = None;
            self.free.push(id.slot);
        }
    }

    /// All people of a conference ask at about the same time; who hears another shard's name loads the page anew.
    fn keep_alive(&mut self, now: u64, id: ConferenceId) {
        self.report.events.keep_alives += 1;
        let Some(conference) = find(&mut self.conferences, id) else { return };
        let answer = self.ways.ask(&self.shared, &conference.key, conference.number, &mut self.random);
        let mut wrong = Vec::new();
        if let Some(answer) = answer {
            for (person, who) in (0_u16..).zip(&conference.people) {
                if matches!(&who.stage, Stage::Inside { way, .. } if way.shard.id != answer) {
                    wrong.push(person);
                }
            }
            conference.split &= !wrong.is_empty();
        }
        for person in wrong {
            self.thrown_out(now, id, person, Cause::WrongShard);
        }
        self.soon(now, KEEP_ALIVE, Event::KeepAlive(id));
    }

    /// Sees what ended since the last time, and whom it concerns.
    fn look(&mut self, now: u64) {
        self.report.events.looks += 1;
        self.at(now + LOOK, Event::Look);
        let shards: Vec<_> = self.ways.shards.clone();
        let fronts = self.ways.fronts_over();
        let over = shards.iter().any(|shard| shard.is_over());
        let killed = self.used.values().any(|seats| seats.ended.is_cancelled());
        self.ways.refresh(&self.shared);
        if over {
            self.everybody(|engine, id, person| engine.shard_over(now, id, person));
        }
        for shard in shards.iter().filter(|shard| !shard.is_over()) {
            let lost = shard.focus.lost_bridges();
            if !lost.is_empty() {
                self.everybody(|engine, id, person| engine.bridge_lost(now, id, person, shard.id, &lost));
            }
            for moved in shard.focus.take_moves() {
                self.moved(now, &moved);
            }
        }
        if fronts {
            self.everybody(|engine, id, person| engine.front_over(now, id, person));
        }
        if killed {
            self.used.retain(|_, seats| !seats.ended.is_cancelled());
        }
        loop {
            match self.cuts.try_recv() {
                Ok(cut) => {
                    self.everybody(|engine, id, person| engine.media_cut(now, id, person, &cut));
                }
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
    }

    fn everybody(&mut self, mut what: impl FnMut(&mut Self, ConferenceId, u16)) {
        for slot in 0..self.conferences.len() {
            let Some(Some(conference)) = self.conferences.get(slot) else { continue };
            let id = ConferenceId { slot, life: conference.life };
            let people = u16::try_from(conference.people.len()).unwrap_or(u16::MAX);
            for person in 0..people {
                what(self, id, person);
            }
        }
    }

    fn inside(&mut self, id: ConferenceId, person: u16) -> Option<(&mut Way, &mut Option<Arc<Seats>>, &mut bool)> {
        let conference = find(&mut self.conferences, id)?;
        match &mut conference.people.get_mut(usize::from(person))?.stage {
            Stage::Inside { way, seats, waits } => Some((way, seats, waits)),
            Stage::Outside | Stage::Left => None,
        }
    }

    fn shard_over(&mut self, now: u64, id: ConferenceId, person: u16) {
        if self.inside(id, person).is_some_and(|(way, _, _)| way.shard.is_over()) {
            self.thrown_out(now, id, person, Cause::ShardRestarted);
        }
    }

    fn bridge_lost(
        &mut self,
        now: u64,
        id: ConferenceId,
        person: u16,
        shard: u64,
        lost: &std::collections::BTreeSet<u64>,
    ) {
        let Some((way, seats, waits)) = self.inside(id, person) else { return };
        if way.shard.id != shard || seats.as_ref().is_none_or(|seats| !lost.contains(&seats.id)) {
            return;
        }
        let ended = seats.take().is_some_and(|seats| seats.ended.is_cancelled());
        let cause = if ended { Cause::BridgeKilled } else { Cause::BridgeMoved };
        let waited = std::mem::replace(waits, true);
        if !waited {
            self.waiting += 1;
            self.interrupt(id, person, cause);
            self.soon(now, INVITE, Event::Invite(id, person, 0));
        }
    }

    fn moved(&mut self, now: u64, moved: &crate::daemon::Move) {
        let mut left = moved.people;
        self.used.entry(moved.to.id).or_insert_with(|| Arc::clone(&moved.to));
        let room = self.conferences.iter().enumerate().find_map(|(slot, conference)| {
            let conference = conference.as_ref().filter(|conference| conference.key == moved.room)?;
            Some((ConferenceId { slot, life: conference.life }, conference.people.len()))
        });
        let Some((id, people)) = room else { return };
        for person in (0..people).filter_map(|person| u16::try_from(person).ok()) {
            let Some((_, seats, waits)) = self.inside(id, person) else { continue };
            if left == 0 || seats.as_ref().is_none_or(|seats| seats.id != moved.from) {
                continue;
            }
            left -= 1;
            *seats = Some(Arc::clone(&moved.to));
            if !std::mem::replace(waits, true) {
                self.waiting += 1;
                self.interrupt(id, person, Cause::BridgeMoved);
                self.soon(now, INVITE, Event::Invite(id, person, 0));
            }
        }
    }

    fn front_over(&mut self, now: u64, id: ConferenceId, person: u16) {
        let Some((way, _, _)) = self.inside(id, person) else { return };
        if way.fronts.iter().any(tokio_util::sync::CancellationToken::is_cancelled) {
            // Whatever he gets next, these are not counted again.
            way.fronts = Default::default();
            self.waiting += 1;
            self.interrupt(id, person, Cause::WebsocketCut);
            self.soon(now, RECONNECT, Event::Reconnect(id, person, 0));
        }
    }

    fn media_cut(&mut self, now: u64, id: ConferenceId, person: u16, cut: &MediaCut) {
        let Some((_, seats, waits)) = self.inside(id, person) else { return };
        let here = seats.as_ref().is_some_and(|seats| seats.pod == cut.pod && !seats.ended.is_cancelled());
        if here && !std::mem::replace(waits, true) {
            self.waiting += 1;
            self.interrupt(id, person, Cause::MediaCut);
            self.soon(now, RETRY, Event::Invite(id, person, 0));
        }
    }

    fn sample(&mut self, now: u64) {
        self.at(now + MINUTE, Event::Sample);
        let bridges: Vec<bool> =
            self.shared.instances().into_iter().filter_map(|(_, instance)| instance.draining()).collect();
        self.report.samples.push(Sample {
            minute: now / MINUTE,
            conferences: self.report.conferences_now,
            participants: self.report.participants_now,
            bridges: bridges.len() as u64,
            draining_bridges: bridges.iter().filter(|drain| **drain).count() as u64,
            interruptions: self.report.interruptions.total(),
        });
    }
}

fn find(conferences: &mut [Option<Conference>], id: ConferenceId) -> Option<&mut Conference> {
    conferences.get_mut(id.slot)?.as_mut().filter(|conference| conference.life == id.life)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
