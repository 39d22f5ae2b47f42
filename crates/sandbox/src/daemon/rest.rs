//! HTTP as the daemons speak it.

use std::time::Duration;

use http::{StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncWrite};

/// A request whose body has been read.
pub(crate) type Request = http::Request<Bytes>;
/// An answer.
pub(crate) type Response = http::Response<Full<Bytes>>;

/// 200 with a JSON body.
pub(crate) fn json(body: &Json) -> Response {
    let mut response = http::Response::new(Full::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// A status with a plain text.
pub(crate) fn text(status: StatusCode, body: &str) -> Response {
    let mut response = http::Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response
}

/// 200 without a body.
pub(crate) fn empty() -> Response {
    http::Response::new(Full::default())
}

/// A parameter of the query; its percent signs decoded.
pub(crate) fn query(request: &http::Request<impl Sized>, name: &str) -> Option<String> {
    request.uri().query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escape = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, escape) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Serves one connection until its client closes it. Each answer takes so long.
pub(crate) async fn serve<S, F>(stream: S, takes: Duration, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request) -> Response + Send + Sync,
{
    let answer = &answer;
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        Ok::<_, hyper::Error>(answer(Request::from_parts(parts, body)))
    });
    if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    {
        tracing::trace!(%error, "a connection ended early");
    }
}
