//! A daemon at the other end of a pipe, for tests: answers one request with what it is told to.

use std::convert::Infallible;

use ::http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What the stub was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

/// A stream to a daemon that gives this answer, and what it is asked.
pub(crate) fn answer(status: u16, body: &str) -> (DuplexStream, UnboundedReceiver<Asked>) {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (tell, asked) = unbounded_channel();
    let body = Bytes::from(body.to_owned());
    let service = service_fn(move |request: Request<Incoming>| {
        let (tell, body) = (tell.clone(), body.clone());
        async move {
            let (head, content) = request.into_parts();
            let content = content.collect().await.unwrap().to_bytes();
            let _ = tell.send(Asked {
                line: format!("{} {}", head.method, head.uri),
                content_type: head.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned()),
                body: String::from_utf8(content.to_vec()).unwrap(),
            });
            Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(body)).unwrap())
        }
    });
    tokio::spawn(async move {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service).await;
    });
    (ours, asked)
}
