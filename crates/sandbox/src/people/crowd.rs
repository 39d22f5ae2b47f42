//! Who is in which conference, and how he is doing.

use std::sync::Arc;

use super::{report::Cause, ways::Way};
use crate::daemon::{RoomRequest, seats::Seats};

/// One life of a place for a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConferenceId {
    slot: usize,
    life: u64,
}

/// Somebody.
pub(super) type PersonId = (ConferenceId, u16);

pub(super) struct Conference {
    life: u64,
    /// Whose entrance its people take, when there are several.
    pub(super) number: usize,
    /// How its people ask for it.
    pub(super) request: RoomRequest,
    /// What focuses know it by.
    pub(super) key: String,
    pub(super) people: Vec<Person>,
    pub(super) inside: u64,
    pub(super) split: bool,
}

pub(super) struct Person {
    pub(super) region: usize,
    pub(super) stage: Stage,
    pub(super) came: bool,
    pub(super) interruptions: u64,
    /// What he is interrupted by: until he is back, whatever else befalls him belongs to it.
    pub(super) trouble: Option<Cause>,
}

pub(super) enum Stage {
    /// On the way in, or back in.
    Outside {
        /// Has tried already.
        tries: bool,
    },
    Inside(Inside),
    Left,
}

pub(super) struct Inside {
    pub(super) way: Way,
    /// Nothing while the focus has no bridge for him.
    pub(super) seats: Option<Arc<Seats>>,
    /// Media is about to come back.
    pub(super) lacks_media: bool,
    /// The websocket is about to come back.
    pub(super) lacks_signalling: bool,
}

impl Person {
    pub(super) const fn new(region: usize) -> Self {
        let stage = Stage::Outside { tries: false };
        Self { region, stage, came: false, interruptions: 0, trouble: None }
    }

    /// On the way in after a first try, or on the way back.
    const fn waits(&self) -> bool {
        match &self.stage {
            Stage::Outside { tries } => *tries,
            Stage::Inside(inside) => inside.lacks_media || inside.lacks_signalling,
            Stage::Left => false,
        }
    }

    pub(super) const fn inside(&mut self) -> Option<&mut Inside> {
        match &mut self.stage {
            Stage::Inside(inside) => Some(inside),
            Stage::Outside { .. } | Stage::Left => None,
        }
    }

    /// Forgets what he was interrupted by if that is over.
    pub(super) const fn recovers(&mut self) {
        if !self.waits() {
            self.trouble = None;
        }
    }
}

/// All conferences.
#[derive(Default)]
pub(super) struct Crowd {
    conferences: Vec<Option<Conference>>,
    free: Vec<usize>,
    lives: u64,
}

impl Crowd {
    /// The number that the next conference gets.
    pub(super) const fn next(&self) -> u64 {
        self.lives + 1
    }

    pub(super) fn open(&mut self, request: RoomRequest, key: String) -> ConferenceId {
        self.lives += 1;
        let life = self.lives;
        let number = usize::try_from(life).unwrap_or(0);
        let conference = Conference { life, number, request, key, people: Vec::new(), inside: 0, split: false };
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

    pub(super) fn close(&mut self, id: ConferenceId) {
        if self.find(id).is_some()
            && let Some(place) = self.conferences.get_mut(id.slot)
        {
            *place = None;
            self.free.push(id.slot);
        }
    }

    pub(super) fn find(&mut self, id: ConferenceId) -> Option<&mut Conference> {
        self.conferences.get_mut(id.slot)?.as_mut().filter(|conference| conference.life == id.life)
    }

    pub(super) fn person(&mut self, (id, person): PersonId) -> Option<&mut Person> {
        self.find(id)?.people.get_mut(usize::from(person))
    }

    pub(super) fn inside(&mut self, id: PersonId) -> Option<&mut Inside> {
        self.person(id)?.inside()
    }

    /// Whether nobody is on the way in or back.
    pub(super) fn settled(&self) -> bool {
        !self.conferences.iter().flatten().flat_map(|conference| &conference.people).any(Person::waits)
    }

    /// Everybody who is inside, and of whom it is true.
    pub(super) fn those(&self, wanted: impl Fn(&Conference, &Inside) -> bool) -> Vec<PersonId> {
        let mut found = Vec::new();
        for (slot, conference) in self.conferences.iter().enumerate() {
            let Some(conference) = conference else { continue };
            let id = ConferenceId { slot, life: conference.life };
            for (person, who) in (0_u16..).zip(&conference.people) {
                if matches!(&who.stage, Stage::Inside(inside) if wanted(conference, inside)) {
                    found.push((id, person));
                }
            }
        }
        found
    }
}
