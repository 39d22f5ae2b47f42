//! The daemon while things go wrong around it, in virtual time: API servers that restart, forget, fall silent or are too
//! busy, and daemons that are not the leader any more and don't know it yet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a failed expectation is how a test fails, and figures are shown"
)]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use api_server::kinds::{CONFIG_MAP, SERVICE, STATEFUL_SET};
use clock::Clock;
use fleet::Plane;
use jiff::SignedDuration;
use orchestrator::daemon::{Link, PlaneState};
use sandbox::fault::{Fault, Faults, Rule, Which};
use serde_json::json;
use tokio::time::sleep;

use support::{CLUSTERS, FLEET, Running, Site, load, play, until};

const MINUTE: Duration = Duration::from_secs(60);
/// A Service in the cluster that is in trouble, and one in the other, which is the home of the data plane: its own trouble
/// is another story. Not a bridge's: that one is drained first.
const TROUBLED: (&str, &str) = ("sin", "meet-alpha-a-xmpp");
const QUIET: (&str, &str) = ("fra", "meet-alpha-a-xmpp");

/// Somebody changes a Service by hand.
fn drift(site: &Site, (cluster, service): (&str, &str), round: usize) {
    let change = json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": format!("somebody-{round}") } } });
    site.edit(cluster, &SERVICE, service, change);
}

fn is_right(site: &Site, (cluster, service): (&str, &str)) -> bool {
    let part_of = "/metadata/labels/app.kubernetes.io~1part-of";
    site.get(cluster, &SERVICE, service).is_some_and(|it| it.pointer(part_of) == Some(&json!("meet")))
}

async fn content(site: &Site) -> Running {
    let daemon = site.daemon("one", FLEET, &[]);
    until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
    sleep(MINUTE).await;
    daemon
}

/// Ten minutes in which one cluster is in trouble. What is wrong in the others is put right as fast as ever; what is
/// wrong there, soon after the end.
fn others_notice_nothing(name: &str, begins: impl Fn(&Site), ends: impl Fn(&Site), soon: Duration) {
    play(async {
        let site = Site::new().await;
        let daemon = content(&site).await;
        let mark = site.mark(TROUBLED.0);
        begins(&site);
        drift(&site, TROUBLED, 0);
        let mut slowest = Duration::ZERO;
        // So rarely that nobody takes it for a fight.
        for round in 1..=4 {
            drift(&site, QUIET, round);
            slowest = slowest.max(until("the others are put right", MINUTE, || is_right(&site, QUIET)).await);
            sleep(MINUTE * 5 / 2).await;
        }
        assert!(slowest < Duration::from_millis(100), "{name}: {slowest:?}");
        ends(&site);
        let took = until("the troubled one is put right", soon, || is_right(&site, TROUBLED)).await;
        until("all is well", 5 * MINUTE, || daemon.is_content()).await;
        let requests = site.asked(TROUBLED.0, mark).len();
        eprintln!("{name}: others within {slowest:?}, there {took:?} after the end, {requests} requests meanwhile");
        assert!(requests < 1_000, "{name}: {requests} requests in ten minutes of trouble");
        daemon.end().await;
    });
}

#[test]
fn an_api_server_that_is_down() {
    let down = |site: &Site, down: bool| site.faults[TROUBLED.0].set_down(down);
    others_notice_nothing("down", |site| down(site, true), |site| down(site, false), 2 * MINUTE);
}

#[test]
fn an_api_server_that_is_too_busy() {
    let busy = Rule { which: Which::All, chance: 0.95, fault: Fault::refusal(429) };
    let begins = |site: &Site| site.faults[TROUBLED.0].set(vec![busy.clone()]);
    others_notice_nothing("too busy", begins, |site| site.faults[TROUBLED.0].set(Vec::new()), 2 * MINUTE);
}

#[test]
fn an_api_server_that_answers_nothing() {
    let begins = |site: &Site| site.faults[TROUBLED.0].partition();
    others_notice_nothing("silent", begins, |site| site.faults[TROUBLED.0].heal(), 2 * MINUTE);
}

#[test]
fn watches_that_are_half_open() {
    let begins = |site: &Site| {
        let rule = Rule {
            which: Which::Number(site.faults[TROUBLED.0].counts().requests + 1),
            chance: 1.0,
            fault: Fault::HalfOpen,
        };
        site.faults[TROUBLED.0].set(vec![rule]);
    };
    others_notice_nothing("half-open", begins, |_| {}, MINUTE);
}

#[test]
fn a_history_that_is_forgotten() {
    let begins = |site: &Site| {
        let server = site.sandbox.server(TROUBLED.0).unwrap();
        server.compact();
        server.disconnect_watches();
    };
    others_notice_nothing("compacted", begins, |_| {}, MINUTE);
}

/// Spoils connections.
type Trouble = Box<dyn Fn(&Faults)>;

/// What was executed of the writes of daemon `one` since a mark.
fn written_by_one(site: &Site, cluster: &str, mark: usize) -> Vec<String> {
    let log = site.sandbox.requests(cluster).unwrap().since(mark);
    let written = log.iter().filter(|entry| {
        let line = &entry.line;
        let streams = line.subresource.as_deref() == Some("portforward");
        line.user_agent == "jitsictl/one" && line.writes() && !streams && entry.code < 300
    });
    written.map(|entry| format!("{cluster}: {} {}", entry.line.method, entry.line.uri)).collect()
}

/// What is executed of a daemon's writes after another has taken over its planes. Its clock is an hour behind, and what
/// is wrong with its connections is the table's.
#[test]
fn nothing_of_a_stale_leader_lands() {
    let late = Duration::from_secs(600);
    let troubles: [(&str, Trouble); 3] = [
        ("partitioned", Box::new(Faults::partition)),
        ("partitioned, with resets", Box::new(Faults::partition_with_resets)),
        (
            "writes on their way for ten minutes",
            Box::new(move |faults| {
                let rule = Rule { which: Which::Writes, chance: 1.0, fault: Fault::Delay(late, late) };
                faults.set(vec![rule]);
            }),
        ),
    ];
    for (name, begins) in troubles {
        play(async {
            let mut site = Site::new().await;
            let slow = Clock::starting_at(site.clock.now() - SignedDuration::from_hours(1));
            let first = site.daemon_with("one", FLEET, &[], slow);
            until("the fleet", 5 * MINUTE, || first.is_content()).await;
            let links = std::mem::replace(
                &mut site.faults,
                CLUSTERS.map(|cluster| (cluster, Faults::new(8))).into_iter().collect::<BTreeMap<_, _>>(),
            );
            let second = site.daemon("two", FLEET, &[]);
            sleep(MINUTE).await;
            // In the middle of a plan: it has begun to bring up bridges when its connections fail.
            let more = FLEET.replace("replicas: 1", "replicas: 4");
            first.intake.send_modify(|intake| intake.loaded = load(&more));
            sleep(Duration::from_millis(100)).await;
            links.values().for_each(&begins);
            until("the other one leads", 2 * MINUTE, || second.leads(Plane::Control) && second.leads(Plane::Data))
                .await;
            let marks = CLUSTERS.map(|cluster| site.mark(cluster));
            sleep(12 * MINUTE).await;
            links.values().for_each(Faults::heal);
            sleep(3 * MINUTE).await;
            let landed = |marks: [usize; 3]| -> Vec<String> {
                let of = |(cluster, mark): (&&str, usize)| written_by_one(&site, cluster, mark);
                CLUSTERS.iter().zip(marks).flat_map(of).collect()
            };
            assert!(landed([0; 3]).len() > 30, "{name}: it is its writes that are looked for");
            let landed = landed(marks);
            assert!(landed.is_empty(), "{name}: {} writes landed\n{}", landed.len(), landed.join("\n"));
            assert!(second.leads(Plane::Control) && second.leads(Plane::Data), "{name}");
            first.end().await;
            second.end().await;
        });
    }
}

fn broken(plural: &str) -> Vec<Rule> {
    vec![Rule { which: Which::Resource(plural.to_owned()), chance: 1.0, fault: Fault::refusal(500) }]
}

fn lists(site: &Site, cluster: &str, mark: usize) -> usize {
    site.asked(cluster, mark).iter().filter(|line| *line == "list services").count()
}

/// As when the webhook is dead that converts a kind's objects.
#[test]
fn an_add_on_that_is_broken_stops_no_repair() {
    play(async {
        let site = Site::new().await;
        let daemon = content(&site).await;
        site.faults["sin"].set(broken("ingresses"));
        site.faults["sin"].cut_connections();
        let mark = site.mark("sin");
        sleep(5 * MINUTE).await;
        drift(&site, TROUBLED, 1);
        let took = until("it is put right", MINUTE, || is_right(&site, TROUBLED)).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(lists(&site, "sin", mark), 0, "nothing is listed again for that");
        daemon.end().await;
        let daemon = site.daemon("two", FLEET, &[]);
        until("all is well from the beginning", 5 * MINUTE, || daemon.is_content()).await;
        assert!(daemon.state().is_ready());
        daemon.end().await;
    });
}

#[test]
fn a_cluster_that_was_never_seen_whole_is_no_reason_to_be_ready_nor_to_connect_again_and_again() {
    play(async {
        let site = Site::new().await;
        site.faults["sin"].set(broken("services"));
        let daemon = site.daemon("one", FLEET, &[]);
        sleep(10 * MINUTE).await;
        let state = daemon.state();
        assert_eq!(state.clusters["sin"].state, Link::Degraded, "{:?}", state.clusters["sin"]);
        assert!(!state.is_ready(), "nobody knows what it holds");
        let pods = site.asked("sin", 0).iter().filter(|line| *line == "list pods").count();
        assert!(pods <= 2, "what can be read is not read anew: {pods} times");
        site.faults["sin"].heal();
        until("all is well", 5 * MINUTE, || daemon.is_content() && daemon.state().is_ready()).await;
        daemon.end().await;
    });
}

fn refusing(which: Which) -> Vec<Rule> {
    vec![Rule { which, chance: 1.0, fault: Fault::refusal(401) }]
}

/// So often a daemon has asked a cluster who it is: each connection asks for its own namespace and for kube-system.
fn connections(site: &Site, cluster: &str, mark: usize) -> usize {
    site.asked(cluster, mark).iter().filter(|line| *line == "get namespaces").count().div_ceil(2)
}

/// Watches go on for minutes with credentials that nobody accepts any more: only what is asked anew shows that.
#[test]
fn credentials_that_are_refused_are_read_again_at_once_and_at_most_once_a_minute() {
    play(async {
        let site = Site::new().await;
        let daemon = content(&site).await;
        let mark = site.mark("hq");
        site.faults["hq"].set(refusing(Which::Resource("leases".to_owned())));
        until("there is another connection", Duration::from_secs(6), || connections(&site, "hq", mark) == 1).await;
        site.faults["hq"].heal();
        let led = || daemon.leads(Plane::Control) && daemon.state().clusters["hq"].state == Link::Live;
        until("it goes on leading", Duration::from_secs(3), led).await;
        sleep(MINUTE).await;
        site.faults["hq"].set(refusing(Which::Resource("leases".to_owned())));
        let mark = site.mark("hq");
        sleep(5 * MINUTE).await;
        let connections = connections(&site, "hq", mark);
        assert!((4..=6).contains(&connections), "{connections} in five minutes");
        daemon.end().await;
    });
}

#[test]
fn a_cluster_that_accepts_no_credentials_is_degraded_at_once_and_what_was_known_stays_known() {
    play(async {
        let site = Site::new().await;
        let daemon = content(&site).await;
        site.faults["sin"].set(refusing(Which::All));
        drift(&site, TROUBLED, 1);
        let degraded = || daemon.state().clusters["sin"].state == Link::Degraded;
        until("it is told", Duration::from_secs(5), degraded).await;
        let mark = site.mark("sin");
        for _ in 0..5 {
            sleep(MINUTE).await;
            let state = daemon.state();
            assert!(degraded() && state.is_ready(), "{:?}", state.clusters["sin"]);
            assert!(state.clusters["sin"].why.as_ref().is_some_and(|why| why.contains("401")));
        }
        assert!(connections(&site, "sin", mark) <= 6, "{} connections", connections(&site, "sin", mark));
        site.faults["sin"].heal();
        let took = until("it is put right", 2 * MINUTE, || is_right(&site, TROUBLED)).await;
        until("all is well", 5 * MINUTE, || daemon.is_content()).await;
        eprintln!("put right {took:?} after credentials are accepted again");
        daemon.end().await;
    });
}

#[test]
fn a_cluster_that_is_silent_for_an_hour_delays_nobody_and_is_observed_first_when_it_is_back() {
    play(async {
        let site = Site::new().await;
        let daemon = content(&site).await;
        site.faults["sin"].partition();
        for round in 0..12 {
            drift(&site, QUIET, round);
            let took = until("it repairs", MINUTE, || is_right(&site, QUIET)).await;
            assert!(took < Duration::from_millis(100), "round {round}: {took:?}");
            sleep(5 * MINUTE).await;
        }
        assert_eq!(daemon.state().clusters["sin"].state, Link::Lost);
        // Meanwhile somebody took something away there.
        site.delete("sin", &SERVICE, "meet-jvb-asia-0");
        assert!(site.get("sin", &STATEFUL_SET, "meet-jvb-asia-0").is_some(), "nothing was pruned");
        site.faults["sin"].heal();
        until("it is back", 5 * MINUTE, || site.get("sin", &SERVICE, "meet-jvb-asia-0").is_some()).await;
        until("all is well", 5 * MINUTE, || daemon.is_content()).await;
        daemon.end().await;
    });
}

#[test]
fn a_lost_home_freezes_its_plane_and_the_other_goes_on() {
    play(async {
        let site = Site::new().await;
        let daemon = content(&site).await;
        let before = site.list("fra", &CONFIG_MAP).len();
        site.faults["hq"].partition();
        sleep(2 * MINUTE).await;
        assert!(
            matches!(daemon.state().planes[&Plane::Control], PlaneState::Frozen { .. }),
            "{:?}",
            daemon.state().planes
        );
        assert!(daemon.leads(Plane::Data));
        drift(&site, TROUBLED, 0);
        until("it repairs", MINUTE, || is_right(&site, TROUBLED)).await;
        assert_eq!(site.list("fra", &CONFIG_MAP).len(), before, "nothing was blanked");
        site.faults["hq"].heal();
        until("all is well", 5 * MINUTE, || daemon.is_content() && daemon.leads(Plane::Control)).await;
        daemon.end().await;
    });
}
