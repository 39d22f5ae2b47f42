//! A client that dies at one of its requests: nothing that it sends later arrives, and nothing answers it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use tokio::sync::watch;

/// On which side of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It is never sent.
    Before,
    /// It is executed, but nobody lives to see the answer.
    After,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Requests,
    /// Those that change something.
    Writes,
}

/// Where a process dies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) counted: Counted,
    /// From 1 on, over all clusters.
    pub(crate) at: u64,
    pub(crate) moment: Moment,
}

/// When a process dies, and what it did until then. All of its clients share it.
#[derive(Clone)]
pub(crate) struct Death(Arc<Inner>);

struct Inner {
    point: Option<Point>,
    seen: AtomicU64,
    writes: Mutex<Vec<String>>,
    dead: watch::Sender<bool>,
}

impl Death {
    pub(crate) fn at(point: Point) -> Self {
        Self::with(Some(point))
    }

    pub(crate) fn never() -> Self {
        Self::with(None)
    }

    fn with(point: Option<Point>) -> Self {
        let inner = Inner { point, seen: AtomicU64::new(0), writes: Mutex::default(), dead: watch::Sender::new(false) };
        Self(Arc::new(inner))
    }

    /// Returns when it has come.
    pub(crate) async fn comes(&self) {
        // It can't be dropped while we have it.
        let _ = self.0.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        self.0.seen.load(Ordering::SeqCst)
    }

    /// Requests that may have changed something.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.0.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client that dies with the others.
    pub(crate) fn of(&self, inner: Client) -> Client {
        Client::new(Mortal { inner, death: self.clone() }, "default")
    }

    /// What is to become of a request that is about to be sent.
    fn fate(&self, request: &Request<Body>) -> Fate {
        let uri = request.uri().to_string();
        let asks = uri.contains("/portforward") || uri.contains("authorization.k8s.io") || uri.contains("dryRun=");
        let writes = *request.method() != Method::GET && !asks;
        let mut all = self.0.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.0.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if writes {
            all.push(format!("{} {uri}", request.method()));
        }
        let Some(Point { counted, at, moment }) = self.0.point else { return Fate::Passes };
        let (number, counts) = match counted {
            Counted::Requests => (seen, true),
            Counted::Writes => (all.len() as u64, writes),
        };
        match moment {
            _ if number < at => Fate::Passes,
            Moment::Before => Fate::Kills,
            Moment::After if number == at && counts => Fate::IsTheLast,
            // The last one is still under way.
            Moment::After => Fate::IsNotSent,
        }
    }
}

/// What becomes of a request.
enum Fate {
    Passes,
    /// Its sender dies as soon as the server has done it.
    IsTheLast,
    IsNotSent,
    /// It is not sent, since its sender dies.
    Kills,
}

#[derive(Clone)]
struct Mortal {
    inner: Client,
    death: Death,
}

impl tower_service::Service<Request<Body>> for Mortal {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { inner, death } = self.clone();
        Box::pin(async move {
            match death.fate(&request) {
                Fate::Passes => {
                    let answer = inner.send(request).await;
                    // Whoever is dead hears nothing.
                    if *death.0.dead.borrow() { std::future::pending().await } else { answer }
                }
                Fate::IsTheLast => {
                    // The server must have it, whoever waits for the answer.
                    let _ = tokio::spawn(async move { inner.send(request).await }).await;
                    death.0.dead.send_replace(true);
                    std::future::pending().await
                }
                Fate::IsNotSent => std::future::pending().await,
                Fate::Kills => {
                    death.0.dead.send_replace(true);
                    std::future::pending().await
                }
            }
        })
    }
}
