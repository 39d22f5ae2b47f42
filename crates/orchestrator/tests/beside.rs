//! Runs beside daemons and beside each other, in virtual time: one writer per plane.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_server::kinds::{CONFIG_MAP, LEASE, SECRET, SERVICE, STATEFUL_SET};
use fleet::Plane;
use fleet::load::Loaded;
use orchestrator::{CancellationToken, Event, Fatal, Options, Outcome, Verdict};
use plan::Removal;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use support::{CLUSTERS, FLEET, Site, load, play, until};

const MINUTE: Duration = Duration::from_secs(60);

/// The same fleet with so many bridges in Europe.
fn bridges(count: usize) -> String {
    FLEET.replacen("replicas: 1", &format!("replicas: {count}"), 1)
}

fn there(site: &Site, index: usize) -> bool {
    site.get("fra", &STATEFUL_SET, &format!("meet-jvb-eu-{index}")).is_some()
}

/// Applies, and returns what was noted on the way.
async fn apply(site: &Site, text: &str, with: impl Fn(&mut Options)) -> (Result<Outcome, Fatal>, Vec<String>) {
    apply_loaded(site, &load(text), with).await
}

async fn apply_loaded(
    site: &Site,
    loaded: &Loaded,
    with: impl Fn(&mut Options),
) -> (Result<Outcome, Fatal>, Vec<String>) {
    let mut options = site.options();
    with(&mut options);
    let notes = Mutex::new(Vec::new());
    let tell = |event: Event| {
        if let Event::Note { text, .. } = event {
            notes.lock().unwrap().push(text);
        }
    };
    let ended = orchestrator::apply(loaded, &options, &tell).await;
    (ended, notes.into_inner().unwrap())
}

fn holder(site: &Site, cluster: &str, plane: &str) -> Option<String> {
    let lease = site.get(cluster, &LEASE, &format!("meet-{plane}"))?;
    lease.pointer("/spec/holderIdentity").and_then(Json::as_str).map(str::to_owned)
}

#[test]
fn beside_a_daemon_it_does_the_work_and_what_was_applied_goes_before_its_file() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        let (outcome, notes) = apply(&site, &bridges(2), |_| {}).await;
        let outcome = outcome.unwrap();
        assert_eq!((outcome.verdict, outcome.written), (Verdict::Converged, 0), "{:?}", outcome.blocked);
        assert!(there(&site, 1));
        let expected = "the daemon one keeps the control plane: it is told what to do, and followed";
        assert!(notes.iter().any(|note| note == expected), "{notes:?}");
        assert_eq!(holder(&site, "hq", "control").as_deref(), Some("one"));
        // It starts again with the file that it had.
        daemon.end().await;
        let daemon = site.daemon("two", FLEET, &[]);
        until("both planes led", MINUTE, || daemon.leads(Plane::Control) && daemon.leads(Plane::Data)).await;
        tokio::time::sleep(5 * MINUTE).await;
        assert!(there(&site, 1) && daemon.is_content());
        // A new file is the last word.
        daemon.intake.send_modify(|intake| intake.loaded = load(&bridges(3)));
        until("the third bridge", 5 * MINUTE, || there(&site, 2) && daemon.is_content()).await;
        daemon.end().await;
    });
}

#[test]
fn values_of_secrets_stay_where_they_are_and_it_says_so() {
    play(async {
        let secret =
            "env: { ENABLE_AUTH: 1, AUTH_TYPE: jwt, JWT_APP_ID: meet }\nsecrets: { JWT_APP_SECRET: { env: KEY } }\n";
        let with = |key: &str| {
            let environment = BTreeMap::from([("KEY".to_owned(), key.to_owned())]);
            let text = format!("{FLEET}{secret}");
            Arc::new(fleet::load::load_text("fleet.yaml", &text, Path::new("/"), &environment).unwrap())
        };
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        daemon.intake.send_modify(|intake| intake.loaded = with("first"));
        let stored = || site.get("hq", &SECRET, "meet-secrets")?.pointer("/data/JWT_APP_SECRET").cloned();
        until("the secret", 5 * MINUTE, || stored().is_some() && daemon.is_content()).await;
        let said = |notes: &[String]| notes.iter().any(|note| note.contains("JWT_APP_SECRET are not handed over"));
        let (outcome, notes) = apply_loaded(&site, &with("second"), |options| options.timeout = MINUTE).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::NotConverged);
        assert!(said(&notes), "{notes:?}");
        // The daemon gets it too.
        daemon.intake.send_modify(|intake| intake.loaded = with("second"));
        until("the new one", 5 * MINUTE, || stored() == Some(json!("c2Vjb25k")) && daemon.is_content()).await;
        let (outcome, notes) = apply_loaded(&site, &with("second"), |_| {}).await;
        assert_eq!((outcome.unwrap().verdict, said(&notes)), (Verdict::Converged, false), "{notes:?}");
        daemon.end().await;
    });
}

#[test]
fn a_password_between_components_stays_as_it_was_made_and_it_says_so() {
    play(async {
        let with = |password: &str| {
            let environment = BTreeMap::from([("KEY".to_owned(), password.to_owned())]);
            let text = format!("{FLEET}secrets: {{ JVB_AUTH_PASSWORD: {{ env: KEY }} }}\n");
            fleet::load::load_text("fleet.yaml", &text, Path::new("/"), &environment).unwrap()
        };
        let site = Site::new().await;
        let said = |notes: &[String]| notes.iter().any(|note| note.contains("JVB_AUTH_PASSWORD changes nothing"));
        let (outcome, notes) = apply_loaded(&site, &with("first"), |_| {}).await;
        assert_eq!((outcome.unwrap().verdict, said(&notes)), (Verdict::Converged, false), "{notes:?}");
        let planned = orchestrator::plan(&with("second"), &site.options()).await.unwrap();
        assert!(said(&planned.notes), "{:?}", planned.notes);
        let (outcome, notes) = apply_loaded(&site, &with("second"), |_| {}).await;
        assert_eq!((outcome.unwrap().verdict, said(&notes)), (Verdict::Converged, true), "{notes:?}");
    });
}

#[test]
fn what_was_applied_while_the_daemon_was_down_goes_before_its_file() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        daemon.end().await;
        let (outcome, notes) = apply(&site, &bridges(2), |_| {}).await;
        assert_eq!((outcome.unwrap().verdict, notes), (Verdict::Converged, Vec::new()));
        let daemon = site.daemon("two", FLEET, &[]);
        until("both planes led", MINUTE, || daemon.leads(Plane::Control) && daemon.leads(Plane::Data)).await;
        tokio::time::sleep(5 * MINUTE).await;
        assert!(there(&site, 1) && daemon.is_content());
        daemon.end().await;
    });
}

#[test]
fn a_plane_alone_has_a_daemon_and_the_other_is_written_by_the_run() {
    play(async {
        let site = Site::new().await;
        let (outcome, _) = apply(&site, FLEET, |_| {}).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Converged);
        let daemon = site.daemon("one", FLEET, &[Plane::Control]);
        until("the control plane led", MINUTE, || daemon.leads(Plane::Control)).await;
        let more = bridges(2).replace("shards: { alpha: {} }", "shards: { alpha: {}, beta: {} }");
        let (outcome, _) = apply(&site, &more, |_| {}).await;
        let outcome = outcome.unwrap();
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?}", outcome.blocked);
        assert!(outcome.written > 0 && there(&site, 1));
        assert!(site.get("hq", &STATEFUL_SET, "meet-beta-a-prosody").is_some());
        assert_eq!((holder(&site, "hq", "control").as_deref(), holder(&site, "fra", "data")), (Some("one"), None));
        daemon.end().await;
    });
}

#[test]
fn two_daemons_of_which_each_leads_a_plane_both_work() {
    play(async {
        let site = Site::new().await;
        let data = site.daemon("data", FLEET, &[Plane::Data]);
        until("the data plane led", MINUTE, || data.leads(Plane::Data)).await;
        let both = site.daemon("both", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || both.is_content() && data.is_content()).await;
        assert!(both.leads(Plane::Control) && !both.leads(Plane::Data));
        for (cluster, service) in [("hq", "meet-alpha-xmpp"), ("fra", "meet-jvb-eu-0")] {
            let part_of = "/metadata/labels/app.kubernetes.io~1part-of";
            let before = site.get(cluster, &SERVICE, service).unwrap().pointer(part_of).cloned();
            let changed = json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "x" } } });
            site.edit(cluster, &SERVICE, service, changed);
            until(service, MINUTE, || {
                site.get(cluster, &SERVICE, service).unwrap().pointer(part_of) == before.as_ref()
            })
            .await;
        }
        data.end().await;
        both.end().await;
    });
}

#[test]
fn nothing_is_deleted_beside_a_daemon_and_nothing_is_left_without() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        let marks = CLUSTERS.map(|cluster| site.mark(cluster));
        let everything = |options: &mut Options| options.policy.removal = Removal::Everything;
        let (refused, _) = apply(&site, FLEET, everything).await;
        let Err(Fatal::Usage(problems)) = refused else { panic!("{refused:?}") };
        assert!(problems[0].message.contains("the daemon one keeps the control plane"), "{problems:?}");
        for (cluster, mark) in CLUSTERS.iter().zip(marks) {
            let asked = site.asked(cluster, mark);
            let of_leases = |line: &String| line.ends_with(" leases") || !line.starts_with("delete");
            assert!(asked.iter().all(of_leases), "{cluster}: {asked:?}");
        }
        daemon.end().await;
        let (outcome, _) = apply(&site, FLEET, everything).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Converged);
        for cluster in CLUSTERS {
            assert_eq!(site.list(cluster, &LEASE).len(), 0, "{cluster}");
            assert!(site.list(cluster, &CONFIG_MAP).iter().all(|map| map["metadata"]["name"] == "kube-root-ca.crt"));
        }
    });
}

#[test]
fn runs_wait_for_each_other_and_a_dead_one_is_not_waited_for_long() {
    play(async {
        let site = Site::new().await;
        let fleet = bridges(2);
        let ((first, _), (second, notes)) = tokio::join!(apply(&site, FLEET, |_| {}), async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            apply(&site, &fleet, |_| {}).await
        });
        assert_eq!((first.unwrap().verdict, second.unwrap().verdict), (Verdict::Converged, Verdict::Converged));
        assert!(notes.iter().any(|note| note.contains("is at work on the control plane")), "{notes:?}");
        assert!(there(&site, 1));
        // One that ends without a word.
        let third = bridges(3);
        let ended = tokio::time::timeout(Duration::from_millis(400), apply(&site, &third, |_| {})).await;
        assert!(ended.is_err());
        assert!(holder(&site, "fra", "data").is_some_and(|holder| holder.starts_with("run/")));
        let begun = Instant::now();
        let (outcome, _) = apply(&site, &bridges(4), |_| {}).await;
        assert_eq!(outcome.unwrap().verdict, Verdict::Converged);
        assert!(there(&site, 3) && begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        assert_eq!((holder(&site, "hq", "control"), holder(&site, "fra", "data")), (None, None));
    });
}

#[test]
fn a_run_that_is_told_to_stop_gives_back_what_it_took() {
    play(async {
        let site = Site::new().await;
        let stop = CancellationToken::new();
        let options = Options { stop: stop.clone(), ..site.options() };
        let loaded = load(FLEET);
        let begun = Instant::now();
        let (outcome, ()) = tokio::join!(orchestrator::apply(&loaded, &options, &|_| {}), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(holder(&site, "hq", "control").is_some() && holder(&site, "fra", "data").is_some());
            stop.cancel();
        });
        assert_eq!(outcome.unwrap().verdict, Verdict::NotConverged);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert_eq!((holder(&site, "hq", "control"), holder(&site, "fra", "data")), (None, None));
        let (outcome, notes) = apply(&site, FLEET, |_| {}).await;
        assert_eq!((outcome.unwrap().verdict, notes), (Verdict::Converged, Vec::new()));
    });
}
