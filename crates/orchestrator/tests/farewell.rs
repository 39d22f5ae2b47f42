//! The daemon that is told to end, or to keep another file, in the middle of a plan, and the run that is out of time; in
//! virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::time::Duration;

use api_server::http::Entry;
use api_server::kinds::POD;
use sandbox::fault::{Fault, Rule, Which};
use serde_json::json;
use tokio::time::{Instant, sleep};

use support::{FLEET, Running, Site, load, play, until};

const MINUTE: Duration = Duration::from_secs(60);

/// The cluster with most of the work, which is nobody's home.
const BUSY: &str = "sin";

/// So many bridges that they take minutes to write.
fn large() -> String {
    FLEET.replace("cluster: sin, bridges: { replicas: 1", "cluster: sin, bridges: { replicas: 200")
}

/// What daemons wrote in a cluster, as far as it was executed.
fn written(site: &Site, cluster: &str) -> Vec<Entry> {
    let mut entries = site.sandbox.requests(cluster).unwrap().since(0);
    entries.retain(|entry| entry.line.writes() && entry.line.user_agent.starts_with("jitsictl"));
    entries
}

/// Writes there that were begun.
fn begun(site: &Site) -> usize {
    usize::try_from(site.faults[BUSY].counts().delayed).unwrap()
}

/// A daemon in the middle of its first plan, where each write takes a while.
async fn in_the_middle(site: &Site) -> Running {
    let slow = Duration::from_millis(400);
    site.faults[BUSY].set(vec![Rule { which: Which::Writes, chance: 1.0, fault: Fault::Delay(slow, slow) }]);
    let daemon = site.daemon("one", &large(), &[]);
    until("some is written", 5 * MINUTE, || written(site, BUSY).len() > 20).await;
    assert!(begun(site) > written(site, BUSY).len(), "some is under way");
    daemon
}

fn is_inventory(entry: &Entry) -> bool {
    entry.line.resource == "configmaps" && entry.line.name.as_deref().is_some_and(|name| name.contains("inventory"))
}

#[test]
fn told_to_end_in_the_middle_of_a_plan_it_begins_nothing_cuts_nothing_and_gives_back_its_leases_last() {
    play(async {
        let site = Site::new().await;
        let daemon = in_the_middle(&site).await;
        let (before, told) = (begun(&site), Instant::now());
        daemon.end().await;
        assert!(told.elapsed() < Duration::from_secs(3), "it took {:?}", told.elapsed());
        let all = written(&site, BUSY);
        assert_eq!(all.len(), begun(&site), "what was begun was executed");
        let since: Vec<&Entry> = all[before..].iter().collect();
        assert!(!since.is_empty(), "what came of it is written down");
        assert!(since.iter().all(|entry| is_inventory(entry)), "{:?}", since.iter().map(|entry| &entry.line.uri));
        for home in ["hq", "fra"] {
            let last = written(&site, home).pop().unwrap();
            assert_eq!(last.line.resource, "leases", "{home}: {:?}", last.line.uri);
            assert!(last.time >= all.last().unwrap().time, "{home}: it was given back before all was over");
        }
    });
}

#[test]
fn another_file_in_the_middle_of_a_plan_cuts_nothing() {
    play(async {
        let site = Site::new().await;
        let daemon = in_the_middle(&site).await;
        let before = begun(&site);
        daemon.intake.send_modify(|intake| intake.loaded = load(FLEET));
        sleep(MINUTE).await;
        assert!(site.get(BUSY, &api_server::kinds::STATEFUL_SET, "meet-jvb-asia-199").is_none());
        assert!(begun(&site) < before + 300, "the old plan was not gone on with");
        daemon.end().await;
        assert_eq!(written(&site, BUSY).len(), begun(&site), "what was begun was executed");
    });
}

#[test]
fn a_cluster_that_does_not_answer_keeps_nobody_from_ending_but_then_no_lease_is_given_back() {
    play(async {
        let site = Site::new().await;
        let daemon = in_the_middle(&site).await;
        site.faults[BUSY].partition();
        sleep(Duration::from_secs(1)).await;
        let told = Instant::now();
        let marks = ["hq", "fra"].map(|home| written(&site, home).len());
        daemon.end().await;
        let took = told.elapsed();
        assert!(Duration::from_secs(6) < took && took < Duration::from_secs(8), "it took {took:?}");
        for (home, mark) in ["hq", "fra"].iter().zip(marks) {
            let lease =
                site.get(home, &api_server::kinds::LEASE, if *home == "hq" { "meet-control" } else { "meet-data" });
            assert_eq!(lease.unwrap()["spec"]["holderIdentity"], "one", "what was sent may yet land");
            assert!(written(&site, home).len() <= mark + 3, "{home}: it renews meanwhile, and nothing else");
        }
    });
}

#[test]
fn out_of_time_a_drain_that_can_not_be_taken_back_is_tried_once_more_and_not_for_ever() {
    play(async {
        let site = Site::new().await;
        orchestrator::apply(&load(FLEET), &site.options(), &|_| {}).await.unwrap();
        let drain = json!({ "reason": "replace", "since": "2026-11-22T10:00:00Z" }).to_string();
        let drained = json!({ "metadata": { "annotations": { manifest::labels::DRAIN: drain } } });
        site.edit(BUSY, &POD, "meet-jvb-asia-0-0", drained);
        site.faults[BUSY].set(vec![Rule { which: Which::Writes, chance: 1.0, fault: Fault::ResetAfter }]);
        let mark = site.mark(BUSY);
        let mut options = site.options();
        options.timeout = Duration::from_secs(10);
        let begun = Instant::now();
        orchestrator::apply(&load(FLEET), &options, &|_| {}).await.unwrap();
        let (took, asked) = (begun.elapsed(), site.asked(BUSY, mark).len());
        assert!(took < Duration::from_secs(15), "it took {took:?}");
        assert!(asked < 300, "{asked} requests");
    });
}
