//! Runs controllers: watches feed the store, changes wake keys, keys are reconciled one by one.
//!
//! Before each key is reconciled, everything that was written up to then has been taken in; the server being in this
//! process, nothing is under way. So no controller acts on a stale view of its own writes, and none needs the
//! expectations by which the real ones guard against that.

use std::time::Duration;

use api_server::request::Parameters;
use api_server::store::{Change, Watch};
use api_server::{Answer, ApiError, ApiServer, Kind, Request, Verb};
use clock::Clock;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use tokio::task::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::queue::Queue;
use super::store::{Event, Key, Store};

/// How long a watch that could not be opened rests.
const REOPEN: Duration = Duration::from_secs(1);

/// What keeps one aspect of the cluster as it should be.
pub(crate) trait Controller: Send {
    /// For the log.
    fn name(&self) -> &'static str;

    /// Whose keys are to be looked at because of a change, which the store holds already.
    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>);

    /// Brings what a key names nearer to what it should be; says when to look again even if nothing changes.
    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError>;
}

/// An event of a watch, or its end.
type Fed = (&'static Kind, Option<Change>);

pub(crate) struct Runner {
    server: ApiServer,
    clock: Clock,
    controllers: Vec<Box<dyn Controller>>,
    store: Store,
    queue: Queue,
    feeds: SelectAll<BoxStream<'static, Fed>>,
}

impl Runner {
    pub(crate) fn new(server: ApiServer, clock: Clock, controllers: Vec<Box<dyn Controller>>) -> Self {
        let (store, queue, feeds) = (Store::default(), Queue::default(), SelectAll::new());
        Self { server, clock, controllers, store, queue, feeds }
    }

    /// Runs until it is stopped.
    pub(crate) async fn run(mut self, kinds: &[&'static Kind], stop: CancellationToken) {
        for kind in kinds {
            self.open(kind);
        }
        while !stop.is_cancelled() {
            while let Some(Some(fed)) = unconstrained(self.feeds.next()).now_or_never() {
                self.take(fed);
            }
            if let Some(item) = self.queue.pop(Instant::now()) {
                self.reconcile(item);
                // Others get their turn between any two keys.
                tokio::task::yield_now().await;
                continue;
            }
            let due = self.queue.next_due();
            let timer = async {
                match due {
                    Some(when) => tokio::time::sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(fed) = self.feeds.next() => self.take(fed),
                () = timer => {}
            }
        }
    }

    fn reconcile(&mut self, item: (usize, Key)) {
        let (number, key) = &item;
        let Some(controller) = self.controllers.get_mut(*number) else { return };
        let instant = Instant::now();
        let context = Context { server: &self.server, store: &self.store, now: self.clock.now(), instant };
        match controller.reconcile(key, context) {
            Ok(again) => {
                self.queue.succeeded(&item);
                if let Some(after) = again {
                    self.queue.add_at(item, instant + after);
                }
            }
            Err(error) => {
                let (controller, kind) = (controller.name(), key.kind.name);
                tracing::debug!(controller, kind, key.namespace, key.name, %error, "will be tried again");
                self.queue.retry(item, instant);
            }
        }
    }

    fn take(&mut self, (kind, change): Fed) {
        match change {
            Some(Change::Added(object) | Change::Modified(object)) => {
                let event = self.store.put(kind, object);
                self.wake(&event);
            }
            Some(Change::Deleted(object)) => self.forget(Key::of(kind, &object)),
            Some(Change::Bookmark { .. }) => {}
            Some(Change::Error(_)) | None => self.open(kind),
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(event) = self.store.remove(key) {
            self.wake(&event);
        }
    }

    fn wake(&mut self, event: &Event) {
        let mut keys = Vec::new();
        for (number, controller) in self.controllers.iter_mut().enumerate() {
            controller.wake(event, &self.store, &mut keys);
            for key in keys.drain(..) {
                self.queue.add((number, key));
            }
        }
    }

    /// Lists a kind, and watches from there.
    fn open(&mut self, kind: &'static Kind) {
        match self.list(kind) {
            Ok(watch) => self.feeds.push(feed(kind, watch).boxed()),
            // A server without the kind says so for ever.
            Err(error) if error.code == 404 || error.code == 501 => {
                tracing::debug!(kind = kind.name, %error, "is not watched");
            }
            Err(error) => {
                tracing::debug!(kind = kind.name, %error, "cannot be watched now");
                let pause = async move {
                    tokio::time::sleep(REOPEN).await;
                    (kind, None)
                };
                self.feeds.push(pause.into_stream().boxed());
            }
        }
    }

    fn list(&mut self, kind: &'static Kind) -> Result<Watch, ApiError> {
        let Answer::List { items, resource_version, .. } =
            self.server.call(Request::new(Verb::List, kind, None, None))?
        else {
            return Err(ApiError::bad_request("a list was answered by something else"));
        };
        let mut gone: std::collections::BTreeSet<Key> = self.store.keys(kind).into_iter().collect();
        for object in items {
            gone.remove(&Key::of(kind, &object));
            self.take((kind, Some(Change::Modified(object))));
        }
        for key in gone {
            self.forget(key);
        }
        let mut request = Request::new(Verb::Watch, kind, None, None);
        request.parameters =
            Parameters { resource_version: Some(resource_version.to_string()), ..Parameters::default() };
        match self.server.call(request)? {
            Answer::Watch(watch) => Ok(watch),
            _ => Err(ApiError::bad_request("a watch was answered by something else")),
        }
    }
}

/// The events of a watch; the last one says that it ended.
fn feed(kind: &'static Kind, watch: Watch) -> impl futures::Stream<Item = Fed> + Send {
    futures::stream::unfold(Some(watch), move |watch| async move {
        let mut watch = watch?;
        match watch.next().await {
            Some(Change::Error(_)) | None => Some(((kind, None), None)),
            Some(change) => Some(((kind, Some(change)), Some(watch))),
        }
    })
}
