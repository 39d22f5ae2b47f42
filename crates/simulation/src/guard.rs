//! What must never happen, seen as it happens: requests as they are executed, and objects as they change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_server::http::RequestLine;
use api_server::store::Change;
use api_server::{Answer, ApiServer, Kind, Request, Verb, kinds};
use http::Method;
use http::request::Parts;
use sandbox::Census;
use serde_json::Value as Json;
use tokio::task::JoinSet;

use crate::promise::{Promise, Violation};
use crate::trace::Trace;

/// So many requests of one run are not answered any more.
const FAR_TOO_MANY: u64 = 30_000;

/// A conference that is younger may have begun between the last look at its slot and the slot's end.
const SEEN_BY_ALL: Duration = Duration::from_secs(60);

/// Sees everything. Copies are the same.
#[derive(Clone)]
pub(crate) struct Guard {
    seen: Arc<Mutex<Seen>>,
    census: Census,
    trace: Trace,
}

#[derive(Default)]
struct Seen {
    violations: Vec<Violation>,
    /// Objects that the fleet has, by cluster, plural and name.
    wanted: BTreeSet<(String, String, String)>,
    /// Values that only Secrets may hold, in base64.
    values: BTreeSet<String>,
    /// What the made passwords are: by cluster and name of the Secret.
    passwords: BTreeMap<(String, String), Json>,
    /// The node ports that bridges have.
    ports: BTreeMap<(String, String), u64>,
    /// Services whose ports must not change.
    fixed_ports: BTreeSet<String>,
    /// prosody and jicofo pods that run, by slot.
    singletons: BTreeMap<(String, String), BTreeSet<String>>,
    requests: u64,
    writes: u64,
}

impl Guard {
    pub(crate) fn new(trace: Trace, census: Census) -> Self {
        Self { seen: Arc::default(), census, trace }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn violated(&self, promise: Promise, what: String) {
        let violation = promise.broken(what);
        self.trace.say(format!("VIOLATED {violation}"));
        self.seen().violations.push(violation);
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }

    /// How many requests were sent, and how many of them changed something, since this was asked last.
    pub(crate) fn take_counts(&self) -> (u64, u64) {
        let mut seen = self.seen();
        (std::mem::take(&mut seen.requests), std::mem::take(&mut seen.writes))
    }

    /// The fleet has these objects: nobody may delete them.
    pub(crate) fn want(&self, objects: BTreeSet<(String, String, String)>) {
        self.seen().wanted = objects;
    }

    /// The ports of these bridges stay as they are.
    pub(crate) fn fix_ports(&self, services: BTreeSet<String>) {
        self.seen().fixed_ports = services;
    }

    /// All values that only Secrets may hold, for a search through everything that is said.
    pub(crate) fn secret_values(&self) -> BTreeSet<String> {
        self.seen().values.clone()
    }

    /// A request is about to be sent. Says whether it may be: a run that never stops would never end, and after a broken
    /// promise nothing matters any more.
    pub(crate) fn sends(&self, cluster: &str, parts: &Parts, body: &[u8]) -> bool {
        let enough = {
            let mut seen = self.seen();
            seen.requests += 1;
            seen.requests > FAR_TOO_MANY || !seen.violations.is_empty()
        };
        let dry_run = parts.uri.query().is_some_and(|query| query.contains("dryRun"));
        if parts.method == Method::DELETE && !dry_run {
            let body: Json = serde_json::from_slice(body).unwrap_or_default();
            if body.pointer("/preconditions/uid").is_none() {
                let what = format!("{cluster}: DELETE {} would take whatever has that name", parts.uri.path());
                self.violated(Promise::DeletesAreExact, what);
            }
        }
        !enough
    }

    /// A request was executed.
    pub(crate) fn executed(&self, cluster: &str, line: &RequestLine, code: u16) {
        let asks_only = line.subresource.as_deref() == Some("portforward") || line.group == "authorization.k8s.io";
        if !line.writes() || code >= 300 || asks_only {
            return;
        }
        self.seen().writes += 1;
        let evicts = line.subresource.as_deref() == Some("eviction");
        let Some(name) = line.name.as_deref().filter(|_| line.method == Method::DELETE || evicts) else {
            if line.method == Method::DELETE {
                self.violated(Promise::UnknownStays, format!("{cluster}: all {} are deleted at once", line.resource));
            }
            return;
        };
        let (plural, namespace) = (line.resource.as_str(), line.namespace.as_deref().unwrap_or_default());
        self.trace.say(format!("{cluster}: {plural} {name} is deleted"));
        // A bridge's and a recorder's Service and StatefulSet are called as its pod is.
        let pod = if plural == "pods" { name.to_owned() } else { format!("{name}-0") };
        let people = self.census.people_on(cluster, namespace, &pod);
        let conferences = slot_of(&pod).map_or(0, |slot| {
            let focus = format!("{slot}-jicofo-0");
            self.census.conferences_of(cluster, namespace, &focus, SEEN_BY_ALL)
        });
        if matches!(plural, "pods" | "statefulsets" | "services") && people + conferences > 0 {
            let busy = if people > 0 { format!("{people} on it") } else { format!("{conferences} conferences in it") };
            self.violated(Promise::BusyStays, format!("{cluster}: {plural} {name} is deleted with {busy}"));
        }
        let key = (cluster.to_owned(), plural.to_owned(), name.to_owned());
        if plural != "pods" && self.seen().wanted.contains(&key) {
            self.violated(Promise::UnknownStays, format!("{cluster}: {plural} {name} is deleted, which the file has"));
        }
    }

    /// Watches the objects of a cluster for as long as the tasks live.
    pub(crate) fn watch(&self, cluster: &str, server: &ApiServer, tasks: &mut JoinSet<()>) {
        for kind in [&kinds::POD, &kinds::SECRET, &kinds::SERVICE] {
            let (guard, cluster, server) = (self.clone(), cluster.to_owned(), server.clone());
            tasks.spawn(async move {
                let answer = server.call(Request::new(Verb::Watch, kind, None, None));
                let Ok(Answer::Watch(mut changes)) = answer else {
                    guard.violated(Promise::Played, format!("{cluster}: {} can't be watched", kind.plural));
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
            Change::Bookmark { .. } => return,
            Change::Error(error) => {
                return self.violated(Promise::Played, format!("{cluster}: {} can't be watched: {error}", kind.plural));
            }
        };
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
        let name = text("/metadata/name");
        match kind.name {
            "Pod" => self.singleton(cluster, object, &name, gone),
            "Secret" => self.secret(cluster, name, object, gone),
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
            let what = format!("{cluster}: {count} pods at once are {slot} (the last one is {name})");
            self.violated(Promise::OnePerSlot, what);
        }
    }

    fn secret(&self, cluster: &str, name: String, secret: &Json, gone: bool) {
        let data = secret.get("data").cloned().unwrap_or_default();
        let values = data.as_object().into_iter().flat_map(|data| data.values()).filter_map(Json::as_str);
        self.seen().values.extend(values.filter(|value| value.len() >= 8).map(str::to_owned));
        if !name.contains("-passwords") {
            return;
        }
        let key = (cluster.to_owned(), name.clone());
        let before = self.seen().passwords.get(&key).cloned();
        // What is copied may go from a cluster that the fleet has left; who else deletes it breaks `UnknownStays`.
        let stored = |(_, stored): &(String, String)| name == format!("{stored}-copy");
        match before {
            Some(_) if gone && self.seen().passwords.keys().any(stored) => drop(self.seen().passwords.remove(&key)),
            Some(_) if gone => {
                self.violated(Promise::PasswordsStay, format!("{cluster}: Secret {name} is deleted"));
            }
            Some(before) if is_another(&before, &data, name.contains("-copy")) => {
                self.violated(Promise::PasswordsStay, format!("{cluster}: Secret {name} has other values"));
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
            let what = format!("{cluster}: Service {name} had port {before} and has {port}");
            self.violated(Promise::PortsStay, what);
        }
        if service.pointer("/spec/publishNotReadyAddresses") != Some(&Json::Bool(true)) {
            let what = format!("{cluster}: readiness decides about the media of Service {name}");
            self.violated(Promise::MediaUngated, what);
        }
    }
}

/// The slot of a pod without which no conference of the slot goes on.
fn slot_of(pod: &str) -> Option<&str> {
    ["-prosody-0", "-jicofo-0"].iter().find_map(|end| pod.strip_suffix(end))
}

/// Whether values have changed. Some may come, since recorders have passwords of their own; and what recorders have no
/// use for any more goes from their cluster's copy.
fn is_another(before: &Json, now: &Json, copy: bool) -> bool {
    let changed = |key: &String, value: &Json| now.get(key).map_or(!copy, |now| now != value);
    before.as_object().into_iter().flatten().any(|(key, value)| changed(key, value))
}
