//! A cluster of two nodes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_server::kinds::{NODE, POD};
use api_server::request::Propagation;
use api_server::{Answer, ApiError, ApiServer, Kind, Options, Request, Verb};
use clock::Clock;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::super::object::{at, condition, is_going, list, name, namespace, put, text, time};
use super::super::{pods, run};

pub(super) const SPACE: &str = "default";
const NODES: [&str; 2] = ["n1", "n2"];
const TICK: Duration = Duration::from_millis(20);

/// Ends with the test's runtime.
pub(super) struct Cluster {
    pub(super) server: ApiServer,
    pub(super) clock: Clock,
    dead: Arc<Mutex<BTreeSet<String>>>,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let clock = Clock::starting_at("2026-11-23T10:00:00Z".parse().unwrap());
        let options = Options { name: "test".to_owned(), clock: clock.clone(), seed: 1, custom_kinds: true };
        let cluster = Self { server: ApiServer::new(options), clock: clock.clone(), dead: Arc::default() };
        for node in NODES {
            cluster.create(
                &NODE,
                json!({ "metadata": { "name": node, "labels": { "topology.kubernetes.io/zone": format!("zone-{node}") } } }),
            );
        }
        tokio::spawn(run(cluster.server.clone(), clock, CancellationToken::new()));
        let kubelet = Self { server: cluster.server.clone(), clock: cluster.clock.clone(), dead: cluster.dead.clone() };
        tokio::spawn(async move {
            loop {
                kubelet.turn();
                tokio::time::sleep(TICK).await;
            }
        });
        cluster.pass(200).await;
        cluster
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    pub(super) fn call(&self, request: Request) -> Result<Arc<Json>, ApiError> {
        match self.server.call(request)? {
            Answer::Object { object, .. } => Ok(object),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn create(&self, kind: &'static Kind, mut object: Json) -> Arc<Json> {
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name);
        if kind.namespaced && namespace(&object).is_empty() {
            put(&mut object, &["metadata", "namespace"], json!(SPACE));
        }
        let space = namespace(&object).to_owned();
        let mut request = Request::new(Verb::Create, kind, kind.namespaced.then_some(space.as_str()), None);
        request.body = object;
        self.call(request).unwrap()
    }

    pub(super) fn get(&self, kind: &'static Kind, name: &str) -> Option<Arc<Json>> {
        self.call(Request::new(Verb::Get, kind, kind.namespaced.then_some(SPACE), Some(name))).ok()
    }

    pub(super) fn list(&self, kind: &'static Kind) -> Vec<Arc<Json>> {
        match self.server.call(Request::new(Verb::List, kind, None, None)).unwrap() {
            Answer::List { items, .. } => items,
            other => panic!("{other:?}"),
        }
    }

    /// Changes an object by hand.
    pub(super) fn edit(&self, kind: &'static Kind, name: &str, path: &[&str], value: Json) {
        let mut object = Json::clone(&self.get(kind, name).unwrap());
        put(&mut object, path, value);
        self.replace(kind, object, None).unwrap();
    }

    fn replace(&self, kind: &'static Kind, object: Json, subresource: Option<&str>) -> Result<Arc<Json>, ApiError> {
        let space = namespace(&object).to_owned();
        let mut request = Request::new(Verb::Update, kind, kind.namespaced.then_some(&space), Some(name(&object)));
        request.subresource = subresource.map(str::to_owned);
        request.body = object;
        self.call(request)
    }

    pub(super) fn delete(&self, kind: &'static Kind, name: &str, propagation: Option<Propagation>) {
        let mut request = Request::new(Verb::Delete, kind, kind.namespaced.then_some(SPACE), Some(name));
        request.parameters.propagation = propagation;
        self.call(request).unwrap();
    }

    /// The pods, by their names: those that end have a `-` before.
    pub(super) fn pod_names(&self) -> Vec<String> {
        let shown = |pod: &Arc<Json>| if is_going(pod) { format!("-{}", name(pod)) } else { name(pod).to_owned() };
        self.list(&POD).iter().map(shown).collect()
    }

    pub(super) fn ready_pods(&self) -> usize {
        self.list(&POD).iter().filter(|pod| pods::is_ready(pod) && !is_going(pod)).count()
    }

    /// A machine dies, or comes back.
    pub(super) fn set_dead(&self, node: &str, dead: bool) {
        let mut all = self.dead.lock().unwrap();
        if dead {
            all.insert(node.to_owned())
        } else {
            all.remove(node)
        };
    }

    fn turn(&self) {
        let dead = self.dead.lock().unwrap().clone();
        for node in self.list(&NODE).iter().filter(|node| !dead.contains(name(node))) {
            let last = condition(node, "Ready").and_then(|ready| time(ready, &["lastHeartbeatTime"]));
            let now = self.clock.now();
            if last.is_none_or(|last| now.duration_since(last).as_secs() >= 10) {
                let mut node = Json::clone(node);
                let ready = json!({ "type": "Ready", "status": "True", "lastHeartbeatTime": now.to_string() });
                put(&mut node, &["status", "conditions"], json!([ready]));
                self.replace(&NODE, node, Some("status")).unwrap();
            }
        }
        for (index, pod) in self.list(&POD).iter().enumerate() {
            let node = text(pod, &["spec", "nodeName"]);
            if is_going(pod) {
                let over = time(pod, &["metadata", "deletionTimestamp"]).is_some_and(|end| end <= self.clock.now());
                if over && !dead.contains(node) {
                    let space = namespace(pod);
                    let mut request = Request::new(Verb::Delete, &POD, Some(space), Some(name(pod)));
                    request.parameters.grace_seconds = Some(0);
                    self.call(request).unwrap();
                }
            } else if node.is_empty() {
                let Some(free) = NODES.iter().find(|node| !dead.contains(**node)) else { continue };
                let mut request = Request::new(Verb::Create, &POD, Some(namespace(pod)), Some(name(pod)));
                request.subresource = Some("binding".to_owned());
                request.body = json!({
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": { "name": name(pod), "namespace": namespace(pod) },
                    "target": { "kind": "Node", "name": free },
                });
                self.call(request).map(drop).unwrap();
            } else if pods::phase(pod) != "Running" && !dead.contains(node) {
                let mut pod = Json::clone(pod);
                let broken = list(&pod, &["spec", "containers"]).iter().any(|one| text(one, &["image"]) == "broken");
                let ready = if broken { "False" } else { "True" };
                let address = format!("10.0.0.{}", index + 1);
                let status = json!({
                    "phase": "Running",
                    "podIP": address,
                    "podIPs": [{ "ip": address }],
                    "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": self.clock.now().to_string() }],
                });
                put(&mut pod, &["status"], status);
                self.replace(&POD, pod, Some("status")).unwrap();
            }
        }
    }
}

/// A Deployment, ReplicaSet or StatefulSet `web`.
pub(super) fn workload(replicas: i64, image: &str, more: Json) -> Json {
    let mut spec = json!({
        "replicas": replicas,
        "selector": { "matchLabels": { "app": "web" } },
        "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": {
                "terminationGracePeriodSeconds": 5,
                "containers": [{ "name": "main", "image": image, "ports": [{ "name": "http", "containerPort": 8080 }] }],
            },
        },
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({ "metadata": { "name": "web" }, "spec": spec })
}

pub(super) const IMAGE: &[&str] = &["spec", "template", "spec", "containers"];

pub(super) fn image(name: &str) -> Json {
    json!([{ "name": "main", "image": name }])
}

pub(super) fn image_of(pod: &Json) -> &str {
    list(pod, &["spec", "containers"]).first().map(|one| text(one, &["image"])).unwrap_or_default()
}

pub(super) fn status<'a>(object: &'a Json, field: &str) -> &'a Json {
    at(object, &["status", field]).unwrap_or(&Json::Null)
}
