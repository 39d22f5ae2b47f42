//! The daemon against clusters in memory, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api_server::Kind;
use api_server::kinds::{ENDPOINT_SLICE, EVENT, KINDS, SERVICE, STATEFUL_SET};
use fleet::Plane;
use orchestrator::daemon::{Happening, Link, PlaneState};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use support::{CLUSTERS, FLEET, Site, load, play, until};

/// Where bridges find the shard: a Service of ours in a data cluster.
const WIRING: &str = "meet-alpha-a-xmpp";

const MINUTE: Duration = Duration::from_secs(60);

fn labelled(object: &Json) -> bool {
    object.pointer("/metadata/labels/jitsictl.dev~1fleet").is_some()
}

fn name(object: &Json) -> &str {
    object.pointer("/metadata/name").and_then(Json::as_str).unwrap()
}

#[test]
fn a_fleet_becomes_real_and_stays_so() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("both planes led and all bridges joined", 5 * MINUTE, || {
            daemon.is_content() && daemon.leads(Plane::Data)
        })
        .await;
        assert!(daemon.leads(Plane::Control));
        let state = daemon.state();
        assert!(state.is_ready());
        assert!(state.clusters.values().all(|cluster| cluster.state == Link::Live), "{:?}", state.clusters);
        assert_eq!(state.clusters.len(), 3);
        daemon.end().await;
    });
}

/// Every kind of object that a fleet consists of: changed, and deleted, one of it comes back as it was.
#[test]
fn drift_of_every_owned_kind_is_repaired() {
    let ingress = FLEET.replace("  xmpp:", "  ingress: { class: nginx }\n  xmpp:");
    let route = FLEET.replace("  xmpp:", "  gateway: { name: public, namespace: gateways }\n  xmpp:");
    let route = format!("{route}monitoring: {{ enabled: true }}\n");
    let mut repaired = BTreeSet::new();
    for (text, installed) in [(FLEET.to_owned(), false), (ingress, false), (route, true)] {
        play(async {
            let site = Site::with(installed, sandbox::Timing::real()).await;
            let daemon = site.daemon("one", &text, &[]);
            until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
            sleep(MINUTE).await;
            for (kind, cluster, object) in one_of_each_kind(&site, installed) {
                if repaired.insert(kind.name) {
                    repairs(&site, cluster, kind, &object).await;
                }
            }
            assert!(daemon.handle.counters().repaired.values().sum::<u64>() >= 2);
            daemon.end().await;
        });
    }
    // Namespaces are made on request only, and never changed.
    let owned = manifest::Kind::ALL.into_iter().filter(|kind| *kind != manifest::Kind::Namespace);
    assert_eq!(repaired, owned.map(manifest::Kind::name).collect());
}

fn one_of_each_kind(site: &Site, installed: bool) -> Vec<(&'static Kind, &'static str, String)> {
    let mut found = BTreeMap::new();
    for cluster in CLUSTERS {
        for kind in
            KINDS.iter().copied().filter(|kind| kind.namespaced && kind.name != "Pod" && (installed || !kind.custom))
        {
            for object in site.list(cluster, kind).into_iter().filter(labelled) {
                let (name, owned) = (name(&object), object.pointer("/metadata/ownerReferences").is_some());
                let book = name.contains("inventory") || ["meet-control", "meet-data"].contains(&name);
                // The made passwords come back from a copy, when somebody asks for it.
                if !owned && !book && name != "meet-passwords" {
                    found.entry(kind.name).or_insert((kind, cluster, name.to_owned()));
                }
            }
        }
    }
    found.into_values().collect()
}

async fn repairs(site: &Site, cluster: &'static str, kind: &'static Kind, object: &str) {
    let before = site.get(cluster, kind, object).unwrap();
    let label = |object: &Json| object.pointer("/metadata/labels/app.kubernetes.io~1part-of").cloned();
    let changed = json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "somebody-elses" } } });
    let marks = CLUSTERS.map(|cluster| site.mark(cluster));
    site.edit(cluster, kind, object, changed);
    until(&format!("{} {object} has its label again", kind.name), MINUTE, || {
        site.get(cluster, kind, object).is_some_and(|now| label(&now) == label(&before))
    })
    .await;
    sleep(Duration::from_secs(5)).await;
    let asked: Vec<String> = CLUSTERS.iter().zip(marks).flat_map(|(cluster, mark)| site.asked(cluster, mark)).collect();
    let about =
        |line: &&String| !["watch ", "leases", "pods/portforward", "events"].iter().any(|quiet| line.contains(quiet));
    let repairs: Vec<&String> = asked.iter().filter(about).collect();
    // One that learns who has changed what, and one that takes it back.
    let repair = format!("patch {}", kind.plural);
    assert!(repairs.len() <= 2 && repairs.iter().all(|line| **line == repair), "no more is asked: {repairs:?}");
    // A workload is not deleted here: its pods would go with it, and people may be on them.
    if kind == &STATEFUL_SET {
        return;
    }
    sleep(MINUTE).await;
    site.delete(cluster, kind, object);
    until(&format!("{} {object} is there again", kind.name), MINUTE, || {
        site.get(cluster, kind, object).is_some_and(|now| {
            now["metadata"]["uid"] != before["metadata"]["uid"] && now["metadata"].get("deletionTimestamp").is_none()
        })
    })
    .await;
    sleep(MINUTE).await;
}

/// An address that moves again and again is nobody's fault: nobody fights there, and each time it is followed.
#[test]
fn an_address_that_moves_often_is_followed_each_time() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        for last in 100..112 {
            let address = format!("203.0.113.{last}");
            let moved =
                site.sandbox.world().set_load_balancer_address("hq", "jitsi", "meet-alpha-xmpp", vec![address.clone()]);
            moved.await.unwrap();
            let leads_there = |slice: &Json| name(slice).starts_with(WIRING) && slice.to_string().contains(&address);
            until(&address, Duration::from_secs(5), || {
                CLUSTERS[1..].iter().all(|cluster| site.list(cluster, &ENDPOINT_SLICE).iter().any(leads_there))
            })
            .await;
        }
        assert!(daemon.state().fighting.is_empty(), "{:?}", daemon.state().fighting);
        assert_eq!(daemon.handle.counters().repaired, BTreeMap::new(), "nothing had drifted");
        daemon.end().await;
    });
}

#[test]
fn an_hour_in_which_nothing_happens_asks_for_nothing() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(5 * MINUTE).await;
        let marks = CLUSTERS.map(|cluster| site.mark(cluster));
        sleep(60 * MINUTE).await;
        let rounds = daemon.handle.counters().rounds.values().sum::<u64>();
        assert!(rounds < 500, "{rounds} rounds, all in all");
        for (cluster, mark) in CLUSTERS.iter().zip(marks) {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for line in site.asked(cluster, mark) {
                *counts.entry(line).or_default() += 1;
            }
            // Else it would be somebody else's requests that are looked at.
            assert!(counts.contains_key("watch services"), "{cluster}: {counts:?}");
            for (what, count) in counts {
                let most = match what.split_once(' ').unwrap() {
                    // A watch ends every few minutes and goes on where it was.
                    ("watch", _) => 30,
                    ("list", _) => 1,
                    // Renewed every 4.5 s.
                    ("update" | "get" | "patch", "leases") => 820,
                    (_, "pods/portforward") => 3,
                    // Kinds that are not installed there: somebody may install them.
                    ("get", path) if path.starts_with("/apis/") => 1,
                    _ => 0,
                };
                assert!(count <= most, "{cluster}: {count} times {what}");
            }
        }
        daemon.end().await;
    });
}

#[test]
fn other_credentials_of_one_cluster_are_no_concern_of_the_others() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(MINUTE).await;
        let marks = CLUSTERS.map(|cluster| site.mark(cluster));
        daemon.credentials.send_modify(|of| *of.entry("fra".parse().unwrap()).or_default() += 1);
        sleep(MINUTE).await;
        let again = CLUSTERS.iter().zip(marks).map(|(cluster, mark)| {
            let lines = site.asked(cluster, mark);
            (*cluster, lines.iter().filter(|line| *line == "get namespaces").count())
        });
        // A connection asks who is there: by its own namespace and by kube-system.
        assert_eq!(again.collect::<Vec<_>>(), [("hq", 0), ("fra", 2), ("sin", 0)]);
        daemon.end().await;
    });
}

/// Between rounds, which are ten minutes apart when nothing happens, and over connections that come and go.
#[test]
fn figures_are_never_old_and_count_all_connections() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(5 * MINUTE).await;
        let rounds = || daemon.handle.counters().rounds.values().sum::<u64>();
        let sum = || daemon.handle.counters().requests.values().sum::<u64>();
        let (before, mut last) = (rounds(), sum());
        for _ in 0..8 {
            sleep(MINUTE).await;
            let now = site.clock.now();
            for (name, is) in &daemon.state().clusters {
                let age = now.duration_since(is.as_of.unwrap()).as_secs();
                assert!(age < 80, "{name}: bookmarks come once a minute, and this is {age} s old");
            }
            assert!(sum() > last, "Leases are renewed");
            last = sum();
        }
        assert!(rounds() <= before + 1, "no round was made for that");
        let counted = |verb: &str| {
            let requests = daemon.handle.counters().requests;
            let of = requests.iter().filter(|((cluster, of, _), _)| cluster.as_str() == "hq" && of == verb);
            of.map(|(_, times)| *times).sum::<u64>()
        };
        let asked = |what: &str| site.asked("hq", 0).iter().filter(|line| line.starts_with(what)).count() as u64;
        assert!(counted("connect") > 0, "streams are counted");
        let leases = counted("update");
        daemon.credentials.send_modify(|of| *of.entry("hq".parse().unwrap()).or_default() += 1);
        sleep(MINUTE).await;
        assert!(counted("update") > leases && counted("list") >= 2 * 10, "what was counted before is not forgotten");
        assert!(counted("update") + 5 > asked("update "), "all of them, as of a moment ago");
        daemon.end().await;
    });
}

/// As with the rights that are generated for it: what it may not read there it has no business with.
#[test]
fn a_daemon_of_the_data_plane_leaves_the_control_clusters_objects_alone() {
    play(async {
        let site = Site::new().await;
        let both = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || both.is_content()).await;
        both.end().await;
        let mark = site.mark("hq");
        let daemon = site.daemon("two", FLEET, &[Plane::Data]);
        until("the data plane is kept", 5 * MINUTE, || daemon.is_content() && daemon.leads(Plane::Data)).await;
        sleep(60 * MINUTE).await;
        let asked: std::collections::BTreeSet<String> = site.asked("hq", mark).into_iter().collect();
        let read = |line: &&String| line.starts_with("list ") || line.starts_with("watch ");
        let read: Vec<&str> = asked.iter().filter(read).map(|line| line.split_once(' ').unwrap().1).collect();
        let known = ["configmaps", "namespaces", "nodes", "pods", "secrets", "services"];
        assert_eq!(read, [known, known].concat(), "{asked:?}");
        let sought = "get /apis/";
        assert!(!asked.iter().any(|line| line.starts_with(sought)), "{asked:?}");
        // It has something there from now on.
        let moved = FLEET.replace("asia: { cluster: sin", "asia: { cluster: hq");
        daemon.intake.send_modify(|intake| intake.loaded = load(&moved));
        until("it is there", 5 * MINUTE, || site.get("hq", &STATEFUL_SET, "meet-jvb-asia-0").is_some()).await;
        daemon.end().await;
    });
}

#[test]
fn an_address_that_moves_is_rewired_at_once_and_no_bridge_is_touched() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(MINUTE).await;
        let pods = || {
            let of = |cluster| site.list(cluster, &api_server::kinds::POD);
            [of("fra"), of("sin")].concat().iter().map(|pod| pod["metadata"]["uid"].clone()).collect::<Vec<_>>()
        };
        let before = pods();
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "198.51.100.77" }] } } });
        let mut request = api_server::Request::new(
            api_server::Verb::Patch(api_server::request::PatchType::Merge),
            &SERVICE,
            Some("jitsi"),
            Some("meet-alpha-xmpp"),
        );
        request.subresource = Some("status".to_owned());
        request.body = status;
        site.sandbox.server("hq").unwrap().call(request).unwrap();
        for cluster in ["fra", "sin"] {
            let wired = || {
                let slices = site.list(cluster, &ENDPOINT_SLICE);
                slices.iter().any(|slice| slice["endpoints"].to_string().contains("198.51.100.77"))
            };
            let took = until("the new address", MINUTE, wired).await;
            assert!(took < Duration::from_millis(250), "{cluster}: {took:?}");
        }
        assert_eq!(pods(), before);
        daemon.end().await;
    });
}

#[test]
fn a_new_file_is_followed_and_a_bad_one_is_not() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        let refused = orchestrator::daemon::Refused {
            since: site.clock.now(),
            problems: vec!["unknown key `replicaz`".to_owned()],
        };
        let mut notices = daemon.handle.notices();
        daemon.intake.send_modify(|intake| intake.refused = Some(refused));
        until("the refusal", MINUTE, || daemon.state().intent.refused.is_some()).await;
        let told = std::iter::from_fn(|| notices.try_recv().ok());
        assert!(told.into_iter().any(|notice| matches!(notice.what, Happening::IntentRefused { .. })));
        assert!(site.get("fra", &STATEFUL_SET, "meet-jvb-eu-0").is_some());
        daemon.intake.send_modify(|intake| {
            intake.loaded = load(&FLEET.replacen("replicas: 1", "replicas: 2", 1));
            intake.refused = None;
        });
        until("a second bridge", 5 * MINUTE, || {
            site.get("fra", &STATEFUL_SET, "meet-jvb-eu-1").is_some() && daemon.is_content()
        })
        .await;
        daemon.end().await;
    });
}

#[test]
fn one_of_two_leads_and_the_other_takes_over() {
    play(async {
        let site = Site::new().await;
        let first = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || first.is_content()).await;
        let second = site.daemon("two", FLEET, &[]);
        until("it follows", MINUTE, || {
            let state = second.state();
            state.planes.values().all(|plane| matches!(plane, PlaneState::Following { holder, .. } if holder == "one"))
        })
        .await;
        first.end().await;
        let took = until("it leads", MINUTE, || second.leads(Plane::Control) && second.leads(Plane::Data)).await;
        assert!(took < Duration::from_secs(5), "a Lease that is given back is taken soon: {took:?}");
        let third = site.daemon("three", FLEET, &[]);
        sleep(MINUTE).await;
        second.kill().await;
        let took = until("it leads", MINUTE, || third.leads(Plane::Control) && third.leads(Plane::Data)).await;
        assert!(took < Duration::from_secs(25), "{took:?}");
        site.edit(
            "fra",
            &SERVICE,
            "meet-jvb-eu-0",
            json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "x" } } }),
        );
        until("it repairs", MINUTE, || {
            let part_of = "/metadata/labels/app.kubernetes.io~1part-of";
            site.get("fra", &SERVICE, WIRING).unwrap().pointer(part_of) == Some(&json!("meet"))
        })
        .await;
        third.end().await;
    });
}

#[test]
fn who_changes_an_object_back_again_and_again_is_named_and_not_fought() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(MINUTE).await;
        let mut notices = daemon.handle.notices();
        for round in 0..40 {
            let drift = json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": format!("x{round}") } } });
            site.edit("fra", &SERVICE, WIRING, drift);
            sleep(Duration::from_secs(5)).await;
        }
        let state = daemon.state();
        let fighting = state.fighting.first().expect("a fight");
        assert!(
            fighting.object.contains(WIRING) && fighting.managers.contains(&"kubectl-edit".to_owned()),
            "{fighting:?}"
        );
        let told = std::iter::from_fn(|| notices.try_recv().ok());
        let told = told.into_iter().filter(|notice| matches!(notice.what, Happening::Fighting(_))).count();
        assert_eq!(told, 1);
        sleep(15 * MINUTE).await;
        until("it is right in the end", MINUTE, || daemon.is_content()).await;
        daemon.end().await;
    });
}

#[test]
fn a_context_that_leads_to_another_cluster_stops_nobody_else() {
    play(async {
        let site = Site::new().await;
        let pinned = "sin: { context: sin, namespace: jitsi, uid: 3e1b2c4d-0000-4000-8000-000000000000 }";
        let fleet = FLEET.replace("sin: { context: sin, namespace: jitsi }", pinned);
        let daemon = site.daemon("one", &fleet, &[]);
        until("the bridge in fra has joined", 5 * MINUTE, || {
            let status = daemon.state().status.clone();
            status.is_some_and(|status| status.proof.slots.iter().any(|slot| slot.joined == 1))
        })
        .await;
        let state = daemon.state();
        let why = state.status.as_ref().unwrap().unreachable.clone();
        let why = why.iter().find(|(name, _)| name.as_str() == "sin").map(|(_, why)| why.clone()).unwrap_or_default();
        assert!(why.contains("is not the one that the fleet file names"), "{why}");
        assert_eq!(site.list("sin", &STATEFUL_SET).len(), 0);
        daemon.end().await;
    });
}

#[test]
fn what_was_repaired_is_told_on_the_object_and_the_same_again_is_counted() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        sleep(MINUTE).await;
        let told = || {
            let events = site.list("fra", &EVENT);
            events.into_iter().filter(|event| event["reason"] == "DriftRepaired").collect::<Vec<_>>()
        };
        let uid = site.get("fra", &SERVICE, WIRING).unwrap()["metadata"]["uid"].clone();
        for times in 1..=2 {
            let changed = json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "somebody-elses" } } });
            site.edit("fra", &SERVICE, WIRING, changed);
            until("it is told", MINUTE, || told().first().is_some_and(|event| event["count"] == times)).await;
            sleep(MINUTE).await;
        }
        let events = told();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!((&events[0]["involvedObject"]["uid"], &events[0]["reportingInstance"]), (&uid, &json!("one")));
        daemon.end().await;
    });
}
