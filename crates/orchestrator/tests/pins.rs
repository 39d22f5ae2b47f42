//! How clusters are known again, by those who may read much and by those who may read little, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::time::Duration;

use api_server::ApiError;
use api_server::kinds::{CONFIG_MAP, SERVICE};
use orchestrator::daemon::Link;
use orchestrator::{Fatal, Outcome, Verdict};
use sandbox::fault::{Fault, Rule, Which};
use serde_json::{Value as Json, json};

use support::{CLUSTERS, FLEET, Site, load, play, until};

const MINUTE: Duration = Duration::from_secs(60);

/// Each plane's record, and where it is.
const RECORDS: [(&str, &str); 2] = [("hq", "meet-control"), ("fra", "meet-data")];

async fn apply(site: &Site) -> Result<Outcome, Fatal> {
    orchestrator::apply(&load(FLEET), &site.options(), &|_| {}).await
}

/// From now on nobody may read `kube-system`.
fn without_the_cluster_role(site: &Site) {
    let which = Which::Object("namespaces".to_owned(), "kube-system".to_owned());
    let message = "namespaces \"kube-system\" is forbidden: User \"daemon\" cannot get resource \"namespaces\" in API group \"\" \
                   in the namespace \"kube-system\"";
    let fault = Fault::Refuse(ApiError::new(403, "Forbidden", message));
    let rule = Rule { which, chance: 1.0, fault };
    CLUSTERS.iter().for_each(|cluster| site.faults[cluster].set(vec![rule.clone()]));
}

fn record(site: &Site, (cluster, name): (&str, &str)) -> Json {
    let map = site.get(cluster, &CONFIG_MAP, name).unwrap();
    serde_json::from_str(map["data"]["record.json"].as_str().unwrap()).unwrap()
}

fn change(site: &Site, place: (&str, &str), change: impl Fn(&mut Json)) {
    let mut record = record(site, place);
    change(&mut record);
    site.edit(place.0, &CONFIG_MAP, place.1, json!({ "data": { "record.json": record.to_string() } }));
}

#[test]
fn a_fleet_that_an_admin_applied_is_kept_by_a_daemon_with_fewer_rights() {
    play(async {
        let site = Site::new().await;
        assert_eq!(apply(&site).await.unwrap().verdict, Verdict::Converged);
        without_the_cluster_role(&site);
        assert_eq!(apply(&site).await.unwrap().verdict, Verdict::Converged);
        let daemon = site.daemon("one", FLEET, &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        site.delete("sin", &SERVICE, "meet-alpha-a-xmpp");
        until("it is kept", MINUTE, || site.get("sin", &SERVICE, "meet-alpha-a-xmpp").is_some()).await;
        daemon.end().await;
    });
}

#[test]
fn what_can_not_be_written_down_has_not_converged() {
    play(async {
        let site = Site::new().await;
        apply(&site).await.unwrap();
        let which = Which::Object("configmaps".to_owned(), "meet-control".to_owned());
        let fault = Fault::Refuse(ApiError::new(413, "RequestEntityTooLarge", "request is too large"));
        site.faults["hq"].set(vec![Rule { which, chance: 1.0, fault }]);
        // Another file that leads to the same fleet.
        let text = FLEET.replace("fleet: meet", "fleet: meet\ndaemon: { listen: \"127.0.0.1:9999\" }");
        let outcome = orchestrator::apply(&load(&text), &site.options(), &|_| {}).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::NotConverged);
        assert_eq!(outcome.failures.len(), 1, "{:?}", outcome.failures);
        assert!(outcome.failures[0].message.contains("ConfigMap jitsi/meet-control"), "{:?}", outcome.failures);
        site.faults["hq"].set(Vec::new());
        let outcome = orchestrator::apply(&load(&text), &site.options(), &|_| {}).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::Converged);
    });
}

#[test]
fn a_record_with_one_uid_goes_on_working_and_is_completed() {
    play(async {
        let site = Site::new().await;
        apply(&site).await.unwrap();
        for place in RECORDS {
            change(&site, place, |record| {
                for pin in record["pins"].as_object_mut().unwrap().values_mut() {
                    pin.as_object_mut().unwrap().remove("others");
                }
            });
        }
        assert_eq!(apply(&site).await.unwrap().verdict, Verdict::Converged);
        for place in RECORDS {
            let pins = record(&site, place)["pins"].clone();
            assert!(pins.as_object().unwrap().values().all(|pin| pin["others"]["jitsi"].is_string()), "{pins}");
        }
    });
}

#[test]
fn a_cluster_that_is_another_one_is_refused_by_whichever_uid_can_be_read_and_named() {
    play(async {
        let site = Site::new().await;
        apply(&site).await.unwrap();
        for place in RECORDS {
            change(&site, place, |record| record["pins"]["sin"]["others"]["jitsi"] = json!("another"));
        }
        // It may have been made anew: `kube-system` says that it is the same cluster.
        assert_eq!(orchestrator::plan(&load(FLEET), &site.options()).await.unwrap().unreachable.len(), 0);
        without_the_cluster_role(&site);
        let Err(Fatal::Usage(problems)) = apply(&site).await else { panic!() };
        assert!(problems[0].message.contains("cluster sin is not the one it was"), "{problems:?}");
        let daemon = site.daemon("one", FLEET, &[]);
        let state = || daemon.state().clusters.get("sin").cloned();
        until("it is named", 5 * MINUTE, || state().is_some_and(|state| state.state == Link::Lost)).await;
        assert!(state().unwrap().why.unwrap().contains("is not the one it was"));
        // The others are kept.
        site.delete("fra", &SERVICE, "meet-alpha-a-xmpp");
        until("it is kept", MINUTE, || site.get("fra", &SERVICE, "meet-alpha-a-xmpp").is_some()).await;
        assert_eq!(daemon.state().clusters["fra"].state, Link::Live);
        daemon.end().await;
    });
}
