//! What keeps a writer that is not the one writer any more from writing.
//!
//! A process learns late that somebody else leads: it was stopped for ten minutes, its home cluster is cut off, its
//! requests are slow. So it is not asked whether it leads, but whether it can prove that nobody else does yet: until a
//! Lease's duration after the renewal that succeeded was *sent*, since whoever takes over waits that long after having
//! *seen* it. A margin below that is the safe end; each write has to be over by then, or is not begun.
//!
//! # A leader that is stopped in the middle of a plan
//! It wrote its generation into the inventory, and is stopped before its objects are written. Meanwhile another takes
//! the Lease, writes a higher generation into every chunk, and works. Then the first one wakes up:
//!
//! - What it has not sent is refused, since its Lease is over by the monotonic clock. Where that clock stood still too,
//!   as on a machine that was suspended, the time of day tells.
//! - What was waiting for its answer is given up before anything else of it goes on: the deadline, which is never later
//!   than the safe end, is looked at first.
//! - Its inventories are of versions that are no more: the compare-and-swap fails, and it stops before any object.
//! - What was on the wire when the world stopped, and is delivered now, names what it was decided on: an apply the
//!   version of the object that it saw, a delete the UID. If the new leader touched the object, the server refuses
//!   (409). If it didn't, the object is as the old leader saw it; what lands there is drift that the new leader's watch
//!   shows and its next round repairs.
//!
//! So nothing of the new leader's work is undone by it, whatever either one's clock says.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::Clock;
use fleet::{ClusterName, Plane};
use jiff::{SignedDuration, Timestamp};
use plan::Generation;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lease::Terms;
use crate::{Cluster, ClusterError, ErrorKind};

/// Says whether a plane may still be written. Copies are the same fence.
#[derive(Clone)]
pub struct Fence {
    inner: Arc<Inner>,
    /// Nothing is begun any more once this is cancelled.
    stop: Option<CancellationToken>,
}

struct Inner {
    plane: Plane,
    terms: Terms,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    /// What is proven, or why nothing is.
    term: Result<Term, String>,
    /// What this leadership counts as in its plane's record.
    generation: Option<Generation>,
    /// Clusters whose inventory does.
    entered: BTreeSet<ClusterName>,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    /// When the last renewal that succeeded was sent.
    sent: Instant,
    /// The time of day then.
    at: Timestamp,
}

/// A write that was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// Why not.
    pub why: String,
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Fenced {}

impl Fence {
    /// Closed, until a renewal succeeds.
    pub(crate) fn new(plane: Plane, terms: Terms, clock: Clock) -> Self {
        let state = State { term: Err("it was never held".to_owned()), generation: None, entered: BTreeSet::new() };
        Self { inner: Arc::new(Inner { plane, terms, clock, state: Mutex::new(state) }), stop: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same fence, which closes too when this is cancelled: for what waits for its turn then. What was sent before
    /// goes on to its end.
    #[must_use]
    pub fn until(&self, stop: CancellationToken) -> Self {
        Self { stop: Some(stop), ..self.clone() }
    }

    /// The plane that it guards.
    #[must_use]
    pub fn plane(&self) -> Plane {
        self.inner.plane
    }

    /// Whether something that takes this long at most is over while nobody else can lead.
    ///
    /// # Errors
    /// When it isn't, with the reason.
    pub fn check(&self, needed: Duration) -> Result<(), Fenced> {
        let left = self.left()?;
        if left >= needed && left > Duration::ZERO {
            return Ok(());
        }
        Err(self.fenced(&format!("what was proven ends in {:.1} s, and this may take {needed:?}", left.as_secs_f64())))
    }

    /// How long a request may take that would like to take this long: no longer than what is left, and not at all if
    /// that is too little to begin anything.
    pub(crate) fn grant(&self, wanted: Duration) -> Result<Duration, Fenced> {
        let least = self.inner.terms.least().min(wanted);
        self.check(least)?;
        Ok(self.left()?.min(wanted))
    }

    /// How much is left until the safe end.
    fn left(&self) -> Result<Duration, Fenced> {
        if self.stop.as_ref().is_some_and(CancellationToken::is_cancelled) {
            return Err(Fenced { why: "nothing more is to begin".to_owned() });
        }
        let term = match &self.state().term {
            Ok(term) => *term,
            Err(why) => return Err(self.fenced(why)),
        };
        let safe = self.inner.terms.safe();
        // A clock that is set forward closes the fence until the next renewal, one that is set back does nothing.
        let of_day = self.inner.clock.now().duration_since(term.at).max(SignedDuration::ZERO);
        let passed = term.sent.elapsed().max(of_day.unsigned_abs());
        if passed >= safe {
            let passed = passed.as_secs_f64();
            return Err(self.fenced(&format!("its last renewal was {passed:.1} s ago, and it proves {safe:?}")));
        }
        Ok(safe.saturating_sub(passed))
    }

    fn fenced(&self, why: &str) -> Fenced {
        Fenced { why: format!("the Lease of the {} plane: {why}", self.inner.plane) }
    }

    /// The time of day, and with it what a renewal that is about to be sent will prove.
    pub(crate) fn about_to_send(&self) -> (Instant, Timestamp) {
        (Instant::now(), self.inner.clock.now())
    }

    /// A renewal that was sent then succeeded; `anew` if somebody else may have led before.
    pub(crate) fn renewed(&self, (sent, at): (Instant, Timestamp), anew: bool) {
        let mut state = self.state();
        state.term = Ok(Term { sent, at });
        if anew {
            state.generation = None;
            state.entered.clear();
        }
    }

    /// Nothing is proven any more.
    pub(crate) fn close(&self, why: impl Into<String>) {
        self.state().term = Err(why.into());
    }

    /// What this leadership counts as, once that is written down.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.state().generation
    }

    /// It is: higher than that of everybody who led before.
    pub fn counts_as(&self, generation: Generation) {
        self.state().generation = Some(generation);
    }

    /// Whether this leadership has still to write its generation into this cluster's inventory.
    pub(crate) fn is_new_to(&self, cluster: &ClusterName) -> bool {
        !self.state().entered.contains(cluster)
    }

    /// It has.
    pub(crate) fn entered(&self, cluster: &ClusterName) {
        self.state().entered.insert(cluster.clone());
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("plane", &self.inner.plane).field("check", &self.check(Duration::ZERO)).finish()
    }
}

impl Cluster {
    /// The same connection, refusing what changes something (and is no dry run) as soon as somebody else may lead the
    /// fence's plane. An apply through it is bound to the version of the object that was seen.
    #[must_use]
    pub fn fenced(&self, fence: Fence) -> Self {
        Self(Arc::clone(&self.0), Some(fence))
    }

    /// Whether something may be changed by other ways than a request to the API server, if it takes this long at most.
    ///
    /// # Errors
    /// `Fenced` when it may not. A handle without a fence allows everything.
    pub fn may_change(&self, needed: Duration) -> Result<(), ClusterError> {
        let checked = self.1.as_ref().map_or(Ok(()), |fence| fence.check(needed));
        checked.map_err(|fenced| self.error(fenced.into()))
    }
}

impl From<Fenced> for ErrorKind {
    fn from(fenced: Fenced) -> Self {
        Self::Fenced { why: fenced.why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fence() -> (Fence, Clock) {
        let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
        (Fence::new(Plane::Data, Terms::default(), clock.clone()), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn it_closes_before_another_could_lead() {
        let (fence, _) = fence();
        assert!(fence.check(Duration::ZERO).unwrap_err().why.contains("data plane: it was never held"));
        let about = fence.about_to_send();
        // The answer came late: what counts is when it was asked.
        tokio::time::sleep(seconds(2)).await;
        fence.renewed(about, true);
        assert_eq!(fence.grant(seconds(10)).unwrap(), seconds(10));
        tokio::time::sleep(seconds(4)).await;
        assert!(fence.check(seconds(8)).is_ok() && fence.check(seconds(9)).is_err());
        assert_eq!(fence.grant(seconds(10)).unwrap(), seconds(8), "a request is cut to what is left");
        tokio::time::sleep(seconds(6)).await;
        assert!(fence.grant(seconds(10)).is_err(), "too little to begin anything");
        assert!(fence.grant(seconds(1)).is_ok(), "but enough for what is short");
        tokio::time::sleep(seconds(2)).await;
        assert!(fence.check(Duration::ZERO).unwrap_err().why.contains("its last renewal was 14.0 s ago"));
        fence.renewed(fence.about_to_send(), false);
        assert!(fence.check(seconds(1)).is_ok());
        fence.close("it was released");
        assert!(fence.check(Duration::ZERO).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_day_closes_it_too_but_never_opens_it() {
        let (fence, clock) = fence();
        fence.renewed(fence.about_to_send(), true);
        clock.jump(SignedDuration::from_secs(-3600));
        tokio::time::sleep(seconds(10)).await;
        assert!(fence.check(seconds(4)).is_ok() && fence.check(seconds(5)).is_err());
        clock.jump(SignedDuration::from_secs(7200));
        assert!(fence.check(Duration::ZERO).is_err(), "as after a night with the lid closed");
        fence.renewed(fence.about_to_send(), false);
        assert!(fence.check(seconds(14)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_to_begin_nothing_more_keeps_nobody_else_from_it() {
        let (fence, _) = fence();
        fence.renewed(fence.about_to_send(), true);
        let stop = CancellationToken::new();
        let stopping = fence.until(stop.clone());
        assert!(stopping.grant(seconds(10)).is_ok());
        stop.cancel();
        assert!(stopping.grant(seconds(10)).is_err() && fence.grant(seconds(10)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_leadership_is_counted_once_and_enters_each_cluster_once() {
        let (fence, _) = fence();
        let name: ClusterName = "fra".parse().unwrap();
        fence.renewed(fence.about_to_send(), true);
        assert!(fence.generation().is_none() && fence.is_new_to(&name));
        fence.counts_as(Generation(7));
        fence.entered(&name);
        fence.renewed(fence.about_to_send(), false);
        assert!(fence.generation() == Some(Generation(7)) && !fence.is_new_to(&name));
        fence.renewed(fence.about_to_send(), true);
        assert!(fence.generation().is_none() && fence.is_new_to(&name));
    }
}
