//! A daemon with everything around it, against clusters in memory and in virtual time: what it tells by every way, and
//! that no secret is among it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_server::kinds::{NAMESPACE, SECRET, SERVICE};
use api_server::{Answer, Request, Verb};
use base64::Engine as _;
use clock::Clock;
use cluster::{Connector, Proxies};
use fleet::load::Input;
use orchestrator::daemon::{DaemonOptions, Generations, Pace, daemon, event_of};
use orchestrator::{Entropy, Place};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing_subscriber::EnvFilter;

use super::http::{About, Pages, serve};
use super::{Asked, intake, tale};

const FLEET: &str = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
env_files: [meet.env]
secrets: { JWT_APP_SECRET: { env: APP_SECRET }, GC_API_KEY: { file: key } }
daemon: { webhooks: [{ url: 'https://hooks.example.org/x', secret: { env: HOOK_SECRET } }] }
clusters: { hq: { context: hq, namespace: jitsi }, fra: { context: fra, namespace: jitsi } }
control: { cluster: hq, shards: { alpha: {} }, xmpp: { expose: load_balancer } }
data: { pools: { eu: { cluster: fra, bridges: { replicas: 1 } } } }
";

const GIVEN: [&str; 4] = ["the-app-secret", "the-api-key", "the-smtp-password", "the-hook-secret"];

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn clusters(clock: &Clock) -> Sandbox {
    let options = SandboxOptions {
        clusters: vec!["hq".into(), "fra".into()],
        timing: Timing::default(),
        clock: clock.clone(),
        seed: 7,
        custom_kinds: false,
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    for cluster in ["hq", "fra"] {
        let mut request = Request::new(Verb::Create, &NAMESPACE, None, None);
        request.body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "jitsi" } });
        sandbox.server(cluster).unwrap().call(request).unwrap();
    }
    sandbox
}

/// Every value of every Secret, as it is stored and in clear.
fn secrets(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = GIVEN.map(str::to_owned).into();
    for cluster in ["hq", "fra"] {
        let request = Request::new(Verb::List, &SECRET, Some("jitsi"), None);
        let Ok(Answer::List { items, .. }) = sandbox.server(cluster).unwrap().call(request) else {
            panic!("Secrets can be listed");
        };
        let data = items.iter().filter_map(|item| item.get("data")?.as_object());
        for value in data.flat_map(|data| data.values().filter_map(Json::as_str)) {
            all.insert(value.to_owned());
            let clear = base64::engine::general_purpose::STANDARD.decode(value).unwrap();
            all.extend(String::from_utf8(clear));
        }
    }
    all.retain(|secret| secret.len() > 4);
    all
}

struct Site {
    pages: Arc<Pages<orchestrator::daemon::Handle>>,
}

impl Site {
    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(serve(theirs, Arc::clone(&self.pages), CancellationToken::new()));
        ours
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn until(&self, path: &str, wanted: &str) {
        let waiting = async {
            while !self.get(path).await.contains(wanted) {
                sleep(Duration::from_secs(1)).await;
            }
        };
        if timeout(Duration::from_secs(600), waiting).await.is_err() {
            panic!("no {wanted} in {}", self.get(path).await);
        }
    }
}

#[test]
fn a_fleet_is_kept_and_no_secret_is_told_by_any_way() {
    let log = Log::default();
    let writer = log.clone();
    let ours = "info,jitsictl=trace,orchestrator=trace,cluster=trace,jitsi_api=trace,fleet=trace,kube_client=off";
    let lines = tracing_subscriber::fmt().json().with_env_filter(EnvFilter::new(ours));
    let lines = lines.with_writer(move || writer.clone()).finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tracing::subscriber::with_default(lines, || tokio::task::LocalSet::new().block_on(&runtime, whole(log)));
}

async fn whole(log: Log) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("fleet.yaml", FLEET), ("key", GIVEN[1]), ("meet.env", "SMTP_PASSWORD=the-smtp-password\n")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let env = [("APP_SECRET", GIVEN[0]), ("HOOK_SECRET", GIVEN[3])];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
    let sandbox = clusters(&clock).await;
    let clients = ["hq", "fra"].map(|name| (name.parse().unwrap(), sandbox.client(name, None).unwrap()));
    let place = Place {
        connector: Connector::Given(BTreeMap::from(clients)),
        proxies: Proxies::default(),
        user_agent: "jitsictl/test".into(),
        clock: clock.clone(),
        entropy: Entropy::seeded(11),
    };
    let (planes, holder, pace) = (BTreeSet::new(), "jitsictl-0".to_owned(), Pace::default());
    let options = DaemonOptions { place, planes, holder: holder.clone(), pace };
    let input = Input { path: folder.path().join("fleet.yaml"), env, overrides: Vec::new() };
    let (watcher, intake) = intake::First::new(intake::Source { fleet: input, handover: None }, clock.clone())
        .read()
        .unwrap_or_else(|(report, _)| panic!("{report:?}"));
    let (_credentials, credentials) = watch::channel(Generations::new());
    let stop = CancellationToken::new();
    let (handle, work) = daemon(intake, credentials, options, stop.clone());
    let about = About { name: holder, version: "1.2.3" };
    let pages = Arc::new(Pages::new(handle.clone(), about, clock, pace.round, stop.clone()));
    let site = Site { pages };
    let _tasks = [tokio::spawn(watcher.run()), tokio::spawn(tale::run(handle.notices()))].map(AbortOnDropHandle::new);
    let mut events = site.connect();
    events.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let _listener = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut some = [0; 4096];
        while let Ok(n @ 1..) = events.read(&mut some).await {
            hearing.lock().unwrap().extend_from_slice(&some[..n]);
        }
    }));
    let mut notices = handle.notices();
    let work = tokio::task::spawn_local(work);

    site.until("/metrics", "jitsictl_bridges_joined{cluster=\"fra\",pool=\"eu\"} 1").await;
    site.until("/readyz", "200 OK").await;
    site.until("/metrics", "jitsictl_leading{plane=\"control\"} 1").await;
    sleep(Duration::from_secs(120)).await;
    let request = Request::new(Verb::Delete, &SERVICE, Some("jitsi"), Some("meet-alpha-xmpp"));
    sandbox.server("hq").unwrap().call(request).unwrap();
    site.until("/metrics", "jitsictl_drift_repaired_total{cluster=\"hq\",kind=\"Service\"} 1").await;
    fs::write(folder.path().join("fleet.yaml"), FLEET.replace("JWT_APP_SECRET: { env", "JWT_APP_SECRET: { envy"))
        .unwrap();
    site.until("/metrics", "jitsictl_intent_refused 1").await;
    fs::write(folder.path().join("fleet.yaml"), FLEET.replace("{ env: APP_SECRET }", "the-app-secret")).unwrap();
    site.until("/metrics", "jitsictl_intent_refused 0").await;

    let state = site.get("/state").await;
    let asked: Asked = serde_json::from_str(state.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert!(asked.status.unwrap().proof.holds(), "{state}");
    let mut kubernetes = String::new();
    while let Ok(notice) = notices.try_recv() {
        kubernetes += &format!("{:?}\n", event_of(&notice));
    }
    assert!(kubernetes.contains("DriftRepaired"), "{kubernetes}");
    let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    for event in ["plane", "cluster", "repaired", "intent_refused", "run"] {
        assert!(heard.contains(&format!("event: {event}\n")), "no {event} in\n{heard}");
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("\"repaired\""), "{logged}");
    let told = [state, site.get("/metrics").await, site.get("/readyz").await, kubernetes, heard, logged];
    let secrets = secrets(&sandbox);
    assert!(secrets.len() > GIVEN.len() + 4, "{} values", secrets.len());
    for secret in secrets {
        for text in &told {
            let place = text.find(&secret).map(|at| &text[at.saturating_sub(200)..at]);
            assert!(place.is_none(), "a secret follows on: {place:?}");
        }
    }
    stop.cancel();
    timeout(Duration::from_secs(10), work).await.unwrap().unwrap();
}
