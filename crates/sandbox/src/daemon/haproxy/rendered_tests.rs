//! The configuration as it is really rendered, for made-up servers and out of the golden files.

use std::time::Duration;

use control_plane::haproxy_cfg::{HaproxyConfig, Peer, Server as Slot, Times, render};

use super::{
    config::{State, read},
    expression::RoomRequest,
    route::route,
};

fn slot(name: &str, id: u16, weight: u8, release: &str) -> Slot {
    let address = format!("meet-{name}-web.meet.svc.cluster.local:80");
    Slot { name: name.to_owned(), id, address, weight, release: release.to_owned() }
}

fn rendered(servers: Vec<Slot>) -> String {
    let peer = |number: u32| Peer {
        name: format!("meet-haproxy-{number}"),
        address: format!("meet-haproxy-{number}.meet.svc.cluster.local"),
        port: 10_000,
        bind: ":10000".to_owned(),
    };
    render(&HaproxyConfig {
        bind: ":8080".to_owned(),
        runtime: "ipv4@127.0.0.1:9999".to_owned(),
        metrics: Some(":8405".to_owned()),
        peers: vec![peer(0), peer(1)],
        servers,
        live: "stable-2".to_owned(),
        resolve: true,
        times: Times::default(),
        trusted: vec!["10.0.0.0/8".to_owned()],
        regions: vec![("192.0.2.0/24".parse().unwrap(), "osl".to_owned())],
        snippet: None,
    })
}

/// Two shards of the live release, one that gets no new rooms, and one of another release.
fn state() -> State {
    let servers = vec![
        slot("alpha-a", 10, 1, "stable-2"),
        slot("beta-a", 12, 1, "stable-2"),
        slot("gamma-a", 14, 0, "stable-2"),
        slot("delta-b", 17, 0, "stable-1"),
    ];
    let state = read(&rendered(servers), "meet-haproxy-0").unwrap();
    assert_eq!(state.ignored, Vec::<String>::new());
    state
}

fn request(path: &str, query: &str, referer: Option<&str>) -> RoomRequest {
    RoomRequest { path: path.to_owned(), query: query.to_owned(), referer: referer.map(str::to_owned) }
}

fn server(state: &mut State, path: &str, query: &str, referer: Option<&str>) -> Option<u32> {
    route(state, &request(path, query, referer)).upstream.map(|upstream| upstream.id)
}

#[tokio::test(start_paused = true)]
async fn one_room_has_one_key_however_it_is_written() {
    let mut state = state();
    let ways = [
        ("/Acme/xmpp-websocket", "room=My%20Room"),
        ("/acme/http-bind", "room=my%2520room&x=1"),
        ("/acme/http-bind/", "x=1&room=MY%20room"),
        ("/acme/conference-request/v1", "room=my%20room"),
        ("/ACME/My%20Room", ""),
        ("/acme/my%2520room/", ""),
    ];
    for (path, query) in ways {
        assert!(server(&mut state, path, query, None).is_some());
    }
    let keys: Vec<&str> = state.tables["rooms"].alive().map(|(key, _)| key).collect();
    assert_eq!(keys, ["/acme/my room"]);
    server(&mut state, "/xmpp-websocket", "room=my%20room", None);
    let keys: Vec<&str> = state.tables["rooms"].alive().map(|(key, _)| key).collect();
    assert_eq!(keys, ["/acme/my room", "/my room"], "a tenant has rooms of its own");
}

#[tokio::test(start_paused = true)]
async fn only_signalling_is_kept_and_weights_are_heard() {
    let mut state = state();
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..400 {
        let page = server(&mut state, &format!("/room{number}"), "", None);
        let signalling = server(&mut state, "/http-bind", &format!("room=room{number}"), None);
        assert_eq!(page, signalling, "a page and its room are on one server");
        *counts.entry(page).or_insert(0) += 1;
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [Some(10), Some(12)], "{counts:?}");
    assert!(counts.values().all(|count| *count > 150), "{counts:?}");
    server(&mut state, "/nobody-came", "", None);
    assert_eq!(state.tables["rooms"].alive().count(), 400);
    // What the table says counts, whatever the weight.
    state.tables.get_mut("rooms").unwrap().put("/old", 14);
    assert_eq!(server(&mut state, "/xmpp-websocket", "room=Old", None), Some(14));
}

#[tokio::test(start_paused = true)]
async fn files_follow_their_page_and_pages_their_room() {
    let mut state = state();
    state.tables.get_mut("rooms").unwrap().put("/t/old", 17);
    let mut file = |referer: Option<&str>| server(&mut state, "/libs/app.bundle.min.js", "v=9", referer);
    assert_eq!(file(Some("https://meet.example.org/T/Old?jwt=x.y")), Some(17), "the room's own release");
    let live = [Some(10), Some(12)];
    assert!(live.contains(&file(Some("https://meet.example.org/t/new"))));
    assert!(live.contains(&file(None)), "without a room: the live release");
    assert_eq!(server(&mut state, "/t/old", "", None), Some(17));
    assert_eq!(state.tables["rooms"].alive().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn checks_peers_and_tables_are_as_rendered() {
    let state = state();
    let check = state.servers[0].check.unwrap();
    assert_eq!((check.every, check.fall, check.rise), (Duration::from_secs(5), 36, 2));
    assert_eq!(state.peers, [("meet-haproxy-1.meet.svc.cluster.local".to_owned(), 10_000)]);
    assert_eq!((state.socket, state.tables["rooms"].expire), (Some(9999), Duration::from_secs(86_400)));
    let other = read(&rendered(vec![slot("alpha-a", 10, 1, "stable-2")]), "meet-haproxy-1").unwrap();
    assert_eq!(other.peers[0].0, "meet-haproxy-0.meet.svc.cluster.local");
}

#[tokio::test(start_paused = true)]
async fn every_golden_configuration_is_followed() {
    let golden = [
        include_str!("../../../../../tests/golden/reference.snap"),
        include_str!("../../../../../tests/golden/legacy-websockets.snap"),
        include_str!("../../../../../tests/golden/shared-pool.snap"),
        include_str!("../../../../../tests/golden/split-cluster.snap"),
    ];
    for text in golden {
        let body = text.split_once("  haproxy.cfg: |+\n").unwrap().1.split_once("\nkind: ConfigMap").unwrap().0;
        let mut state = read(body, "meet-haproxy-0").unwrap();
        assert_eq!(state.ignored, Vec::<String>::new());
        let first = server(&mut state, "/T/xmpp-websocket", "room=R", None);
        assert!(first.is_some());
        assert_eq!(state.tables["rooms"].alive().next().map(|(key, _)| key), Some("/t/r"));
        assert_eq!(server(&mut state, "/css/all.css", "v=1", Some("https://x/t/R")), first);
    }
}

/// What haproxy 2.6.12 made of the same requests by the same lines.
#[tokio::test(start_paused = true)]
async fn keys_are_those_of_the_real_one() {
    let cases = [
        ("/Acme/xmpp-websocket", "room=My%20Room", None, "/acme/my room", true),
        ("/acme/http-bind", "room=my%2520room&x=1", None, "/acme/my room", true),
        ("/acme/http-bind/", "x=1&room=MY%20room", None, "/acme/my room", true),
        ("/acme/conference-request/v1", "room=my%20room", None, "/acme/my room", true),
        ("/ACME/My%20Room", "", None, "/acme/my room", false),
        ("/acme/my%2520room/", "", None, "/acme/my room", false),
        ("/libs/app.js", "v=9", Some("https://h/T/Old?jwt=x.y"), "/t/old", false),
        ("/room+x", "", None, "/room+x", false),
        ("/http-bind", "room=a+b", None, "/a+b", true),
        ("/http-bind", "", None, "/http-bind", false),
        ("/http-bind", "room=", None, "/", true),
        ("/http-bind", "room=%C3%84b", None, "/Äb", true),
        ("/http-bind", "roomx=1&room=q", None, "/q", true),
        ("/T//x", "a", None, "/t//x", false),
    ];
    let state = state();
    for (path, query, referer, key, store) in cases {
        let request = request(path, query, referer);
        let judged = state.frontend.judge(&request, &state.tables, &state.sticks).unwrap();
        assert_eq!((judged.key.as_deref(), judged.store), (Some(key), store), "{path}?{query}");
    }
    let request = request("/libs/app.js", "v=9", None);
    assert_eq!(state.frontend.judge(&request, &state.tables, &state.sticks).unwrap().key, None);
}
