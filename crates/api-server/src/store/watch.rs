//! Changes as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;

use super::{Entry, News, expired, text};
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::selector::Selector;
use crate::server::ApiServer;

/// How often a watch that asked for it is told how far it has come. Real servers take about a minute.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// One event of a watch.
#[derive(Debug, Clone)]
pub enum Change {
    /// An object that was not there, or did not match.
    Added(Arc<Json>),
    /// An object that changed.
    Modified(Arc<Json>),
    /// An object that is gone, or does not match any more; as it was last.
    Deleted(Arc<Json>),
    /// Nothing changed up to this version; `initial` ends the initial events.
    Bookmark {
        /// The version.
        resource_version: u64,
        /// Whether the initial events end here.
        initial: bool,
    },
    /// The watch ends: its version was compacted away (410), or the server goes down.
    Error(ApiError),
}

/// What a watch is about.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) kind: &'static Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
    /// Whether it is told how far it has come.
    pub(crate) bookmarks: bool,
}

impl Subject {
    fn is_about(&self, object: &Json) -> bool {
        self.selector.matches(object)
    }

    /// What an entry of the log means to this watch.
    fn change(&self, entry: &Entry) -> Option<Change> {
        if entry.kind != self.kind
            || (self.namespace.is_some() && self.namespace.as_deref() != text(&entry.new, "namespace"))
        {
            return None;
        }
        let was = entry.old.as_ref().is_some_and(|old| self.is_about(old));
        let is = !entry.deleted && self.is_about(&entry.new);
        let new = || Arc::clone(&entry.new);
        match (was, is) {
            (false, true) => Some(Change::Added(new())),
            (true, true) => Some(Change::Modified(new())),
            // What does not match any more is shown as it was, with the version of the change.
            (true, false) if !entry.deleted => entry.old.as_ref().map(|old| {
                let mut last = Json::clone(old);
                last["metadata"]["resourceVersion"] = entry.version.to_string().into();
                Change::Deleted(Arc::new(last))
            }),
            (true, false) => Some(Change::Deleted(new())),
            (false, false) => None,
        }
    }
}

/// A stream of changes. Dropping what [`Watch::next`] returns loses nothing.
#[derive(Debug)]
pub struct Watch {
    server: ApiServer,
    subject: Subject,
    /// The version up to which everything was told.
    position: u64,
    pending: VecDeque<Change>,
    news: tokio::sync::watch::Receiver<News>,
    disconnects: u64,
    bookmark_at: Instant,
    over: bool,
}

impl Watch {
    pub(crate) fn new(
        server: ApiServer,
        subject: Subject,
        position: u64,
        pending: VecDeque<Change>,
        news: tokio::sync::watch::Receiver<News>,
    ) -> Self {
        let disconnects = news.borrow().disconnects;
        let bookmark_at = Instant::now() + BOOKMARKS;
        Self { server, subject, position, pending, news, disconnects, bookmark_at, over: false }
    }

    /// The next change; none when the watch has ended.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            if self.over {
                return None;
            }
            if let Some(change) = self.pending.pop_front() {
                self.over = matches!(change, Change::Error(_));
                return Some(change);
            }
            let news = *self.news.borrow_and_update();
            if news.disconnects != self.disconnects {
                self.over = true;
                return None;
            }
            if news.version > self.position {
                self.read();
                continue;
            }
            tokio::select! {
                biased;
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.bookmark_at), if self.subject.bookmarks => {
                    self.bookmark_at = Instant::now() + BOOKMARKS;
                    return Some(Change::Bookmark { resource_version: self.position, initial: false });
                }
            }
        }
    }

    fn read(&mut self) {
        let Self { server, subject, position, pending, .. } = self;
        server.with_store(|store| {
            if *position < store.compacted() {
                let message = format!("too old resource version: {position} ({})", store.compacted());
                pending.push_back(Change::Error(expired(message)));
            } else {
                pending.extend(store.changes_after(*position).filter_map(|entry| subject.change(entry)));
            }
            *position = store.version();
        });
    }
}
