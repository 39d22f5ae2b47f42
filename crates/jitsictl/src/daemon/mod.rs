//! `jitsictl daemon`: everything around the loop that keeps a fleet.
//!
//! ```text
//! intake    fleet file, env files, custom files, kubeconfigs  ──► the loop (orchestrator::daemon)
//! http      /metrics /healthz /readyz /state /events          ◄── its state, notices and counters
//! alerts    what a human must know ──► webhook
//! tale      notices as log lines
//! ask       the other side of /state, for `jitsictl status`
//! waiting   what is told before a fleet file makes sense
//! ```

mod alerts;
mod ask;
mod files;
mod http;
mod intake;
mod kubeconfigs;
#[cfg(test)]
mod made_up;
mod tale;
mod waiting;
mod webhook;
#[cfg(test)]
mod whole;

pub(crate) use ask::{Asked, ask};
pub(crate) use webhook::Hook;

use std::sync::Arc;
use std::time::Duration;

use cluster::Kubeconfigs;
use fleet::diagnostic::Report;
use fleet::load::Loaded;
use futures::{Stream, StreamExt as _};
use orchestrator::daemon::{DaemonOptions, Intake, daemon};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::http::{About, Pages, Served};
pub(crate) use self::intake::Source;
use self::intake::{First, Watcher};
use self::waiting::Waiting;
use crate::Exit;

/// When it was told to stop, the daemon has ended by then: its own deadlines are shorter.
const FAREWELL: Duration = Duration::from_secs(10);

/// A fleet file that made sense, and is followed from now on.
pub(crate) struct Followed {
    watcher: Watcher,
    intake: watch::Receiver<Intake>,
}

impl Followed {
    /// Reads it.
    ///
    /// # Errors
    /// Every problem of it, and what waits for it to change.
    pub(crate) fn new(source: Source, clock: clock::Clock) -> Result<Self, (Report, Unread)> {
        let unread = Unread { first: First::new(source, clock.clone()), clock };
        unread.read()
    }

    /// As it was when it was read.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.intake.borrow().loaded)
    }
}

/// A fleet file that makes no sense yet.
pub(crate) struct Unread {
    first: First,
    clock: clock::Clock,
}

impl Unread {
    fn read(self) -> Result<Followed, (Report, Self)> {
        let Self { first, clock } = self;
        match first.read() {
            Ok((watcher, intake)) => Ok(Followed { watcher, intake }),
            Err((report, first)) => Err((report, Self { first, clock })),
        }
    }

    /// Waits until it does, and tells whoever asks meanwhile. None if it was told to stop before.
    pub(crate) async fn awaited(
        mut self,
        report: Report,
        holder: &str,
        listener: &Arc<TcpListener>,
        signals: &mut (impl Stream<Item = ()> + Unpin),
    ) -> Option<Followed> {
        let waiting = Arc::new(Waiting::new(self.clock.clone(), &report));
        let about = About { name: holder.to_owned(), version: env!("CARGO_PKG_VERSION") };
        let stop = CancellationToken::new();
        let pages = Pages::new(Arc::clone(&waiting), about, self.clock.clone(), Duration::ZERO, stop.clone());
        let pages = Arc::new(pages);
        let heard = Arc::clone(&pages);
        let _heard = AbortOnDropHandle::new(tokio::spawn(async move { heard.listen_to_loop().await }));
        let served = Served::start(Arc::clone(listener), pages);
        let followed = loop {
            tokio::select! {
                biased;
                _ = signals.next() => break None,
                () = self.first.changed(|| waiting.looked(None)) => {}
            }
            let report;
            (report, self) = match self.read() {
                Ok(followed) => break Some(followed),
                Err(again) => again,
            };
            waiting.looked(Some(&report));
        };
        if followed.is_some() {
            stop.cancel();
            served.close().await;
        }
        followed
    }
}

/// What is around the loop.
pub(crate) struct Surroundings {
    /// Kubeconfigs of the command.
    pub(crate) kubeconfigs: Kubeconfigs,
    /// Receivers of the command, beside those of the fleet file.
    pub(crate) hooks: Vec<Hook>,
    /// How they are reached.
    pub(crate) poster: reqwest::Client,
    /// Where the HTTP side is reached.
    pub(crate) listener: Arc<TcpListener>,
}

/// Keeps a fleet until it is told to stop.
pub(crate) async fn run(
    followed: Followed,
    options: DaemonOptions,
    around: Surroundings,
    signals: impl Stream<Item = ()> + Unpin,
) -> Exit {
    let Followed { watcher, intake } = followed;
    let stop = CancellationToken::new();
    let (clock, holder, round) = (options.place.clock.clone(), options.holder.clone(), options.pace.round);
    let (generations, kubeconfigs) = kubeconfigs::follow(around.kubeconfigs, intake.clone());
    let (handle, work) = daemon(intake.clone(), generations, options, stop.clone());
    let about = About { name: holder.clone(), version: env!("CARGO_PKG_VERSION") };
    let pages = Arc::new(Pages::new(handle.clone(), about, clock.clone(), round, stop.clone()));
    let heard = Arc::clone(&pages);
    let tasks = [
        tokio::spawn(watcher.run()),
        tokio::spawn(kubeconfigs),
        tokio::spawn(tale::run(handle.notices())),
        tokio::spawn(webhook::run(around.hooks, intake, handle.states(), around.poster, (holder, clock))),
        tokio::spawn(async move { heard.listen_to_loop().await }),
    ];
    let _tasks = tasks.map(AbortOnDropHandle::new);
    let _served = Served::start(around.listener, pages);
    until_told(work, signals, stop).await
}

/// The first signal ends the work in order, the second at once.
async fn until_told(
    work: impl Future<Output = ()>,
    mut signals: impl Stream<Item = ()> + Unpin,
    stop: CancellationToken,
) -> Exit {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        () = &mut work => {
            tracing::error!("the loop has ended without having been told to");
            return Exit::Failed;
        }
        _ = signals.next() => stop.cancel(),
    }
    tracing::info!("stopping: what is under way is finished, then the Leases are released");
    tokio::select! {
        biased;
        () = &mut work => Exit::Converged,
        _ = signals.next() => {
            tracing::warn!("told twice: ended at once");
            Exit::Failed
        }
        () = sleep(FAREWELL) => {
            tracing::warn!("what was under way has not ended in time");
            Exit::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{iter, pending};
    use tokio::time::Instant;

    use super::*;

    fn told(times: usize) -> impl Stream<Item = ()> + Unpin {
        iter(vec![(); times]).chain(pending())
    }

    #[tokio::test(start_paused = true)]
    async fn one_signal_waits_for_the_work_and_two_do_not() {
        let stop = CancellationToken::new();
        let begun = Instant::now();
        let after = |seconds: u64| {
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                sleep(Duration::from_secs(seconds)).await;
            }
        };
        assert_eq!(until_told(after(9), told(1), stop.clone()).await, Exit::Converged);
        assert_eq!(begun.elapsed().as_secs(), 9);
        assert_eq!(until_told(after(9), told(2), stop.clone()).await, Exit::Failed);
        assert_eq!(begun.elapsed().as_secs(), 9);
        assert_eq!(until_told(after(60), told(1), stop.clone()).await, Exit::Failed);
        assert_eq!(begun.elapsed().as_secs(), 19);
        assert_eq!(until_told(async {}, told(0), stop.clone()).await, Exit::Failed);
    }
}
