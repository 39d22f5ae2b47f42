//! `cluster forget`, in virtual time: clusters that don't come back, and those that were rebuilt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use api_server::kinds::{CONFIG_MAP, NAMESPACE, STATEFUL_SET};
use api_server::{Request, Verb};
use orchestrator::{Fatal, Options, Outcome, Verdict};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use support::{FLEET, Site, load, play};

async fn apply(site: &Site, text: &str, with: impl Fn(&mut Options)) -> Result<Outcome, Fatal> {
    let mut options = site.options();
    with(&mut options);
    orchestrator::apply(&load(text), &options, &|_| {}).await
}

async fn forget(site: &Site, text: &str, name: &str, abandon: bool) -> Result<Vec<String>, Fatal> {
    orchestrator::forget(&load(text), &site.options(), &name.parse().unwrap(), abandon).await
}

fn message(result: Result<impl std::fmt::Debug, Fatal>) -> String {
    let Err(Fatal::Usage(problems)) = result else { panic!("{result:?}") };
    problems[0].message.clone()
}

/// A cluster in which nothing is any more.
async fn rebuild(site: &Site, cluster: &str) {
    let server = site.sandbox.server(cluster).unwrap();
    server.call(Request::new(Verb::Delete, &NAMESPACE, None, Some("jitsi"))).unwrap();
    let there = || server.call(Request::new(Verb::Get, &NAMESPACE, None, Some("jitsi"))).is_ok();
    while there() {
        sleep(std::time::Duration::from_secs(1)).await;
    }
    let mut request = Request::new(Verb::Create, &NAMESPACE, None, None);
    request.body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "jitsi" } });
    server.call(request).unwrap();
}

/// What a record holds of one cluster, as if it had been another one.
fn estrange(site: &Site, (home, name): (&str, &str), cluster: &str) {
    let map = site.get(home, &CONFIG_MAP, name).unwrap();
    let mut record: Json = serde_json::from_str(map["data"]["record.json"].as_str().unwrap()).unwrap();
    record["pins"][cluster]["uid"] = json!("another");
    site.edit(home, &CONFIG_MAP, name, json!({ "data": { "record.json": record.to_string() } }));
}

#[test]
fn a_data_cluster_that_does_not_come_back_is_forgotten_with_what_it_holds() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET, |_| {}).await.unwrap();
        let text: String = FLEET.lines().filter(|line| !line.contains("sin")).map(|line| format!("{line}\n")).collect();
        site.faults["sin"].set_down(true);
        assert_eq!(apply(&site, &text, |_| {}).await.unwrap().verdict, Verdict::NotConverged);
        assert!(message(forget(&site, &text, "sin", false).await).contains("cluster sin still holds base data@sin"));
        let forgotten = forget(&site, &text, "sin", true).await.unwrap();
        assert!(forgotten.contains(&"data plane: base data@sin".to_owned()), "{forgotten:?}");
        let outcome = apply(&site, &text, |_| {}).await.unwrap();
        assert_eq!(outcome.debts, Vec::new());
        // Its bridges run on, and jicofo goes on using them: that is what was chosen, and it is said.
        assert_eq!(outcome.verdict, Verdict::NotConverged);
        let mut foreign = outcome.proof.slots.iter().flat_map(|slot| &slot.foreign).peekable();
        assert!(foreign.peek().is_some() && foreign.all(|nickname| nickname.starts_with("sin-")));
        assert_eq!(forget(&site, &text, "sin", true).await.unwrap(), [""; 0]);
    });
}

#[test]
fn a_home_that_was_rebuilt_is_forgotten_by_the_other_plane() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET, |_| {}).await.unwrap();
        let refusal = message(forget(&site, FLEET, "hq", true).await);
        assert_eq!(refusal, "cluster hq is the home of the control plane, and its record is there");
        rebuild(&site, "hq").await;
        estrange(&site, ("fra", "meet-data"), "hq");
        assert!(message(apply(&site, FLEET, |_| {}).await).contains("cluster hq is not the one it was"));
        assert_eq!(forget(&site, FLEET, "hq", true).await.unwrap(), ["data plane: pin of hq"]);
        let restore = |options: &mut Options| options.restore_passwords_from = Some("fra".parse().unwrap());
        let outcome = apply(&site, FLEET, restore).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?} {:?}", outcome.blocked, outcome.failures);
        assert!(site.get("hq", &STATEFUL_SET, "meet-alpha-a-prosody").is_some());
    });
}

#[test]
fn a_home_whose_record_came_back_from_a_backup_is_forgotten_in_it_too() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET, |_| {}).await.unwrap();
        for place in [("hq", "meet-control"), ("fra", "meet-data")] {
            estrange(&site, place, "hq");
        }
        assert!(message(apply(&site, FLEET, |_| {}).await).contains("cluster hq is not the one it was"));
        let forgotten = forget(&site, FLEET, "hq", true).await.unwrap();
        assert_eq!(forgotten, ["control plane: pin of hq", "data plane: pin of hq"]);
        assert_eq!(apply(&site, FLEET, |_| {}).await.unwrap().verdict, Verdict::Converged);
    });
}
