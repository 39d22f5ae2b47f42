//! What goes wrong, and whom it concerns.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::{
    coming::RETRY,
    crowd::{ConferenceId, PersonId, Stage},
    engine::{Engine, Event},
    report::Cause,
};
use crate::{daemon::Move, media::MediaCut};

/// Between two looks at what ended.
const LOOK: u64 = 1_000;
/// How long after a cut a websocket is there again.
const RECONNECT: (u64, u64) = (1_000, 10_000);
/// How long a page takes to be loaded anew.
const RELOAD: (u64, u64) = (3_000, 20_000);
/// How long media takes to come back over another bridge.
const INVITE: (u64, u64) = (1_500, 4_000);

impl Engine {
    /// Sees what ended since the last time, and whom it concerns.
    pub(super) fn look(&mut self, now: u64) {
        self.report.events.looks += 1;
        self.at(now + LOOK, Event::Look);
        let shards: Vec<_> = self.ways.shards.clone();
        let fronts = self.ways.fronts_over();
        let killed = self.used.values().any(|seats| seats.ended.is_cancelled());
        self.ways.refresh(&self.shared);
        if shards.iter().any(|shard| shard.is_over()) {
            for id in self.crowd.those(|_, inside| inside.way.shard.is_over()) {
                self.thrown_out(now, id, Cause::ShardRestarted);
            }
        }
        for shard in shards.iter().filter(|shard| !shard.is_over()) {
            let lost = shard.focus.lost_bridges();
            if !lost.is_empty() {
                self.bridges_lost(now, shard.id, &lost);
            }
            for moved in shard.focus.take_moves() {
                self.moved(now, &moved);
            }
        }
        if fronts {
            let over = |fronts: &[CancellationToken; 2]| fronts.iter().any(CancellationToken::is_cancelled);
            for id in self.crowd.those(|_, inside| !inside.lacks_signalling && over(&inside.way.fronts)) {
                if let Some(inside) = self.crowd.inside(id) {
                    inside.lacks_signalling = true;
                }
                self.interrupt(id, Cause::WebsocketCut);
                self.soon(now, RECONNECT, Event::Reconnect(id, 0));
            }
        }
        if killed {
            self.used.retain(|_, seats| !seats.ended.is_cancelled());
        }
        loop {
            match self.cuts.try_recv() {
                Ok(cut) => self.media_cut(now, &cut),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
    }

    fn bridges_lost(&mut self, now: u64, shard: u64, lost: &BTreeSet<u64>) {
        let on = |seats: &Arc<crate::daemon::seats::Seats>| lost.contains(&seats.id);
        for id in self.crowd.those(|_, inside| inside.way.shard.id == shard && inside.seats.as_ref().is_some_and(on)) {
            let Some(seats) = self.crowd.inside(id).and_then(|inside| inside.seats.take()) else { continue };
            let cause = if seats.ended.is_cancelled() { Cause::BridgeKilled } else { Cause::BridgeMoved };
            self.media_lost(now, id, cause, INVITE);
        }
    }

    fn moved(&mut self, now: u64, moved: &Move) {
        self.used.entry(moved.to.id).or_insert_with(|| Arc::clone(&moved.to));
        let from = |id: u64| id == moved.from;
        let those = self.crowd.those(|conference, inside| {
            conference.key == moved.room && inside.seats.as_ref().is_some_and(|seats| from(seats.id))
        });
        for id in those.into_iter().take(usize::try_from(moved.people).unwrap_or(usize::MAX)) {
            if let Some(inside) = self.crowd.inside(id) {
                inside.seats = Some(Arc::clone(&moved.to));
            }
            self.media_lost(now, id, Cause::BridgeMoved, INVITE);
        }
    }

    fn media_cut(&mut self, now: u64, cut: &MediaCut) {
        let here = |seats: &Arc<crate::daemon::seats::Seats>| seats.pod == cut.pod && !seats.ended.is_cancelled();
        for id in self.crowd.those(|_, inside| inside.seats.as_ref().is_some_and(here)) {
            self.media_lost(now, id, Cause::MediaCut, RETRY);
        }
    }

    fn media_lost(&mut self, now: u64, id: PersonId, cause: Cause, back: (u64, u64)) {
        let Some(inside) = self.crowd.inside(id) else { return };
        if !std::mem::replace(&mut inside.lacks_media, true) {
            self.interrupt(id, cause);
            self.soon(now, back, Event::Invite(id));
        }
    }

    /// All people of a conference ask at about the same time; who hears another shard's name loads the page anew.
    /// Says whether the conference still is.
    pub(super) fn keep_alive(&mut self, now: u64, id: ConferenceId) -> bool {
        self.report.events.keep_alives += 1;
        let Some(conference) = self.crowd.find(id) else { return false };
        let answer = self.ways.ask(&self.shared, &conference.request, conference.number, &mut self.random);
        let mut wrong = Vec::new();
        if let Some(answer) = answer {
            for (person, who) in (0_u16..).zip(&conference.people) {
                if matches!(&who.stage, Stage::Inside(inside) if inside.way.shard.id != answer) {
                    wrong.push(person);
                }
            }
            conference.split &= !wrong.is_empty();
        }
        for person in wrong {
            self.thrown_out(now, (id, person), Cause::WrongShard);
        }
        true
    }

    /// Somebody has to load the page anew.
    pub(super) fn thrown_out(&mut self, now: u64, id: PersonId, cause: Cause) {
        if self.step_out_to_come_back(id) {
            self.interrupt(id, cause);
            self.soon(now, RELOAD, Event::Join(id, 1));
        }
    }

    fn step_out_to_come_back(&mut self, id: PersonId) -> bool {
        self.crowd.inside(id).is_some() && self.step_out(id, Stage::Outside { tries: true })
    }

    /// One event in somebody's life is one interruption with one cause: what befalls him before he is back changes at
    /// most the cause, if it is worse.
    fn interrupt(&mut self, id: PersonId, cause: Cause) {
        let Some(who) = self.crowd.person(id) else { return };
        let counts = &mut self.report.interruptions;
        match who.trouble {
            None => {
                who.interruptions += 1;
                self.report.interrupted_participants += u64::from(who.interruptions == 1);
                self.report.worst = self.report.worst.max(who.interruptions);
            }
            Some(known) if cause.outweighs(known) => *counts.of(known) -= 1,
            Some(_) => return,
        }
        *counts.of(cause) += 1;
        who.trouble = Some(cause);
    }
}
