//! A real cluster, and room in it for many fleets of one shard and one bridge.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ::fleet::load::Loaded;
use cluster::{Connector, Proxies};
use kube::{Client, core::Request};
use manifest::{Kind, Scope};
use orchestrator::{Event, Fatal, Options, Place, Verdict};
use plan::Policy;
use sandbox::{ClusterAccess, Door, World};
use serde_json::{Value as Json, json};
use testbed::{LOAD_BALANCERS, Testbed};

use crate::mortal::Death;

const CLUSTERS: [&str; 1] = ["hq"];

/// Secrets by cluster, name and key.
pub(crate) type Values = BTreeMap<(&'static str, String, String), String>;

/// By cluster, and kind and name: the UID, if it is known.
type Entries = BTreeMap<(&'static str, String), Option<String>>;

/// The cluster.
pub(crate) struct Ground {
    testbed: Testbed,
    world: World,
}

/// A fleet of one's own in it.
pub(crate) struct Site<'a> {
    ground: &'a Ground,
    /// The fleet's and its namespace's.
    name: String,
    loaded: Loaded,
}

/// What a run did.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// None: it was killed.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) steps: Vec<String>,
    /// Failures and what was waited for.
    pub(crate) said: Vec<String>,
}

impl Ground {
    pub(crate) async fn start() -> Self {
        let options = testbed::Options { audit: false, ..testbed::Options::default() };
        let testbed = Testbed::start(&CLUSTERS, options).await.unwrap();
        let access = testbed.clusters().iter().zip(LOAD_BALANCERS).map(|(cluster, load_balancer_base)| ClusterAccess {
            name: cluster.name().to_owned(),
            door: Door::Network(Box::new(cluster.config().clone())),
            load_balancer_base,
        });
        let world = World::start(access.collect()).await.unwrap();
        Self { testbed, world }
    }

    pub(crate) async fn end(self) {
        self.world.stop().await;
    }

    fn client(&self, cluster: &str) -> &Client {
        self.testbed.cluster(cluster).unwrap().client()
    }

    /// Room for a fleet, with its namespace.
    pub(crate) async fn site(&self, number: u64) -> Site<'_> {
        let name = format!("k{number}");
        let text = text(&name);
        let loaded = ::fleet::load::load_text("fleet.yaml", &text, Path::new("."), &BTreeMap::new());
        let loaded = loaded.unwrap_or_else(|report| panic!("{}", report.render(false)));
        for cluster in CLUSTERS {
            let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            let request = Request::new("/api/v1/namespaces").create(&Default::default(), body.to_string().into());
            self.client(cluster).request::<Json>(request.unwrap()).await.unwrap();
        }
        Site { ground: self, name, loaded }
    }
}

/// Not behind a node port: who dies in the middle of creating a Service can leave its node port taken by nobody, until the
/// API server repairs that after some minutes. Those of load balancers are given anew.
fn text(name: &str) -> String {
    format!(
        "
fleet: {name}
url: https://meet.example.org
release: stable-11146-2
clusters:
  hq: {{ context: hq, namespace: {name} }}
control:
  cluster: hq
  shards: {{ alpha: {{}} }}
data:
  pools:
    eu: {{ cluster: hq, bridges: {{ replicas: 1, expose: load_balancer }} }}
"
    )
}

impl Site<'_> {
    /// A process of its own, with connections of its own.
    pub(crate) async fn run(&self, death: &Death) -> Ran {
        let clients = CLUSTERS.map(|cluster| {
            let config = self.ground.testbed.cluster(cluster).unwrap().config().clone();
            (cluster.parse().unwrap(), death.of(Client::try_from(config).unwrap()))
        });
        let connector = Connector::Given(BTreeMap::from(clients));
        let options = Options {
            place: Place::real(connector, Proxies::default(), "jitsictl/kills".to_owned()),
            policy: Policy::default(),
            timeout: Duration::from_secs(180),
            create_namespaces: false,
            trust_new_clusters: false,
            restore_passwords_from: None,
            stop: orchestrator::CancellationToken::new(),
            handover: None,
        };
        let heard = Mutex::new(Ran::default());
        let tell = |event: Event| {
            let line = json!(event).to_string();
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Step { .. } => heard.steps.push(line),
                Event::Failed(_) | Event::Waiting { .. } | Event::Note { .. } => heard.said.push(line),
                _ => {}
            }
        };
        let verdict = tokio::select! {
            biased;
            () = death.comes() => None,
            ended = orchestrator::apply(&self.loaded, &options, &tell) => Some(match ended {
                Ok(outcome) => outcome.verdict,
                Err(Fatal::Usage(failures) | Fatal::Nothing(failures)) => {
                    let why = failures.into_iter().map(|failure| failure.message);
                    heard.lock().unwrap_or_else(PoisonError::into_inner).said.extend(why);
                    Verdict::Failed
                }
            }),
        };
        Ran { verdict, ..heard.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Another run plans nothing, and writes nothing.
    pub(crate) async fn finds_nothing_to_do(&self) -> Result<(), String> {
        let death = Death::never();
        let ran = self.run(&death).await;
        if ran.verdict == Some(Verdict::Converged) && ran.steps.is_empty() && death.writes().is_empty() {
            return Ok(());
        }
        Err(format!("the third run: {:?}, {:?}, {:?}", ran.verdict, ran.steps, death.writes()))
    }

    async fn list(&self, cluster: &str, kind: Kind) -> Result<Vec<Json>, String> {
        let root = if kind.group().is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group()) };
        let path = format!("{root}/{}/namespaces/{}/{}", kind.version(), self.name, kind.plural());
        let request = Request::new(path).list(&Default::default()).map_err(|error| error.to_string())?;
        let answer = self.ground.client(cluster).request::<Json>(request).await.map_err(|error| error.to_string())?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    /// Every object of ours is written down as such, under its UID or its writer; and what is written down is there.
    pub(crate) async fn all_is_owned(&self) -> Result<(), String> {
        let (mut owned, mut there) = (BTreeMap::new(), BTreeMap::new());
        let books = [format!("{}-control", self.name), format!("{}-data", self.name)];
        for cluster in CLUSTERS {
            for kind in Kind::ALL.into_iter().filter(|kind| kind.scope() == Scope::Namespaced && !kind.is_optional()) {
                for object in self.list(cluster, kind).await? {
                    let name = text_at(&object, "/metadata/name");
                    if kind == Kind::ConfigMap && name.starts_with(&format!("{}-inventory-", self.name)) {
                        owned.extend(entries(cluster, &object)?);
                    } else if object.pointer("/metadata/labels/jitsictl.dev~1fleet").is_some()
                        && object.pointer("/metadata/ownerReferences").is_none()
                        && !(kind == Kind::ConfigMap && books.iter().any(|book| book == name))
                    {
                        there.insert((cluster, format!("{kind}/{name}")), object);
                    }
                }
            }
        }
        for (key, object) in &there {
            match owned.get(key) {
                Some(Some(uid)) if uid == text_at(object, "/metadata/uid") => {}
                // Who died between the intent and the UID: then it is known by who wrote it.
                Some(None) if object["metadata"]["managedFields"].to_string().contains("\"jitsictl/") => {}
                known => return Err(format!("{key:?} is not ours by the inventory, which says {known:?}")),
            }
        }
        match owned.keys().find(|key| !there.contains_key(*key)) {
            Some(lost) => Err(format!("{lost:?} is in the inventory, and nowhere else")),
            None if there.is_empty() => Err("there is nothing at all".to_owned()),
            None => Ok(()),
        }
    }

    /// Every value of every Secret.
    pub(crate) async fn secrets(&self) -> Result<Values, String> {
        let mut values = Values::new();
        for cluster in CLUSTERS {
            for secret in self.list(cluster, Kind::Secret).await? {
                let name = text_at(&secret, "/metadata/name");
                for (key, value) in secret["data"].as_object().into_iter().flatten() {
                    values.insert((cluster, name.to_owned(), key.clone()), value.to_string());
                }
            }
        }
        Ok(values)
    }

    /// Makes room on the nodes.
    pub(crate) async fn clear(&self) {
        for cluster in CLUSTERS {
            let request = Request::new("/api/v1/namespaces").delete(&self.name, &Default::default()).unwrap();
            self.ground.client(cluster).request_text(request).await.unwrap();
        }
    }
}

/// What an inventory holds, with UIDs.
fn entries(cluster: &'static str, inventory: &Json) -> Result<Entries, String> {
    let mut all = Entries::new();
    for (key, entry) in inventory["data"].as_object().into_iter().flatten().filter(|(key, _)| *key != "generation") {
        let entry = serde_json::from_str::<BTreeMap<String, Option<String>>>(entry.as_str().unwrap_or_default());
        let entry = entry.map_err(|error| format!("{key}: {error}"))?;
        all.extend(entry.into_iter().map(|(what, uid)| ((cluster, what), uid)));
    }
    Ok(all)
}

fn text_at<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}
