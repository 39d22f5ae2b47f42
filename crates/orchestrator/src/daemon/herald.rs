//! Writes Events on the objects concerned: beside the rounds, which don't wait for it.

use cluster::{Cluster, Remark};
use manifest::ObjectRef;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Notice;
use super::events::{KubernetesEvent, Telling, Told, event_of};
use super::link::Links;

/// So many wait to be written; more than that are only in the daemon's own log.
const WAITING: usize = 256;

/// Hands what happens to objects to a task that writes it.
pub(crate) struct Herald {
    notices: broadcast::Receiver<Notice>,
    waiting: mpsc::Sender<Letter>,
    _task: AbortOnDropHandle<()>,
}

struct Letter {
    to: Cluster,
    object: ObjectRef,
    uid: Option<String>,
    event: KubernetesEvent,
}

impl Herald {
    pub(crate) fn new(notices: broadcast::Receiver<Notice>, holder: String) -> Self {
        let (waiting, letters) = mpsc::channel(WAITING);
        Self { notices, waiting, _task: AbortOnDropHandle::new(tokio::spawn(deliver(letters, holder))) }
    }

    /// Takes up what happened since the last time.
    pub(crate) fn take_up(&mut self, links: &Links) {
        loop {
            let event = match self.notices.try_recv() {
                Ok(notice) => event_of(&notice),
                Err(broadcast::error::TryRecvError::Lagged(_)) => continue,
                Err(_) => return,
            };
            let Some(event) = event else { continue };
            let Some(up) = links.up(&event.cluster) else { continue };
            let object = ObjectRef {
                cluster: event.cluster.clone(),
                kind: event.kind,
                namespace: event.namespace.clone(),
                name: event.name.clone(),
            };
            let letter = Letter { to: up.cluster.clone(), uid: up.cache.uid(&object), object, event };
            // Too many at once: it is in the log, and in /events.
            let _ = self.waiting.try_send(letter);
        }
    }
}

async fn deliver(mut letters: mpsc::Receiver<Letter>, holder: String) {
    let mut told = Told::default();
    while let Some(Letter { to, object, uid, event }) = letters.recv().await {
        let telling = told.about(&event, &holder, Instant::now());
        let (Telling::New { name } | Telling::Again { name, .. }) = &telling;
        let remark = Remark {
            object: &object,
            uid: uid.as_deref(),
            name,
            warning: event.warning,
            reason: event.reason,
            action: event.action,
            note: &event.note,
            at: event.at,
            by: &holder,
        };
        let written = match telling {
            Telling::New { .. } => to.remark(&remark).await,
            Telling::Again { count, .. } => to.remark_again(&remark, count).await,
        };
        if let Err(error) = written {
            tracing::debug!(%error, %object, "no Event was written");
        }
    }
}
