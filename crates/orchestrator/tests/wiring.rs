//! Where bridges are led, in virtual time: only to where somebody listens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::time::Duration;

use api_server::kinds::ENDPOINT_SLICE;
use sandbox::fault::{Fault, Rule, Which};
use serde_json::{Value as Json, json};

use support::{FLEET, Site, load, play};

/// The port to which the bridges of a cluster are led.
fn port(site: &Site) -> Json {
    site.get("fra", &ENDPOINT_SLICE, "meet-alpha-a-xmpp-4").unwrap()["ports"][0]["port"].clone()
}

/// What the API server refuses may be refused for days: a port that somebody else has, a quota, a right that is missing.
#[test]
fn bridges_are_not_led_to_a_node_port_before_the_service_has_it() {
    play(async {
        let site = Site::new().await;
        let apply = async |text: &str| {
            let mut options = site.options();
            options.timeout = Duration::from_secs(20);
            orchestrator::apply(&load(text), &options, &|_| {}).await.unwrap();
        };
        // Its load balancer takes half a minute.
        apply(FLEET).await;
        apply(FLEET).await;
        assert_eq!(port(&site), json!(5222));
        let which = Which::Object("services".to_owned(), "meet-alpha-xmpp".to_owned());
        site.faults["hq"].set(vec![Rule { which, chance: 1.0, fault: Fault::refusal(403) }]);
        let by_node_port = FLEET.replace("expose: load_balancer }", "expose: node_port, node_port: { base: 31000 } }");
        apply(&by_node_port).await;
        assert_eq!(port(&site), json!(5222));
        site.faults["hq"].heal();
        apply(&by_node_port).await;
        assert_eq!(port(&site), json!(31000));
    });
}
