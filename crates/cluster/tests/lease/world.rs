//! Stopping the world: what a process goes through that is paused as a whole.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Can be stopped, with all that runs in it, in the middle of anything.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<(bool, Vec<Waker>)>>);

impl World {
    pub(crate) fn stop(&self, stopped: bool) {
        let wakers = {
            let mut state = self.0.lock().unwrap();
            state.0 = stopped;
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn stoppable<F: Future>(&self, inner: F) -> Stoppable<F> {
        Stoppable { world: self.clone(), inner: Box::pin(inner) }
    }
}

pub(crate) struct Stoppable<F> {
    world: World,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Stoppable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut state = self.world.0.lock().unwrap();
            if state.0 {
                state.1.push(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(cx)
    }
}
