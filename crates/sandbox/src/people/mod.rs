//! Callers: conferences come, last and end as on a working day, over the entrance, the shards and the bridges that run
//! in the pods; and every interruption of every person is counted by its cause.

mod coming;
mod crowd;
mod engine;
#[doc(hidden)]
pub mod fixture;
mod load;
mod random;
mod report;
mod trouble;
mod ways;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::engine::Engine;
pub use self::{
    load::Load,
    report::{Events, Interruptions, PeopleReport, Sample},
};
use crate::world::World;

/// How long [`People::settle`] waits at most.
const SETTLE: Duration = Duration::from_secs(600);

/// People who call. They are gone when dropped.
#[derive(Debug)]
pub struct People {
    engine: Arc<Mutex<Engine>>,
    wake: Arc<Notify>,
    _stop: DropGuard,
}

impl People {
    /// Lets people call into a world from now on. The same seed in the same world brings the same people.
    #[must_use]
    pub fn start(world: &World, load: Load, seed: u64) -> Self {
        let engine = Arc::new(Mutex::new(Engine::new(Arc::clone(world.shared()), load, seed)));
        let wake = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        tokio::spawn(run(Arc::clone(&engine), Arc::clone(&wake), stop.clone()));
        Self { engine, wake, _stop: stop.drop_guard() }
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A conference by hand, beside those that come by themselves: everybody comes at once.
    pub fn meet(&self, room: &str, people: u16, length: Duration) {
        self.engine().meet(room, people, length);
        self.wake.notify_one();
    }

    /// No conference begins any more; those that are go on.
    pub fn stop_arrivals(&self) {
        self.engine().stop_arrivals();
    }

    /// Whether nobody is on the way in or back.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.engine().settled()
    }

    /// Waits until nobody is on the way in or back; says whether that came within ten minutes.
    pub async fn settle(&self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < SETTLE {
            if self.settled() {
                return true;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        false
    }

    /// What has happened so far.
    #[must_use]
    pub fn report(&self) -> PeopleReport {
        self.engine().report()
    }
}

async fn run(engine: Arc<Mutex<Engine>>, wake: Arc<Notify>, stop: CancellationToken) {
    loop {
        let next = engine.lock().unwrap_or_else(PoisonError::into_inner).run_due();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

#[cfg(test)]
mod tests;
