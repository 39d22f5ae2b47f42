//! How long things take, last and wait. What chance decides follows from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How long the server is asked to let a watch last, in seconds.
const WATCH: (u64, u64) = (180, 300);

/// How much later than that a watch certainly is half-open.
const SLACK: Duration = Duration::from_secs(30);

/// Servers that send bookmarks send one a minute: after so long without anything, such a watch is half-open.
pub(super) const QUIET: Duration = Duration::from_secs(150);

/// What happened while nobody watched is told at once when a watch begins. When nothing has come for so long, that was
/// all.
pub(super) const SETTLED: Duration = Duration::from_millis(250);

/// A watch that lasted so long was a good one, however it ended.
pub(super) const GOOD: Duration = Duration::from_secs(5);

/// When our own write has not been seen for so long, a LIST has to tell.
pub(super) const CONFIRM: Duration = Duration::from_secs(10);

/// When a cluster has said nothing for so long and can't be reached, it is lost.
pub(super) const LOST: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);

/// The first and the longest wait after a failure.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(20));

/// The first wait after a refusal that is about rights, or about what exists.
const REFUSED: Duration = Duration::from_secs(1);

/// One stream's pace.
#[derive(Debug)]
pub(super) struct Pace {
    rng: StdRng,
    wait: Duration,
    refused: Duration,
}

impl Pace {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), wait: WAITS.0, refused: REFUSED }
    }

    /// How long the next watch is to last, in seconds, and after how long it is certainly half-open.
    pub(super) fn watch(&mut self) -> (u64, Duration) {
        let seconds = self.rng.random_range(WATCH.0..=WATCH.1);
        (seconds, Duration::from_secs(seconds) + SLACK)
    }

    /// How long until everything is listed again: never twice in an hour, and not all kinds at once.
    pub(super) fn resync(&mut self) -> Duration {
        HOUR + self.rng.random_range(Duration::ZERO..HOUR / 2)
    }

    /// How long until it is asked again whether something may be read by now: soon at first, since a server that has just
    /// started knows of no rights for a moment, and once in an hour in the end.
    pub(super) fn refused(&mut self) -> Duration {
        let longest = self.resync();
        self.doubled(longest)
    }

    /// The same where somebody waits for it, whether it is forbidden, not installed or broken.
    pub(super) fn sought(&mut self) -> Duration {
        let longest = self.slowly();
        self.doubled(longest)
    }

    fn doubled(&mut self, longest: Duration) -> Duration {
        let wait = self.refused.min(longest);
        self.refused = self.refused.saturating_mul(2);
        wait
    }

    /// How long until it is asked again for what nobody tells of.
    pub(super) fn slowly(&mut self) -> Duration {
        self.rng.random_range(Duration::from_secs(180)..Duration::from_secs(300))
    }

    /// How long to wait after a failure; longer each time, and at least as long as the server asked for.
    pub(super) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.wait.mul_f64(self.rng.random_range(0.5..1.5));
        self.wait = (self.wait * 2).min(WAITS.1);
        wait.max(asked.unwrap_or_default())
    }

    /// All is well: the next failure is the first one.
    pub(super) const fn succeeded(&mut self) {
        self.wait = WAITS.0;
        self.refused = REFUSED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_end_and_follow_from_the_seed() {
        let waits = |seed| {
            let mut pace = Pace::new(seed);
            (0..20).map(|_| pace.failed(None)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        assert!(waits(1)[0] < WAITS.0 * 2);
        assert!(waits(1)[19] >= WAITS.1 / 2 && waits(1)[19] <= WAITS.1 * 3 / 2);
        let mut pace = Pace::new(1);
        assert_eq!(pace.failed(Some(Duration::from_secs(90))), Duration::from_secs(90));
        pace.succeeded();
        assert!(pace.failed(None) < WAITS.0 * 2);
    }
}
