//! What is answered to which request.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::Clock;
use futures::StreamExt as _;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use orchestrator::daemon::{Counters, Handle, Notice, PlaneState, State};
use serde::Serialize;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{metrics, stream, text};

/// So many listen to events at once: there is always room for those who only ask.
const LISTENERS: usize = 32;
/// The loop has turned if it has said something of itself within this time, whatever its pace.
const TURNED: Duration = Duration::from_secs(60);

const PATHS: [&str; 5] = ["/metrics", "/healthz", "/readyz", "/state", "/events"];

/// An answer's body.
pub(super) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// What the pages are about: a daemon's handle.
pub(crate) trait Source: Send + Sync + 'static {
    /// As of now.
    fn state(&self) -> Arc<State>;
    /// Each new one.
    fn states(&self) -> watch::Receiver<Arc<State>>;
    /// What happens from now on.
    fn notices(&self) -> broadcast::Receiver<Notice>;
    /// What was counted.
    fn counters(&self) -> Counters;
}

impl Source for Handle {
    fn state(&self) -> Arc<State> {
        self.state()
    }

    fn states(&self) -> watch::Receiver<Arc<State>> {
        self.states()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices()
    }

    fn counters(&self) -> Counters {
        self.counters()
    }
}

/// Who answers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct About {
    /// Its name, as in Leases.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: &'static str,
}

/// All pages.
pub(crate) struct Pages<S> {
    source: S,
    about: About,
    clock: Clock,
    /// How long the loop may be silent.
    silence: Duration,
    /// When the loop last said something, by a clock that nobody sets.
    heard: Mutex<Instant>,
    stop: CancellationToken,
    listeners: Arc<Semaphore>,
}

#[derive(Serialize)]
struct Told<'a> {
    daemon: &'a About,
    #[serde(flatten)]
    state: &'a State,
}

impl<S: Source> Pages<S> {
    /// Pages about a daemon whose loop makes a round at least every `round`.
    pub(crate) fn new(source: S, about: About, clock: Clock, round: Duration, stop: CancellationToken) -> Self {
        let (silence, heard) = ((2 * round).max(TURNED), Mutex::new(Instant::now()));
        Self { source, about, clock, silence, heard, stop, listeners: Arc::new(Semaphore::new(LISTENERS)) }
    }

    /// Notes when the loop says something, for as long as it can.
    pub(crate) async fn listen_to_loop(&self) {
        let mut states = self.source.states();
        while states.changed().await.is_ok() {
            states.mark_unchanged();
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// The answer to a request.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if !PATHS.contains(&path) {
            return plain(StatusCode::NOT_FOUND, format!("there is no {path}: ask for one of {}\n", PATHS.join(" ")));
        }
        if method != Method::GET {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET: nothing can be changed here\n".into());
            answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET"));
            return answer;
        }
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => self.health(),
            "/readyz" => self.readiness(),
            "/state" => self.state(),
            _ => self.events(),
        }
    }

    fn metrics(&self) -> Response<Body> {
        let (state, counters) = (self.source.state(), self.source.counters());
        let page = metrics::page(&state, &counters, self.about.version, self.clock.now());
        answer(StatusCode::OK, text::TYPE, page.into())
    }

    fn health(&self) -> Response<Body> {
        let silent = self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if silent < self.silence {
            return plain(StatusCode::OK, "ok\n".to_owned());
        }
        let why = format!("the loop has said nothing for {} s\n", silent.as_secs());
        plain(StatusCode::SERVICE_UNAVAILABLE, why)
    }

    fn readiness(&self) -> Response<Body> {
        let why = unready(&self.source.state(), self.stop.is_cancelled());
        if why.is_empty() {
            return plain(StatusCode::OK, "ready\n".to_owned());
        }
        plain(StatusCode::SERVICE_UNAVAILABLE, why)
    }

    fn state(&self) -> Response<Body> {
        match serde_json::to_vec(&Told { daemon: &self.about, state: &self.source.state() }) {
            Ok(json) => answer(StatusCode::OK, "application/json", json.into()),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("the state can't be written: {error}\n")),
        }
    }

    fn events(&self) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.listeners).try_acquire_owned() else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{LISTENERS} are listening already\n"));
        };
        let events = stream::of(self.source.notices(), self.stop.clone()).map(move |event| {
            let _held = &place;
            Ok(Frame::data(Bytes::from(event)))
        });
        let mut answer = whole(StatusCode::OK, "text/event-stream", StreamBody::new(events).boxed_unsync());
        answer.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
        answer
    }
}

/// Why a daemon is not ready, one line each; empty when it is.
fn unready(state: &State, stopping: bool) -> String {
    let mut why = String::new();
    if stopping {
        why.push_str("it is stopping\n");
    }
    if state.is_ready() {
        return why;
    }
    if let Some(refused) = state.intent.refused.as_ref().filter(|_| state.intent.hash.is_empty()) {
        why.push_str("the fleet file makes no sense, and there was none before\n");
        for problem in &refused.problems {
            let _ = writeln!(why, "{problem}");
        }
        return why;
    }
    if state.planes.is_empty() {
        why.push_str("it is not known which planes it keeps\n");
    }
    for (plane, is) in &state.planes {
        let _ = match is {
            PlaneState::Starting => writeln!(why, "{plane} plane: it is not known who leads"),
            PlaneState::Frozen { why: reason, .. } => writeln!(why, "{plane} plane: observed only: {reason}"),
            PlaneState::Leading { .. } | PlaneState::Following { .. } => Ok(()),
        };
    }
    if state.status.is_none() {
        why.push_str("no round yet\n");
    }
    for (cluster, is) in &state.clusters {
        let state = is.state.as_str();
        let _ = match &is.why {
            Some(reason) => writeln!(why, "cluster {cluster}: {state}: {reason}"),
            None if !is.is_settled() => writeln!(why, "cluster {cluster}: {state}"),
            None => Ok(()),
        };
    }
    why
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text.into())
}

fn answer(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Body> {
    whole(status, kind, Full::new(bytes).boxed_unsync())
}

fn whole(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    answer
}
