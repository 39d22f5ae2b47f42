//! Rendering on all cores: units don't depend on each other.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, mpsc::channel};
use std::thread;

/// Fewer than so many are done where they are: a thread costs as much as some units.
const WORTH_IT: usize = 32;

/// How many a thread takes at once: so few that all threads end together.
const BATCH: usize = 4;

/// Maps each item, in order; on several threads where there are many.
pub fn map<T: Sync, R: Send>(items: &[T], render: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = *THREADS;
    if items.len() < WORTH_IT || threads == 1 {
        return items.iter().map(render).collect();
    }
    let next = AtomicUsize::new(0);
    let batches = || {
        let mut done: Vec<(usize, Vec<R>)> = Vec::new();
        loop {
            let at = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(rest) = items.get(at..).filter(|rest| !rest.is_empty()) else { return done };
            done.push((at, rest.iter().take(BATCH).map(&render).collect()));
        }
    };
    let mut batches: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(batches)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().flat_map(join).collect()
    });
    batches.sort_unstable_by_key(|(at, _)| *at);
    batches.into_iter().flat_map(|(_, batch)| batch).collect()
}

/// Makes something of each item and hands it on, in order, while the next ones are made; until one is refused. What was
/// taken is handed back to be made anew: fresh memory for each would cost as much as what is written into it.
///
/// Threads don't wait for who takes what they make: all of it may come to be in memory. A thread that waits is woken on the
/// core of who wakes it, and two that could run beside each other take turns.
///
/// # Errors
/// The first refusal.
pub fn stream<T: Sync, R: Default + Send, E>(
    items: &[T],
    render: impl Fn(&T, &mut R) + Sync,
    mut take: impl FnMut(&R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = THREADS.min(items.len());
    if threads < 2 {
        let mut made = R::default();
        return items.iter().try_for_each(|item| {
            render(item, &mut made);
            take(&made)
        });
    }
    let render = &render;
    thread::scope(|scope| {
        let ways: Vec<_> = (0..threads)
            .map(|first| {
                let ((give, made), (give_back, used)) = (channel(), channel::<R>());
                // Nobody takes any more once one was refused.
                scope.spawn(move || {
                    items.iter().skip(first).step_by(threads).try_for_each(|item| {
                        let mut made = used.try_recv().unwrap_or_default();
                        render(item, &mut made);
                        give.send(made)
                    })
                });
                (made, give_back)
            })
            .collect();
        // A thread that panicked ends its channel, and the scope hands on the panic.
        let all = ways.iter().cycle().map_while(|(made, give_back)| Some((made.recv().ok()?, give_back)));
        all.take(items.len()).try_for_each(|(made, give_back)| {
            take(&made)?;
            // Who has made the last one needs it no more.
            let _ = give_back.send(made);
            Ok(())
        })
    })
}

/// Asked for once: the answer takes reading several files.
static THREADS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get).min(8));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_comes_in_order_until_it_is_refused() {
        for count in [0, 1, 2, 3, 100, 1001] {
            let items: Vec<usize> = (0..count).collect();
            let mut taken = Vec::new();
            let take = |made: &usize| {
                taken.push(*made);
                Ok::<(), usize>(())
            };
            assert_eq!(stream(&items, |item, made| *made = item * 2, take), Ok(()));
            assert_eq!(taken, items.iter().map(|item| item * 2).collect::<Vec<_>>());
            let until_50 = |made: &usize| if *made < 50 { Ok(()) } else { Err(*made) };
            let refused = stream(&items, |item, made| *made = *item, until_50);
            assert_eq!(refused, if count > 50 { Err(50) } else { Ok(()) });
        }
    }

    #[test]
    fn order_is_kept_however_many_there_are() {
        for count in [0, 1, 31, 32, 1000, 1001] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
