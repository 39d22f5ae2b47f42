//! One queue of events by time; everything that callers do is one of them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::broadcast, time::Instant};

use super::{
    crowd::{ConferenceId, Crowd, Person, PersonId},
    load::Load,
    random::Random,
    report::{PeopleReport, Sample},
    ways::Ways,
};
use crate::{
    daemon::{RoomRequest, seats::Seats},
    media::MediaCut,
    state::Shared,
};

/// Between two keep-alives, as the web application jitters them.
const KEEP_ALIVE: (u64, u64) = (60_000, 120_000);
const MINUTE: u64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Arrival,
    /// Somebody comes in, or comes back after he lost everything.
    Join(PersonId, u8),
    /// Somebody whose media broke is invited anew.
    Invite(PersonId),
    /// Somebody whose websocket broke connects again.
    Reconnect(PersonId, u8),
    Leave(PersonId),
    End(ConferenceId),
    KeepAlive(ConferenceId),
    Look,
    Sample,
}

/// Everybody.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) load: Load,
    pub(super) random: Random,
    begun: Instant,
    /// Of the day, when it began.
    second: u64,
    arriving: bool,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    pub(super) crowd: Crowd,
    pub(super) ways: Ways,
    /// The bridges that have, or had, people of ours.
    pub(super) used: BTreeMap<u64, Arc<Seats>>,
    pub(super) cuts: broadcast::Receiver<MediaCut>,
    pub(super) report: PeopleReport,
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
            crowd: Crowd::default(),
            ways: Ways::new(),
            used: BTreeMap::new(),
            cuts,
            report: PeopleReport { seed, ..PeopleReport::default() },
        };
        engine.at(0, Event::Look);
        engine.at(0, Event::Sample);
        if engine.arriving {
            engine.at(0, Event::Arrival);
        }
        engine
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, event)));
    }

    pub(super) fn soon(&mut self, now: u64, (from, to): (u64, u64), event: Event) {
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
            Event::Join(person, tries) => self.join(now, person, tries),
            Event::Invite(person) => self.invite(now, person),
            Event::Reconnect(person, tries) => self.reconnect(now, person, tries),
            Event::Leave(person) => self.leave(person),
            Event::End(id) => self.end(id),
            Event::KeepAlive(id) => {
                if self.keep_alive(now, id) {
                    self.soon(now, KEEP_ALIVE, Event::KeepAlive(id));
                }
            }
            Event::Look => self.look(now),
            Event::Sample => self.sample(now),
        }
    }

    pub(super) fn stop_arrivals(&mut self) {
        self.arriving = false;
    }

    pub(super) fn settled(&self) -> bool {
        self.crowd.settled()
    }

    pub(super) fn report(&self) -> PeopleReport {
        self.report.clone()
    }

    pub(super) fn meet(&mut self, room: &str, people: u16, length: Duration) {
        let now = millis(self.begun.elapsed());
        let id = self.open(room);
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
        let number = self.crowd.next();
        let tenant = self.random.below(self.load.tenants.len());
        let room = match self.load.tenants.get(tenant) {
            Some(tenant) => format!("/{tenant}/Room{number}"),
            None => format!("/Room{number}"),
        };
        let length = millis(self.load.length(&mut self.random));
        let size = Load::size(&mut self.random);
        let id = self.open(&room);
        for index in 0..size {
            let late = if index == 0 { 0 } else { self.random.exponential(60_000.0) as u64 };
            let late = late.min(length / 2);
            let early = if self.random.unit() < 1.0 / 6.0 { self.random.between(0, (length - late) / 2) } else { 0 };
            self.add(id, now + late, now + length - early);
        }
        self.at(now + length, Event::End(id));
        self.soon(now, KEEP_ALIVE, Event::KeepAlive(id));
    }

    /// A conference at the path of its page.
    fn open(&mut self, page: &str) -> ConferenceId {
        self.crowd.open(RoomRequest::signalling(page), page.to_lowercase())
    }

    fn add(&mut self, id: ConferenceId, comes: u64, goes: u64) {
        let region = self.random.below(self.load.regions.len());
        let Some(conference) = self.crowd.find(id) else { return };
        let Ok(person) = u16::try_from(conference.people.len()) else { return };
        conference.people.push(Person::new(region));
        self.at(comes, Event::Join((id, person), 0));
        self.at(goes, Event::Leave((id, person)));
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
