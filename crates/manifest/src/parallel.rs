//! Rendering on all cores: units don't depend on each other.

use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Fewer than so many are done where they are: a thread costs as much as some units.
const WORTH_IT: usize = 32;

/// Maps each item, in order; on several threads where there are many.
pub fn map<T: Sync, R: Send>(items: &[T], render: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads();
    if items.len() < WORTH_IT || threads == 1 {
        return items.iter().map(render).collect();
    }
    let render = &render;
    thread::scope(|scope| {
        let chunks = items.chunks(items.len().div_ceil(threads));
        let running: Vec<_> =
            chunks.map(|chunk| scope.spawn(move || chunk.iter().map(render).collect::<Vec<R>>())).collect();
        let mut all = Vec::with_capacity(items.len());
        for thread in running {
            match thread.join() {
                Ok(rendered) => all.extend(rendered),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

/// How far threads may be ahead of who takes what they make.
const AHEAD: usize = 4;

/// Maps each item and hands on the results, in order, while the next ones are made; until one is refused.
///
/// # Errors
/// The first refusal.
pub fn stream<T: Sync, R: Send, E>(
    items: &[T],
    render: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads().min(items.len());
    if threads < 2 {
        return items.iter().try_for_each(|item| take(render(item)));
    }
    let render = &render;
    thread::scope(|scope| {
        let made: Vec<_> = (0..threads)
            .map(|first| {
                let (give, made) = sync_channel(AHEAD);
                // Nobody takes any more once one was refused.
                scope.spawn(move || {
                    items.iter().skip(first).step_by(threads).try_for_each(|item| give.send(render(item)))
                });
                made
            })
            .collect();
        // A thread that panicked ends its channel, and the scope hands on the panic.
        made.iter().cycle().map_while(|made| made.recv().ok()).take(items.len()).try_for_each(take)
    })
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_comes_in_order_until_it_is_refused() {
        for count in [0, 1, 2, 3, 100, 1001] {
            let items: Vec<usize> = (0..count).collect();
            let mut taken = Vec::new();
            let take = |made| {
                taken.push(made);
                Ok::<(), usize>(())
            };
            assert_eq!(stream(&items, |item| item * 2, take), Ok(()));
            assert_eq!(taken, items.iter().map(|item| item * 2).collect::<Vec<_>>());
            let refused = stream(&items, |item| *item, |made| if made < 50 { Ok(()) } else { Err(made) });
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
