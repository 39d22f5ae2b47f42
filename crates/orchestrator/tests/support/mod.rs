//! A fleet in memory with daemons that keep it, in virtual time.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api_server::kinds::NAMESPACE;
use api_server::request::PatchType;
use api_server::{Answer, Kind, Request, Verb};
use clock::Clock;
use cluster::{Connector, Proxies};
use fleet::Plane;
use fleet::load::Loaded;
use orchestrator::daemon::{DaemonOptions, Generations, Handle, Intake, Pace, PlaneState, State, daemon};
use orchestrator::{Entropy, Options, Place};
use plan::Policy;
use sandbox::fault::Faults;
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) const FLEET: &str = "
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters:
  hq:  { context: hq, namespace: jitsi }
  fra: { context: fra, namespace: jitsi }
  sin: { context: sin, namespace: jitsi }
control:
  cluster: hq
  shards: { alpha: {} }
  xmpp: { expose: load_balancer }
data:
  home: fra
  pools:
    eu:   { cluster: fra, bridges: { replicas: 1, expose: node_port, base_port: 30120 } }
    asia: { cluster: sin, bridges: { replicas: 1, expose: node_port, base_port: 30120 } }
";

pub(crate) const CLUSTERS: [&str; 3] = ["hq", "fra", "sin"];

/// Clusters in memory, and a way for daemons into them.
pub(crate) struct Site {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    /// What happens to the requests of all daemons that are started from now on, by cluster.
    pub(crate) faults: BTreeMap<&'static str, Faults>,
    /// Of the next one: two that draw alike would take each other for themselves.
    seed: Cell<u64>,
}

/// A daemon that runs.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) intake: watch::Sender<Intake>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    pub(crate) credentials: watch::Sender<Generations>,
}

/// In a runtime of its own, in virtual time.
pub(crate) fn play(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

pub(crate) fn load(text: &str) -> Arc<Loaded> {
    let loaded = fleet::load::load_text("fleet.yaml", text, Path::new("/"), &BTreeMap::new());
    Arc::new(loaded.unwrap_or_else(|report| panic!("{report:?}")))
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(false, Timing::real()).await
    }

    /// With the Gateway API and Prometheus' operator installed, or without.
    pub(crate) async fn with(custom_kinds: bool, timing: Timing) -> Self {
        let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
        let options = SandboxOptions {
            clusters: CLUSTERS.map(str::to_owned).to_vec(),
            timing,
            clock: clock.clone(),
            seed: 7,
            custom_kinds,
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        for cluster in CLUSTERS {
            let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "jitsi" } });
            let mut request = Request::new(Verb::Create, &NAMESPACE, None, None);
            request.body = body;
            sandbox.server(cluster).unwrap().call(request).unwrap();
        }
        let faults = CLUSTERS.map(|cluster| (cluster, Faults::new(7)));
        Self { sandbox, clock, faults: BTreeMap::from(faults), seed: Cell::new(11) }
    }

    /// Of a run that begins now.
    pub(crate) fn options(&self) -> Options {
        Options {
            place: self.place("run", self.clock.clone()),
            policy: Policy::default(),
            timeout: Duration::from_secs(120),
            create_namespaces: false,
            trust_new_clusters: false,
            restore_passwords_from: None,
            stop: orchestrator::CancellationToken::new(),
            handover: None,
        }
    }

    fn place(&self, name: &str, clock: Clock) -> Place {
        let seed = self.seed.replace(self.seed.get() + 1);
        let agent = format!("jitsictl/{name}");
        let clients = CLUSTERS.map(|cluster| {
            let client = self.sandbox.faulty_client(cluster, &self.faults[cluster], &agent).unwrap();
            (cluster.parse().unwrap(), client)
        });
        Place {
            connector: Connector::Given(BTreeMap::from(clients)),
            proxies: Proxies::default(),
            user_agent: agent,
            clock,
            entropy: Entropy::seeded(seed),
        }
    }

    /// A daemon for these planes; none: both.
    pub(crate) fn daemon(&self, holder: &str, text: &str, planes: &[Plane]) -> Running {
        self.daemon_with(holder, text, planes, self.clock.clone())
    }

    pub(crate) fn daemon_with(&self, holder: &str, text: &str, planes: &[Plane], clock: Clock) -> Running {
        let options = DaemonOptions {
            place: self.place(holder, clock),
            planes: BTreeSet::from_iter(planes.iter().copied()),
            holder: holder.to_owned(),
            pace: Pace::default(),
        };
        let (intake, newest) = watch::channel(Intake { loaded: load(text), handover: None, refused: None });
        let (credentials, changes) = watch::channel(Generations::new());
        let stop = CancellationToken::new();
        let (handle, runs) = daemon(newest, changes, options, stop.clone());
        Running { handle, intake, stop, task: tokio::task::spawn_local(runs), credentials }
    }

    /// What an administrator does, past all faults.
    pub(crate) fn call(
        &self,
        cluster: &str,
        verb: Verb,
        kind: &'static Kind,
        name: Option<&str>,
        body: Json,
    ) -> Answer {
        let mut request = Request::new(verb, kind, Some("jitsi"), name);
        request.body = body;
        request.parameters.manager = Some("kubectl-edit".to_owned());
        self.sandbox.server(cluster).unwrap().call(request).unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(crate) fn get(&self, cluster: &str, kind: &'static Kind, name: &str) -> Option<Json> {
        let request = Request::new(Verb::Get, kind, Some("jitsi"), Some(name));
        match self.sandbox.server(cluster).unwrap().call(request) {
            Ok(Answer::Object { object, .. }) => Some(Json::clone(&object)),
            _ => None,
        }
    }

    pub(crate) fn list(&self, cluster: &str, kind: &'static Kind) -> Vec<Json> {
        match self.call(cluster, Verb::List, kind, None, Json::Null) {
            Answer::List { items, .. } => items.iter().map(|item| Json::clone(item)).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Changes an object by hand.
    pub(crate) fn edit(&self, cluster: &str, kind: &'static Kind, name: &str, patch: Json) {
        self.call(cluster, Verb::Patch(PatchType::Merge), kind, Some(name), patch);
    }

    pub(crate) fn delete(&self, cluster: &str, kind: &'static Kind, name: &str) {
        self.call(cluster, Verb::Delete, kind, Some(name), Json::Null);
    }

    /// What daemons asked of a cluster since a mark: verb, resource and whether it writes.
    pub(crate) fn asked(&self, cluster: &str, mark: usize) -> Vec<String> {
        let log = self.sandbox.requests(cluster).unwrap();
        let line = |entry: &api_server::http::Entry| {
            let line = &entry.line;
            let sub = line.subresource.as_deref().map(|sub| format!("/{sub}")).unwrap_or_default();
            if line.resource.is_empty() {
                return format!("{} {}", line.verb, line.uri);
            }
            format!("{} {}{sub}", line.verb, line.resource)
        };
        log.since(mark).iter().filter(|entry| entry.line.user_agent.starts_with("jitsictl")).map(line).collect()
    }

    /// How often daemons opened a connection to each pod of a cluster since a mark.
    pub(crate) fn connected(&self, cluster: &str, mark: usize) -> BTreeMap<String, usize> {
        let mut pods = BTreeMap::new();
        for entry in self.sandbox.requests(cluster).unwrap().since(mark) {
            if entry.line.subresource.as_deref() == Some("portforward") {
                *pods.entry(entry.line.name.clone().unwrap_or_default()).or_default() += 1;
            }
        }
        pods
    }

    pub(crate) fn mark(&self, cluster: &str) -> usize {
        self.sandbox.requests(cluster).unwrap().mark()
    }
}

impl Running {
    pub(crate) fn state(&self) -> Arc<State> {
        self.handle.state()
    }

    pub(crate) fn leads(&self, plane: Plane) -> bool {
        matches!(self.state().planes.get(&plane), Some(PlaneState::Leading { .. }))
    }

    /// Everything is wired, and nothing is left to do.
    pub(crate) fn is_content(&self) -> bool {
        let state = self.state();
        let holds = state.status.as_ref().is_some_and(|status| status.proof.holds() && status.unreachable.is_empty());
        holds && state.steps == 0 && state.blocked.is_empty() && state.failures.is_empty()
    }

    /// Kills it between two polls.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Ends it as SIGTERM does.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Waits until something is so; says how long that took.
pub(crate) async fn until(what: &str, patience: Duration, so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < patience, "it did not come within {patience:?}: {what}");
        // Fine where it counts, coarse where it only takes time.
        let step = if begun.elapsed() < Duration::from_secs(1) { 1 } else { 50 };
        sleep(Duration::from_millis(step)).await;
    }
    begun.elapsed()
}
