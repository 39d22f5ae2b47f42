//! Rendering on all cores: units don't depend on each other.

use std::num::NonZero;
use std::thread;

/// Fewer than so many are done where they are: a thread costs as much as some units.
const WORTH_IT: usize = 32;

/// Maps each item, in order; on several threads where there are many.
pub fn map<T: Sync, R: Send>(items: &[T], render: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(8);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_however_many_there_are() {
        for count in [0, 1, 31, 32, 1000, 1001] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
