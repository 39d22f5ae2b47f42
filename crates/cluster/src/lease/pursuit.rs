//! One step after the other towards a Lease, or to keep it.

use clock::Clock;
use fleet::{FleetName, Plane};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::Standing;
use super::elector::{Action, Elector, Reading, Terms};
use super::object::{Entry, LeaseObject};
use crate::{Cluster, ClusterError, ErrorKind, Fence};

/// How often a release is tried: the first may meet a renewal of ours whose answer was lost.
const RELEASES: usize = 3;

/// What becomes of a Lease that is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nobody has it.
    Release,
    /// It is gone: so is what it was about.
    Remove,
}

/// Somebody who wants a Lease.
pub(super) struct Pursuit {
    object: LeaseObject,
    elector: Elector,
    terms: Terms,
    me: String,
    clock: Clock,
    fence: Fence,
    /// When we took it, for people.
    acquired: Option<Timestamp>,
    /// The last answer that told how things are, and why there was none since.
    heard: Option<Instant>,
    silence: Option<String>,
    standing: Standing,
}

impl Pursuit {
    pub(super) fn new(home: Cluster, fleet: &FleetName, plane: Plane, holder: &str, clock: Clock, seed: u64) -> Self {
        let terms = Terms::default();
        Self {
            object: LeaseObject::new(home, fleet, plane, terms.patience()),
            elector: Elector::new(holder, terms, seed),
            terms,
            me: holder.to_owned(),
            fence: Fence::new(plane, terms, clock.clone()),
            acquired: None,
            heard: None,
            silence: None,
            standing: Standing::Unknown { why: "it was not asked for yet".to_owned(), since: clock.now() },
            clock,
        }
    }

    pub(super) fn home(&self) -> &Cluster {
        self.object.home()
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn fence(&self) -> &Fence {
        &self.fence
    }

    pub(super) fn leads(&self) -> bool {
        self.elector.safe_end().is_some_and(|end| Instant::now() < end)
    }

    /// Does what is to be done next; waits if that is nothing.
    pub(super) async fn step(&mut self) -> Result<(), ClusterError> {
        let done = match self.elector.next(Instant::now()) {
            Action::Wait(until) => {
                sleep_until(until).await;
                return Ok(());
            }
            Action::Read => self.read().await,
            Action::Take { expected, transitions } => {
                self.acquired = Some(self.clock.now());
                self.write(expected.as_deref(), transitions, true).await
            }
            Action::Renew { expected, transitions } => self.write(Some(&expected), transitions, false).await,
        };
        match done {
            Ok(()) => {
                self.heard = Some(Instant::now());
                self.silence = None;
                Ok(())
            }
            Err(error) => {
                self.elector.failed(Instant::now());
                tracing::debug!(%error, "no news of the Lease");
                self.silence = Some(error.to_string());
                Err(error)
            }
        }
    }

    async fn read(&mut self) -> Result<(), ClusterError> {
        let lease = self.object.read().await?;
        self.elector.saw(lease, Instant::now());
        if let Some(lease) = self.elector.lease().filter(|lease| lease.holder != self.me) {
            let whose = if lease.holder.is_empty() { "nobody" } else { &lease.holder };
            self.fence.close(format!("{whose} holds it"));
        }
        Ok(())
    }

    async fn write(&mut self, expected: Option<&str>, transitions: u64, anew: bool) -> Result<(), ClusterError> {
        let about = self.fence.about_to_send();
        let acquired = *self.acquired.get_or_insert(about.1);
        let entry =
            Entry { holder: Some((&self.me, acquired)), transitions, duration: self.terms.duration, now: about.1 };
        match self.object.write(&entry, expected).await {
            Ok(lease) => {
                // Also when it bears our name already, but no renewal of this process has succeeded: another process
                // of that name may have written before.
                let anew = anew || self.elector.safe_end().is_none();
                self.elector.wrote(lease, about.0);
                self.fence.renewed(about, anew);
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::Changed => {
                self.elector.missed(Instant::now());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives it back, or deletes it, if it is still ours. Nothing may be written for the plane any more.
    pub(super) async fn end(&mut self, end: End) -> Result<(), ClusterError> {
        self.fence.close("it was given back");
        let mut known = self.elector.lease().cloned();
        for _ in 0..RELEASES {
            let Some(lease) = known.filter(|lease: &Reading| lease.holder == self.me) else { return Ok(()) };
            let duration = self.terms.duration;
            let entry = Entry { holder: None, transitions: lease.transitions, duration, now: self.clock.now() };
            let ended = match end {
                End::Release => self.object.write(&entry, Some(&lease.version)).await.map(|_| ()),
                End::Remove => self.object.remove(&lease.version).await,
            };
            match ended {
                Err(error) if error.kind == ErrorKind::Changed => {}
                ended => return ended,
            }
            known = self.object.read().await?;
        }
        Ok(())
    }

    /// What we are now.
    pub(super) fn standing(&mut self) -> Standing {
        let now = Instant::now();
        let lease = self.elector.lease();
        let recent = self.heard.is_some_and(|heard| now < heard + self.terms.duration);
        let is = match lease {
            Some(lease) if self.leads() => Ok((true, lease)),
            Some(lease) if recent && !lease.holder.is_empty() && lease.holder != self.me => Ok((false, lease)),
            _ => Err(self.silence.clone().unwrap_or_else(|| "nobody holds the Lease yet".to_owned())),
        };
        let since = |same: bool, was: Timestamp| if same { was } else { self.clock.now() };
        self.standing = match (is, &self.standing) {
            (Ok((true, lease)), Standing::Leading { since: was, transitions }) => {
                let transitions = (*transitions, lease.transitions);
                Standing::Leading { since: since(transitions.0 == transitions.1, *was), transitions: transitions.1 }
            }
            (Ok((true, lease)), _) => Standing::Leading { since: self.clock.now(), transitions: lease.transitions },
            (Ok((false, lease)), Standing::Following { holder, since: was }) => {
                Standing::Following { since: since(*holder == lease.holder, *was), holder: lease.holder.clone() }
            }
            (Ok((false, lease)), _) => Standing::Following { holder: lease.holder.clone(), since: self.clock.now() },
            (Err(why), Standing::Unknown { since, .. }) => Standing::Unknown { why, since: *since },
            (Err(why), _) => Standing::Unknown { why, since: self.clock.now() },
        };
        self.standing.clone()
    }

    /// When that changes by itself, if nothing is heard.
    pub(super) fn stands_until(&self) -> Option<Instant> {
        let heard = self.heard.map(|heard| heard + self.terms.duration);
        let ends = [self.elector.safe_end(), heard];
        ends.into_iter().flatten().filter(|end| *end > Instant::now()).min()
    }
}
