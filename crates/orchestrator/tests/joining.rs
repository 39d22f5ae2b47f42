//! Bridges that run and slots that come, move and go, in virtual time: nobody is restarted for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use api_server::Verb;
use api_server::kinds::{POD, SERVICE};
use cluster::Cluster;
use fleet::Plane;
use jitsi_api::jvb;
use orchestrator::{Outcome, Verdict};
use serde_json::{Value as Json, json};

use support::{FLEET, Site, load, play, until};

const MINUTE: Duration = Duration::from_secs(60);
const NAME: &str = "app.kubernetes.io/name";

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

/// What a bridge calls its XMPP clients.
async fn clients(site: &Site, cluster: &str, pod: &str) -> BTreeSet<String> {
    let client = site.sandbox.client(cluster, None).unwrap();
    let options = site.options().place.connection();
    let cluster = Cluster::from_client(&cluster.parse().unwrap(), "jitsi", client, &options);
    let stream = cluster.port_forward(pod, 8080).await.unwrap();
    jvb::muc_clients(stream, Duration::from_secs(5)).await.unwrap()
}

#[test]
fn a_shard_that_is_gone_leaves_no_client_behind() {
    play(async {
        let site = Site::new().await;
        assert_eq!(apply(&site, &with_beta(FLEET)).await.verdict, Verdict::Converged);
        let bridges = [("fra", "meet-jvb-eu-0-0"), ("sin", "meet-jvb-asia-0-0")];
        for (cluster, pod) in bridges {
            assert_eq!(clients(&site, cluster, pod).await, ["alpha-a", "beta-a"].map(str::to_owned).into());
        }
        let outcome = apply(&site, FLEET).await;
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?}", outcome.blocked);
        for (cluster, pod) in bridges {
            assert_eq!(clients(&site, cluster, pod).await, ["alpha-a"].map(str::to_owned).into());
        }
    });
}

#[test]
fn a_daemon_parts_bridges_from_a_shard_that_goes() {
    play(async {
        let site = Site::new().await;
        let daemon = site.daemon("one", &with_beta(FLEET), &[]);
        until("the fleet", 5 * MINUTE, || daemon.is_content()).await;
        daemon.intake.send_modify(|intake| intake.loaded = load(FLEET));
        let wiring = || site.get("sin", &SERVICE, "meet-beta-a-xmpp").is_some();
        until("beta is gone", 10 * MINUTE, || daemon.is_content() && !wiring()).await;
        assert_eq!(clients(&site, "sin", "meet-jvb-asia-0-0").await, ["alpha-a"].map(str::to_owned).into());
        daemon.end().await;
    });
}

/// An address of somebody else's that leads to prosody.
const ADDRESS: &str = "203.0.113.77";

fn ports(port: u16) -> Json {
    json!([{ "name": "xmpp", "port": port, "targetPort": 5222 }])
}

async fn lead_to_prosody(site: &Site, port: u16) {
    let labels = site.get("hq", &POD, "meet-alpha-a-prosody-0").unwrap()["metadata"]["labels"].clone();
    let spec = json!({ "type": "LoadBalancer", "selector": { NAME: labels[NAME] }, "ports": ports(port) });
    let body = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "theirs" }, "spec": spec });
    site.call("hq", Verb::Create, &SERVICE, None, body);
    let world = site.sandbox.world();
    world.set_load_balancer_address("hq", "jitsi", "theirs", vec![ADDRESS.to_owned()]).await.unwrap();
    world.set_host("xmpp.example.org", vec![ADDRESS.to_owned()]);
}

#[test]
fn a_port_that_moves_reaches_bridges_that_run() {
    play(async {
        let site = Site::new().await;
        let at = |port: u16| {
            let external =
                format!("{{ expose: external, external: {{ alpha: {{ a: \"xmpp.example.org:{port}\" }} }} }}");
            FLEET.replace("{ expose: load_balancer }", &external)
        };
        let mut options = site.options();
        options.policy.planes = [Plane::Control].into();
        orchestrator::apply(&load(&at(5222)), &options, &|_| {}).await.unwrap();
        lead_to_prosody(&site, 5222).await;
        let outcome = apply(&site, &at(5222)).await;
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?}", outcome.proof.missing);

        let uid = |site: &Site| site.get("sin", &POD, "meet-jvb-asia-0-0").unwrap()["metadata"]["uid"].clone();
        let before = uid(&site);
        site.edit("hq", &SERVICE, "theirs", json!({ "spec": { "ports": ports(6222) } }));
        // Whoever was connected stays so until the link breaks.
        site.sandbox.world().crash("hq", "jitsi", "meet-alpha-a-prosody-0").unwrap();
        tokio::time::sleep(MINUTE).await;
        let outcome = apply(&site, &at(6222)).await;
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?}", outcome.proof.missing);
        assert_eq!(uid(&site), before, "nobody was restarted for it");
    });
}
