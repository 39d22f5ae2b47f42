//! Connections that go wrong, against a stub that says what a test tells it to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is how a test fails")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::{
    ApplyMode, Before, Cluster, ErrorKind, Kubeconfigs, Limits, Logins, Options, Outcome, Proxies, RunKey, Tallies,
};
use fleet::{Access, ClusterName, Plane};
use futures::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use manifest::Kind;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request as HandshakeRequest, Response as HandshakeResponse};

/// What the stub saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    requests: Mutex<Vec<(String, BTreeMap<String, String>)>>,
}

type Reply = (u16, &'static [(&'static str, &'static str)], Json);

/// A server that answers everything in the same way after a delay.
async fn stub(
    delay: Duration,
    reply: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static,
) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let shared = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            shared.connections.fetch_add(1, Ordering::SeqCst);
            let (seen, reply) = (shared.clone(), reply.clone());
            tokio::spawn(async move {
                let serve = service_fn(|request: Request<Incoming>| {
                    let (seen, reply) = (seen.clone(), reply.clone());
                    async move {
                        let at_once = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                        seen.most_at_once.fetch_max(at_once, Ordering::SeqCst);
                        let what = format!("{} {}", request.method(), request.uri());
                        let headers = request.headers().iter();
                        let headers =
                            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
                        seen.requests.lock().unwrap().push((what.clone(), headers.collect()));
                        request.into_body().collect().await.unwrap();
                        tokio::time::sleep(delay).await;
                        seen.at_once.fetch_sub(1, Ordering::SeqCst);
                        let (code, headers, body) = reply(&what);
                        let mut response = Response::builder().status(code);
                        for (name, value) in headers {
                            response = response.header(*name, *value);
                        }
                        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body.to_string()))).unwrap())
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
            });
        }
    });
    (address, seen)
}

fn kubeconfigs(folder: &Path, server: &str, user: &Json) -> Kubeconfigs {
    let path = folder.join("kubeconfig");
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "c", "cluster": { "server": server } }],
        "users": [{ "name": "u", "user": user }],
        "contexts": [{ "name": "here", "context": { "cluster": "c", "user": "u" } }],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    Kubeconfigs::load(Some(&path), None, None).unwrap()
}

fn options(limits: Limits) -> Options {
    cluster::install_crypto_provider();
    let run_key = RunKey::new(&mut rand::rng());
    Options {
        user_agent: "jitsictl/0.0".into(),
        limits,
        proxies: Proxies::default(),
        run_key,
        tallies: Tallies::default(),
        logins: Logins::default(),
    }
}

fn at(context: &str) -> (ClusterName, fleet::Cluster) {
    let access = Access::Context { context: context.into(), kubeconfig: None };
    ("fra".parse().unwrap(), fleet::Cluster { access, namespace: "media".into(), region: None, uid: None })
}

async fn connected(server: &str, limits: Limits) -> Cluster {
    let folder = tempfile::tempdir().unwrap();
    let (name, cluster) = at("here");
    let configs = kubeconfigs(folder.path(), server, &json!({ "token": "sesame" }));
    Cluster::connect(&name, &cluster, &configs, &options(limits)).await.unwrap()
}

fn stored() -> Json {
    json!({ "metadata": { "name": "x", "namespace": "media", "uid": "u", "resourceVersion": "7" } })
}

fn body() -> Json {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x", "namespace": "media" } })
}

fn seen(version: &str) -> ApplyMode {
    ApplyMode { dry_run: false, before: Before::Seen(version.into()) }
}

#[tokio::test]
async fn an_unknown_context_lists_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let configs = kubeconfigs(folder.path(), "http://127.0.0.1:1", &json!({}));
    let (name, cluster) = at("typo");
    let error = Cluster::connect(&name, &cluster, &configs, &options(Limits::default())).await.unwrap_err();
    assert_eq!(error.to_string(), "cluster fra: the kubeconfig has no context `typo`");
    assert_eq!(error.hint().unwrap(), "contexts there are: here");
}

#[tokio::test]
async fn sixteen_requests_go_at_once_over_as_many_connections() {
    let (address, saw) = stub(Duration::from_millis(50), |_| (200, &[], stored())).await;
    let cluster = connected(&format!("http://{address}"), Limits::default()).await;
    let object = cluster.object(Kind::ConfigMap, "x");
    let (body, mode) = (body(), seen("7"));
    let applies = (0..64).map(|_| cluster.apply(Plane::Data, &body, &object, &mode));
    for applied in futures::future::join_all(applies).await {
        assert_eq!(applied.unwrap().outcome, Outcome::Unchanged);
    }
    assert_eq!(saw.most_at_once.load(Ordering::SeqCst), 16);
    assert!(saw.connections.load(Ordering::SeqCst) <= 17);

    let requests = saw.requests.lock().unwrap();
    let (what, headers) = &requests[0];
    assert_eq!(what, "PATCH /api/v1/namespaces/media/configmaps/x?fieldManager=jitsictl%2Fdata&fieldValidation=Strict");
    assert_eq!(headers["user-agent"], "jitsictl/0.0");
    assert_eq!(headers["content-type"], "application/apply-patch+yaml");
}

#[tokio::test]
async fn warnings_are_handed_on() {
    let warning: &[(&str, &str)] = &[("Warning", r#"299 - "would violate PodSecurity \"restricted:latest\"""#)];
    let (address, _) = stub(Duration::ZERO, move |_| (201, warning, stored())).await;
    let cluster = connected(&format!("http://{address}"), Limits::default()).await;
    let object = cluster.object(Kind::ConfigMap, "x");
    let applied = cluster.apply(Plane::Data, &body(), &object, &seen("1")).await.unwrap();
    assert_eq!(applied.warnings, [r#"would violate PodSecurity "restricted:latest""#]);
    assert_eq!(applied.outcome, Outcome::Created);
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_deadline() {
    let (address, _) = stub(Duration::from_secs(600), |_| (200, &[], json!({}))).await;
    let limits = Limits { request: Duration::from_secs(1), ..Limits::default() };
    let cluster = connected(&format!("http://{address}"), limits).await;
    let object = cluster.object(Kind::ConfigMap, "x");
    let begun = Instant::now();
    let (body, mode) = (body(), seen("7"));
    let applies = (0..200).map(|_| cluster.apply(Plane::Data, &body, &object, &mode));
    for applied in futures::future::join_all(applies).await {
        let error = applied.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Timeout { .. }) && error.is_unreachable());
        assert!(error.to_string().contains("did not answer within 1s"), "{error}");
    }
    // One after the other, 16 at once, would be 13 deadlines.
    assert!(begun.elapsed() < Duration::from_secs(8), "a queue of requests waits only once");
}

#[tokio::test]
async fn a_refused_connection_names_the_address_and_no_token() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cluster = connected(&format!("http://{free}"), Limits::default()).await;
    let error = cluster.namespace_state().await.unwrap_err();
    let text = format!("{error} {error:?} {cluster:?}");
    assert!(matches!(error.kind, ErrorKind::Unreachable { .. }), "{text}");
    assert!(text.contains(&free.to_string()) && text.contains("refused") && !text.contains("sesame"), "{text}");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors_not_absences() {
    let (address, _) = stub(Duration::ZERO, |_| (200, &[], json!(["password"]))).await;
    let cluster = connected(&format!("http://{address}"), Limits::default()).await;
    let error = cluster.secret("x").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Garbled(_)) && !error.to_string().contains("password"), "{error}");
}

#[tokio::test]
async fn a_busy_server_is_not_asked_again_behind_our_back() {
    let (address, saw) = stub(Duration::ZERO, |_| (503, &[], json!({}))).await;
    let cluster = connected(&format!("http://{address}"), Limits::default()).await;
    let error = cluster.namespace_state().await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Busy { .. }) && error.is_transient());
    assert_eq!(saw.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_optional_kind_that_is_missing_is_noted() {
    let (address, _) = stub(Duration::ZERO, |what| match what {
        _ if what.contains("httproutes") => (404, &[], json!("404 page not found")),
        _ if what.contains("secrets") => (200, &[], json!({})),
        _ => (200, &[], json!({ "items": null })),
    })
    .await;
    let cluster = connected(&format!("http://{address}"), Limits::default()).await;
    let fleet = "meet".parse().unwrap();
    let error = cluster.list(Kind::HttpRoute, &fleet).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::KindMissing(Kind::HttpRoute));
    assert!(cluster.list(Kind::Service, &fleet).await.unwrap().is_empty());
    let error = cluster.list(Kind::Secret, &fleet).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Garbled(_)), "what is no list is no empty list: {error}");
}

fn program(folder: &Path, text: &str) -> Json {
    let path = folder.join("login");
    std::fs::write(&path, text).unwrap();
    json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": [path],
        "interactiveMode": "IfAvailable",
    } })
}

/// A program whose first answer is a token `1`, whose second one is `2`, and so on.
fn counting(folder: &Path) -> Json {
    let text = r#"
        runs="$(dirname "$0")/runs"
        echo >> "$runs"
        echo "{\"status\": {\"token\": \"$(wc -l < "$runs" | tr -d ' ')\", \"expirationTimestamp\": \"2100-01-01T00:00:00Z\"}}""#;
    program(folder, text)
}

/// What requests said of who sent them.
fn bearers(seen: &Seen) -> Vec<String> {
    let requests = seen.requests.lock().unwrap();
    requests.iter().map(|(_, headers)| headers.get("authorization").cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_token_that_is_refused_is_made_anew_once_and_the_request_repeated() {
    let refusals = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&refusals);
    let reply = move |_: &str| -> Reply {
        let refuses = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if refuses { (401, &[], json!({})) } else { (200, &[], stored()) }
    };
    let (address, saw) = stub(Duration::ZERO, reply).await;
    let folder = tempfile::tempdir().unwrap();
    let (name, at) = at("here");
    let configs = kubeconfigs(folder.path(), &format!("http://{address}"), &counting(folder.path()));
    let options = options(Limits::default());
    let cluster = Cluster::connect(&name, &at, &configs, &options).await.unwrap();
    let refused = cluster.refused();
    assert_eq!((cluster.connect_anew_by(), bearers(&saw).len()), (None, 0));

    let object = cluster.object(Kind::ConfigMap, "x");
    cluster.apply(Plane::Data, &body(), &object, &seen("7")).await.unwrap();
    assert_eq!(bearers(&saw), ["Bearer 1", "Bearer 2"]);
    cluster.apply(Plane::Data, &body(), &object, &seen("7")).await.unwrap();
    assert_eq!(*refused.borrow(), 0, "the connection is as good as before");
    let again = Cluster::connect(&name, &at, &configs, &options).await.unwrap();
    again.apply(Plane::Data, &body(), &object, &seen("7")).await.unwrap();
    assert_eq!(bearers(&saw)[2..], ["Bearer 2", "Bearer 2"], "another connection has it too");

    refusals.store(usize::MAX, Ordering::SeqCst);
    for _ in 0..3 {
        let error = cluster.apply(Plane::Data, &body(), &object, &seen("7")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthorized);
    }
    assert_eq!(bearers(&saw)[4..], ["Bearer 2"; 3], "no other one was asked for within the minute");
    assert_eq!(*refused.borrow(), 3, "a new connection may help");
}

#[tokio::test]
async fn a_certificate_that_a_program_gave_asks_for_a_new_connection_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["someone".to_owned()]).unwrap();
    let answer = json!({ "status": {
        "clientCertificateData": made.cert.pem(), "clientKeyData": made.signing_key.serialize_pem(),
        "expirationTimestamp": "2100-01-01T00:00:00Z",
    } });
    std::fs::write(folder.path().join("answer"), answer.to_string()).unwrap();
    let user = program(folder.path(), "cat \"$(dirname \"$0\")/answer\"");
    let configs = kubeconfigs(folder.path(), "https://127.0.0.1:1", &user);
    let (name, cluster) = at("here");
    let cluster = Cluster::connect(&name, &cluster, &configs, &options(Limits::default())).await.unwrap();
    assert_eq!(cluster.connect_anew_by().unwrap().to_string(), "2100-01-01T00:00:00Z");
    assert_eq!(cluster.lifetime(), None, "no human has to do anything about it");
}

#[tokio::test]
async fn a_credentials_program_that_fails_or_hangs_is_named() {
    let limits = Limits { credentials: Duration::from_millis(300), ..Limits::default() };
    let (name, cluster) = at("here");

    let folder = tempfile::tempdir().unwrap();
    let user = program(folder.path(), "echo sesame; echo 'please log in' >&2; exit 3");
    let configs = kubeconfigs(folder.path(), "https://127.0.0.1:1", &user);
    let error = Cluster::connect(&name, &cluster, &configs, &options(limits)).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Credentials(why) if why.contains("please log in")), "{error:?}");
    assert!(!format!("{error:?}").contains("sesame"));

    let folder = tempfile::tempdir().unwrap();
    let configs = kubeconfigs(folder.path(), "https://127.0.0.1:1", &program(folder.path(), "exec sleep 60"));
    let begun = Instant::now();
    let error = Cluster::connect(&name, &cluster, &configs, &options(limits)).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Credentials(why) if why.contains("did not end")), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// One port-forward, as an API server serves it: the first byte of a frame is its channel, and each channel begins
/// with the port. What comes is sent back.
#[allow(clippy::result_large_err, reason = "the handshake's signature is tungstenite's")]
async fn forwarding(port: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut asked = String::new();
        let handshake = |request: &HandshakeRequest, mut response: HandshakeResponse| {
            asked = request.uri().to_string();
            response.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, handshake).await.unwrap();
        assert_eq!(asked, format!("/api/v1/namespaces/media/pods/jicofo/portforward?&ports={port}"));
        for channel in [0, 1] {
            let [low, high] = port.to_le_bytes();
            socket.send(Message::binary(vec![channel, low, high])).await.unwrap();
        }
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_port_forward_is_a_byte_stream() {
    let cluster = connected(&format!("http://{}", forwarding(8888).await), Limits::default()).await;
    let mut stream = cluster.port_forward("jicofo", 8888).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");
    }
}

#[tokio::test]
async fn a_port_forward_that_does_not_open_is_given_up() {
    let (address, _) = stub(Duration::from_secs(600), |_| (200, &[], json!({}))).await;
    let limits = Limits { stream: Duration::from_millis(100), ..Limits::default() };
    let cluster = connected(&format!("http://{address}"), limits).await;
    let error = cluster.port_forward("jicofo", 8888).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Timeout { .. }), "{error:?}");
}
