//! Who writes, as a decision: from what was read of the Lease, and when, to what to do next. No I/O, no clock.
//!
//! Only this process's monotonic clock is compared, and only with itself: a Lease that stays the same for its whole
//! duration, as seen from here, has no holder any more. The timestamps in it are for people.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// After so long without a change, another may take the Lease.
    pub duration: Duration,
    /// A holder renews after at most so long.
    pub renew_every: Duration,
    /// Who waits looks again after at most so long, and who failed tries again.
    pub retry: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), renew_every: Duration::from_secs(5), retry: Duration::from_secs(2) }
    }
}

impl Terms {
    /// For how long a renewal proves that nobody else leads. The rest of the duration is for clocks that don't go alike,
    /// and for requests that a server still works on when nobody waits for them any more.
    #[must_use]
    pub fn safe(&self) -> Duration {
        self.duration.saturating_sub(self.duration / 15)
    }

    /// With less left than that, no request is begun.
    #[must_use]
    pub fn least(&self) -> Duration {
        self.duration / 5
    }

    /// How long a request about the Lease itself may take: short enough that there is time for a second one.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.duration / 5
    }
}

/// The Lease, as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whose it is; empty when it was given back.
    pub holder: String,
    /// How often the holder has changed.
    pub transitions: u64,
    /// How long its holder takes it for; a later release may have other terms.
    pub duration: Duration,
    /// Its `resourceVersion`: another one with every renewal.
    pub version: String,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the Lease.
    Read,
    /// Write oneself into it: as a new object if no version is expected, else only if it is still in that one.
    Take {
        /// The version.
        expected: Option<String>,
        /// What to count.
        transitions: u64,
    },
    /// Write it anew, only if it is still in this version.
    Renew {
        /// The version.
        expected: String,
        /// What to keep counting.
        transitions: u64,
    },
    /// Do nothing until then.
    Wait(Instant),
}

/// A candidate for a Lease.
#[derive(Debug)]
pub struct Elector {
    me: String,
    terms: Terms,
    dice: StdRng,
    seen: Option<Seen>,
    /// What is known is not what is there: a write of ours met another version.
    stale: bool,
    /// Whether that was not the first time since a write succeeded.
    unlucky: bool,
    /// When the renewal was sent that succeeded last, as long as nothing says that the Lease is another's.
    renewed: Option<Instant>,
    /// Nothing is to be done before.
    due: Option<Instant>,
}

/// What was seen last.
#[derive(Debug)]
struct Seen {
    lease: Option<Reading>,
    /// When it was first seen like that.
    changed: Instant,
    /// How long it has to stay like that before it is anybody's.
    patience: Duration,
}

impl Elector {
    /// A candidate of this name, which nobody else may have. Pauses are chosen by chance, from the seed.
    #[must_use]
    pub fn new(me: &str, terms: Terms, seed: u64) -> Self {
        let dice = StdRng::seed_from_u64(seed);
        Self { me: me.to_owned(), terms, dice, seen: None, stale: true, unlucky: false, renewed: None, due: None }
    }

    /// What to do.
    #[must_use]
    pub fn next(&self, now: Instant) -> Action {
        if let Some(due) = self.due.filter(|due| *due > now) {
            return Action::Wait(due);
        }
        let Some(seen) = self.seen.as_ref().filter(|_| !self.stale) else { return Action::Read };
        match &seen.lease {
            Some(lease) if lease.holder == self.me => {
                Action::Renew { expected: lease.version.clone(), transitions: lease.transitions }
            }
            // Whatever happened since it was read: the write is refused if anything did.
            Some(lease) if now >= seen.free_at() => {
                Action::Take { expected: Some(lease.version.clone()), transitions: lease.transitions + 1 }
            }
            None if now >= seen.free_at() => Action::Take { expected: None, transitions: 0 },
            Some(_) | None => Action::Read,
        }
    }

    /// The Lease was read, or there is none; `at` is when the answer came.
    pub fn saw(&mut self, lease: Option<Reading>, at: Instant) {
        self.stale = false;
        let ours = lease.as_ref().is_some_and(|lease| lease.holder == self.me);
        let was = self.seen.take();
        let seen = match was {
            Some(was) if was.lease == lease => was,
            was => {
                let patience = self.patience(was.as_ref(), lease.as_ref(), at);
                Seen { lease, changed: at, patience }
            }
        };
        if !ours && seen.lease.is_some() {
            self.renewed = None;
        }
        let soon = at + self.retry();
        self.due = if ours { Some(at) } else { Some(soon.min(seen.free_at())) };
        self.seen = Some(seen);
    }

    /// How long a Lease has to stay as it is before it may be taken.
    fn patience(&self, was: Option<&Seen>, lease: Option<&Reading>, at: Instant) -> Duration {
        match (lease, was.and_then(|was| was.lease.as_ref())) {
            (Some(lease), _) if lease.holder.is_empty() => Duration::ZERO,
            (Some(lease), _) => self.terms.duration.max(lease.duration),
            // Somebody deleted it. Whoever held it does not know yet, unless that was us.
            (None, Some(_)) if self.safe_end().is_some_and(|end| at < end) => Duration::ZERO,
            (None, Some(lease)) => self.terms.duration.max(lease.duration),
            // Still none; or none at first sight, as in a new fleet.
            (None, None) => was.map_or(Duration::ZERO, |was| was.patience),
        }
    }

    /// Our write succeeded: it was sent then, and this is there now.
    pub fn wrote(&mut self, lease: Reading, sent: Instant) {
        self.stale = false;
        self.unlucky = false;
        self.renewed = Some(sent);
        self.due = Some(sent + self.terms.renew_every.mul_f64(self.dice.random_range(0.8..1.0)));
        self.seen = Some(Seen { lease: Some(lease), changed: sent, patience: Duration::ZERO });
    }

    /// Our write was refused, since the Lease is not in the version that was expected.
    pub fn missed(&mut self, now: Instant) {
        self.stale = true;
        // Once is somebody who was faster; more often, a server that says so whatever we send.
        let pause = if self.unlucky { self.retry() } else { Duration::ZERO };
        self.unlucky = true;
        self.due = Some(now + pause);
    }

    /// There was no answer, or a refusal for another reason: nothing is known that was not known before.
    pub fn failed(&mut self, now: Instant) {
        self.due = Some(now + self.retry());
    }

    /// Nobody else can hold it before then; `None` if we don't.
    #[must_use]
    pub fn safe_end(&self) -> Option<Instant> {
        self.renewed.map(|sent| sent + self.terms.safe())
    }

    /// What was seen last.
    #[must_use]
    pub fn lease(&self) -> Option<&Reading> {
        self.seen.as_ref()?.lease.as_ref()
    }

    /// Shorter by chance, so that not everybody comes at once.
    fn retry(&mut self) -> Duration {
        self.terms.retry.mul_f64(self.dice.random_range(0.8..1.0))
    }
}

impl Seen {
    fn free_at(&self) -> Instant {
        self.changed + self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lease(holder: &str, version: u64) -> Reading {
        Reading { holder: holder.into(), transitions: 7, duration: seconds(15), version: version.to_string() }
    }

    fn elector() -> (Elector, Instant) {
        (Elector::new("me", Terms::default(), 1), Instant::now())
    }

    /// The moment of the next action, and the action.
    fn next(elector: &Elector, now: Instant) -> (Instant, Action) {
        match elector.next(now) {
            Action::Wait(until) => (until, elector.next(until)),
            action => (now, action),
        }
    }

    fn take(version: u64) -> Action {
        Action::Take { expected: Some(version.to_string()), transitions: 8 }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_one_takes_what_is_nobodys_and_renews_it() {
        let (mut elector, start) = elector();
        assert_eq!(elector.next(start), Action::Read);
        elector.saw(None, start);
        assert_eq!(elector.next(start), Action::Take { expected: None, transitions: 0 });
        assert_eq!(elector.safe_end(), None);
        elector.wrote(Reading { transitions: 0, ..lease("me", 1) }, start);
        assert_eq!(elector.safe_end(), Some(start + seconds(14)));
        let (due, action) = next(&elector, start);
        assert!(start + seconds(4) <= due && due <= start + seconds(5), "{:?}", due - start);
        assert_eq!(action, Action::Renew { expected: "1".into(), transitions: 0 });
        elector.failed(due);
        let (again, action) = next(&elector, due);
        assert!(again > due && again <= due + seconds(2));
        assert_eq!(action, Action::Renew { expected: "1".into(), transitions: 0 });
        assert_eq!(elector.safe_end(), Some(start + seconds(14)), "a renewal without an answer proves nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_duration_without_a_change_frees_it() {
        let (mut elector, start) = elector();
        elector.saw(Some(lease("other", 1)), start);
        let mut now = start;
        while now < start + seconds(10) {
            let (due, action) = next(&elector, now);
            assert_eq!(action, Action::Read);
            assert!(due > now && due <= now + seconds(2));
            now = due;
            elector.saw(Some(lease("other", 1)), now);
        }
        // It renews after all.
        elector.saw(Some(lease("other", 2)), now);
        let renewed = now;
        let free = loop {
            let (due, action) = next(&elector, now);
            now = due;
            match action {
                Action::Read => elector.saw(Some(lease("other", 2)), now),
                action => break action,
            }
        };
        assert_eq!((free, now), (take(2), renewed + seconds(15)));
        elector.missed(now);
        assert_eq!(elector.next(now), Action::Read, "somebody was faster");
        elector.saw(Some(lease("third", 3)), now);
        assert_eq!(next(&elector, now).1, Action::Read);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longer_of_two_terms_counts() {
        let (mut elector, start) = elector();
        elector.saw(Some(Reading { duration: seconds(60), ..lease("other", 1) }), start);
        assert_eq!(elector.next(start + seconds(59)), Action::Read);
        assert_eq!(elector.next(start + seconds(60)), take(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_back_is_taken_at_once_and_what_bears_our_name_is_ours() {
        let (mut elector, start) = elector();
        elector.saw(Some(lease("", 4)), start);
        assert_eq!(elector.next(start), take(4));
        // The answer was lost; it had been written.
        elector.failed(start);
        let (due, _) = next(&elector, start);
        elector.missed(due);
        elector.saw(Some(Reading { transitions: 8, ..lease("me", 5) }), due);
        assert_eq!(elector.next(due), Action::Renew { expected: "5".into(), transitions: 8 });
        assert_eq!(elector.safe_end(), None, "until that is renewed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_vanishes_may_still_be_somebodys() {
        let (mut elector, start) = elector();
        elector.saw(Some(lease("other", 1)), start);
        elector.saw(None, start + seconds(1));
        elector.saw(None, start + seconds(3));
        assert_eq!(elector.next(start + seconds(15)), Action::Read);
        assert_eq!(elector.next(start + seconds(16)), Action::Take { expected: None, transitions: 0 });

        elector.wrote(lease("me", 2), start + seconds(16));
        elector.missed(start + seconds(20));
        elector.saw(None, start + seconds(20));
        assert_eq!(elector.next(start + seconds(20)), Action::Take { expected: None, transitions: 0 }, "it was ours");
        elector.saw(None, start + seconds(40));
        elector.saw(Some(lease("other", 3)), start + seconds(41));
        assert_eq!(elector.safe_end(), None);
    }

    /// A Lease as a server keeps it, and electors that ask it through a network that is slow, loses answers, and may
    /// stop them for minutes.
    struct Course {
        dice: StdRng,
        lease: Option<Reading>,
        version: u64,
    }

    impl Course {
        /// What one elector does now, when it is its own again, and what came of it then.
        fn ask(&mut self, elector: &mut Elector, now: Instant) -> Option<(Instant, Arrival)> {
            let action = elector.next(now);
            if let Action::Wait(_) = action {
                return None;
            }
            // On the way there, on the way back: now and then longer than anybody waits.
            let slow = if self.dice.random_bool(0.1) { 4.0 } else { 0.05 };
            let answered = now + Duration::from_secs_f64(self.dice.random_range(0.0..slow));
            if self.dice.random_bool(0.05) {
                return Some((now + seconds(3), Arrival::Nothing));
            }
            let (expected, transitions) = match action {
                Action::Read => return Some((answered, Arrival::Seen(self.lease.clone()))),
                Action::Take { expected, transitions } => (expected, transitions),
                Action::Renew { expected, transitions } => (Some(expected), transitions),
                Action::Wait(_) => return None,
            };
            if self.lease.as_ref().map(|lease| lease.version.clone()) != expected {
                return Some((answered, Arrival::Missed));
            }
            self.version += 1;
            let written = Reading { holder: elector.me.clone(), transitions, ..lease("", self.version) };
            self.lease = Some(written.clone());
            let lost = self.dice.random_bool(0.05);
            Some(if lost { (now + seconds(3), Arrival::Nothing) } else { (answered, Arrival::Written(written, now)) })
        }
    }

    enum Arrival {
        Seen(Option<Reading>),
        Written(Reading, Instant),
        Missed,
        Nothing,
    }

    #[tokio::test(start_paused = true)]
    async fn in_ten_days_no_two_lead_at_once() {
        let start = Instant::now();
        let mut changes = 0;
        let mut led = Duration::ZERO;
        for seed in 0..10 {
            let mut course = Course { dice: StdRng::seed_from_u64(seed), lease: None, version: 0 };
            let mut candidates: Vec<(Elector, Instant, Option<Arrival>)> = (0..3)
                .map(|index| (Elector::new(&format!("c{index}"), Terms::default(), seed * 3 + index), start, None))
                .collect();
            let (mut now, mut last) = (start, None);
            while now < start + seconds(24 * 3600) {
                // Whoever is next; of the others nothing changes meanwhile but that their proofs run out.
                let Some(index) = (0..3).min_by_key(|index| candidates[*index].1) else { return };
                let before = now;
                now = candidates[index].1.max(now);
                let (elector, _, arrival) = &mut candidates[index];
                match arrival.take() {
                    Some(Arrival::Seen(lease)) => elector.saw(lease, now),
                    Some(Arrival::Written(lease, sent)) => elector.wrote(lease, sent),
                    Some(Arrival::Missed) => elector.missed(now),
                    Some(Arrival::Nothing) => elector.failed(now),
                    None => {}
                }
                let leaders: Vec<usize> =
                    (0..3).filter(|index| candidates[*index].0.safe_end().is_some_and(|end| now < end)).collect();
                assert!(leaders.len() < 2, "{leaders:?} at {:?} of {seed}", now - start);
                if let Some(leader) = leaders.first() {
                    led += now - before;
                    changes += u32::from(last.replace(*leader) != Some(*leader));
                }
                let (elector, due, arrival) = &mut candidates[index];
                // Stopped here, with whatever it knows.
                if course.dice.random_bool(0.002) {
                    *due = now + seconds(course.dice.random_range(5..600));
                    continue;
                }
                match course.ask(elector, now) {
                    Some((when, came)) => (*due, *arrival) = (when, Some(came)),
                    None => {
                        let Action::Wait(until) = elector.next(now) else { continue };
                        *due = until;
                    }
                }
            }
        }
        assert!(changes > 100, "{changes}");
        assert!(led > seconds(9 * 24 * 3600), "{led:?}");
    }
}
