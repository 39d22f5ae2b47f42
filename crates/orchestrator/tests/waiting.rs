//! A daemon that waits for something that does not come, in virtual time: it asks ever more rarely, and is back at once when
//! something moves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use api_server::kinds::{POD, SERVICE, STATEFUL_SET};
use orchestrator::daemon::Intake;
use sandbox::fault::{Fault, Rule, Which};
use sandbox::{ByDaemon, Timing};
use serde_json::json;
use tokio::time::sleep;

use support::{FLEET, Running, Site, load, play, until};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How often a pod of the control cluster was asked in vain.
fn in_vain(daemon: &Running) -> u64 {
    let requests = daemon.handle.counters().requests;
    let of = |((cluster, verb, code), _): &(&(fleet::ClusterName, String, u16), &u64)| {
        cluster.as_str() == "hq" && verb == "connect" && *code == 503
    };
    requests.iter().filter(of).map(|(_, times)| *times).sum()
}

fn rounds(daemon: &Running) -> u64 {
    daemon.handle.counters().rounds.values().sum()
}

#[test]
fn a_jicofo_that_can_not_be_asked_is_asked_ever_more_rarely() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(MINUTE).await;
        let jicofo = "meet-alpha-a-jicofo-0";
        let which = Which::Object("pods".to_owned(), jicofo.to_owned());
        site.faults["hq"].set(vec![Rule { which, chance: 1.0, fault: Fault::refusal(503) }]);
        site.faults["hq"].cut_connections();
        until("it is noticed", MINUTE, || !daemon.is_content()).await;
        let before = rounds(&daemon);
        sleep(10 * MINUTE).await;
        let (asked, made) = (in_vain(&daemon), rounds(&daemon) - before);
        assert!((40..=60).contains(&asked), "{asked} questions in ten minutes");
        assert!(made <= 2 * asked, "{made} rounds");

        let before = in_vain(&daemon);
        site.delete("fra", &POD, "meet-jvb-eu-0-0");
        sleep(8 * SECOND).await;
        // Figures are told every 15 s at the latest, and with each round.
        let asked = in_vain(&daemon) - before;
        assert!(asked >= 4, "something moves: {asked} questions in 8 s");

        sleep(10 * MINUTE).await;
        site.faults["hq"].heal();
        let after = until("it answers again", MINUTE, || daemon.is_content()).await;
        assert!(after <= 16 * SECOND, "{after:?}");
        daemon.end().await;
    });
}

/// People may stay for hours, and jicofo tells of them: it alone is asked for as long.
#[test]
fn bridges_that_wait_for_their_people_to_leave_are_not_asked() {
    play(async {
        let site = Site::new().await;
        let fleet = FLEET.replacen("replicas: 1", "replicas: 4", 1);
        let daemon = site.daemon("one", &fleet, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        let bridges = ["meet-jvb-eu-0-0", "meet-jvb-eu-1-0", "meet-jvb-eu-2-0", "meet-jvb-eu-3-0"];
        for bridge in bridges {
            site.sandbox.world().set_load("fra", "jitsi", bridge, 1, 5).unwrap();
        }
        sleep(MINUTE).await;
        let outdated = fleet.replacen("expose: node_port", "env: { JVB_OPTS: -Xmx2g }, expose: node_port", 1);
        daemon.intake.send(Intake { loaded: load(&outdated), handover: None, refused: None }).unwrap();
        until("it waits", 5 * MINUTE, || !daemon.state().blocked.is_empty()).await;
        sleep(MINUTE).await;

        let mark = site.mark("fra");
        sleep(10 * MINUTE).await;
        assert_eq!(site.connected("fra", mark), BTreeMap::new());

        for bridge in bridges {
            site.sandbox.world().set_load("fra", "jitsi", bridge, 0, 0).unwrap();
        }
        until("all are replaced", 10 * MINUTE, || daemon.is_content()).await;
        daemon.end().await;
    });
}

/// Its pod is as it should be, and what it was made from is not: whether it records is asked all the same.
#[test]
fn what_was_changed_of_a_recorder_is_put_right_when_it_is_idle() {
    play(async {
        let site = Site::new().await;
        let bridges = "eu:   { cluster: fra, ";
        let fleet =
            FLEET.replace(bridges, &format!("{bridges}recorders: {{ replicas: 1, storage: {{ size: 10Gi }} }}, "));
        let daemon = site.daemon("one", &fleet, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(MINUTE).await;
        let part_of = |value: &str| json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": value } } });
        site.edit("fra", &STATEFUL_SET, "meet-jibri-eu-0", part_of("somebody-elses"));
        let is_right = || {
            let recorder = site.get("fra", &STATEFUL_SET, "meet-jibri-eu-0").unwrap();
            recorder.pointer("/metadata/labels/app.kubernetes.io~1part-of") == Some(&json!("meet"))
        };
        until("it is put right", 2 * MINUTE, is_right).await;
        daemon.end().await;
    });
}

/// They are asked each in their own time: which of them was asked last must not matter.
#[test]
fn a_drained_bridge_is_found_empty_however_long_daemons_take_to_answer() {
    let milliseconds = Duration::from_millis;
    for (presence, jicofo, bridge) in
        [(5_000, 0, 0), (5_000, 300, 0), (5_000, 700, 50), (50, 0, 300), (50, 100, 0), (50, 300, 0), (50, 700, 50)]
    {
        play(async move {
            let answer = ByDaemon { jicofo: milliseconds(jicofo), bridge: milliseconds(bridge), ..ByDaemon::at_once() };
            let timing = Timing { presence: milliseconds(presence), answer, ..Timing::real() };
            let site = Site::with(false, timing).await;
            let daemon = site.daemon("one", FLEET, &[]);
            until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
            sleep(MINUTE).await;
            let policy = |policy: &str| json!({ "spec": { "externalTrafficPolicy": policy } });
            site.edit("fra", &SERVICE, "meet-jvb-eu-0", policy("Cluster"));
            let is_right = || {
                let service = site.get("fra", &SERVICE, "meet-jvb-eu-0").unwrap();
                service.pointer("/spec/externalTrafficPolicy") == Some(&json!("Local"))
            };
            let took = until("the bridge's Service is put right", 5 * MINUTE, is_right).await;
            eprintln!("presence {presence} ms, jicofo {jicofo} ms, bridge {bridge} ms: {took:?}");
            assert!(took <= 2 * milliseconds(presence) + 3 * SECOND, "{jicofo} {bridge}: {took:?}");
            daemon.end().await;
        });
    }
}
