//! What a cache shows while watches end, are lost, or are of no use any more.

use std::collections::BTreeMap;
use std::time::Duration;

use api_server::request::PatchType;
use api_server::{Verb, kinds};
use cluster::CacheState;
use fleet::Plane;
use plan::{Generation, Inventory};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::fault::{Fault, Which};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::HOUR;
use super::ground::{Ground, always, lists, shown, until};

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
    assert_eq!(shown(&cache, &ground.config_map()).as_deref(), Some("while nobody watched"));
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
            until("it is seen", Duration::from_secs(2), || shown(&cache, &ground.config_map()).as_deref() == Some(cut));
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
    assert_eq!(shown(&cache, &ground.config_map()), None, "nobody said so");
    let (_, old) = cache.look().unwrap();
    assert!(ground.sandbox.clock().now().duration_since(old).as_secs() >= 30, "and that shows");
    let took = until("it is seen", Duration::from_secs(330), || shown(&cache, &ground.config_map()).is_some()).await;
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
        assert_eq!(shown(&cache, &ground.config_map()).as_deref(), Some("meanwhile"), "not what was before");
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
