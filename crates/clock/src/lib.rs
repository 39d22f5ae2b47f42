//! The time of day, as an input.
//!
//! Everything that stamps, compares or measures takes a [`Clock`]: the machine's own in production; one that follows
//! tokio's timer in the sandbox, where a week passes in a second when that timer is paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time of day. Copies tell the same.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    Machine,
    Timer(Arc<Timer>),
}

#[derive(Debug)]
struct Timer {
    base: Timestamp,
    started: Instant,
    /// How far jumps have moved it, in milliseconds.
    skew: AtomicI64,
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub const fn machine() -> Self {
        Self(Source::Machine)
    }

    /// A clock that shows `base` now and goes on with tokio's timer.
    #[must_use]
    pub fn starting_at(base: Timestamp) -> Self {
        Self(Source::Timer(Arc::new(Timer { base, started: Instant::now(), skew: AtomicI64::new(0) })))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Machine => Timestamp::now(),
            Source::Timer(timer) => {
                let elapsed = SignedDuration::try_from(timer.started.elapsed()).unwrap_or(SignedDuration::MAX);
                let skew = SignedDuration::from_millis(timer.skew.load(Ordering::Relaxed));
                let moved = elapsed.checked_add(skew).unwrap_or(SignedDuration::MAX);
                timer.base.checked_add(moved).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// A clock that goes with this one, but whose jumps are its own. The machine's clock has no other.
    #[must_use]
    pub fn fork(&self) -> Self {
        match &self.0 {
            Source::Machine => Self::machine(),
            Source::Timer(_) => Self::starting_at(self.now()),
        }
    }

    /// Moves the clock, as an administrator or a time server does; tokio's timer doesn't notice. The machine's own
    /// clock can't be moved from here.
    pub fn jump(&self, by: SignedDuration) {
        if let Source::Timer(timer) = &self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            timer.skew.fetch_add(by, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_week_passes_at_once_and_a_jump_moves_only_its_own_clock() {
        let base: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(base);
        let other = clock.fork();
        tokio::time::sleep(Duration::from_secs(7 * 24 * 3600)).await;
        assert_eq!(clock.now().to_string(), "2026-11-29T10:00:00Z");
        clock.clone().jump(SignedDuration::from_hours(-1));
        assert_eq!(clock.now().to_string(), "2026-11-29T09:00:00Z");
        assert_eq!(other.now().to_string(), "2026-11-29T10:00:00Z");
    }
}
