//! One request and its answer: with a deadline, within the cluster's share of connections, and behind a breaker that
//! lets a queue of requests fail at once when the cluster is gone.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Method, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use manifest::{Kind, ObjectRef, Scope};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::items::{Items, PageMeta};
use crate::refusal::{Asked, Refusal};
use crate::{Cluster, ClusterError, ErrorKind};

pub(crate) const APPLY: &str = "application/apply-patch+yaml";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON: &str = "application/json";

/// What is asked of an API server.
pub(crate) struct Request {
    verb: &'static str,
    method: Method,
    path: String,
    resource: String,
    kind: Option<Kind>,
    object: Option<Box<ObjectRef>>,
    query: String,
    accept: &'static str,
    content: Option<(&'static str, Vec<u8>)>,
    deadline: Option<Duration>,
    urgent: bool,
}

/// What an answer of 2xx says before its body.
struct Head {
    code: u16,
    warnings: Vec<String>,
}

/// A 2xx answer.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no such answer.
pub(crate) enum Failure {
    /// The server said no.
    Refused(Refusal),
    /// It said nothing that we could use.
    Silent(ErrorKind),
}

impl Request {
    /// About one object.
    pub(crate) fn object(verb: &'static str, method: Method, object: &ObjectRef) -> Self {
        let path = format!("{}/{}", collection(object.kind, Some(&object.namespace)), escape(&object.name));
        Self {
            kind: Some(object.kind),
            object: Some(Box::new(object.clone())),
            ..Self::path(verb, method, path, object.kind.plural())
        }
    }

    /// About all objects of a kind in a namespace, or in the whole cluster.
    pub(crate) fn kind(verb: &'static str, method: Method, kind: Kind, namespace: Option<&str>) -> Self {
        Self { kind: Some(kind), ..Self::path(verb, method, collection(kind, namespace), kind.plural()) }
    }

    /// About something that is no kind of ours, such as pods.
    pub(crate) fn path(verb: &'static str, method: Method, path: String, resource: &str) -> Self {
        Self {
            verb,
            method,
            path,
            resource: resource.to_owned(),
            kind: None,
            object: None,
            query: String::new(),
            accept: JSON,
            content: None,
            deadline: None,
            urgent: false,
        }
    }

    /// As RBAC names it, where that differs from the path.
    pub(crate) fn resource(mut self, resource: &str) -> Self {
        resource.clone_into(&mut self.resource);
        self
    }

    pub(crate) fn query(mut self, key: &str, value: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(key);
        self.query.push('=');
        self.query.push_str(&escape(value));
        self
    }

    pub(crate) fn send(mut self, content_type: &'static str, body: &Json) -> Self {
        self.content = Some((content_type, body.to_string().into_bytes()));
        self
    }

    pub(crate) const fn accept(mut self, content_type: &'static str) -> Self {
        self.accept = content_type;
        self
    }

    pub(crate) const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Waits for no turn, and for no breaker: others depend on it, and it comes rarely.
    pub(crate) const fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Whether it changes something.
    fn writes(&self) -> bool {
        self.method != Method::GET && !self.query.contains("dryRun=")
    }

    fn build(&self) -> Result<http::Request<Body>, ErrorKind> {
        let (content_type, body) = self.content.clone().unwrap_or((JSON, Vec::new()));
        http::Request::builder()
            .method(self.method.clone())
            .uri(format!("{}{}", self.path, self.query))
            .header(header::ACCEPT, self.accept)
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body))
            .map_err(|invalid| ErrorKind::Garbled(invalid.to_string()))
    }
}

/// `/api/v1/namespaces/NS/PLURAL` and its like; without a namespace, across all of them.
fn collection(kind: Kind, namespace: Option<&str>) -> String {
    let group = if kind.group().is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group()) };
    match namespace {
        Some(namespace) if kind.scope() == Scope::Namespaced => {
            format!("{group}/{}/namespaces/{}/{}", kind.version(), escape(namespace), kind.plural())
        }
        _ => format!("{group}/{}/{}", kind.version(), kind.plural()),
    }
}

/// Percent-encodes everything that has a meaning in paths or queries.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

impl Cluster {
    /// Asks, and returns what came.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, (Failure, Request)> {
        let mut body = Vec::new();
        match self.ask_quietly(&request, &mut |piece| body.extend_from_slice(piece)).await {
            Ok(Head { code, warnings }) => Ok(Answer { code, warnings, body }),
            Err(failure) => Err((failure, request)),
        }
    }

    /// Asks, and explains a failure.
    pub(crate) async fn call(&self, request: Request) -> Result<Answer, ClusterError> {
        self.ask(request).await.map_err(|(failure, request)| self.explain(failure, &request))
    }

    /// Asks for JSON of a known form.
    pub(crate) async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, ClusterError> {
        let answer = self.call(request).await?;
        self.parse(&answer.body)
    }

    /// Asks for a page of a LIST, and hands on each item while the next ones come in. When it fails, some may have been
    /// handed on.
    pub(crate) async fn read_list<T: DeserializeOwned>(
        &self,
        request: Request,
        mut each: impl FnMut(T) + Send,
    ) -> Result<PageMeta, ClusterError> {
        let (mut items, mut garbled) = (Items::default(), None);
        let mut take = |piece: &[u8]| {
            items.push(piece, |item| match serde_json::from_slice(item) {
                Ok(item) => each(item),
                Err(error) => garbled = garbled.take().or(Some(error)),
            });
        };
        if let Err(failure) = self.ask_quietly(&request, &mut take).await {
            return Err(self.explain(failure, &request));
        }
        let end = items.finish();
        garbled.map_or(end, Err).map_err(|garbled| self.garbled(&garbled))
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClusterError> {
        serde_json::from_slice(body).map_err(|garbled| self.garbled(&garbled))
    }

    fn garbled(&self, garbled: &serde_json::Error) -> ClusterError {
        // serde_json's message names a line and a column, and at most a token: an unexpected string it would quote.
        let why = format!("unexpected JSON at line {}, column {}", garbled.line(), garbled.column());
        self.error(ErrorKind::Garbled(why))
    }

    pub(crate) fn explain(&self, failure: Failure, request: &Request) -> ClusterError {
        let kind = match failure {
            Failure::Silent(kind) => kind,
            Failure::Refused(refusal) => refusal.kind(Asked {
                verb: request.verb,
                resource: &request.resource,
                kind: request.kind,
                namespace: self.namespace(),
            }),
        };
        ClusterError { object: request.object.clone(), ..self.error(kind) }
    }

    /// What came of a request with these credentials; 0: nothing.
    pub(crate) fn heard(&self, verb: &'static str, code: u16, credentials: u64) {
        self.0.tally.count(verb, code);
        if code == 401 {
            self.credentials_refused(credentials);
        }
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> ClusterError {
        ClusterError::new(self.name(), kind)
    }

    /// Asks for an answer that goes on: the deadline is for its beginning. It takes no turn, or a few of them would stop
    /// everything else, and the breaker is for requests that somebody waits for.
    pub(crate) async fn open(&self, request: Request) -> Result<Body, ClusterError> {
        let deadline = request.deadline.unwrap_or(self.0.limits.request);
        let built = request.build().map_err(|kind| self.error(kind))?;
        let credentials = self.credentials().await.map_err(|kind| self.error(kind))?;
        let begin = async {
            let (head, body) = self.0.client.send(built).await?.into_parts();
            if head.status.is_success() {
                return Ok(Ok(body));
            }
            Ok(Err(Refusal::read(head.status.as_u16(), &body.collect_bytes().await?)))
        };
        let begun = tokio::time::timeout(deadline, begin).await;
        let code = match &begun {
            Ok(Ok(Ok(_))) => 200,
            Ok(Ok(Err(refusal))) => refusal.code,
            Ok(Err(_)) | Err(_) => 0,
        };
        // Whoever opens it comes back.
        self.heard(request.verb, code, credentials);
        match begun {
            Ok(Ok(Ok(body))) => Ok(body),
            Ok(Ok(Err(refusal))) => Err(self.explain(Failure::Refused(refusal), &request)),
            Ok(Err(error)) => Err(self.error(self.transport(&error))),
            Err(_) => {
                let address = self.address().to_owned();
                Err(self.error(ErrorKind::Timeout { address, after: deadline }))
            }
        }
    }

    async fn ask_quietly(&self, request: &Request, take: &mut (dyn FnMut(&[u8]) + Send)) -> Result<Head, Failure> {
        let mut again = false;
        loop {
            let credentials = self.credentials().await.map_err(Failure::Silent)?;
            let answer = self.ask_once(request, take).await;
            let refused = matches!(&answer, Err(Failure::Refused(refusal)) if refusal.code == 401);
            // Who is not let in has changed nothing, so it may be sent again.
            if !refused || !self.credentials_refused(credentials) || std::mem::replace(&mut again, true) {
                return answer;
            }
        }
    }

    async fn ask_once(&self, request: &Request, take: &mut (dyn FnMut(&[u8]) + Send)) -> Result<Head, Failure> {
        let mut deadline = request.deadline.unwrap_or(self.0.limits.request);
        let built = request.build().map_err(Failure::Silent)?;
        // The deadline runs from here: waiting for our own turn is not the cluster's fault.
        let _turn = match request.urgent {
            true => None,
            false => Some(self.0.turns.acquire().await),
        };
        if !request.urgent {
            self.0.breaker.check().map_err(Failure::Silent)?;
        }
        let fence = self.1.as_ref().filter(|_| request.writes());
        if let Some(fence) = fence {
            deadline = fence.grant(deadline).map_err(|fenced| Failure::Silent(fenced.into()))?;
        }
        let outcome = match fence {
            // Whoever was stopped in between gives up before anything else.
            Some(_) => tokio::select! {
                biased;
                () = tokio::time::sleep(deadline) => None,
                outcome = self.exchange(built, take) => Some(outcome),
            },
            None => tokio::time::timeout(deadline, self.exchange(built, take)).await.ok(),
        };
        self.0.tally.count(
            request.verb,
            match &outcome {
                Some(Ok(Ok(answer))) => answer.code,
                Some(Ok(Err(refusal))) => refusal.code,
                Some(Err(_)) | None => 0,
            },
        );
        match outcome {
            Some(Ok(result)) => {
                self.0.breaker.reset();
                result.map_err(Failure::Refused)
            }
            Some(Err(error)) => Err(Failure::Silent(self.0.breaker.record(self.transport(&error)))),
            None => {
                let timeout = ErrorKind::Timeout { address: self.address().to_owned(), after: deadline };
                Err(Failure::Silent(self.0.breaker.record(timeout)))
            }
        }
    }

    /// Sends a request, and hands on the body of a 2xx answer as it comes in.
    async fn exchange(
        &self,
        request: http::Request<Body>,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Result<Head, Refusal>, kube::Error> {
        let response = self.0.client.send(request).await?;
        let (head, mut body) = response.into_parts();
        let code = head.status.as_u16();
        if !head.status.is_success() {
            return Ok(Err(Refusal::read(code, &body.collect_bytes().await?)));
        }
        while let Some(frame) = body.frame().await {
            if let Some(piece) = frame?.data_ref() {
                take(piece);
            }
        }
        let warnings = head.headers.get_all(header::WARNING).iter().filter_map(|value| value.to_str().ok());
        let warnings = warnings.flat_map(crate::warning::read).collect();
        Ok(Ok(Head { code, warnings }))
    }

    /// What a failure below HTTP means.
    pub(crate) fn transport(&self, error: &kube::Error) -> ErrorKind {
        match error {
            kube::Error::Auth(auth) => ErrorKind::Credentials(crate::error::auth_failure(auth)),
            kube::Error::Service(boxed) => {
                let mut source: Option<&(dyn std::error::Error + 'static)> = Some(boxed.as_ref());
                while let Some(error) = source {
                    if let Some(auth) = error.downcast_ref::<kube::client::AuthError>() {
                        return ErrorKind::Credentials(crate::error::auth_failure(auth));
                    }
                    source = error.source();
                }
                self.unreachable(boxed.as_ref())
            }
            other => self.unreachable(other.source().unwrap_or(other)),
        }
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> ErrorKind {
        ErrorKind::Unreachable { address: self.address().to_owned(), why: root_cause(error) }
    }
}

/// The innermost message: the outer ones only say "client error".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// After a few failures in a row, requests fail at once for a moment.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<Broken>);

#[derive(Debug, Default)]
struct Broken {
    in_a_row: u32,
    open: Option<(Instant, ErrorKind)>,
}

const TOLERATED: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

impl Breaker {
    fn check(&self) -> Result<(), ErrorKind> {
        let mut broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &broken.open {
            Some((until, why)) if Instant::now() < *until => Err(why.clone()),
            Some(_) => {
                broken.open = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Broken::default();
    }

    fn record(&self, kind: ErrorKind) -> ErrorKind {
        let mut broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        broken.in_a_row += 1;
        if broken.in_a_row >= TOLERATED {
            broken.open = Some((Instant::now() + PAUSE, kind.clone()));
        }
        drop(broken);
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries() {
        assert_eq!(collection(Kind::Service, Some("media")), "/api/v1/namespaces/media/services");
        assert_eq!(collection(Kind::StatefulSet, None), "/apis/apps/v1/statefulsets");
        assert_eq!(collection(Kind::Namespace, Some("media")), "/api/v1/namespaces");
        let request =
            Request::kind("list", Method::GET, Kind::Secret, Some("n")).query("a", "x/y=z").query("limit", "5");
        assert_eq!(request.query, "?a=x%2Fy%3Dz&limit=5");
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_after_three_and_closes_by_itself() {
        let breaker = Breaker::default();
        let gone = || ErrorKind::Unreachable { address: "a".into(), why: "refused".into() };
        for _ in 0..2 {
            breaker.record(gone());
            assert!(breaker.check().is_ok());
        }
        breaker.record(gone());
        assert_eq!(breaker.check(), Err(gone()));
        tokio::time::advance(PAUSE).await;
        assert!(breaker.check().is_ok());
        breaker.reset();
        breaker.record(gone());
        assert!(breaker.check().is_ok());
    }
}
