//! One stream: a LIST, then watches one after another that go on where the last one ended.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::client::Body;
use manifest::Kind;
use plan::NamespaceState;
use tokio::time::{Instant, sleep, sleep_until};

use super::content::Listing;
use super::hub::{Brought, Hub};
use super::lines::{Event, Lines, What};
use super::pace::{GOOD, Pace, QUIET, SETTLED};
use super::subject::{Item, Subject};
use crate::live::Listed;
use crate::look::PAGE;
use crate::refusal::Refusal;
use crate::{ClusterError, ErrorKind};

pub(super) struct Stream {
    hub: Arc<Hub>,
    subject: Subject,
    pace: Pace,
    next: Next,
    /// When everything was listed last.
    listed: Option<Instant>,
    /// When everything is listed again, against events that were missed.
    resync: Instant,
    /// Watches in a row that the server would not begin.
    refused: u32,
    /// The kind that is not installed there or not for us, and from when on it is asked for again if somebody seeks it.
    absent: Option<(Kind, Instant)>,
    /// It is not followed before somebody seeks it.
    rests: bool,
    /// Until then the namespace is only read by its name.
    by_name: Option<Instant>,
}

/// Servers may have been put back to an older state: when they go on refusing to watch from our version, it is given
/// up.
const STUBBORN: u32 = 3;

/// What to do next.
enum Next {
    List(From),
    /// From this version on.
    Watch(String),
}

/// What a LIST has to show.
#[derive(Clone)]
enum From {
    /// What is stored now.
    Now,
    /// Anything that is no older than this version, as every server has it in memory.
    Since(String),
}

/// Why a watch ended.
enum End {
    /// As watches do.
    Over,
    /// A list has to be made, for no bad reason.
    List(From),
    /// What happened since our version is not known there any more.
    Expired,
    /// The server, or the way to it, did something wrong.
    Failed(ErrorKind),
}

impl Stream {
    pub(super) fn new(hub: Arc<Hub>, subject: Subject, rests: bool, seed: u64) -> Self {
        Self {
            hub,
            subject,
            pace: Pace::new(seed),
            next: Next::List(From::Now),
            listed: None,
            resync: Instant::now(),
            refused: 0,
            absent: None,
            rests,
            by_name: None,
        }
    }

    /// Until it is aborted.
    pub(super) async fn run(mut self) {
        if let (true, Subject::Kind(kind)) = (self.rests, self.subject) {
            self.hub.needless(self.subject);
            self.hub.sought(kind).await;
        }
        loop {
            let wait = match &self.next {
                Next::List(from) => {
                    let from = from.clone();
                    self.list(from).await
                }
                Next::Watch(version) => {
                    let version = version.clone();
                    self.follow(version).await
                }
            };
            if !wait.is_zero() {
                let absent = self.absent.take();
                tokio::select! {
                    biased;
                    () = self.hub.revived() => {}
                    () = self.sought(absent) => {}
                    () = sleep(wait) => {}
                }
            }
        }
    }

    /// Until it is time to ask again for a kind that is not installed, since somebody waits for it.
    async fn sought(&self, absent: Option<(Kind, Instant)>) {
        let Some((kind, soon)) = absent else { return std::future::pending().await };
        sleep_until(soon).await;
        self.hub.sought(kind).await;
    }

    async fn list(&mut self, from: From) -> Duration {
        if self.by_name.is_some_and(|until| Instant::now() < until) {
            return self.read_namespace().await;
        }
        self.by_name = None;
        match self.whole(&from).await {
            Ok(version) => {
                self.listed = Some(Instant::now());
                self.resync = Instant::now() + self.pace.resync();
                self.next = Next::Watch(version);
                Duration::ZERO
            }
            Err(error) => {
                self.next = Next::List(From::Now);
                self.explain(error).await
            }
        }
    }

    /// Lists everything, and returns the version of that.
    async fn whole(&self, from: &From) -> Result<String, ClusterError> {
        let Self { hub, subject, .. } = self;
        // Never closed.
        let _turn = hub.lists.acquire().await;
        let asked = Instant::now();
        let (mut listing, mut next) = (Listing::new(), String::new());
        loop {
            let mut request = subject.request("list", &hub.cluster, &hub.fleet).query("limit", PAGE);
            if !next.is_empty() {
                request = request.query("continue", &next);
            } else if let From::Since(version) = from {
                request = request.query("resourceVersion", version).query("resourceVersionMatch", "NotOlderThan");
            }
            hub.count(*subject, |requests| requests.lists += 1);
            let put = |found: Listed| {
                let name = found.name().into_owned();
                if hub.knows(*subject, &name, &found.version()) {
                    listing.insert(name, None);
                } else if let Some(item) = subject.read(&hub.cluster, found) {
                    listing.insert(name, Some(item));
                }
            };
            let page = hub.cluster.read_list(request.within(hub.cluster.0.limits.list), put).await?;
            next = page.next;
            if next.is_empty() {
                let version = page.version;
                hub.listed(*subject, listing, version.clone(), asked, matches!(from, From::Now));
                return Ok(version);
            }
        }
    }

    async fn follow(&mut self, mut position: String) -> Duration {
        let (hub, subject) = (Arc::clone(&self.hub), self.subject);
        let (seconds, patience) = self.pace.watch();
        let request = subject
            .request("watch", &hub.cluster, &hub.fleet)
            .query("watch", "true")
            .query("allowWatchBookmarks", "true")
            .query("timeoutSeconds", &seconds.to_string())
            .query("resourceVersion", &position);
        hub.count(subject, |requests| requests.watches += 1);
        let opened = hub.cluster.open(request).await;
        let begun = Instant::now();
        let end = match opened {
            Ok(body) => self.watch(body, patience, &mut position).await,
            Err(error) if matches!(error.kind, ErrorKind::Server { code: 410, .. }) => End::Expired,
            Err(error) => End::Failed(error.kind),
        };
        self.next = Next::Watch(position);
        let was_good = begun.elapsed() >= GOOD;
        if was_good {
            self.pace.succeeded();
            self.refused = 0;
        }
        match end {
            End::Over if was_good => Duration::ZERO,
            End::Over => {
                let (address, why) = (hub.cluster.address().to_owned(), "watches end at once".to_owned());
                hub.failed(subject, ErrorKind::Unreachable { address, why });
                self.pace.failed(None)
            }
            End::List(from) => {
                self.next = Next::List(from);
                Duration::ZERO
            }
            End::Expired => {
                self.next = Next::List(From::Now);
                // What was listed just now should be known.
                let odd = self.listed.is_some_and(|listed| listed.elapsed() < GOOD);
                if odd { self.pace.failed(None) } else { Duration::ZERO }
            }
            End::Failed(why) => {
                let unreachable = matches!(why, ErrorKind::Unreachable { .. } | ErrorKind::Timeout { .. });
                self.refused = if unreachable { 0 } else { self.refused + 1 };
                if self.refused >= STUBBORN {
                    self.refused = 0;
                    self.next = Next::List(From::Now);
                }
                self.explain(hub.cluster.error(why)).await
            }
        }
    }

    /// One watch that was begun, from a version on; that goes with what it brings.
    async fn watch(&self, mut body: Body, patience: Duration, position: &mut String) -> End {
        let (hub, subject) = (&self.hub, self.subject);
        let mut lines = Lines::default();
        let begun = Instant::now();
        let (mut heard, mut silent) = (begun, begun + patience);
        // What happened meanwhile comes first.
        let mut settled = Some(begun + SETTLED);
        loop {
            let settling = settled.unwrap_or(silent);
            let confirm = hub.due(subject);
            tokio::select! {
                biased;
                () = sleep_until(silent) => {
                    let after = heard.elapsed();
                    return End::Failed(ErrorKind::Timeout { address: hub.cluster.address().to_owned(), after });
                }
                () = sleep_until(self.resync) => return End::List(From::Since(std::mem::take(position))),
                () = sleep_until(confirm.unwrap_or(silent)), if confirm.is_some() => return End::List(From::Now),
                () = sleep_until(settling), if settled.is_some() => {
                    settled = None;
                    hub.current(subject, heard);
                }
                () = hub.nudged(subject) => {}
                frame = body.frame() => {
                    let piece = match frame {
                        Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                        Some(Err(_)) | None => return End::Over,
                    };
                    heard = Instant::now();
                    lines.push(&piece);
                    let mut is_current = settled.is_none();
                    loop {
                        match lines.next() {
                            Ok(Some(event)) => {
                                if event.what == What::Bookmark {
                                    is_current = true;
                                    silent = (begun + patience).min(heard + QUIET);
                                }
                                if let ControlFlow::Break(end) = self.take(event, position) {
                                    return end;
                                }
                            }
                            Ok(None) => break,
                            Err(garbled) => return End::Failed(garbled),
                        }
                    }
                    if is_current {
                        settled = None;
                        hub.current(subject, heard);
                    } else {
                        settled = Some((heard + SETTLED).min(begun + GOOD));
                    }
                }
            }
        }
    }

    /// One line of a watch.
    fn take(&self, event: Event, position: &mut String) -> ControlFlow<End> {
        let Event { what, object } = event;
        if what == What::Error {
            return ControlFlow::Break(self.refusal(object));
        }
        let version = object.version().into_owned();
        let name = object.name().into_owned();
        let brought = match what {
            What::Added | What::Modified => match self.subject.read(&self.hub.cluster, object) {
                Some(item) => Brought::Item(item),
                None => Brought::Gone(name),
            },
            What::Deleted => Brought::Gone(name),
            What::Bookmark | What::Error => Brought::Nothing,
        };
        self.hub.brought(self.subject, &version, brought);
        if !version.is_empty() {
            *position = version;
        }
        ControlFlow::Continue(())
    }

    fn refusal(&self, status: Listed) -> End {
        let refusal: Refusal = serde_json::from_value(status.into_body()).unwrap_or_default();
        if refusal.code == 410 {
            return End::Expired;
        }
        let request = self.subject.request("watch", &self.hub.cluster, &self.hub.fleet);
        End::Failed(self.hub.cluster.explain(crate::wire::Failure::Refused(refusal), &request).kind)
    }

    /// Something did not work: tells it, and how long to wait before the next try.
    async fn explain(&mut self, error: ClusterError) -> Duration {
        let (hub, subject) = (&self.hub, self.subject);
        match (&error.kind, subject) {
            (ErrorKind::KindMissing(kind), _) => {
                hub.missing(subject, *kind);
                self.absent = Some((*kind, Instant::now() + self.pace.sought()));
                self.next = Next::List(From::Now);
                self.pace.resync()
            }
            (ErrorKind::Forbidden { .. }, Subject::Namespace) => {
                self.by_name = Some(Instant::now() + self.pace.refused());
                self.read_namespace().await
            }
            (ErrorKind::Forbidden { .. }, _) if subject.is_optional() => {
                hub.unreadable(subject, error.to_string());
                self.next = Next::List(From::Now);
                let wait = self.pace.refused();
                if let Subject::Kind(kind) = subject {
                    self.absent = Some((kind, Instant::now() + wait.min(self.pace.slowly())));
                }
                wait
            }
            (kind, _) if hub.is_left_out(subject, kind) => {
                hub.unreadable(subject, error.to_string());
                self.next = Next::List(From::Now);
                self.pace.sought()
            }
            (kind, _) => {
                let asked = if let ErrorKind::Busy { retry_after } = kind { *retry_after } else { None };
                hub.failed(subject, error.kind);
                self.pace.failed(asked)
            }
        }
    }

    fn slowly(&mut self) -> Duration {
        self.next = Next::List(From::Now);
        self.pace.slowly()
    }

    /// Rights to one namespace may be no more than to read it.
    async fn read_namespace(&mut self) -> Duration {
        match self.hub.cluster.namespace_state().await {
            Ok(NamespaceState::Unknown) => {
                let why =
                    ErrorKind::Forbidden { verb: "get".to_owned(), resource: Kind::Namespace.plural().to_owned() };
                self.hub.unreadable(self.subject, why.to_string());
                let left = self.by_name.map(|until| until.saturating_duration_since(Instant::now()));
                self.slowly().max(left.unwrap_or_default())
            }
            Ok(state) => {
                self.hub.read(self.subject, Item::Namespace(state));
                self.slowly()
            }
            Err(error) => {
                self.hub.failed(self.subject, error.kind);
                self.pace.failed(None)
            }
        }
    }
}
