//! Two clusters in memory, runs in them that can be killed, and what has to be true of what they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_server::kinds::{self, KINDS};
use api_server::store::Change;
use api_server::{Answer, Kind, Request, Verb};
use clock::Clock;
use cluster::{Connector, Proxies};
use fleet::load::Loaded;
use orchestrator::{Entropy, Event, Fatal, Options, Place, Verdict};
use plan::{Policy, Removal};
use sandbox::fault::{Faults, KillPoint};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

const CLUSTERS: [&str; 2] = ["hq", "fra"];
const NAMESPACE: &str = "jitsi";

/// What is in the clusters: cluster, kind and name.
pub(crate) type Names = BTreeSet<(String, String, String)>;

/// What a run is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) fleet: &'static str,
    pub(crate) removal: Removal,
}

/// What a run did.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// None: it was killed.
    pub(crate) verdict: Option<Verdict>,
    /// Requests that were executed.
    pub(crate) executed: u64,
    /// Those of them that changed something.
    pub(crate) writes: Vec<String>,
    pub(crate) steps: Vec<String>,
    /// Failures and what was waited for, in words.
    pub(crate) said: Vec<String>,
}

/// Every value that any Secret ever had; and those that were replaced by another.
#[derive(Debug, Default)]
struct Secrets {
    values: BTreeMap<(&'static str, String, String), String>,
    changed: Vec<String>,
}

pub(crate) struct Ground {
    sandbox: Sandbox,
    clock: Clock,
    runs: u64,
    secrets: Arc<Mutex<Secrets>>,
    // Ends the watches when dropped.
    _watches: JoinSet<()>,
}

/// In a runtime of its own, in virtual time.
pub(crate) fn virtually<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

pub(crate) fn load(text: &str) -> Loaded {
    let loaded = fleet::load::load_text("fleet.yaml", text, Path::new("/"), &BTreeMap::new());
    loaded.unwrap_or_else(|report| panic!("{}", report.render(false)))
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let clock = Clock::starting_at("2026-11-23T10:00:00Z".parse().unwrap());
        let options = SandboxOptions {
            clusters: CLUSTERS.map(str::to_owned).to_vec(),
            timing: Timing::default(),
            clock: clock.clone(),
            seed: 7,
            custom_kinds: false,
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let secrets = Arc::<Mutex<Secrets>>::default();
        let mut watches = JoinSet::new();
        for cluster in CLUSTERS {
            let server = sandbox.server(cluster).unwrap();
            let mut request = Request::new(Verb::Create, &kinds::NAMESPACE, None, None);
            request.body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
            server.call(request).unwrap();
            let Ok(Answer::Watch(mut changes)) = server.call(Request::new(Verb::Watch, &kinds::SECRET, None, None))
            else {
                panic!("Secrets can't be watched");
            };
            let secrets = Arc::clone(&secrets);
            watches.spawn(async move {
                while let Some(change) = changes.next().await {
                    if let Change::Added(secret) | Change::Modified(secret) = change {
                        secrets.lock().unwrap_or_else(PoisonError::into_inner).see(cluster, &secret);
                    }
                }
            });
        }
        Self { sandbox, clock, runs: 0, secrets, _watches: watches }
    }

    /// A process of its own, from its begin to its end.
    pub(crate) async fn run(&mut self, wanted: &Wanted, kill: Option<&Arc<KillPoint>>) -> Ran {
        self.runs += 1;
        let heard = Arc::<Mutex<Ran>>::default();
        let mut clients = BTreeMap::new();
        for cluster in CLUSTERS {
            let faults = match kill {
                Some(kill) => Faults::killed_at(self.runs, Arc::clone(kill)),
                None => Faults::new(self.runs),
            };
            let heard = Arc::clone(&heard);
            faults.witnessed_by(Box::new(move |line, code| {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.executed += 1;
                let asks = line.subresource.as_deref() == Some("portforward") || line.group == "authorization.k8s.io";
                if line.writes() && code < 300 && !asks {
                    heard.writes.push(format!("{cluster}: {} {}", line.method, line.uri));
                }
            }));
            clients.insert(
                cluster.parse().unwrap(),
                self.sandbox.faulty_client(cluster, &faults, "jitsictl/kills").unwrap(),
            );
        }
        let options = Options {
            place: Place {
                connector: Connector::Given(clients),
                proxies: Proxies::default(),
                user_agent: "jitsictl/kills".to_owned(),
                clock: self.clock.clone(),
                entropy: Entropy::seeded(self.runs),
            },
            policy: Policy { removal: wanted.removal, ..Policy::default() },
            timeout: Duration::from_secs(300),
            create_namespaces: false,
            trust_new_clusters: false,
            restore_passwords_from: None,
            stop: orchestrator::CancellationToken::new(),
            handover: None,
        };
        let tell = |event: Event| {
            let line = json!(event).to_string();
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Step { .. } => heard.steps.push(line),
                Event::Failed(_) | Event::Waiting { .. } | Event::Note { .. } => heard.said.push(line),
                _ => {}
            }
        };
        let loaded = load(wanted.fleet);
        let killed = async {
            match kill {
                Some(kill) => kill.reached().await,
                None => std::future::pending().await,
            }
        };
        let verdict = tokio::select! {
            biased;
            () = killed => None,
            ended = orchestrator::apply(&loaded, &options, &tell) => Some(match ended {
                Ok(outcome) => {
                    if outcome.verdict != Verdict::Converged {
                        let blocked = outcome.blocked.iter().map(|blocked| format!("{blocked:?}"));
                        heard.lock().unwrap_or_else(PoisonError::into_inner).said.extend(blocked);
                    }
                    outcome.verdict
                }
                Err(Fatal::Usage(failures) | Fatal::Nothing(failures)) => {
                    let why = failures.into_iter().map(|failure| failure.message);
                    heard.lock().unwrap_or_else(PoisonError::into_inner).said.extend(why);
                    Verdict::Failed
                }
            }),
        };
        let ran = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
        Ran { verdict, ..ran }
    }

    /// Pods end, and controllers follow.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(120)).await;
    }

    fn list(&self, cluster: &str, kind: &'static Kind) -> Vec<Json> {
        let request = Request::new(Verb::List, kind, Some(NAMESPACE), None);
        match self.sandbox.server(cluster).unwrap().call(request) {
            Ok(Answer::List { items, .. }) => items.iter().map(|item| Json::clone(item)).collect(),
            other => panic!("{cluster}: {} can't be listed: {other:?}", kind.plural),
        }
    }

    /// What somebody made, not a controller after him.
    fn made(&self) -> impl Iterator<Item = (&'static str, &'static Kind, Json)> + '_ {
        let kinds = || KINDS.iter().copied().filter(|kind| kind.namespaced && !kind.custom && kind.name != "Event");
        let all = CLUSTERS.into_iter().flat_map(move |cluster| {
            kinds().flat_map(move |kind| self.list(cluster, kind).into_iter().map(move |it| (cluster, kind, it)))
        });
        all.filter(|(_, _, object)| object.pointer("/metadata/ownerReferences").is_none())
    }

    pub(crate) fn names(&self) -> Names {
        let name = |object: &Json| text(object, "/metadata/name").to_owned();
        self.made().map(|(cluster, kind, object)| (cluster.to_owned(), kind.name.to_owned(), name(&object))).collect()
    }

    /// Every object of ours is written down as such, under its UID or its writer; and what is written down is there.
    pub(crate) fn all_is_owned(&self) -> Result<(), String> {
        let (mut owned, mut there) = (BTreeMap::new(), BTreeMap::new());
        for (cluster, kind, object) in self.made() {
            let name = text(&object, "/metadata/name");
            if kind.name == "ConfigMap" && name.starts_with("meet-inventory-") {
                for (_, entry) in object["data"].as_object().unwrap().iter().filter(|(key, _)| *key != "generation") {
                    let entry: BTreeMap<String, Option<String>> =
                        serde_json::from_str(entry.as_str().unwrap()).unwrap();
                    owned.extend(entry.into_iter().map(|(what, uid)| ((cluster, what), uid)));
                }
            } else if object.pointer("/metadata/labels/jitsictl.dev~1fleet").is_some()
                && !is_book(kind, name)
                // Claims are made by the StatefulSets' controller, and go by the labels of their unit.
                && kind.name != "PersistentVolumeClaim"
            {
                there.insert((cluster, format!("{}/{name}", kind.name)), object);
            }
        }
        for (key, object) in &there {
            match owned.get(key) {
                Some(Some(uid)) if uid == text(object, "/metadata/uid") => {}
                // Who died between the intent and the UID: then it is known by who wrote it.
                Some(None) if object["metadata"]["managedFields"].to_string().contains("\"jitsictl/") => {}
                known => return Err(format!("{key:?} is not ours by the inventory, which says {known:?}")),
            }
        }
        match owned.keys().find(|key| !there.contains_key(*key)) {
            Some(lost) => Err(format!("{lost:?} is in the inventory, and nowhere else")),
            None => Ok(()),
        }
    }

    /// No value of a Secret ever became another.
    pub(crate) fn secrets_stayed(&self) -> Result<(), String> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if secrets.values.is_empty() {
            return Err("there was never any Secret".to_owned());
        }
        if secrets.changed.is_empty() { Ok(()) } else { Err(format!("changed: {:?}", secrets.changed)) }
    }
}

/// Leases and records are about units, and belong to none.
fn is_book(kind: &Kind, name: &str) -> bool {
    ["meet-control", "meet-data"].contains(&name) && ["ConfigMap", "Lease"].contains(&kind.name)
}

impl Secrets {
    fn see(&mut self, cluster: &'static str, secret: &Json) {
        let name = text(secret, "/metadata/name");
        for (key, value) in secret["data"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            let place = (cluster, name.to_owned(), key.clone());
            if self.values.insert(place, value.clone()).is_some_and(|before| before != value) {
                self.changed.push(format!("{cluster}: {key} of {name}"));
            }
        }
    }
}

fn text<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}
