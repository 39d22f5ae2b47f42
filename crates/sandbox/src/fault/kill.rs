//! The point at which a client is killed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

/// On which side of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is never executed.
    Before,
    /// It is executed, but nobody lives to see the answer.
    After,
}

/// A client dies before or after its n-th request. Nothing that it sent later is executed, and nothing answered; whoever
/// waits for [`KillPoint::reached`] then drops it.
#[derive(Debug)]
pub struct KillPoint {
    at: u64,
    moment: Moment,
    seen: AtomicU64,
    dead: AtomicBool,
    reached: CancellationToken,
}

impl KillPoint {
    /// At the n-th request, counted from 1 over all clusters.
    #[must_use]
    pub fn new(at: u64, moment: Moment) -> Self {
        Self { at, moment, seen: AtomicU64::new(0), dead: AtomicBool::new(false), reached: CancellationToken::new() }
    }

    /// Returns when the point is reached.
    pub async fn reached(&self) {
        self.reached.cancelled().await;
    }

    /// Whether it was reached.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached.is_cancelled()
    }

    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// A request comes; says whether it must not be executed.
    pub(super) fn before(&self) -> bool {
        if self.dead.load(Ordering::SeqCst) {
            return true;
        }
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if number < self.at {
            return false;
        }
        // Of those that are under way at once, only the n-th is still executed.
        self.dead.store(true, Ordering::SeqCst);
        if self.moment == Moment::Before {
            self.reached.cancel();
            return true;
        }
        false
    }

    /// A request was executed; says whether nobody hears the answer.
    pub(super) fn after(&self) -> bool {
        let dead = self.dead.load(Ordering::SeqCst);
        if dead {
            self.reached.cancel();
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_heard_after_the_end() {
        let before = KillPoint::new(2, Moment::Before);
        assert_eq!((before.before(), before.after()), (false, false));
        assert!(before.before() && before.is_reached() && before.before());

        let after = KillPoint::new(1, Moment::After);
        assert!(!after.before() && !after.is_reached());
        assert!(after.after() && after.is_reached() && after.before());
        assert_eq!(after.requests(), 1);
    }
}
