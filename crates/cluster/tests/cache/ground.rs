//! A cluster with a fleet in it, and what is done to it and looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use api_server::http::Entry;
use api_server::request::PatchType;
use api_server::{Answer, Request, Verb};
use clock::Clock;
use cluster::{
    ApplyMode, Before, Cache, CacheState, Cluster, Limits, Logins, Look, Options, Proxies, RunKey, SecretBytes,
    SecretMap, Tallies,
};
use fleet::{Fleet, FleetName, Plane};
use manifest::{Allocations, Desired, Kind, ObjectRef, Surroundings};
use plan::Record;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sandbox::fault::{Fault, Faults, Rule, Which};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

const EXAMPLE: &str = include_str!("../../../../examples/single-cluster/fleet.yaml");

/// A cluster in memory with an example's objects, and a way to it that can be disturbed.
pub(crate) struct Ground {
    pub(crate) sandbox: Sandbox,
    pub(crate) name: String,
    pub(crate) fleet: Fleet,
    pub(crate) faults: Faults,
    pub(crate) cluster: Cluster,
    /// Undisturbed.
    pub(crate) admin: Cluster,
}

impl Ground {
    pub(crate) async fn new(seed: u64) -> Self {
        let loaded = fleet::load::load_text("fleet.yaml", EXAMPLE, Path::new("."), &BTreeMap::new());
        let fleet = loaded.unwrap_or_else(|report| panic!("{report:?}")).fleet;
        let name = fleet.control.cluster.to_string();
        let options = SandboxOptions {
            clusters: vec![name.clone()],
            timing: Timing::real(),
            clock: Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap()),
            seed,
            custom_kinds: false,
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let faults = Faults::new(seed);
        let options = Options {
            user_agent: "jitsictl/test".to_owned(),
            limits: Limits::default(),
            proxies: Proxies::default(),
            run_key: RunKey::new(&mut StdRng::seed_from_u64(seed)),
            tallies: Tallies::default(),
            logins: Logins::default(),
        };
        let namespace = &fleet.clusters[&fleet.control.cluster].namespace;
        let connect = |client| Cluster::from_client(&fleet.control.cluster, namespace, client, &options);
        let cluster = connect(sandbox.faulty_client(&name, &faults, "jitsictl/test").unwrap());
        let admin = connect(sandbox.client(&name, None).unwrap());
        let ground = Self { sandbox, name, fleet, faults, cluster, admin };
        ground.admin.create_namespace().await.unwrap();
        ground.apply(seed).await;
        ground
    }

    pub(crate) async fn apply(&self, seed: u64) {
        let allocations = Allocations::default().extended(&self.fleet);
        let mut units = control_plane::render(&self.fleet, &allocations);
        units.extend(data_plane::render(&self.fleet, &allocations, &Surroundings::default()));
        let mut rng = StdRng::seed_from_u64(seed);
        for (unit, manifest) in Desired::new(units).manifests() {
            let mut secrets = SecretMap::default();
            for reference in manifest.secrets.values() {
                secrets.keep(reference.clone(), SecretBytes::password(&mut rng));
            }
            let mode = ApplyMode { dry_run: false, before: Before::Seen(String::new()) };
            let body = secrets.fill(manifest).unwrap();
            match self.admin.apply(unit.plane(), &body, &manifest.object, &mode).await {
                Ok(_) => {}
                Err(error) => assert!(matches!(error.kind, cluster::ErrorKind::KindMissing(_)), "{error}"),
            }
        }
        self.admin.write_record(self.fleet(), Plane::Data, &Record::default(), None).await.unwrap();
    }

    pub(crate) fn fleet(&self) -> &FleetName {
        &self.fleet.name
    }

    pub(crate) fn cache(&self, seed: u64) -> Cache {
        Cache::start(self.cluster.clone(), self.fleet().clone(), &BTreeSet::new(), self.sandbox.clock().clone(), seed)
    }

    pub(crate) async fn live(&self, seed: u64) -> Cache {
        let cache = self.cache(seed);
        until("it is live", Duration::from_secs(10), || cache.state() == CacheState::Live).await;
        cache
    }

    pub(crate) fn server(&self) -> &api_server::ApiServer {
        self.sandbox.server(&self.name).unwrap()
    }

    /// What somebody else does, past all faults.
    pub(crate) fn call(
        &self,
        verb: Verb,
        kind: &'static api_server::Kind,
        name: Option<&str>,
        body: Json,
    ) -> Option<Answer> {
        let namespace = kind.namespaced.then(|| self.cluster.namespace());
        let mut request = Request::new(verb, kind, namespace, name);
        request.body = body;
        request.parameters.manager = Some("somebody".to_owned());
        self.server().call(request).ok()
    }

    pub(crate) fn touch(&self, kind: &'static api_server::Kind, name: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { "example.org/touched": value } } });
        assert!(self.call(Verb::Patch(PatchType::Merge), kind, Some(name), patch).is_some(), "{name} is there");
    }

    pub(crate) fn names(&self, kind: &'static api_server::Kind) -> Vec<String> {
        match self.call(Verb::List, kind, None, Json::Null) {
            Some(Answer::List { items, .. }) => {
                items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn asked(&self, mark: usize) -> Vec<Entry> {
        let mut asked = self.sandbox.requests(&self.name).unwrap().since(mark);
        asked.retain(|entry| entry.line.user_agent.starts_with("jitsictl"));
        asked
    }

    pub(crate) fn mark(&self) -> usize {
        self.sandbox.requests(&self.name).unwrap().mark()
    }

    /// Waits until the cache shows what a look shows.
    pub(crate) async fn converge(&self, cache: &Cache, patience: Duration) {
        let (begun, mut wait) = (Instant::now(), Duration::from_millis(300));
        loop {
            let wanted = text(&self.admin.look(self.fleet()).await.unwrap());
            let found = cache.look().map(|(look, _)| text(&look)).unwrap_or_default();
            if wanted == found {
                return;
            }
            let differing = || {
                let different = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
                format!("{:?}: {different:#?}", cache.state())
            };
            assert!(begun.elapsed() < patience, "no look after {patience:?}: {}", differing());
            sleep(wait).await;
            wait = Duration::from_secs(5);
        }
    }

    pub(crate) fn config_map(&self) -> ObjectRef {
        self.cluster.object(Kind::ConfigMap, "ours")
    }

    pub(crate) async fn write(&self, value: &str) -> cluster::Applied {
        let object = self.config_map();
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": object.name, "namespace": object.namespace,
                "labels": { manifest::labels::FLEET: self.fleet().as_str() },
            },
            "data": { "value": value },
        });
        let mode = ApplyMode { dry_run: false, before: Before::Seen(String::new()) };
        self.admin.apply(Plane::Control, &body, &object, &mode).await.unwrap()
    }

    pub(crate) async fn apply_again(&self, seed: u64) {
        let record = self.admin.read_record(self.fleet(), Plane::Data).await.unwrap();
        if let Some((_, version)) = record {
            let object = self.cluster.object(Kind::ConfigMap, &manifest::Names(self.fleet()).record(Plane::Data));
            let live = self.admin.get(&object).await.unwrap().unwrap();
            self.admin.delete(&object, &live.uid, Some(&version)).await.unwrap();
        }
        self.apply(seed).await;
    }
}

pub(crate) fn text(look: &Look) -> String {
    format!("{look:#?}")
}

pub(crate) async fn until(what: &str, patience: Duration, so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < patience, "it did not come within {patience:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

pub(crate) fn always(which: Which, fault: Fault) -> Vec<Rule> {
    vec![Rule { which, chance: 1.0, fault }]
}

/// LISTs of kinds that are there.
pub(crate) fn lists(cache: &Cache) -> u64 {
    let missing = ["httproutes", "podmonitors"];
    let requests = cache.requests().into_iter().filter(|(of, _)| !missing.contains(of));
    requests.map(|(_, requests)| requests.lists).sum()
}

pub(crate) fn shown(cache: &Cache, object: &ObjectRef) -> Option<String> {
    let (look, _) = cache.look()?;
    let live = look.view.objects.get(object)?;
    live.body.json().pointer("/data/value").and_then(Json::as_str).map(str::to_owned)
}
