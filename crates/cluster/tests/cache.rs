//! The watch cache against clusters in memory, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use api_server::http::Entry;
use api_server::request::PatchType;
use api_server::{Answer, ApiError, Request, Verb, kinds};
use clock::Clock;
use cluster::{
    ApplyMode, Before, Cache, CacheState, Cluster, Limits, Look, Options, Proxies, RunKey, SecretBytes, SecretMap,
    Tallies,
};
use fleet::{Fleet, FleetName, Plane};
use manifest::{Allocations, Desired, Kind, ObjectRef, Surroundings};
use plan::{Generation, Inventory, Record};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::fault::{Fault, Faults, Rule, Which};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

const EXAMPLE: &str = include_str!("../../../examples/single-cluster/fleet.yaml");

const HOUR: Duration = Duration::from_secs(3600);

/// A cluster in memory with an example's objects, and a way to it that can be disturbed.
struct Ground {
    sandbox: Sandbox,
    name: String,
    fleet: Fleet,
    faults: Faults,
    cluster: Cluster,
    /// Undisturbed.
    admin: Cluster,
}

impl Ground {
    async fn new(seed: u64) -> Self {
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
            interactive: false,
            run_key: RunKey::new(&mut StdRng::seed_from_u64(seed)),
            tallies: Tallies::default(),
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

    async fn apply(&self, seed: u64) {
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

    fn fleet(&self) -> &FleetName {
        &self.fleet.name
    }

    fn cache(&self, seed: u64) -> Cache {
        Cache::start(self.cluster.clone(), self.fleet().clone(), &BTreeSet::new(), self.sandbox.clock().clone(), seed)
    }

    async fn live(&self, seed: u64) -> Cache {
        let cache = self.cache(seed);
        until("it is live", Duration::from_secs(10), || cache.state() == CacheState::Live).await;
        cache
    }

    fn server(&self) -> &api_server::ApiServer {
        self.sandbox.server(&self.name).unwrap()
    }

    /// What somebody else does, past all faults.
    fn call(&self, verb: Verb, kind: &'static api_server::Kind, name: Option<&str>, body: Json) -> Option<Answer> {
        let namespace = kind.namespaced.then(|| self.cluster.namespace());
        let mut request = Request::new(verb, kind, namespace, name);
        request.body = body;
        request.parameters.manager = Some("somebody".to_owned());
        self.server().call(request).ok()
    }

    fn touch(&self, kind: &'static api_server::Kind, name: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { "example.org/touched": value } } });
        assert!(self.call(Verb::Patch(PatchType::Merge), kind, Some(name), patch).is_some(), "{name} is there");
    }

    fn names(&self, kind: &'static api_server::Kind) -> Vec<String> {
        match self.call(Verb::List, kind, None, Json::Null) {
            Some(Answer::List { items, .. }) => {
                items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn asked(&self, mark: usize) -> Vec<Entry> {
        let mut asked = self.sandbox.requests(&self.name).unwrap().since(mark);
        asked.retain(|entry| entry.line.user_agent.starts_with("jitsictl"));
        asked
    }

    fn mark(&self) -> usize {
        self.sandbox.requests(&self.name).unwrap().mark()
    }

    /// Waits until the cache shows what a look shows.
    async fn converge(&self, cache: &Cache, patience: Duration) {
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

    fn config_map(&self) -> ObjectRef {
        self.cluster.object(Kind::ConfigMap, "ours")
    }

    async fn write(&self, value: &str) -> cluster::Applied {
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
}

fn text(look: &Look) -> String {
    format!("{look:#?}")
}

async fn until(what: &str, patience: Duration, so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < patience, "it did not come within {patience:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

fn always(which: Which, fault: Fault) -> Vec<Rule> {
    vec![Rule { which, chance: 1.0, fault }]
}

/// LISTs of kinds that are there.
fn lists(cache: &Cache) -> u64 {
    let missing = ["httproutes", "podmonitors"];
    let requests = cache.requests().into_iter().filter(|(of, _)| !missing.contains(of));
    requests.map(|(_, requests)| requests.lists).sum()
}

fn value(cache: &Cache, object: &ObjectRef) -> Option<String> {
    let (look, _) = cache.look()?;
    let live = look.view.objects.get(object)?;
    live.body.json().pointer("/data/value").and_then(Json::as_str).map(str::to_owned)
}

const CHANGED: [&api_server::Kind; 6] = [
    &kinds::SECRET,
    &kinds::CONFIG_MAP,
    &kinds::SERVICE,
    &kinds::NETWORK_POLICY,
    &kinds::STATEFUL_SET,
    &kinds::DEPLOYMENT,
];

/// One thing that somebody does.
async fn disturb(ground: &Ground, rng: &mut StdRng, round: usize) {
    let kind = *CHANGED.choose(rng).unwrap();
    let Some(name) = ground.names(kind).choose(rng).cloned() else { return };
    let label = |value: Option<&str>| json!({ "metadata": { "labels": { manifest::labels::FLEET: value } } });
    let merge = Verb::Patch(PatchType::Merge);
    match rng.random_range(0..9) {
        0..3 => ground.touch(kind, &name, &round.to_string()),
        3 => drop(ground.call(Verb::Delete, kind, Some(&name), Json::Null)),
        4 => drop(ground.call(merge, kind, Some(&name), label(None))),
        5 => drop(ground.call(merge, kind, Some(&name), label(Some(ground.fleet().as_str())))),
        6 => {
            if let Some(pod) = ground.names(&kinds::POD).choose(rng) {
                ground.call(Verb::Delete, &kinds::POD, Some(pod), Json::Null);
            }
        }
        7 => {
            let (look, plane) = (ground.admin.look(ground.fleet()).await.unwrap(), Plane::Data);
            let shelf = look.shelves.get(&plane).cloned().unwrap_or_default();
            let mut inventory = Inventory { generation: Generation(round as u64), ..shelf.inventory() };
            inventory.units.insert(manifest::UnitId::Haproxy, BTreeMap::new());
            inventory.units.remove(&manifest::UnitId::Haproxy).filter(|_| round.is_multiple_of(2));
            ground.admin.write_inventory(ground.fleet(), plane, &shelf, &inventory).await.unwrap();
        }
        _ => {
            let node = ground.names(&kinds::NODE).choose(rng).cloned().unwrap();
            let patch = json!({ "spec": { "unschedulable": rng.random_bool(0.5) } });
            ground.call(merge, &kinds::NODE, Some(&node), patch);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_shows_what_a_look_shows_whatever_happens() {
    for seed in 1..3 {
        let ground = Ground::new(seed).await;
        let cache = ground.cache(seed);
        assert_eq!(cache.state(), CacheState::Connecting);
        assert!(cache.look().is_none());
        ground.converge(&cache, Duration::from_secs(30)).await;
        assert_eq!(cache.state(), CacheState::Live);
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0..20 {
            for _ in 0..rng.random_range(1..6) {
                disturb(&ground, &mut rng, round).await;
            }
            match rng.random_range(0..12) {
                0 => ground.server().compact(),
                1 => ground.server().disconnect_watches(),
                2 => ground.faults.cut_connections(),
                3 => {
                    ground.server().compact();
                    ground.faults.cut_connections();
                }
                4 => sleep(Duration::from_secs(300)).await,
                _ => {}
            }
            if rng.random_bool(0.3) {
                ground.apply_again(seed).await;
            }
            ground.converge(&cache, Duration::from_secs(60)).await;
        }
        ground.sandbox.stop().await;
    }
}

impl Ground {
    async fn apply_again(&self, seed: u64) {
        let record = self.admin.read_record(self.fleet(), Plane::Data).await.unwrap();
        if let Some((_, version)) = record {
            let object = self.cluster.object(Kind::ConfigMap, &manifest::Names(self.fleet()).record(Plane::Data));
            let live = self.admin.get(&object).await.unwrap().unwrap();
            self.admin.delete(&object, &live.uid, Some(&version)).await.unwrap();
        }
        self.apply(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_compacted_away_costs_one_list() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    sleep(Duration::from_secs(30)).await;
    let before = cache.requests();
    ground.faults.set_down(true);
    ground.write("while nobody watched").await;
    ground.server().compact();
    ground.faults.set_down(false);
    ground.converge(&cache, Duration::from_secs(30)).await;
    sleep(Duration::from_secs(30)).await;
    let after = cache.requests();
    assert_eq!(after["configmaps"].lists, before["configmaps"].lists + 1);
    assert!(after.iter().all(|(of, now)| now.lists <= before[of].lists + 1), "{before:?} {after:?}");
    assert_eq!(value(&cache, &ground.config_map()).as_deref(), Some("while nobody watched"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    sleep(Duration::from_secs(30)).await;
    let before = (lists(&cache), cache.requests()["configmaps"].watches);
    for (round, cut) in ["a", "b", "c", "d"].into_iter().enumerate() {
        if round % 2 == 0 {
            ground.server().disconnect_watches()
        } else {
            ground.faults.cut_connections()
        }
        ground.write(cut).await;
        let seen =
            until("it is seen", Duration::from_secs(2), || value(&cache, &ground.config_map()).as_deref() == Some(cut));
        seen.await;
        assert_eq!(cache.state(), CacheState::Live, "that is nothing to talk about");
        sleep(Duration::from_secs(20)).await;
    }
    assert_eq!((lists(&cache), cache.requests()["configmaps"].watches), (before.0, before.1 + 4));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_watch_is_given_up() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    sleep(Duration::from_secs(70)).await;
    let before = lists(&cache);
    ground.faults.set(always(Which::All, Fault::HalfOpen));
    ground.cluster.namespace_state().await.unwrap_err();
    ground.faults.set(Vec::new());
    ground.write("unseen").await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(value(&cache, &ground.config_map()), None, "nobody said so");
    let (_, old) = cache.look().unwrap();
    assert!(ground.sandbox.clock().now().duration_since(old).as_secs() >= 30, "and that shows");
    let took = until("it is seen", Duration::from_secs(330), || value(&cache, &ground.config_map()).is_some()).await;
    assert!(took > Duration::from_secs(60), "{took:?}");
    ground.converge(&cache, Duration::from_secs(330)).await;
    until("it is live", Duration::from_secs(330), || cache.state() == CacheState::Live).await;
    assert_eq!(lists(&cache), before);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_may_be_gone_for_an_hour() {
    for hangs in [false, true] {
        let ground = Ground::new(1).await;
        let cache = ground.live(1).await;
        ground.write("before").await;
        sleep(Duration::from_secs(90)).await;
        let before = ground.faults.counts();
        if hangs {
            ground.faults.partition()
        } else {
            ground.faults.set_down(true)
        }
        let is_lost = || matches!(cache.state(), CacheState::Lost { .. });
        let took = until("it is lost", Duration::from_secs(400), is_lost).await;
        assert!(hangs || took < Duration::from_secs(60), "{took:?}");
        assert!(cache.look().is_none() && !cache.caught_up());
        sleep(HOUR).await;
        assert!(is_lost());
        let tries = ground.faults.counts().requests - before.requests;
        assert!(tries < 14 * 250, "{tries} {:?}", cache.requests());
        ground.write("meanwhile").await;
        ground.server().compact();
        ground.faults.heal();
        let took = until("it is back", Duration::from_secs(60), || cache.look().is_some()).await;
        assert!(took < Duration::from_secs(50), "{took:?}");
        assert_eq!(value(&cache, &ground.config_map()).as_deref(), Some("meanwhile"), "not what was before");
        ground.converge(&cache, Duration::from_secs(10)).await;
        assert_eq!(cache.state(), CacheState::Live);
        ground.sandbox.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_hour_costs_watches_and_at_most_one_list_a_kind() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    sleep(Duration::from_secs(600)).await;
    for _ in 0..2 {
        let mark = ground.mark();
        sleep(HOUR).await;
        let mut asked: BTreeMap<(String, &str), usize> = BTreeMap::new();
        for entry in ground.asked(mark) {
            *asked.entry((entry.line.resource.clone(), entry.line.verb)).or_default() += 1;
        }
        for ((resource, verb), count) in asked {
            match verb {
                "watch" => assert!((11..=21).contains(&count), "{resource}: {count} watches"),
                "list" => assert!(count <= 1, "{resource}: {count} lists"),
                // Two kinds whose CRD might come.
                "get" if resource.is_empty() => assert!(count <= 2 * 20, "{count} lists of what is not there"),
                verb => panic!("{verb} {resource}"),
            }
        }
        let (_, as_of) = cache.look().unwrap();
        assert!(ground.sandbox.clock().now().duration_since(as_of).as_secs() <= 61, "bookmarks are signs of life");
    }
    assert!(cache.requests().values().all(|requests| requests.lists >= 2), "but it is listed again");
    ground.converge(&cache, Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn our_own_writes_are_waited_for() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    sleep(Duration::from_secs(30)).await;
    let before = lists(&cache);
    let object = ground.config_map();
    assert!(cache.caught_up());
    for value in ["a", "b"] {
        let written = ground.write(value).await;
        cache.wrote(&object, &written.version);
        let took = until("it is seen", Duration::from_secs(2), || cache.caught_up()).await;
        assert!(took < Duration::from_millis(100), "{took:?}");
        assert_eq!(self::value(&cache, &object).as_deref(), Some(value));
    }

    // A watch that is late.
    ground.faults.partition();
    let written = ground.write("late").await;
    cache.wrote(&object, &written.version);
    ground.admin.delete(&object, &written.uid, None).await.unwrap();
    cache.deleted(&object, &written.uid);
    sleep(Duration::from_secs(5)).await;
    assert!(!cache.caught_up());
    ground.faults.heal();
    until("it is seen", Duration::from_secs(5), || cache.caught_up()).await;
    assert_eq!(self::value(&cache, &object), None);
    assert_eq!(lists(&cache), before);

    // What no watch will ever show.
    let newest = written.version.parse::<u64>().unwrap() + 1_000_000;
    let mut changes = cache.subscribe();
    changes.mark_unchanged();
    cache.wrote(&object, &newest.to_string());
    sleep(Duration::from_secs(5)).await;
    assert!(!cache.caught_up());
    let took = until("it is confirmed", Duration::from_secs(10), || cache.caught_up()).await;
    assert!(took > Duration::from_secs(4), "{took:?}");
    assert!(changes.has_changed().unwrap(), "and that is news");
    assert_eq!(lists(&cache), before + 1);
}

#[tokio::test(start_paused = true)]
async fn pods_that_we_delete_are_waited_for() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    until("pods run", Duration::from_secs(600), || cache.look().unwrap().0.view.pods.len() > 2).await;
    let pod = cache.look().unwrap().0.view.pods.into_values().next().unwrap();
    ground.admin.delete_pod(&pod.name, &pod.uid, None).await.unwrap();
    cache.deleted_pod(&pod.name, &pod.uid);
    until("it is seen", Duration::from_secs(2), || cache.caught_up()).await;
    let (look, _) = cache.look().unwrap();
    let now = look.view.pods.get(&pod.name);
    assert!(now.is_none_or(|now| now.uid != pod.uid || now.phase == plan::PodPhase::Terminating));
}

/// A kind that is not installed costs a request in an hour, unless somebody waits for it.
#[tokio::test(start_paused = true)]
async fn a_kind_that_is_missing_is_asked_for_when_somebody_seeks_it() {
    const HOUR: Duration = Duration::from_secs(3600);
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    let asked = || ["podmonitors", "httproutes"].map(|of| cache.requests()[of].lists);
    assert_eq!(asked(), [1, 1]);
    sleep(HOUR).await;
    assert_eq!(asked(), [1, 1], "it is said that they are not there, once");
    cache.seek(BTreeSet::from([Kind::PodMonitor]));
    let before = asked();
    sleep(HOUR).await;
    let [monitors, routes] = asked();
    assert!((before[0] + 10..before[0] + 25).contains(&monitors), "{monitors} times in an hour");
    assert!(routes <= before[1] + 1, "{routes} times");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_is_said_and_asked_again() {
    let ground = Ground::new(1).await;
    let message = "services is forbidden: User \"x\" cannot list resource \"services\" in API group \"\"";
    let refusal = Fault::Refuse(ApiError::new(403, "Forbidden", message));
    let forbidden = always(Which::Resource("services".to_owned()), refusal);
    ground.faults.set(forbidden.clone());
    let cache = ground.live(1).await;
    let (look, _) = cache.look().unwrap();
    let disturbed = ground.cluster.look(ground.fleet()).await.unwrap();
    assert_eq!(look.view.unreadable_kinds, disturbed.view.unreadable_kinds);
    assert!(look.view.unreadable_kinds.contains_key(&Kind::Service));
    assert!(look.view.missing_kinds.contains(&Kind::PodMonitor));
    ground.faults.set(Vec::new());
    ground.converge(&cache, Duration::from_secs(300)).await;

    // A right that is taken away.
    ground.faults.set(forbidden);
    ground.faults.cut_connections();
    until("it is said", Duration::from_secs(5), || {
        cache.look().unwrap().0.view.unreadable_kinds.contains_key(&Kind::Service)
    })
    .await;
    assert!(cache.look().unwrap().0.view.objects.keys().all(|object| object.kind != Kind::Service));
    assert_eq!(cache.state(), CacheState::Live);
    let asked = || cache.requests()["services"].lists;
    sleep(2 * HOUR).await;
    let before = asked();
    sleep(2 * HOUR).await;
    assert!((before + 1..=before + 2).contains(&asked()), "{} times in two hours", asked() - before);
    cache.seek(BTreeSet::from([Kind::Service]));
    sleep(2 * HOUR).await;
    let before = asked();
    sleep(HOUR).await;
    assert!((before + 10..before + 30).contains(&asked()), "{} times in an hour", asked() - before);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_is_not_asked_for_before_somebody_seeks_it() {
    let ground = Ground::new(1).await;
    let needless = BTreeSet::from([Kind::Deployment, Kind::NetworkPolicy]);
    let clock = ground.sandbox.clock().clone();
    let cache = Cache::start(ground.cluster.clone(), ground.fleet().clone(), &needless, clock, 1);
    until("it is live", Duration::from_secs(10), || cache.state() == CacheState::Live).await;
    sleep(HOUR).await;
    let unreadable = || cache.look().unwrap().0.view.unreadable_kinds.into_keys().collect::<Vec<_>>();
    assert_eq!(unreadable(), [Kind::NetworkPolicy, Kind::Deployment], "unknown is not absent");
    assert!(!cache.requests().contains_key("deployments"));
    cache.seek(BTreeSet::from([Kind::Deployment]));
    until("it is read", Duration::from_secs(5), || unreadable() == [Kind::NetworkPolicy]).await;
    assert!(cache.look().unwrap().0.view.objects.keys().any(|object| object.kind == Kind::Deployment));
    cache.seek(BTreeSet::new());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(unreadable(), [Kind::NetworkPolicy], "and followed from then on");
}

/// As when the webhook is dead that converts a kind's objects.
#[tokio::test(start_paused = true)]
async fn an_add_on_that_is_broken_is_left_out_and_nothing_else_is() {
    let ground = Ground::new(1).await;
    let broken = |plural: &str| always(Which::Resource(plural.to_owned()), Fault::refusal(500));
    ground.faults.set(broken("ingresses"));
    let cache = ground.live(1).await;
    let unreadable = || cache.look().unwrap().0.view.unreadable_kinds.into_keys().collect::<Vec<_>>();
    assert_eq!(unreadable(), [Kind::Ingress], "it is not known what there is of it");
    ground.faults.set(Vec::new());
    ground.converge(&cache, Duration::from_secs(10)).await;
    assert!(unreadable().is_empty());

    ground.faults.set(broken("ingresses"));
    ground.faults.cut_connections();
    until("it is left out", Duration::from_secs(10), || unreadable() == [Kind::Ingress]).await;
    ground.faults.set(broken("services"));
    ground.faults.cut_connections();
    until("it is told", Duration::from_secs(10), || matches!(cache.state(), CacheState::Degraded { .. })).await;
    sleep(Duration::from_secs(600)).await;
    assert!(!unreadable().contains(&Kind::Service) && !cache.is_cut_off(), "what is known stays known");
    ground.faults.set(Vec::new());
    ground.converge(&cache, Duration::from_secs(300)).await;
}

/// An API server that has just started knows of no rights for a moment, and of no kinds that were added.
#[tokio::test(start_paused = true)]
async fn what_a_server_that_has_just_started_refuses_is_soon_asked_again() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    let forbidden = (403, "Forbidden", "services is forbidden: User \"x\" cannot watch resource \"services\"");
    let unknown = (404, "NotFound", "the server could not find the requested resource");
    for (code, reason, message) in [forbidden, unknown, forbidden] {
        sleep(Duration::from_secs(60)).await;
        let refusal = Fault::Refuse(ApiError::new(code, reason, message));
        ground.faults.set(always(Which::Resource("services".to_owned()), refusal));
        ground.faults.cut_connections();
        until("it is said", Duration::from_secs(5), || {
            let view = cache.look().unwrap().0.view;
            view.unreadable_kinds.contains_key(&Kind::Service) || view.missing_kinds.contains(&Kind::Service)
        })
        .await;
        cache.seek(BTreeSet::from([Kind::Service]));
        sleep(Duration::from_secs(2)).await;
        ground.faults.set(Vec::new());
        ground.converge(&cache, Duration::from_secs(8)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_accepted_are_told() {
    let ground = Ground::new(1).await;
    let cache = ground.live(1).await;
    ground.faults.set(always(Which::All, Fault::refusal(401)));
    ground.faults.cut_connections();
    let degraded = || matches!(cache.state(), CacheState::Degraded { .. });
    until("it is told", Duration::from_secs(3), degraded).await;
    sleep(HOUR).await;
    assert!(degraded() && cache.look().is_some(), "what is known stays known: {:?}", cache.state());
    ground.faults.heal();
    until("it is live", Duration::from_secs(60), || cache.state() == CacheState::Live).await;
    ground.converge(&cache, Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_it() {
    let ground = Ground::new(1).await;
    // The client keeps the connections that it once made.
    drop(ground.live(1).await);
    sleep(HOUR).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for stop in [true, false] {
        let before = tasks();
        let cache = ground.live(1).await;
        let other = cache.clone();
        drop(cache);
        sleep(HOUR).await;
        assert_eq!(other.state(), CacheState::Live, "there is another handle");
        assert!(tasks() > before + 12);
        if stop {
            other.stop();
            assert!(matches!(other.state(), CacheState::Lost { .. }) && other.look().is_none());
            sleep(Duration::from_secs(60)).await;
            assert!(tasks() <= before + 1, "{} > {before}", tasks());
        }
        drop(other);
        sleep(Duration::from_secs(60)).await;
        assert!(tasks() <= before + 1, "{} > {before}", tasks());
    }
}
