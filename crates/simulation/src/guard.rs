//! What must never happen, seen as it happens: requests on their way, and objects as they change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_server::store::Change;
use api_server::{Answer, ApiServer, Kind, Request, Verb, kinds};
use http::Method;
use serde_json::Value as Json;
use tokio::task::JoinSet;

use crate::trace::Trace;

/// Sees everything. Copies are the same.
#[derive(Clone)]
pub(crate) struct Guard {
    seen: Arc<Mutex<Seen>>,
    trace: Trace,
}

#[derive(Default)]
struct Seen {
    violations: Vec<String>,
    /// Pods with people on them, by cluster and name.
    busy: BTreeSet<(String, String)>,
    /// Objects that the fleet has before and after its change, by cluster, plural and name.
    wanted: BTreeSet<(String, String, String)>,
    /// What the made passwords are: by cluster and name of the Secret.
    passwords: BTreeMap<(String, String), Json>,
    /// The node ports that bridges have.
    ports: BTreeMap<(String, String), u64>,
    /// Node ports that must not change.
    fixed_ports: BTreeSet<String>,
    /// prosody and jicofo pods that run, by slot.
    singletons: BTreeMap<(String, String), BTreeSet<String>>,
    requests: u64,
}

impl Guard {
    pub(crate) fn new(trace: Trace) -> Self {
        Self { seen: Arc::default(), trace }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn violated(&self, what: String) {
        self.trace.say(format!("VIOLATED: {what}"));
        self.seen().violations.push(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.seen().violations.clone()
    }

    /// How many requests were sent since this was asked last.
    pub(crate) fn take_requests(&self) -> u64 {
        std::mem::take(&mut self.seen().requests)
    }

    /// People come to a pod, or leave it.
    pub(crate) fn set_busy(&self, cluster: &str, pod: &str, busy: bool) {
        let key = (cluster.to_owned(), pod.to_owned());
        let mut seen = self.seen();
        if busy {
            seen.busy.insert(key)
        } else {
            seen.busy.remove(&key)
        };
    }

    /// These objects belong to the fleet before and after its change: nobody may delete them.
    pub(crate) fn want(&self, objects: BTreeSet<(String, String, String)>) {
        self.seen().wanted = objects;
    }

    /// The ports of these bridges stay as they are.
    pub(crate) fn fix_ports(&self, services: BTreeSet<String>) {
        self.seen().fixed_ports = services;
    }

    /// All values of made passwords, for a search through everything that is said.
    pub(crate) fn secret_values(&self) -> BTreeSet<String> {
        let seen = self.seen();
        let values = seen.passwords.values().filter_map(Json::as_object).flat_map(|data| data.values());
        values.filter_map(Json::as_str).map(str::to_owned).collect()
    }

    /// A request is about to be sent.
    pub(crate) fn sees(&self, cluster: &str, method: &Method, path: &str, query: &str) {
        self.seen().requests += 1;
        if method != Method::DELETE || query.contains("dryRun") {
            return;
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let [.., "namespaces", _, plural, name] = parts[..] else { return };
        self.trace.say(format!("{cluster}: DELETE {plural} {name}"));
        let pod = if plural == "pods" { name.to_owned() } else { format!("{name}-0") };
        let of_a_bridge = matches!(plural, "pods" | "statefulsets" | "services");
        if of_a_bridge && self.seen().busy.contains(&(cluster.to_owned(), pod)) {
            self.violated(format!("{cluster}: {plural} {name} is deleted while people are on it"));
        }
        let key = (cluster.to_owned(), plural.to_owned(), name.to_owned());
        if plural != "pods" && self.seen().wanted.contains(&key) {
            self.violated(format!("{cluster}: {plural} {name} is deleted, which the fleet has before and after"));
        }
    }

    /// Watches the objects of a cluster for as long as the tasks live.
    pub(crate) fn watch(&self, cluster: &str, server: &ApiServer, tasks: &mut JoinSet<()>) {
        for kind in [&kinds::POD, &kinds::SECRET, &kinds::SERVICE] {
            let (guard, cluster, server) = (self.clone(), cluster.to_owned(), server.clone());
            tasks.spawn(async move {
                let answer = server.call(Request::new(Verb::Watch, kind, None, None));
                let Ok(Answer::Watch(mut changes)) = answer else {
                    guard.violated(format!("{cluster}: {} can't be watched", kind.plural));
                    return;
                };
                while let Some(change) = changes.next().await {
                    guard.changed(&cluster, kind, &change);
                }
            });
        }
    }

    fn changed(&self, cluster: &str, kind: &Kind, change: &Change) {
        let (object, gone) = match change {
            Change::Added(object) | Change::Modified(object) => (object, false),
            Change::Deleted(object) => (object, true),
            Change::Bookmark { .. } | Change::Error(_) => return,
        };
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
        let name = text("/metadata/name");
        match kind.name {
            "Pod" => self.singleton(cluster, object, &name, gone),
            "Secret" if name.contains("-passwords") => self.password(cluster, name, object, gone),
            "Service" if !gone => self.port(cluster, name, object),
            _ => {}
        }
    }

    fn singleton(&self, cluster: &str, pod: &Json, name: &str, gone: bool) {
        let label = |key: &str| pod.pointer(&format!("/metadata/labels/{key}")).and_then(Json::as_str);
        let Some(component @ ("prosody" | "jicofo")) = label("app.kubernetes.io~1name") else { return };
        let slot = format!("{component} {}", label("jitsictl.dev~1unit").unwrap_or_default());
        let uid = pod.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default().to_owned();
        let ended = matches!(pod.pointer("/status/phase").and_then(Json::as_str), Some("Succeeded" | "Failed"));
        let mut seen = self.seen();
        let running = seen.singletons.entry((cluster.to_owned(), slot.clone())).or_default();
        if gone || ended {
            running.remove(&uid)
        } else {
            running.insert(uid)
        };
        let count = running.len();
        drop(seen);
        if count > 1 {
            self.violated(format!("{cluster}: {count} pods at once are {slot} (the last one is {name})"));
        }
    }

    fn password(&self, cluster: &str, name: String, secret: &Json, gone: bool) {
        let data = secret.get("data").cloned().unwrap_or_default();
        let key = (cluster.to_owned(), name.clone());
        let before = self.seen().passwords.get(&key).cloned();
        match before {
            Some(_) if gone => self.violated(format!("{cluster}: Secret {name} is deleted")),
            // Keys may come: recorders have passwords of their own.
            Some(before)
                if before.as_object().into_iter().flatten().any(|(key, value)| data.get(key) != Some(value)) =>
            {
                self.violated(format!("{cluster}: Secret {name} has other values"));
            }
            Some(_) => drop(self.seen().passwords.insert(key, data)),
            None => {
                self.seen().passwords.insert(key, data);
            }
        }
    }

    fn port(&self, cluster: &str, name: String, service: &Json) {
        if !name.contains("-jvb-") {
            return;
        }
        let Some(port) = service.pointer("/spec/ports/0/port").and_then(Json::as_u64) else { return };
        let key = (cluster.to_owned(), name.clone());
        let before = self.seen().ports.insert(key, port);
        let fixed = self.seen().fixed_ports.contains(&name);
        if let (Some(before), true) = (before.filter(|before| *before != port), fixed) {
            self.violated(format!("{cluster}: Service {name} had port {before} and has {port}"));
        }
        if service.pointer("/spec/publishNotReadyAddresses") != Some(&Json::Bool(true)) {
            self.violated(format!("{cluster}: readiness decides about the media of Service {name}"));
        }
    }
}
