//! Bridges that run and slots that come, move and go, in virtual time: nobody is restarted for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use orchestrator::{Outcome, Verdict};

use support::{FLEET, Site, load, play};

async fn apply(site: &Site, text: &str) -> Outcome {
    orchestrator::apply(&load(text), &site.options(), &|_| {}).await.unwrap()
}

fn with_beta(text: &str) -> String {
    text.replace("shards: { alpha: {} }", "shards: { alpha: {}, beta: {} }")
}

#[test]
fn a_running_bridge_joins_as_the_user_and_in_the_room_that_the_file_names() {
    play(async {
        let site = Site::new().await;
        let text = format!("{FLEET}env: {{ JVB_AUTH_USER: bridge, JVB_BREWERY_MUC: hall }}\n");
        assert_eq!(apply(&site, &text).await.verdict, Verdict::Converged);
        let outcome = apply(&site, &with_beta(&text)).await;
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?}", outcome.proof.missing);
    });
}
