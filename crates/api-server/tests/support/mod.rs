//! A client, and a kubelet that echoes.

use std::time::Duration;

use api_server::http::{Body, Connector, Hooks, Kubelets, full};
use api_server::{ApiServer, Options};
use clock::Clock;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) type Client<C = Connector> = hyper_util::client::legacy::Client<C, String>;

pub(crate) fn server() -> ApiServer {
    let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
    ApiServer::new(Options { name: "test".to_owned(), clock, seed: 1, custom_kinds: true })
}

pub(crate) fn client(server: ApiServer, hooks: Hooks) -> Client {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(Connector::new(server, hooks))
}

pub(crate) fn tcp_client() -> Client<HttpConnector> {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

pub(crate) fn request(method: &str, url: &str, body: Option<&Json>) -> Request<String> {
    let url = if url.starts_with('/') { format!("http://cluster{url}") } else { url.to_owned() };
    let builder = Request::builder().method(method).uri(url).header("user-agent", "test/1");
    builder.body(body.map(Json::to_string).unwrap_or_default()).unwrap()
}

pub(crate) async fn send<C>(
    client: &Client<C>,
    request: Request<String>,
) -> Result<(u16, Json), Box<dyn std::error::Error>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    let response = client.request(request).await?;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((code, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Answers each port-forward with an echo.
pub(crate) struct Echo;

impl Kubelets for Echo {
    fn call(&self, node: &str, mut request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        assert_eq!((node, request.uri().path()), ("n1", "/portForward/default/jvb-0"));
        assert_eq!(request.uri().query(), Some("ports=8080"));
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
            }
        });
        let response = Response::builder().status(101).header("connection", "Upgrade").header("upgrade", "websocket");
        Box::pin(std::future::ready(response.body(full("")).unwrap()))
    }
}

/// Upgrades, waits for an hour, exchanges a word, and sees the stream break with its connection.
pub(crate) async fn echo_for_an_hour(client: &Client, path: &str, hooks: &Hooks) {
    let mut upgrade = request("GET", path, None);
    upgrade.headers_mut().insert("connection", "Upgrade".parse().unwrap());
    upgrade.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    let response = client.request(upgrade).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut word = [0; 5];
    for _ in 0..2 {
        stream.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    hooks.connections.cut();
    assert!(stream.read_exact(&mut word).await.is_err());
}
