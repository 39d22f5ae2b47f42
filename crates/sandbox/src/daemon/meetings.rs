//! The conferences of a focus: on which bridges their people are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    seats::{Seats, Session},
    selection::{self, Candidate, Wish},
    xmpp::BridgePresence,
};

/// People who were moved to another bridge.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) room: String,
    pub(crate) from: u64,
    pub(crate) to: Arc<Seats>,
    pub(crate) people: u64,
}

/// All conferences.
#[derive(Debug, Default)]
pub(crate) struct Meetings {
    by_room: BTreeMap<String, Meeting>,
    moves: Vec<Move>,
    pub(crate) created: u64,
    pub(crate) lost_bridges: u64,
    people: u64,
}

#[derive(Debug)]
struct Meeting {
    begun: Instant,
    sessions: Vec<Session>,
}

impl Meetings {
    /// Takes a person in.
    pub(crate) fn join(
        &mut self,
        room: &str,
        bridges: &[(String, BridgePresence)],
        wish: Wish<'_>,
    ) -> Option<Arc<Seats>> {
        let sessions = self.by_room.get(room).map_or(&[][..], |meeting| &meeting.sessions);
        let seats = choose(bridges, sessions, wish)?;
        if !self.by_room.contains_key(room) {
            self.created += 1;
            self.by_room.insert(room.to_owned(), Meeting { begun: Instant::now(), sessions: Vec::new() });
        }
        add(&mut self.by_room.get_mut(room)?.sessions, &seats, 1);
        self.people += 1;
        Some(seats)
    }

    /// Lets a person go; the conference ends with its last one.
    pub(crate) fn leave(&mut self, room: &str, seats: u64) {
        let Some(Meeting { sessions, .. }) = self.by_room.get_mut(room) else { return };
        if let Some(session) = sessions.iter_mut().find(|session| session.seats.id == seats) {
            session.take(1);
            self.people -= 1;
        }
        sessions.retain(|session| session.people() > 0);
        if sessions.is_empty() {
            self.by_room.remove(room);
        }
    }

    /// Gives up the bridges that left the brewery. Returns who they were; their people are invited anew.
    pub(crate) fn give_up_missing(&mut self, bridges: &[(String, BridgePresence)]) -> BTreeSet<u64> {
        let there: BTreeSet<u64> = bridges.iter().map(|(_, bridge)| bridge.seats.id).collect();
        let sessions = self.by_room.values().flat_map(|meeting| &meeting.sessions);
        let lost: BTreeSet<u64> = sessions.map(|session| session.seats.id).filter(|id| !there.contains(id)).collect();
        if lost.is_empty() {
            return lost;
        }
        self.lost_bridges += lost.len() as u64;
        for Meeting { sessions, .. } in self.by_room.values_mut() {
            let gone = sessions.iter().filter(|session| lost.contains(&session.seats.id));
            self.people -= gone.map(Session::people).sum::<u64>();
            sessions.retain(|session| !lost.contains(&session.seats.id));
        }
        self.by_room.retain(|_, meeting| !meeting.sessions.is_empty());
        lost
    }

    /// Moves people off a bridge; returns how many, of how many conferences. Without relays a conference moves as a
    /// whole or, as the one bridge it has is taken again, not at all.
    pub(crate) fn move_off(
        &mut self,
        from: u64,
        bridges: &[(String, BridgePresence)],
        most: u64,
        relays: bool,
    ) -> (u64, u64) {
        let (mut people, mut conferences) = (0, 0);
        for (room, Meeting { sessions, .. }) in &mut self.by_room {
            if people >= most {
                break;
            }
            let Some(here) = sessions.iter().position(|session| session.seats.id == from) else { continue };
            let count = sessions.get(here).map_or(0, Session::people).min(most - people);
            let whole = sessions.get(here).is_some_and(|session| session.people() == count);
            let kept = if whole { Some(sessions.remove(here)) } else { None };
            let to = choose(bridges, sessions, Wish { region: None, relays });
            people += count;
            conferences += 1;
            match (to, kept) {
                (Some(to), kept) if to.id != from => {
                    if let (None, Some(session)) = (&kept, sessions.get_mut(here)) {
                        session.take(count);
                    }
                    add(sessions, &to, count);
                    self.moves.push(Move { room: room.clone(), from, to, people: count });
                }
                // The same one again: they are invited anew, and nothing else changes.
                (_, Some(session)) => sessions.insert(here, session),
                (_, None) => {}
            }
        }
        (people, conferences)
    }

    /// The moves since the last call.
    pub(crate) fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    /// Conferences and their sizes.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_room.iter().map(|(room, meeting)| (room.as_str(), meeting.sessions.iter().map(Session::people).sum()))
    }

    /// People by bridge.
    pub(crate) fn by_bridge(&self) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        for session in self.by_room.values().flat_map(|meeting| &meeting.sessions) {
            *counts.entry(session.seats.id).or_default() += session.people();
        }
        counts
    }

    pub(crate) fn conferences(&self) -> u64 {
        self.by_room.len() as u64
    }

    /// Conferences that began at least so long ago.
    pub(crate) fn lasting(&self, since: Duration) -> u64 {
        self.by_room.values().filter(|meeting| meeting.begun.elapsed() >= since).count() as u64
    }

    pub(crate) const fn people(&self) -> u64 {
        self.people
    }
}

fn add(sessions: &mut Vec<Session>, seats: &Arc<Seats>, people: u64) {
    match sessions.iter_mut().find(|session| session.seats.id == seats.id) {
        Some(session) => session.add(people),
        None => {
            let mut session = Session::open(Arc::clone(seats));
            session.add(people);
            sessions.push(session);
        }
    }
}

fn choose(bridges: &[(String, BridgePresence)], sessions: &[Session], wish: Wish<'_>) -> Option<Arc<Seats>> {
    // By far the most frequent case, and no rule can change it.
    if let (false, [session, ..]) = (wish.relays, sessions) {
        return Some(Arc::clone(&session.seats));
    }
    let candidates: Vec<Candidate<'_>> = bridges
        .iter()
        .map(|(_, bridge)| Candidate {
            version: &bridge.version,
            region: bridge.region.as_deref(),
            drain: bridge.drain,
            graceful_shutdown: bridge.graceful_shutdown,
            stress: bridge.seats.stress(bridge.endpoints),
            in_conference: sessions.iter().find(|session| session.seats.id == bridge.seats.id).map(Session::people),
        })
        .collect();
    let index = selection::select(&candidates, wish)?;
    bridges.get(index).map(|(_, bridge)| Arc::clone(&bridge.seats))
}
