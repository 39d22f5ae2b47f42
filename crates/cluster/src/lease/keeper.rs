//! A Lease that is pursued for ever, by a task of its own.

use std::future::Future;

use clock::Clock;
use fleet::{ClusterName, FleetName, Plane};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::Standing;
use super::pursuit::{End, Pursuit};
use crate::{Cluster, ClusterError, Fence};

/// Takes the Lease of a plane when it can, and keeps it until it is released or dropped. Dropped, the Lease ends by
/// itself after its duration.
#[derive(Debug)]
pub struct LeaseKeeper {
    home: ClusterName,
    clock: Clock,
    fence: Fence,
    standing: watch::Receiver<Standing>,
    /// Its task ends when this is dropped; told how, it ends the Lease before, and says when it has.
    end: oneshot::Sender<(End, oneshot::Sender<Result<(), ClusterError>>)>,
}

impl LeaseKeeper {
    /// Pursues the Lease of a plane, whose home the cluster is, under a name that nobody else has.
    #[must_use]
    pub fn start(cluster: Cluster, fleet: &FleetName, plane: Plane, holder: &str, clock: Clock, seed: u64) -> Self {
        Self::of(Pursuit::new(cluster, fleet, plane, holder, clock, seed))
    }

    /// The same, and what has to run for it: for those who say themselves when that is.
    pub fn apart(
        cluster: Cluster,
        fleet: &FleetName,
        plane: Plane,
        holder: &str,
        clock: Clock,
        seed: u64,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        Self::split(Pursuit::new(cluster, fleet, plane, holder, clock, seed))
    }

    pub(super) fn of(pursuit: Pursuit) -> Self {
        let (keeper, task) = Self::split(pursuit);
        tokio::spawn(task);
        keeper
    }

    fn split(mut pursuit: Pursuit) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (told, standing) = watch::channel(pursuit.standing());
        let (end, ended) = oneshot::channel();
        let home = pursuit.home().name().clone();
        let keeper = Self { home, clock: pursuit.clock().clone(), fence: pursuit.fence().clone(), standing, end };
        (keeper, pursue(pursuit, told, ended))
    }

    /// The cluster in which the Lease is.
    #[must_use]
    pub const fn home(&self) -> &ClusterName {
        &self.home
    }

    /// What we are to the plane at this moment.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let standing = self.standing.borrow().clone();
        match (&standing, self.fence.check(std::time::Duration::ZERO)) {
            // The task had no chance to say so yet.
            (Standing::Leading { .. }, Err(fenced)) => Standing::Unknown { why: fenced.why, since: self.clock.now() },
            _ => standing,
        }
    }

    /// Tells when that changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// What writes for the plane have to go by, with [`Cluster::fenced`].
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Gives the Lease back, so that nobody has to wait for its end. Whoever wrote for the plane has to have ended:
    /// what was sent before and lands after that lands in somebody else's time.
    pub async fn release(self) {
        if let Err(error) = self.end(End::Release).await {
            tracing::warn!(%error, "the Lease was not given back; it ends by itself");
        }
    }

    /// Deletes the Lease, if it is ours: when nothing is left of the plane that it is about.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn remove(self) -> Result<(), ClusterError> {
        self.end(End::Remove).await
    }

    async fn end(self, end: End) -> Result<(), ClusterError> {
        self.fence.close("it was given back");
        let (done, wait) = oneshot::channel();
        if self.end.send((end, done)).is_ok() {
            // Its task may have ended with the runtime.
            return wait.await.unwrap_or(Ok(()));
        }
        Ok(())
    }
}

async fn pursue(
    mut pursuit: Pursuit,
    told: watch::Sender<Standing>,
    mut ended: oneshot::Receiver<(End, oneshot::Sender<Result<(), ClusterError>>)>,
) {
    loop {
        tell(&mut pursuit, &told);
        let until = pursuit.stands_until();
        let end = tokio::select! {
            biased;
            end = &mut ended => end,
            // A request that gets no answer must not hide that the Lease is over. It is given up; what came of it shows.
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => continue,
            // What went wrong is in the standing.
            _ = pursuit.step() => continue,
        };
        if let Ok((end, done)) = end {
            // Whoever asked may have gone.
            let _ = done.send(pursuit.end(end).await);
        }
        return;
    }
}

fn tell(pursuit: &mut Pursuit, told: &watch::Sender<Standing>) {
    let now = pursuit.standing();
    told.send_if_modified(|standing| {
        let news = *standing != now;
        if news {
            tracing::info!(standing = ?now, "the Lease");
            *standing = now;
        }
        news
    });
}
