//! What is to be looked at again: at once, after a while, or after a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::store::Key;

/// The first delay after a failure; it doubles with each further one, as the real controllers' does.
const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(1000);

/// A key of one controller, by the controller's number.
pub(crate) type Item = (usize, Key);

/// Each key at most once at a time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    ready: BTreeSet<Item>,
    later: BTreeMap<Item, Instant>,
    due: BTreeSet<(Instant, Item)>,
    failures: BTreeMap<Item, u32>,
}

impl Queue {
    pub(crate) fn add(&mut self, item: Item) {
        self.ready.insert(item);
    }

    /// Looks at it after a while, or sooner when it is due sooner already.
    pub(crate) fn add_at(&mut self, item: Item, when: Instant) {
        match self.later.get(&item) {
            Some(known) if *known <= when => return,
            Some(known) => {
                self.due.remove(&(*known, item.clone()));
            }
            None => {}
        }
        self.later.insert(item.clone(), when);
        self.due.insert((when, item));
    }

    /// Looks at it again after a failure.
    pub(crate) fn retry(&mut self, item: Item, now: Instant) {
        let failures = self.failures.entry(item.clone()).or_default();
        let delay = FIRST_DELAY.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(LONGEST_DELAY);
        *failures = (*failures + 1).min(31);
        self.add_at(item, now + delay);
    }

    /// It went well: its failures are forgotten.
    pub(crate) fn succeeded(&mut self, item: &Item) {
        self.failures.remove(item);
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(when, _)| *when)
    }

    /// The next one that is to be looked at now.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Item> {
        while self.next_due().is_some_and(|when| when <= now) {
            if let Some((_, item)) = self.due.pop_first() {
                self.later.remove(&item);
                self.ready.insert(item);
            }
        }
        self.ready.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use api_server::kinds::POD;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_come_once_sooner_when_asked_and_later_after_each_failure() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let item = |name| (0, Key::new(&POD, "a", name));
        queue.add(item("x"));
        queue.add(item("x"));
        assert_eq!(queue.pop(now), Some(item("x")));
        assert_eq!(queue.pop(now), None);
        let second = Duration::from_secs(1);
        queue.add_at(item("y"), now + second * 3);
        queue.add_at(item("y"), now + second);
        queue.add_at(item("y"), now + second * 2);
        assert_eq!(queue.next_due(), Some(now + second));
        assert_eq!(queue.pop(now + second), Some(item("y")));
        assert_eq!(queue.next_due(), None);
        for wanted in [5, 10, 20] {
            queue.retry(item("z"), now);
            let due = queue.next_due().unwrap();
            assert_eq!(due - now, Duration::from_millis(wanted));
            queue.pop(due);
        }
        queue.succeeded(&item("z"));
        queue.retry(item("z"), now);
        assert_eq!(queue.next_due(), Some(now + FIRST_DELAY));
    }
}
