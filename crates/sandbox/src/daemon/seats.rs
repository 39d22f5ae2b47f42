//! The people on one bridge, as the focuses that put them there count them: what colibri carries between the two.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::state::PodKey;

/// What a person adds to the stress of a bridge that does not say otherwise.
pub(crate) const STRESS_PER_PERSON: f64 = 0.01;

/// One life of a bridge: it ends with its daemon, and the next one starts empty.
#[derive(Debug)]
pub(crate) struct Seats {
    /// Unlike that of any other life.
    pub(crate) id: u64,
    /// Where it runs.
    pub(crate) pod: PodKey,
    /// Cancelled when the daemon ends.
    pub(crate) ended: CancellationToken,
    per_person: f64,
    people: AtomicU64,
    conferences: AtomicU64,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl PartialEq for Seats {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Seats {
    pub(crate) fn new(pod: PodKey, ended: CancellationToken, per_person: f64) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, pod, ended, per_person, people: AtomicU64::new(0), conferences: AtomicU64::new(0) }
    }

    /// People who were not put there by hand.
    pub(crate) fn people(&self) -> u64 {
        self.people.load(Ordering::Relaxed)
    }

    /// Their conferences.
    pub(crate) fn conferences(&self) -> u64 {
        self.conferences.load(Ordering::Relaxed)
    }

    /// The stress of that many more.
    pub(crate) fn stress(&self, by_hand: u64) -> f64 {
        (self.people() + by_hand) as f64 * self.per_person
    }
}

/// The part of a conference that one bridge carries. Its people leave the bridge when it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) seats: Arc<Seats>,
    people: u64,
}

impl Session {
    pub(crate) fn open(seats: Arc<Seats>) -> Self {
        seats.conferences.fetch_add(1, Ordering::Relaxed);
        Self { seats, people: 0 }
    }

    pub(crate) const fn people(&self) -> u64 {
        self.people
    }

    pub(crate) fn add(&mut self, people: u64) {
        self.people += people;
        self.seats.people.fetch_add(people, Ordering::Relaxed);
    }

    pub(crate) fn take(&mut self, people: u64) {
        let people = people.min(self.people);
        self.people -= people;
        self.seats.people.fetch_sub(people, Ordering::Relaxed);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.seats.people.fetch_sub(self.people, Ordering::Relaxed);
        self.seats.conferences.fetch_sub(1, Ordering::Relaxed);
    }
}
