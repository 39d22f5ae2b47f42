//! The pages, over connections in memory.

use std::sync::Mutex;

use orchestrator::daemon::{Counters, Happening, Link, Notice, PlaneState, State};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::*;
use crate::daemon::made_up;

/// A daemon that says what it is told to.
struct Double {
    states: watch::Sender<Arc<State>>,
    notices: broadcast::Sender<Notice>,
    counters: Mutex<Counters>,
}

impl Source for Arc<Double> {
    fn state(&self) -> Arc<State> {
        Arc::clone(&self.states.borrow())
    }

    fn states(&self) -> watch::Receiver<Arc<State>> {
        self.states.subscribe()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn counters(&self) -> Counters {
        self.counters.lock().unwrap().clone()
    }
}

struct Site {
    double: Arc<Double>,
    pages: Arc<Pages<Arc<Double>>>,
    stop: CancellationToken,
}

impl Site {
    fn new(state: State) -> Self {
        let double = Arc::new(Double {
            states: watch::Sender::new(Arc::new(state)),
            notices: broadcast::Sender::new(16),
            counters: Mutex::new(made_up::counters()),
        });
        let about = About { name: "jitsictl-0".into(), version: "1.2.3" };
        let (clock, stop) = (clock::Clock::starting_at(made_up::time()), CancellationToken::new());
        let pages = Pages::new(Arc::clone(&double), about, clock, Duration::from_secs(600), stop.clone());
        Self { double, pages: Arc::new(pages), stop }
    }

    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(1024);
        tokio::spawn(serve(theirs, Arc::clone(&self.pages), CancellationToken::new()));
        ours
    }

    /// Head and body of an answer on a connection of its own.
    async fn ask(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = self.connect();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (head, body) = self.ask("GET", path).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// A connection that listens to events, past the head.
    async fn listen(&self) -> DuplexStream {
        let mut stream = self.connect();
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let begun = until(&mut stream, ": from now on").await;
        assert!(begun.contains("content-type: text/event-stream"), "{begun}");
        stream
    }

    fn tell(&self, what: Happening) {
        self.double.notices.send(Notice { at: made_up::time(), what }).unwrap();
    }
}

/// What comes, up to and with that.
async fn until(stream: &mut DuplexStream, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let byte = stream.read_u8().await.unwrap_or_else(|error| panic!("{error} after {text}"));
        text.push(char::from(byte));
    }
    text
}

#[tokio::test(start_paused = true)]
async fn metrics_are_what_they_were() {
    let site = Site::new(made_up::bad());
    let (head, body) = site.ask("GET", "/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    insta::assert_snapshot!(body);
}

/// As Prometheus reads it: every sample belongs to the family that was announced last.
#[tokio::test(start_paused = true)]
async fn metrics_are_well_formed() {
    for state in [made_up::good(), made_up::bad()] {
        let (_, body) = Site::new(state).get("/metrics").await;
        let mut family = String::new();
        let mut samples = std::collections::BTreeSet::new();
        for line in body.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                family = head.split(' ').next().unwrap().to_owned();
            } else if !line.starts_with('#') {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = sample.split('{').next().unwrap();
                let parts = ["", "_bucket", "_sum", "_count"].map(|part| format!("{family}{part}"));
                assert!(parts.contains(&name.to_owned()), "{line} in {family}");
                assert!(samples.insert(sample.to_owned()), "twice: {sample}");
            }
        }
        assert!(body.ends_with('\n'));
    }
}

#[tokio::test(start_paused = true)]
async fn health_follows_the_loop_and_no_clock_that_people_set() {
    let site = Site::new(made_up::good());
    let heard = Arc::clone(&site.pages);
    tokio::spawn(async move { heard.listen_to_loop().await });
    sleep(Duration::from_secs(1199)).await;
    assert_eq!(site.get("/healthz").await, (200, "ok\n".to_owned()));
    sleep(Duration::from_secs(2)).await;
    let (code, why) = site.get("/healthz").await;
    assert_eq!((code, why.as_str()), (503, "the loop has said nothing for 1201 s\n"));
    site.double.states.send_replace(Arc::new(made_up::good()));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(site.get("/healthz").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn readiness_says_why_not() {
    let site = Site::new(made_up::good());
    assert_eq!(site.get("/readyz").await, (200, "ready\n".to_owned()));
    let mut state = made_up::bad();
    state.planes.insert(fleet::Plane::Control, PlaneState::Starting);
    state.status = None;
    site.double.states.send_replace(Arc::new(state));
    let (code, why) = site.get("/readyz").await;
    let wanted = "control plane: it is not known who leads\n\
                  data plane: observed only: the Lease can't be renewed: no answer\n\
                  no round yet\n\
                  cluster fra: lost: connect timed out after 5 s\n";
    assert_eq!((code, why.as_str()), (503, wanted));
    let mut state = made_up::good();
    state.clusters.values_mut().for_each(|cluster| cluster.state = Link::Lost);
    site.double.states.send_replace(Arc::new(state.clone()));
    assert_eq!(site.get("/readyz").await.0, 200, "the others are kept all the same");
    state.clusters.values_mut().for_each(|cluster| cluster.state = Link::Syncing);
    site.double.states.send_replace(Arc::new(state));
    let wanted = "cluster fra: syncing\ncluster hq: syncing\n";
    assert_eq!(site.get("/readyz").await, (503, wanted.to_owned()));
    site.double.states.send_replace(Arc::new(made_up::good()));
    site.stop.cancel();
    assert_eq!(site.get("/readyz").await, (503, "it is stopping\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_state_is_json_and_status_understands_it() {
    let site = Site::new(made_up::bad());
    let (code, body) = site.get("/state").await;
    let state: Json = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &state["daemon"]["name"], &state["fleet"]), (200, &"jitsictl-0".into(), &"meet".into()));
    assert_eq!(state["clusters"]["fra"]["state"], "lost");
    let asked: crate::daemon::Asked = serde_json::from_str(&body).unwrap();
    let status = made_up::bad().status;
    assert_eq!(serde_json::to_value(asked.status).unwrap(), serde_json::to_value(status).unwrap());
}

#[tokio::test(start_paused = true)]
async fn there_is_nothing_else_and_nothing_to_change() {
    let site = Site::new(made_up::good());
    for path in ["/", "/metrics/", "/debug", "/state/../etc"] {
        assert_eq!(site.get(path).await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let (head, _) = site.ask(method, "/state").await;
        assert!(head.starts_with("HTTP/1.1 405") && head.contains("allow: GET"), "{head}");
    }
    let path = format!("/{}", "x".repeat(2 * HEAD));
    let mut stream = site.connect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 414") || answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let site = Site::new(made_up::good());
    let begun = Instant::now();
    let mut silent = site.connect();
    let _ = silent.read_to_end(&mut Vec::new()).await;
    assert_eq!(begun.elapsed(), IDLE);
    // One that was used before is no better.
    let mut idle = site.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until(&mut idle, "ok\n").await;
    let begun = Instant::now();
    let _ = timeout(10 * IDLE, idle.read_to_end(&mut Vec::new())).await.expect("it is closed");
    assert!(begun.elapsed() <= IDLE + Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_what_happens() {
    let site = Site::new(made_up::good());
    let mut stream = site.listen().await;
    site.tell(Happening::Joined);
    let event = until(&mut stream, "}\n\n").await;
    assert!(event.contains("event: joined\ndata: {"), "{event}");
    assert!(event.contains("\"at\":\"2026-01-01T10:00:00Z\""), "{event}");
    let begun = Instant::now();
    until(&mut stream, ": still here").await;
    assert_eq!(begun.elapsed(), Duration::from_secs(15));
    site.stop.cancel();
    let end = until(&mut stream, "event: stopping").await;
    assert!(!end.contains("joined"), "{end}");
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_too_slow_is_told_and_left() {
    let site = Site::new(made_up::good());
    let mut stream = site.listen().await;
    for _ in 0..1000 {
        site.tell(Happening::Joined);
    }
    let mut rest = String::new();
    timeout(Duration::from_secs(1), stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.contains("event: dropped\ndata: {\"missed\":984}"), "{rest}");
    // One that takes nothing at all does not hold its place for ever.
    let mut stuck = site.listen().await;
    for _ in 0..100 {
        // Nobody listens any more once it was given up.
        let _ = site.double.notices.send(Notice { at: made_up::time(), what: Happening::Joined });
        sleep(Duration::from_secs(1)).await;
    }
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(1), stuck.read_to_end(&mut rest)).await.expect("it was given up");
}

#[tokio::test(start_paused = true)]
async fn listeners_leave_room_for_others() {
    let site = Site::new(made_up::good());
    let mut listening = Vec::new();
    for _ in 0..32 {
        listening.push(site.listen().await);
    }
    assert_eq!(site.get("/events").await.0, 503);
    assert_eq!(site.get("/healthz").await.0, 200);
    drop(listening.pop());
    sleep(Duration::from_secs(16)).await;
    let _again = site.listen().await;
}

/// Over TCP: who asks while a fleet file begins to make sense is answered by one or the other.
#[tokio::test]
async fn who_has_connected_is_answered_when_no_more_are_taken() {
    let (before, after) = (Site::new(made_up::good()), Site::new(made_up::good()));
    before.stop.cancel();
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let served = Served::start(Arc::clone(&listener), Arc::clone(&before.pages));
    let mut asking = TcpStream::connect(address).await.unwrap();
    asking.write_all(b"GET /readyz HT").await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();

    let closed = tokio::spawn(served.close());
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    asking.write_all(b"TP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("it is stopping\n"), "{answer}");
    closed.await.unwrap();

    let _served = Served::start(listener, Arc::clone(&after.pages));
    let mut answer = String::new();
    next.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Over TCP: places are limited, and come back.
#[tokio::test]
async fn connections_are_limited() {
    let site = Site::new(made_up::good());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _served = Served::start(Arc::new(listener), Arc::clone(&site.pages));
    let mut open = Vec::new();
    let ask = async |stream: &mut TcpStream| {
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.is_ok() && &first == b"HTTP/1.1 200"
    };
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await);
        open.push(stream);
    }
    let mut one_more = TcpStream::connect(address).await.unwrap();
    assert!(!ask(&mut one_more).await, "turned away");
    open.clear();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut again = TcpStream::connect(address).await.unwrap();
        if ask(&mut again).await {
            break;
        }
        assert!(Instant::now() < deadline, "no place came back");
        sleep(Duration::from_millis(10)).await;
    }
}
