//! How people come into a conference, come back into it, and leave it.

use std::sync::Arc;

use super::{
    crowd::{ConferenceId, Inside, PersonId, Stage},
    engine::{Engine, Event},
    report::Cause,
};

/// Between two tries of somebody who cannot come in.
pub(super) const RETRY: (u64, u64) = (3_000, 10_000);
/// How often somebody tries before giving up.
const TRIES: u8 = 60;
/// Between two tries of a websocket.
const REDIAL: u64 = 5_000;
/// After this many the server has given the session up: a minute.
const REDIALS: u8 = 12;

impl Engine {
    /// By the entrance to a shard, and by its focus to a bridge.
    pub(super) fn join(&mut self, now: u64, id: PersonId, tries: u8) {
        self.report.events.joins += 1;
        let Some(conference) = self.crowd.find(id.0) else { return };
        let Some(who) = conference.people.get_mut(usize::from(id.1)) else { return };
        if !matches!(who.stage, Stage::Outside { .. }) {
            return;
        }
        let way = self.ways.enter(&self.shared, &conference.request, conference.number, &mut self.random);
        let region = self.load.regions.get(who.region).map(String::as_str);
        let found = way.filter(|way| !way.shard.is_over()).and_then(|way| {
            let seats = way.shard.focus.join(&conference.key, region)?;
            Some((way, seats))
        });
        let Some((way, seats)) = found else {
            self.report.failed_joins += u64::from(tries == 0);
            if tries < TRIES {
                who.stage = Stage::Outside { tries: true };
                self.soon(now, RETRY, Event::Join(id, tries + 1));
            } else {
                who.stage = Stage::Left;
            }
            return;
        };
        let shard = way.shard.id;
        let open = self.shared.media_open(&seats.pod);
        self.used.entry(seats.id).or_insert_with(|| Arc::clone(&seats));
        who.stage = Stage::Inside(Inside { way, seats: Some(seats), lacks_media: !open, lacks_signalling: false });
        who.recovers();
        if !std::mem::replace(&mut who.came, true) {
            self.report.participants += 1;
            if conference.inside == 0 && id.1 == 0 {
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
            .any(|other| matches!(&other.stage, Stage::Inside(inside) if inside.way.shard.id != shard));
        if split && !std::mem::replace(&mut conference.split, true) {
            self.report.split_conferences += 1;
        }
        if !open {
            self.soon(now, RETRY, Event::Invite(id));
        }
    }

    /// Media comes back: over the bridge that the focus chooses now.
    pub(super) fn invite(&mut self, now: u64, id: PersonId) {
        let Some(conference) = self.crowd.find(id.0) else { return };
        let Some(who) = conference.people.get_mut(usize::from(id.1)) else { return };
        let region = self.load.regions.get(who.region).map(String::as_str);
        let Some(inside) = who.inside().filter(|inside| inside.lacks_media) else { return };
        if inside.way.shard.is_over() {
            // The next look sees that, too.
            return;
        }
        if inside.seats.is_none() {
            inside.seats = inside.way.shard.focus.join(&conference.key, region);
            if let Some(seats) = &inside.seats {
                self.used.entry(seats.id).or_insert_with(|| Arc::clone(seats));
            }
        }
        if inside.seats.as_ref().is_some_and(|seats| self.shared.media_open(&seats.pod)) {
            inside.lacks_media = false;
            who.recovers();
        } else {
            self.soon(now, RETRY, Event::Invite(id));
        }
    }

    /// The websocket comes back, and with it, on the same shard, the session.
    pub(super) fn reconnect(&mut self, now: u64, id: PersonId, tries: u8) {
        let Some(conference) = self.crowd.find(id.0) else { return };
        let Some(who) = conference.people.get_mut(usize::from(id.1)) else { return };
        let Some(inside) = who.inside().filter(|inside| inside.lacks_signalling) else { return };
        match self.ways.enter(&self.shared, &conference.request, conference.number, &mut self.random) {
            Some(found) if found.shard.id == inside.way.shard.id => {
                inside.way.fronts = found.fronts;
                inside.lacks_signalling = false;
                who.recovers();
            }
            Some(_) => self.thrown_out(now, id, Cause::WrongShard),
            None if tries >= REDIALS => self.thrown_out(now, id, Cause::WebsocketCut),
            None => self.at(now + REDIAL, Event::Reconnect(id, tries + 1)),
        }
    }

    pub(super) fn leave(&mut self, id: PersonId) {
        self.report.events.leaves += 1;
        self.step_out(id, Stage::Left);
    }

    pub(super) fn end(&mut self, id: ConferenceId) {
        let count = self.crowd.find(id).map_or(0, |conference| conference.people.len());
        for person in (0..count).filter_map(|person| u16::try_from(person).ok()) {
            self.step_out((id, person), Stage::Left);
        }
        self.crowd.close(id);
    }

    /// Takes somebody out of shard and bridge, if he is in; says whether he was.
    pub(super) fn step_out(&mut self, id: PersonId, into: Stage) -> bool {
        let Some(conference) = self.crowd.find(id.0) else { return false };
        let Some(who) = conference.people.get_mut(usize::from(id.1)) else { return false };
        let Stage::Inside(inside) = std::mem::replace(&mut who.stage, into) else { return false };
        if let Some(seats) = inside.seats {
            inside.way.shard.focus.leave(&conference.key, seats.id);
        }
        conference.inside -= 1;
        self.report.participants_now -= 1;
        self.report.conferences_now -= u64::from(conference.inside == 0);
        true
    }
}
