use std::time::Duration;

use serde_json::json;

use super::{
    Load, People,
    fixture::{Fixture, Size},
};

const SMALL: Size = Size { shards: 2, bridges: 3, proxies: 2 };

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

async fn met(size: Size, people: u16) -> (Fixture, People) {
    let fixture = Fixture::start(size);
    seconds(20).await;
    let callers = People::start(fixture.world(), Load::none(), 1);
    callers.meet("/stand-up", people, Duration::from_secs(3600));
    seconds(5).await;
    assert_eq!(callers.report().participants_now, u64::from(people));
    (fixture, callers)
}

fn bridge_of(fixture: &Fixture) -> String {
    let people = |pod: &str| fixture.ask(pod, 8080, "GET", "/colibri/stats").1["local_endpoints"].as_u64();
    let pods = (0..3).map(|number| format!("jvb-{number}"));
    pods.into_iter().find(|pod| people(pod).is_some_and(|count| count > 0)).unwrap()
}

fn shard_of(fixture: &Fixture) -> usize {
    let stats = |shard: usize| fixture.ask(&format!("shard{shard}-jicofo"), 8888, "GET", "/stats").1;
    (0..2).find(|shard| stats(*shard)["conferences"] == json!(1)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_killed_bridge_interrupts_each_of_its_people_once() {
    let (fixture, callers) = met(SMALL, 10).await;
    let bridge = bridge_of(&fixture);
    fixture.kill(&bridge);
    // It said nothing: its place is kept for 15 s, in case that it comes back.
    seconds(14).await;
    assert_eq!(callers.report().interruptions.total(), 0);
    seconds(3).await;
    assert!(callers.settle().await);
    let report = callers.report();
    assert_eq!((report.interruptions.bridge_killed, report.interruptions.total()), (10, 10));
    assert_eq!((report.participants_now, report.worst), (10, 1));
    assert_ne!(bridge_of(&fixture), bridge);
}

#[tokio::test(start_paused = true)]
async fn a_drain_moves_nobody_and_a_move_everybody() {
    let (fixture, callers) = met(SMALL, 10).await;
    let bridge = bridge_of(&fixture);
    assert_eq!(fixture.ask(&bridge, 8080, "POST", "/colibri/drain/enable").0, 200);
    seconds(600).await;
    assert_eq!((bridge_of(&fixture).as_str(), callers.report().interruptions.total()), (bridge.as_str(), 0));

    let jicofo = format!("shard{}-jicofo", shard_of(&fixture));
    let path = format!("/move-endpoints/move-fraction?bridge={bridge}&fraction=0.5");
    // Without relays a part of a conference gets the same bridge again.
    let (_, moved) = fixture.ask(&jicofo, 8888, "GET", &path);
    assert_eq!(moved, json!({ "movedEndpoints": 5, "conferences": 1 }));
    seconds(60).await;
    assert_eq!((bridge_of(&fixture).as_str(), callers.report().interruptions.total()), (bridge.as_str(), 0));
    let (_, moved) = fixture.ask(&jicofo, 8888, "GET", &path.replace("0.5", "1"));
    assert_eq!(moved["movedEndpoints"], json!(10));
    seconds(60).await;
    assert_ne!(bridge_of(&fixture), bridge);
    assert_eq!(callers.report().interruptions.bridge_moved, 10);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_tells_what_is_so_when_it_tells_it() {
    let fixture = Fixture::start(SMALL);
    seconds(20).await;
    let drains = || {
        let (_, debug) = fixture.ask("shard0-jicofo", 8888, "GET", "/debug");
        let bridges = debug["bridge_selector"]["bridge"].as_object().unwrap();
        bridges.values().filter(|bridge| bridge["drain"] == json!(true)).count()
    };
    assert_eq!(fixture.ask("jvb-0", 8080, "POST", "/colibri/drain/enable").0, 200);
    assert_eq!(fixture.ask("jvb-1", 8080, "POST", "/colibri/drain/enable").0, 200);
    seconds(1).await;
    assert_eq!(fixture.ask("jvb-1", 8080, "POST", "/colibri/drain/disable").0, 200);
    assert_eq!(drains(), 0, "not told yet");
    tokio::time::sleep(Duration::from_millis(4500)).await;
    assert_eq!(drains(), 1, "the second one had changed its mind before it told anybody");
}

#[tokio::test(start_paused = true)]
async fn a_drained_shard_keeps_its_rooms_and_gets_no_new_ones() {
    let (fixture, callers) = met(SMALL, 4).await;
    let shard = shard_of(&fixture);
    for proxy in ["haproxy-0", "haproxy-1"] {
        assert_eq!(fixture.say(proxy, &format!("set server live/shard{shard} weight 0")).trim(), "");
    }
    for room in 0..20 {
        callers.meet(&format!("/room{room}"), 2, Duration::from_secs(600));
    }
    callers.meet("/stand-up", 1, Duration::from_secs(600));
    seconds(300).await;
    let stats = |shard: usize| fixture.ask(&format!("shard{shard}-jicofo"), 8888, "GET", "/stats").1;
    assert_eq!((&stats(shard)["conferences"], &stats(shard)["participants"]), (&json!(1), &json!(5)));
    assert_eq!(stats(1 - shard)["conferences"], json!(20));
    assert_eq!((callers.report().interruptions.total(), callers.report().split_conferences), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_restarts_learns_its_rooms_from_its_peer() {
    let (fixture, callers) = met(SMALL, 20).await;
    let shard = shard_of(&fixture);
    // Only the table holds the room there from now on.
    for proxy in ["haproxy-0", "haproxy-1"] {
        assert_eq!(fixture.say(proxy, &format!("set server live/shard{shard} weight 0")).trim(), "");
    }
    fixture.kill("haproxy-0");
    fixture.start_proxy(0);
    seconds(30).await;
    assert!(fixture.say("haproxy-0", "show table rooms").contains("key=/stand-up "));
    assert!(callers.settle().await);
    fixture.kill("haproxy-1");
    fixture.start_proxy(1);
    seconds(300).await;
    let report = callers.report();
    // Everybody was on one of the two; who came back by the other was cut a second time.
    assert_eq!((report.interrupted_participants, report.worst), (20, 2));
    assert_eq!(report.interruptions.websocket_cut, report.interruptions.total());
    assert_eq!((report.split_conferences, shard_of(&fixture)), (0, shard));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_restarts_throws_everybody_out_once() {
    let (fixture, callers) = met(SMALL, 6).await;
    let shard = shard_of(&fixture);
    fixture.kill(&format!("shard{shard}-jicofo"));
    fixture.start_shard(shard);
    seconds(5).await;
    assert!(callers.settle().await);
    let report = callers.report();
    assert_eq!((report.interruptions.shard_restarted, report.participants_now), (6, 6));
    assert_eq!(shard_of(&fixture), shard, "three minutes have not passed");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_brings_the_same_people() {
    let mut reports = Vec::new();
    for _ in 0..2 {
        let fixture = Fixture::start(SMALL);
        let callers = People::start(fixture.world(), Load { per_day: 2_000, peak: 100, ..Load::default() }, 7);
        seconds(10 * 3600).await;
        fixture.kill("jvb-1");
        seconds(3600).await;
        reports.push(callers.report());
    }
    assert_eq!(reports[0], reports[1]);
    assert!(reports[0].interruptions.bridge_killed > 0 && reports[0].conferences > 300, "{:?}", reports[0].events);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_he_is_on_the_way_back_is_not_waited_for() {
    let fixture = Fixture::start(SMALL);
    seconds(20).await;
    let callers = People::start(fixture.world(), Load::none(), 1);
    callers.meet("/short", 4, Duration::from_secs(60));
    seconds(5).await;
    // No way back in: neither by a websocket nor by a page.
    for gone in ["haproxy-0", "haproxy-1", "shard0-prosody", "shard1-prosody"] {
        fixture.kill(gone);
        seconds(2).await;
    }
    callers.meet("/late", 2, Duration::from_secs(30));
    seconds(120).await;
    assert_eq!(callers.report().participants_now, 0);
    let begun = tokio::time::Instant::now();
    assert!(callers.settle().await, "everybody has gone");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn one_event_is_one_interruption() {
    let (fixture, callers) = met(SMALL, 6).await;
    let shard = shard_of(&fixture);
    // The entrance forgets its rooms and leads to the other shard: the websocket breaks, and comes back elsewhere.
    for proxy in 0..2 {
        fixture.kill(&format!("haproxy-{proxy}"));
    }
    seconds(1).await;
    for proxy in 0..2 {
        fixture.start_proxy(proxy);
        assert_eq!(
            fixture.say(&format!("haproxy-{proxy}"), &format!("set server live/shard{shard} weight 0")).trim(),
            ""
        );
    }
    seconds(120).await;
    assert!(callers.settle().await);
    let report = callers.report();
    assert_eq!((report.interruptions.wrong_shard, report.interruptions.total()), (6, 6), "{report:?}");
    assert_eq!((report.interrupted_participants, report.worst), (6, 1));
    assert_eq!(shard_of(&fixture), 1 - shard);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_stays_away_is_one_interruption() {
    let (fixture, callers) = met(SMALL, 6).await;
    for proxy in 0..2 {
        fixture.kill(&format!("haproxy-{proxy}"));
    }
    seconds(300).await;
    assert_eq!(callers.report().participants_now, 0, "sessions are given up after a minute");
    for proxy in 0..2 {
        fixture.start_proxy(proxy);
    }
    assert!(callers.settle().await);
    let report = callers.report();
    assert_eq!((report.interruptions.websocket_cut, report.interruptions.total()), (6, 6), "{report:?}");
    assert_eq!(report.participants_now, 6);
}

#[tokio::test(start_paused = true)]
async fn who_is_on_a_bridge_that_is_detached_moves_at_once() {
    let (fixture, callers) = met(SMALL, 10).await;
    let bridge = bridge_of(&fixture);
    let id = format!("shard{}", shard_of(&fixture));
    let (code, _) = fixture.tell(&bridge, 8080, "/colibri/muc-client/remove", &json!({ "id": id }));
    assert_eq!(code, 200);
    seconds(2).await;
    assert_eq!(callers.report().interruptions.bridge_moved, 10);
    assert!(callers.settle().await);
    assert_ne!(bridge_of(&fixture), bridge);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_stays_away_keeps_its_rooms_for_three_minutes() {
    let (fixture, callers) = met(SMALL, 6).await;
    let shard = shard_of(&fixture);
    fixture.kill(&format!("shard{shard}-prosody"));
    seconds(170).await;
    let down = format!("live,shard{shard},0,0,0,0,,0,0,0,,0,,0,0,0,0,DOWN");
    assert_eq!(callers.report().participants_now, 0, "503 rather than another shard");
    assert!(!fixture.say("haproxy-0", "show stat").contains(&down));
    seconds(60).await;
    assert!(fixture.say("haproxy-0", "show stat").contains(&down));
    assert!(callers.settle().await);
    let report = callers.report();
    assert_eq!((report.participants_now, report.interruptions.shard_restarted), (6, 6));
    assert_eq!((report.interruptions.total(), report.worst, shard_of(&fixture)), (6, 1, 1 - shard));
}
