//! `/metrics`: every family, from the state and the counters of one moment.

use std::{collections::BTreeMap, fmt::Display};

use jiff::Timestamp;
use manifest::Endpoint;
use orchestrator::daemon::{BUCKETS, Counters, Link, PlaneState, RoundEnd, State};

use super::text::{Kind, Text};

/// The whole page.
pub(super) fn page(state: &State, counters: &Counters, version: &str, now: Timestamp) -> String {
    let mut text = Text::default();
    rounds(&mut text, counters);
    requests(&mut text, counters);
    clusters(&mut text, state, now);
    credentials(&mut text, state, now);
    endpoints(&mut text, state, now);
    people(&mut text, state);
    troubles(&mut text, state, counters);
    ourselves(&mut text, state, version);
    text.into_string()
}

fn rounds(text: &mut Text, counters: &Counters) {
    let mut total = text.family(Kind::Counter, "reconcile_total", "Rounds, by how they ended.");
    for end in [RoundEnd::Nothing, RoundEnd::Acted, RoundEnd::Waiting, RoundEnd::Failed] {
        total.sample(&[("outcome", &end.as_str())], counters.rounds.get(&end).unwrap_or(&0));
    }
    let help = "How long rounds took, without what they began.";
    let mut durations = text.family(Kind::Histogram, "reconcile_duration_seconds", help);
    let mut below = 0;
    for (upper, rounds) in BUCKETS.iter().zip(counters.durations) {
        below += rounds;
        durations.part("_bucket", &[("le", &(*upper as f64 / 1e3))], below);
    }
    let all: u64 = counters.durations.iter().sum();
    durations.part("_bucket", &[("le", &"+Inf")], all);
    durations.part("_sum", &[], counters.spent as f64 / 1e6);
    durations.part("_count", &[], all);
}

/// Statuses that say that the request was not to blame.
const fn is_failure(code: u16) -> bool {
    code == 0 || code == 429 || code >= 500
}

fn requests(text: &mut Text, counters: &Counters) {
    let help = "Requests to API servers; code 0: there was no answer.";
    let mut total = text.family(Kind::Counter, "requests_total", help);
    let mut failed = BTreeMap::new();
    for ((cluster, verb, code), requests) in &counters.requests {
        total.sample(&[("cluster", cluster), ("verb", verb), ("code", code)], requests);
        *failed.entry(cluster).or_insert(0) += if is_failure(*code) { *requests } else { 0 };
    }
    let help = "Requests without an answer, or with one of 429 and 5xx.";
    let mut failures = text.family(Kind::Counter, "request_failures_total", help);
    for (cluster, requests) in failed {
        failures.sample(&[("cluster", cluster)], requests);
    }
}

fn clusters(text: &mut Text, state: &State, now: Timestamp) {
    let help = "The connection to a cluster: 1 for the state that it is in.";
    let mut states = text.family(Kind::Gauge, "cluster_state", help);
    for (cluster, is) in &state.clusters {
        for link in Link::ALL {
            states.sample(&[("cluster", cluster), ("state", &link.as_str())], u8::from(is.state == link));
        }
    }
    let help = "How long ago the picture of a cluster was certainly complete.";
    let mut ages = text.family(Kind::Gauge, "cache_age_seconds", help);
    for (cluster, is) in &state.clusters {
        if let Some(as_of) = is.as_of {
            ages.sample(&[("cluster", cluster)], age(as_of, now));
        }
    }
}

/// Where credentials end: a state that can be asked for, since how soon is too soon depends on how long they last.
fn credentials(text: &mut Text, state: &State, now: Timestamp) {
    let ends = || state.clusters.iter().filter_map(|(cluster, is)| Some((cluster, is.credentials?)));
    let help = "When the token or the certificate ends that opens a cluster, in seconds since 1970.";
    let mut expiry = text.family(Kind::Gauge, "credentials_expiry_timestamp_seconds", help);
    for (cluster, life) in ends() {
        expiry.sample(&[("cluster", cluster)], life.ends.as_second());
    }
    let help = "Whether that is soon: within a tenth of their life, and within a week.";
    let mut ending = text.family(Kind::Gauge, "credentials_ending", help);
    for (cluster, life) in ends() {
        ending.sample(&[("cluster", cluster)], u8::from(now >= life.critical_from()));
    }
}

/// Never below zero: the clock may have been set back.
fn age(since: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(since).as_secs_f64().max(0.0)
}

const ENDPOINTS: [&str; 4] = ["known", "pending", "stale", "moving"];

const fn word(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Known(_) => "known",
        Endpoint::Pending { .. } => "pending",
        Endpoint::Stale { .. } => "stale",
        Endpoint::Moving { .. } => "moving",
    }
}

fn endpoints(text: &mut Text, state: &State, now: Timestamp) {
    let control = state.status.as_ref().map_or("", |status| status.control.cluster.as_str());
    let help = "Where data clusters reach a slot of the control cluster: 1 for the state that the address is in.";
    let mut states = text.family(Kind::Gauge, "endpoint_state", help);
    for slot in &state.endpoints {
        for known in ENDPOINTS {
            let labels: [(&str, &dyn std::fmt::Display); 4] =
                [("shard", &slot.shard), ("slot", &slot.slot), ("cluster", &control), ("state", &known)];
            states.sample(&labels, u8::from(word(&slot.endpoint) == known));
        }
    }
    let mut ages = text.family(Kind::Gauge, "endpoint_age_seconds", "Since when the address is in that state.");
    for slot in &state.endpoints {
        ages.sample(&[("shard", &slot.shard), ("slot", &slot.slot)], age(slot.since, now));
    }
}

fn people(text: &mut Text, state: &State) {
    let status = state.status.as_ref();
    let pools = || status.into_iter().flat_map(|status| &status.pools);
    let mut expected = text.family(Kind::Gauge, "bridges_expected", "Bridges that there should be.");
    for pool in pools() {
        expected.sample(&[("cluster", &pool.cluster), ("pool", &pool.pool)], pool.bridges.1);
    }
    let mut joined = text.family(Kind::Gauge, "bridges_joined", "Bridges that have joined every slot they serve.");
    for pool in pools() {
        joined.sample(&[("cluster", &pool.cluster), ("pool", &pool.pool)], pool.bridges.0);
    }
    // Where nobody can be asked, nothing is said: 0 would be a claim.
    let help = "Whether a haproxy reaches the web servers of a slot, where it says.";
    let mut reached = text.family(Kind::Gauge, "haproxy_server_up", help);
    for proxy in status.into_iter().flat_map(|status| &status.control.proxies) {
        for server in &proxy.servers {
            let labels: [(&str, &dyn Display); 3] =
                [("pod", &proxy.pod), ("shard", &server.shard), ("slot", &server.slot)];
            reached.sample(&labels, u8::from(server.up));
        }
    }
    let shards = || {
        let shards = status.into_iter().flat_map(|status| &status.control.shards);
        shards.filter_map(|shard| Some((&shard.shard, &shard.slot, shard.live?)))
    };
    let mut conferences = text.family(Kind::Gauge, "conferences", "Conferences on a serving slot, where jicofo says.");
    for (shard, slot, live) in shards() {
        conferences.sample(&[("shard", shard), ("slot", slot)], live.conferences);
    }
    let mut participants = text.family(Kind::Gauge, "participants", "People on a serving slot, where jicofo says.");
    for (shard, slot, live) in shards() {
        participants.sample(&[("shard", shard), ("slot", slot)], live.participants);
    }
}

fn troubles(text: &mut Text, state: &State, counters: &Counters) {
    let help = "Objects that had changed or were gone, and were put right.";
    let mut repaired = text.family(Kind::Counter, "drift_repaired_total", help);
    for ((cluster, kind), objects) in &counters.repaired {
        repaired.sample(&[("cluster", cluster), ("kind", kind)], objects);
    }
    let help = "Objects that somebody else changes back again and again: they are left alone for a while.";
    let mut fighting = text.family(Kind::Gauge, "fighting", help);
    for fight in &state.fighting {
        fighting.sample(&[("cluster", &fight.cluster), ("object", &fight.object)], 1);
    }
    let mut waiting: BTreeMap<_, usize> = state.clusters.keys().map(|cluster| (cluster, 0)).collect();
    for blocked in &state.blocked {
        *waiting.entry(&blocked.cluster).or_default() += 1;
    }
    let mut blocked = text.family(Kind::Gauge, "blocked", "Units that wait for something.");
    for (cluster, units) in waiting {
        blocked.sample(&[("cluster", cluster)], units);
    }
}

fn ourselves(text: &mut Text, state: &State, version: &str) {
    let help = "Whether this daemon is the one that writes for a plane.";
    let mut leading = text.family(Kind::Gauge, "leading", help);
    for (plane, is) in &state.planes {
        leading.sample(&[("plane", plane)], u8::from(matches!(is, PlaneState::Leading { .. })));
    }
    let help = "Whether there is a fleet file that makes no sense: the last good one stays in force.";
    let mut refused = text.family(Kind::Gauge, "intent_refused", help);
    refused.sample(&[], u8::from(state.intent.refused.is_some()));
    let mut build = text.family(Kind::Gauge, "build_info", "The version that runs.");
    build.sample(&[("version", &version)], 1);
}
