//! Between the orchestrator and an API server: the guard sees each request, and sabotage spoils it.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;

use crate::guard::Guard;
use crate::sabotage::{Sabotage, Spoiler};

/// A client whose requests the guard sees, spoiled by the bug if there is one.
pub(crate) fn client(cluster: &str, inner: Client, guard: Guard, sabotage: Option<Sabotage>) -> Client {
    let spoiler = Arc::new(Mutex::new(Spoiler::new(sabotage)));
    Client::new(Middle { cluster: cluster.to_owned(), inner, guard, spoiler }, "default")
}

#[derive(Clone)]
struct Middle {
    cluster: String,
    inner: Client,
    guard: Guard,
    spoiler: Arc<Mutex<Spoiler>>,
}

impl tower_service::Service<Request<Body>> for Middle {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

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

    async fn send(self, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let (mut parts, body) = request.into_parts();
        let mut bytes = body.collect().await?.to_bytes().to_vec();
        self.spoiler(|spoiler| spoiler.request(&mut parts, &mut bytes));
        self.guard.sees(&self.cluster, &parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default());
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let answer = self.inner.send(Request::from_parts(parts, Body::from(bytes))).await;
        self.after(method, uri, answer).await
    }

    async fn after(
        &self,
        method: Method,
        uri: Uri,
        answer: Result<Response<Body>, kube::Error>,
    ) -> Result<Response<Body>, kube::Error> {
        if !self.spoiler(|spoiler| spoiler.spoils_answers(&method, &uri)) {
            return answer;
        }
        let read = match answer {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                Some((parts.status.as_u16(), body.collect().await?.to_bytes().to_vec()))
            }
            Err(_) => None,
        };
        let (code, bytes) = self.spoiler(|spoiler| spoiler.answer(&method, &uri, read));
        let mut answer = Response::new(Body::from(bytes));
        *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
        Ok(answer)
    }
}
