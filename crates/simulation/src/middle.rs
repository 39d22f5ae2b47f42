//! Between the orchestrator and an API server: requests are counted, some answers are stale, and sabotage spoils both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;

use crate::dice::Dice;
use crate::guard::Guard;
use crate::sabotage::{Memory, Sabotage, Spoiler};

type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;

/// A client whose requests the guard counts.
pub(crate) fn client(
    cluster: &'static str,
    inner: Client,
    guard: Guard,
    stale: Stale,
    (sabotage, memory): (Option<Sabotage>, Memory),
) -> Client {
    let spoiler = Arc::new(Mutex::new(Spoiler::new(sabotage, cluster, memory)));
    Client::new(Middle { cluster, inner, guard, stale, spoiler }, "default")
}

/// Gives what was answered before, every now and then. Copies are the same.
#[derive(Clone)]
pub(crate) struct Stale {
    percent: u64,
    state: Arc<Mutex<(Dice, Reads)>>,
}

type Read = (u16, Vec<u8>);
/// By cluster and address.
type Reads = BTreeMap<(&'static str, String), Read>;

impl Stale {
    pub(crate) fn new(percent: u64, seed: u64) -> Self {
        Self { percent, state: Arc::new(Mutex::new((Dice::new(seed), BTreeMap::new()))) }
    }

    /// Whether it wants to know the answer to this.
    fn follows(&self, method: &Method, uri: &Uri) -> bool {
        self.percent > 0 && is_read(method, uri)
    }

    fn answer(&self, cluster: &'static str, uri: &Uri, came: Read) -> Read {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (dice, known) = &mut *state;
        let asked = (cluster, uri.to_string());
        let old = known.get(&asked).filter(|_| dice.comes(self.percent)).cloned();
        if came.0 == 200 && old.is_none() {
            known.insert(asked, came.clone());
        }
        old.unwrap_or(came)
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.contains("watch="))
}

fn is_read(method: &Method, uri: &Uri) -> bool {
    *method == Method::GET
        && !uri.path().ends_with("/portforward")
        && !is_watch(uri)
        && !uri.query().is_some_and(|query| query.contains("continue="))
}

#[derive(Clone)]
struct Middle {
    cluster: &'static str,
    inner: Client,
    guard: Guard,
    stale: Stale,
    spoiler: Arc<Mutex<Spoiler>>,
}

impl tower_service::Service<Request<Body>> for Middle {
    type Response = Answer;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Answer, kube::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let middle = self.clone();
        Box::pin(async move { middle.send(request).await })
    }
}

impl Middle {
    fn spoiler<T>(&self, with: impl FnOnce(&mut Spoiler) -> T) -> T {
        with(&mut self.spoiler.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn send(self, request: Request<Body>) -> Result<Answer, kube::Error> {
        let (mut parts, body) = request.into_parts();
        let mut bytes = body.collect().await?.to_bytes().to_vec();
        self.spoiler(|spoiler| spoiler.request(&mut parts, &mut bytes));
        if !self.guard.sends(self.cluster, &parts, &bytes) {
            return std::future::pending().await;
        }
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let answer = self.inner.send(Request::from_parts(parts, Body::from(bytes))).await;
        if let Some(victim) = self.spoiler(|spoiler| spoiler.afterwards(&method, &uri)) {
            let mut request = Request::new(Body::empty());
            (*request.method_mut(), *request.uri_mut()) = (Method::DELETE, victim);
            // There may be nothing to delete.
            let _ = self.inner.send(request).await;
        }
        let answer = if self.stale.follows(&method, &uri) { self.aged(&uri, answer?).await } else { answer };
        let answer = self.spoilt(&method, &uri, answer).await?;
        Ok(if is_watch(&uri) && self.spoiler(|spoiler| spoiler.spoils_watches(&uri)) {
            self.thinned(answer)
        } else {
            answer.map(BodyExt::boxed_unsync)
        })
    }

    /// Without the lines of a watch that are swallowed.
    fn thinned(self, answer: Response<Body>) -> Answer {
        let mut rest = Vec::new();
        answer.map(|body| {
            let told = body.map_frame(move |frame| {
                frame.map_data(|piece| {
                    rest.extend_from_slice(&piece);
                    let mut kept = Vec::new();
                    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = rest.drain(..=end).collect();
                        if !self.spoiler(|spoiler| spoiler.swallows(&line)) {
                            kept.extend(line);
                        }
                    }
                    Bytes::from(kept)
                })
            });
            told.boxed_unsync()
        })
    }

    async fn aged(&self, uri: &Uri, answer: Response<Body>) -> Result<Response<Body>, kube::Error> {
        let (mut parts, body) = answer.into_parts();
        let came = (parts.status.as_u16(), body.collect().await?.to_bytes().to_vec());
        let (code, bytes) = self.stale.answer(self.cluster, uri, came);
        parts.status = http::StatusCode::from_u16(code).unwrap_or_default();
        parts.headers.remove(http::header::CONTENT_LENGTH);
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }

    async fn spoilt(
        &self,
        method: &Method,
        uri: &Uri,
        answer: Result<Response<Body>, kube::Error>,
    ) -> Result<Response<Body>, kube::Error> {
        if !is_read(method, uri) || !self.spoiler(|spoiler| spoiler.spoils_answers(uri)) {
            return answer;
        }
        let read = match answer {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                // Silence may begin in the middle of an answer.
                let body = body.collect().await.ok();
                body.map(|body| (parts.status.as_u16(), body.to_bytes().to_vec()))
            }
            Err(_) => None,
        };
        let (code, bytes) = self.spoiler(|spoiler| spoiler.answer(uri, read));
        let mut answer = Response::new(Body::from(bytes));
        *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
        Ok(answer)
    }
}
