//! Pools, clusters and planes that leave the file, in virtual time: what they were goes when it is safe, and is named
//! until it has gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::time::Duration;

use api_server::kinds::{CONFIG_MAP, POD, SECRET, SERVICE, STATEFUL_SET};
use fleet::Plane;
use orchestrator::{Fatal, Options, Outcome, Verdict};
use plan::Removal;

use support::{FLEET, Site, load, play, until};

const MINUTE: Duration = Duration::from_secs(60);

/// The fleet without its pool in Asia; without its cluster too.
fn without_asia(cluster_too: bool) -> String {
    let lines = FLEET.lines().filter(|line| !(line.contains("asia:") || cluster_too && line.contains("sin:")));
    lines.map(|line| format!("{line}\n")).collect()
}

async fn run(site: &Site, text: &str, with: impl Fn(&mut Options)) -> Result<Outcome, Fatal> {
    let mut options = site.options();
    with(&mut options);
    orchestrator::apply(&load(text), &options, &|_| {}).await
}

async fn apply(site: &Site, text: &str) -> Outcome {
    run(site, text, |_| {}).await.unwrap()
}

/// What is left of the fleet in a cluster, by kind and name; of our books too.
fn left(site: &Site, cluster: &str) -> Vec<String> {
    let kinds = [&STATEFUL_SET, &SERVICE, &SECRET, &CONFIG_MAP].into_iter();
    let names = kinds.flat_map(|kind| site.list(cluster, kind)).map(|object| {
        format!("{} {}", object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap())
    });
    names.filter(|name| !name.ends_with("kube-root-ca.crt")).collect()
}

fn owes(outcome: &Outcome) -> Vec<String> {
    outcome.debts.iter().map(|debt| format!("{} {} {}", debt.cluster, debt.context, debt.namespace)).collect()
}

#[test]
fn a_pool_that_leaves_with_its_cluster_is_gone_from_there() {
    for cluster_too in [false, true] {
        play(async {
            let site = Site::new().await;
            assert_eq!(apply(&site, FLEET).await.verdict, Verdict::Converged);
            assert!(site.get("sin", &STATEFUL_SET, "meet-jvb-asia-0").is_some());
            let outcome = apply(&site, &without_asia(cluster_too)).await;
            assert_eq!(outcome.verdict, Verdict::Converged, "{:?} {:?}", outcome.blocked, outcome.failures);
            assert_eq!((left(&site, "sin"), owes(&outcome)), (Vec::new(), Vec::new()));
            // It is not asked again.
            let mark = site.mark("sin");
            assert_eq!(apply(&site, &without_asia(cluster_too)).await.verdict, Verdict::Converged);
            assert_eq!(site.asked("sin", mark), [""; 0]);
        });
    }
}

#[test]
fn a_pool_that_serves_fewer_shards_parts_from_the_others() {
    play(async {
        let site = Site::new().await;
        let both = FLEET.replace("{ alpha: {} }", "{ alpha: {}, beta: {} }");
        assert_eq!(apply(&site, &both).await.verdict, Verdict::Converged);
        let pod = site.get("fra", &POD, "meet-jvb-eu-0-0").unwrap()["metadata"]["uid"].clone();
        let fewer = both.replace("eu:   { cluster: fra,", "eu:   { cluster: fra, shards: [alpha],");
        let outcome = apply(&site, &fewer).await;
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?} {:?}", outcome.blocked, outcome.failures);
        assert!(!left(&site, "fra").contains(&"Service meet-beta-a-xmpp".to_owned()), "{:?}", left(&site, "fra"));
        assert!(left(&site, "sin").contains(&"Service meet-beta-a-xmpp".to_owned()), "{:?}", left(&site, "sin"));
        assert_eq!(site.get("fra", &POD, "meet-jvb-eu-0-0").unwrap()["metadata"]["uid"], pod, "it was restarted");
        // And back.
        assert_eq!(apply(&site, &both).await.verdict, Verdict::Converged);
        assert_eq!(site.get("fra", &POD, "meet-jvb-eu-0-0").unwrap()["metadata"]["uid"], pod, "it was restarted");
    });
}

#[test]
fn a_cluster_that_can_not_be_asked_when_it_leaves_stays_a_debt() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        site.faults["sin"].set_down(true);
        let text = without_asia(true);
        for _ in 0..2 {
            let outcome = apply(&site, &text).await;
            assert_eq!((outcome.verdict, owes(&outcome)), (Verdict::NotConverged, vec!["sin sin jitsi".to_owned()]));
            let debt = &outcome.debts[0];
            assert!(debt.uid.is_some() && debt.why.is_some(), "{debt:?}");
        }
        let report = orchestrator::plan(&load(&text), &site.options()).await.unwrap();
        assert_eq!(report.debts.len(), 1);
        site.faults["sin"].set_down(false);
        let outcome = apply(&site, &text).await;
        assert_eq!((outcome.verdict, left(&site, "sin"), owes(&outcome)), (Verdict::Converged, Vec::new(), Vec::new()));
    });
}

#[test]
fn a_debt_outlives_runs_of_the_other_plane() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        let text = without_asia(true);
        let control = |options: &mut Options| options.policy.planes = [Plane::Control].into();
        assert_eq!(run(&site, &text, control).await.unwrap().verdict, Verdict::Converged);
        assert!(site.get("sin", &STATEFUL_SET, "meet-jvb-asia-0").is_some());
        let outcome = apply(&site, &text).await;
        assert_eq!((outcome.verdict, left(&site, "sin")), (Verdict::Converged, Vec::new()));
    });
}

#[test]
fn delete_goes_where_something_is_owed() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        site.faults["sin"].set_down(true);
        let text = without_asia(true);
        apply(&site, &text).await;
        let everything = |options: &mut Options| options.policy.removal = Removal::Everything;
        let outcome = run(&site, &text, everything).await.unwrap();
        assert_eq!((outcome.verdict, owes(&outcome).len()), (Verdict::NotConverged, 1));
        site.faults["sin"].set_down(false);
        assert_eq!(run(&site, &text, everything).await.unwrap().verdict, Verdict::Converged);
        for cluster in support::CLUSTERS {
            assert_eq!(left(&site, cluster), [""; 0], "{cluster}");
        }
    });
}

#[test]
fn a_cluster_that_is_another_one_now_is_left_alone_and_stays_a_debt() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        let mut other = site.options();
        let cluster::Connector::Given(clients) = &mut other.place.connector else { panic!() };
        let fra = clients["fra"].clone();
        clients.insert("sin".parse().unwrap(), fra);
        let outcome = orchestrator::apply(&load(&without_asia(true)), &other, &|_| {}).await.unwrap();
        assert_eq!((outcome.verdict, owes(&outcome).len()), (Verdict::NotConverged, 1));
        assert!(site.get("fra", &STATEFUL_SET, "meet-jvb-eu-0").is_some());
        assert!(site.get("sin", &STATEFUL_SET, "meet-jvb-asia-0").is_some());
    });
}

#[test]
fn a_control_plane_that_moves_leaves_nothing_behind() {
    play(async {
        let site = Site::new().await;
        apply(&site, &without_asia(false)).await;
        let text = without_asia(false).replace("cluster: hq", "cluster: sin");
        let restored = |options: &mut Options| {
            options.restore_passwords_from = Some("fra".parse().unwrap());
            options.trust_new_clusters = true;
        };
        let outcome = run(&site, &text, restored).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?} {:?}", outcome.blocked, outcome.failures);
        assert_eq!((left(&site, "hq"), owes(&outcome)), (Vec::new(), Vec::new()));
        assert!(site.get("sin", &STATEFUL_SET, "meet-alpha-a-prosody").is_some());
    });
}

#[test]
fn another_namespace_under_the_same_name_is_refused() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        let text = FLEET.replace("sin: { context: sin, namespace: jitsi }", "sin: { context: sin, namespace: media }");
        let Err(Fatal::Usage(problems)) = run(&site, &text, |_| {}).await else { panic!() };
        assert!(problems[0].message.contains("the fleet is in namespace jitsi there"), "{problems:?}");
    });
}

#[test]
fn the_daemon_goes_there_too() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        site.faults["sin"].set_down(true);
        daemon.intake.send_modify(|intake| intake.loaded = load(&without_asia(true)));
        let owes = || daemon.state().status.as_ref().is_some_and(|status| !status.tombstones.is_empty());
        until("the debt", 5 * MINUTE, || owes() && !daemon.state().blocked.is_empty()).await;
        site.faults["sin"].set_down(false);
        until("it is gone", 10 * MINUTE, || left(&site, "sin").is_empty() && daemon.is_content() && !owes()).await;
        until("it is not followed any more", MINUTE, || daemon.state().clusters.len() == 2).await;
        daemon.end().await;
    });
}

#[test]
fn a_home_that_moves_under_a_daemon_leaves_nothing_behind() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        // The pool in fra goes, its cluster too, and the data plane is led from sin now.
        let lines = FLEET.lines().filter(|line| !line.contains("eu:") && !line.contains("fra: {"));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let text = text.replace("home: fra", "home: sin");
        daemon.intake.send_modify(|intake| intake.loaded = load(&text));
        until("it is gone", 10 * MINUTE, || left(&site, "fra").is_empty() && daemon.is_content()).await;
        assert!(site.get("sin", &STATEFUL_SET, "meet-jvb-asia-0").is_some());
        daemon.end().await;
    });
}

#[test]
fn a_bridge_that_waits_to_leave_is_no_stranger() {
    play(async {
        let site = Site::new().await;
        let two = FLEET.replacen("replicas: 1", "replicas: 2", 1);
        assert_eq!(apply(&site, &two).await.verdict, Verdict::Converged);
        site.sandbox.world().set_load("fra", "jitsi", "meet-jvb-eu-1-0", 1, 2).unwrap();
        let outcome = apply(&site, FLEET).await;
        assert_eq!((outcome.verdict, outcome.blocked.len()), (Verdict::NotConverged, 1), "{:?}", outcome.blocked);
        assert!(outcome.proof.slots.iter().all(|slot| slot.foreign.is_empty()), "{:?}", outcome.proof.slots);
        site.sandbox.world().set_load("fra", "jitsi", "meet-jvb-eu-1-0", 0, 0).unwrap();
        // Until it has told jicofo.
        tokio::time::sleep(MINUTE).await;
        let outcome = apply(&site, FLEET).await;
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?} {:?}", outcome.blocked, outcome.failures);
        assert!(site.get("fra", &STATEFUL_SET, "meet-jvb-eu-1").is_none());
    });
}
