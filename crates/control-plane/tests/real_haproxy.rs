//! The rendered configuration in the real haproxy: where rooms go, and that they stay.

mod proxy;

use std::time::{Duration, Instant};

use proxy::{Site, header, within};

const SOON: Duration = Duration::from_secs(30);

fn both(net: u8, releases: &[&str]) -> Site {
    let mut site = Site::new(net, releases);
    site.start(0);
    site.start(1);
    site
}

#[test]
fn a_room_is_on_one_shard_whatever_asks_and_wherever() {
    let site = both(41, &["r1", "r1", "r1"]);
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..20 {
        let home = site.ask(number % 2, &format!("GET /acme/http-bind?room=caf%25C3%25A9{number}"));
        let other = (number + 1) % 2;
        within(SOON, "the other proxy learns the room", || site.known(other) > number);
        for request in [
            format!("GET /acme/http-bind?room=caf%C3%A9{number}"),
            format!("POST /acme/http-bind?room=CAF%C3%A9{number}&x=1"),
            format!("GET /ACME/http-bind?room=Caf%25C3%25A9{number}"),
            format!("GET /acme/conference-request/v1?room=caf%C3%A9{number}"),
            format!("GET /acme/Caf%C3%A9{number}"),
            format!("GET /acme/_unlock?room=caf%C3%A9{number}"),
        ] {
            let with = if request.starts_with("POST") { "Content-Length: 0\r\n" } else { "" };
            assert_eq!(site.ask_with(other, &request, with), home, "{request}");
            assert_eq!(site.ask_with(number % 2, &request, with), home, "{request}");
        }
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let request = format!("GET /acme/xmpp-websocket?room=caf%C3%A9{number}");
        assert_eq!(site.ask_with(other, &request, upgrade), home);
        seen.insert(home);
    }
    assert_eq!(site.known(0), 20, "pages and other tenants' names are not rooms");
    assert!(seen.len() > 1, "all rooms on one shard: {seen:?}");
}

#[test]
fn tenants_with_equal_room_names_are_apart_and_pages_store_nothing() {
    let site = both(42, &["r1", "r1"]);
    site.ask(0, "GET /acme/standup");
    site.ask(0, "GET /acme/standup?room=standup");
    assert_eq!(site.known(0), 0);
    site.ask(0, "GET /acme/http-bind?room=standup");
    site.ask(0, "GET /umbrella/http-bind?room=standup");
    site.ask(0, "GET /http-bind?room=standup");
    assert_eq!(site.known(0), 3);
}

#[test]
fn a_drained_slot_keeps_its_rooms_and_gets_no_new_ones() {
    let site = both(43, &["r1", "r1"]);
    let rooms: Vec<(String, String)> = (0..20).map(|n| (format!("old{n}"), site.room(0, &format!("old{n}")))).collect();
    within(SOON, "the other proxy knows all rooms", || site.known(1) == 20);
    site.weigh(0, 0);
    for (room, home) in &rooms {
        assert_eq!((&site.room(0, room), &site.room(1, room)), (home, home));
    }
    assert!(rooms.iter().any(|(_, home)| home == "s0"));
    for number in 0..20 {
        assert_eq!(site.room(number % 2, &format!("new{number}")), "s1");
    }
}

#[test]
fn a_restarted_proxy_learns_the_table() {
    let mut site = both(44, &["r1", "r1"]);
    let rooms: Vec<(String, String)> =
        (0..20).map(|n| (format!("room{n}"), site.room(0, &format!("room{n}")))).collect();
    within(SOON, "the other proxy knows all rooms", || site.known(1) == 20);
    site.weigh(0, 0);
    // Drained in the file too: what a restarted process starts from.
    site.config.servers[0].weight = 0;
    site.write();
    site.stop(0);
    site.start(0);
    within(SOON, "the restarted proxy knows all rooms", || site.known(0) == 20);
    for (room, home) in &rooms {
        assert_eq!(&site.room(0, room), home);
    }
    assert_eq!(site.room(0, "new"), "s1");
}

#[test]
fn a_missing_peer_does_not_stop_the_other() {
    let mut site = Site::new(45, &["r1", "r1"]);
    site.start(1);
    let home = site.room(1, "standup");
    site.start(0);
    within(SOON, "the late one learns the room", || site.known(0) == 1);
    assert_eq!(site.room(0, "standup"), home);
}

#[test]
fn a_shard_that_is_down_for_a_while_loses_no_room() {
    // 100 checks of 200 ms must fail; ten of them are missed here.
    let mut site = both(46, &["r1", "r1"]);
    let rooms: Vec<(String, String)> =
        (0..10).map(|n| (format!("room{n}"), site.room(0, &format!("room{n}")))).collect();
    let at = usize::from(rooms[0].1 == "s1");
    let (room, home) = &rooms[0];
    site.shard_down(at);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert_eq!(site.room(0, room), "503");
        assert_eq!(site.room(1, room), "503");
    }
    site.shard_up(at);
    for proxy in [0, 1] {
        for (room, home) in &rooms {
            within(SOON, "the room is back at home", || site.room(proxy, room) == *home);
        }
        assert_eq!(&site.room(proxy, room), home);
    }
}

#[test]
fn static_files_of_two_releases_are_never_mixed() {
    let mut site = Site::new(47, &["r1", "r2"]);
    site.config.live = "r1".into();
    site.write();
    site.start(0);
    let file = "GET /libs/app.bundle.min.js?v=1";
    let from = |page: &str| format!("Referer: https://meet.example.org{page}\r\n");
    assert_eq!(site.room(0, "old"), "s0");
    // The new release goes live.
    site.config.live = "r2".into();
    site.config.servers[0].weight = 0;
    site.write();
    site.stop(0);
    site.start(1);
    site.start(0);
    assert_eq!(site.room(0, "lost"), "s1", "new rooms are on the live release");
    // Nobody kept the table here, so the old room is pinned as its table would.
    site.tell(0, "set table rooms key /old data.server_id 10");
    // A comma is no end of a Referer.
    let pages =
        [("/Old", "s0"), ("/old?jwt=x", "s0"), ("/old?x=1,2", "s0"), ("/new", "s1"), ("/", "s1"), ("/lost", "s1")];
    for (page, shard) in pages {
        assert_eq!(site.ask(0, &format!("GET {page}")), shard, "{page}");
        for _ in 0..4 {
            assert_eq!(site.ask_with(0, file, &from(page)), shard, "a file of {page}");
        }
    }
    assert_eq!(site.ask(0, file), "s1");
}

#[test]
fn clients_and_regions_are_told_by_us_only() {
    let mut site = Site::new(48, &["r1"]);
    let region = |network: &str, name: &str| (network.parse().unwrap(), name.to_owned());
    site.config.regions =
        vec![region("203.0.0.0/8", "mars"), region("127.0.0.0/8", "eu"), region("203.0.113.0/24", "asia")];
    site.write();
    site.start(0);
    let forged = "X-Forwarded-For: 203.0.113.9\r\nX-Proxy-Region: mars\r\n";
    let (_, head) = site.try_ask(0, "GET /x", forged).unwrap();
    assert_eq!(header(&head, "x-region").unwrap(), "eu");
    assert!(!header(&head, "x-client").unwrap().contains("203"));
    site.stop(0);
    site.config.trusted = vec!["127.0.0.0/8".into()];
    site.write();
    site.start(0);
    let (_, head) = site.try_ask(0, "GET /x", forged).unwrap();
    assert_eq!(header(&head, "x-region").unwrap(), "asia");
    assert_eq!(header(&head, "x-client").unwrap(), "203.0.113.9");
}

#[test]
fn without_a_map_a_region_is_said_by_a_trusted_edge_or_by_nobody() {
    let mut site = Site::new(53, &["r1"]);
    site.start(0);
    let claim = "X-Proxy-Region: mars\r\n";
    let (_, head) = site.try_ask(0, "GET /x", claim).unwrap();
    assert!(header(&head, "x-region").is_none_or(|region| region.trim().is_empty()), "{head}");
    site.stop(0);
    site.config.trusted = vec!["127.0.0.0/8".into()];
    site.write();
    site.start(0);
    let (_, head) = site.try_ask(0, "GET /x", claim).unwrap();
    assert_eq!(header(&head, "x-region").unwrap(), "mars");
}

#[test]
fn the_start_script_reloads_what_is_valid_and_refuses_what_is_not() {
    let mut site = Site::new(49, &["r1", "r1"]);
    let script = site.folder.path().join("start.sh");
    std::fs::write(&script, manifest::scripts::HAPROXY_START).unwrap();
    let mut command = site.command(0, "sh");
    let file = site.folder.path().join("haproxy.cfg");
    command.arg(&script).env("CONFIG_FILE", &file).env("WATCH_INTERVAL", "0.2");
    site.run(0, &mut command);
    site.room(0, "kept");
    std::fs::write(&file, "frontend broken\n    no such thing\n").unwrap();
    std::thread::sleep(Duration::from_millis(800));
    assert_ne!(site.room(0, "still"), "503");
    site.config.servers[0].weight = 0;
    site.write();
    within(SOON, "the new weight is in force", || {
        site.tell(0, "show servers state release-r1")
            .lines()
            .any(|line| line.contains(" s0 ") && line.contains(" 0 0 "))
            && (0..10).all(|n| site.room(0, &format!("fresh{n}-{:?}", Instant::now()).replace(' ', "")) == "s1")
    });
    site.stop(0);
    assert!(site.try_ask(0, "GET /healthz", "").is_none());
}

#[tokio::test]
async fn a_console_is_asked_again_and_again() {
    let site = both(63, &["r1", "r2"]);
    let mut console = site.console(0).await;
    for weight in [100, 0] {
        let servers = console.servers_state(SOON).await.unwrap();
        let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["s0", "s1"], "{servers:?}");
        assert_eq!(servers[0].weight, weight, "{servers:?}");
        assert!(servers.iter().all(|server| server.up), "{servers:?}");
        site.weigh(0, 0);
    }
}
