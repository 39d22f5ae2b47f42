//! Bridges that run and slots that come, move and go, in virtual time: nobody is restarted for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

#[allow(dead_code, reason = "each file of tests uses a part of it")]
mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use api_server::Verb;
use api_server::kinds::{POD, SERVICE};
use cluster::{ByteStream, Cluster};
use fleet::Plane;
use jitsi_api::jvb;
use manifest::{Endpoint, Target};
use orchestrator::{Event, Outcome, Verdict};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

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

/// A bridge's REST interface.
async fn rest(site: &Site, cluster: &str, pod: &str) -> ByteStream {
    let client = site.sandbox.client(cluster, None).unwrap();
    let options = site.options().place.connection();
    let cluster = Cluster::from_client(&cluster.parse().unwrap(), "jitsi", client, &options);
    cluster.port_forward(pod, 8080).await.unwrap()
}

/// What a bridge calls its XMPP clients.
async fn clients(site: &Site, cluster: &str, pod: &str) -> BTreeSet<String> {
    jvb::muc_clients(rest(site, cluster, pod).await, Duration::from_secs(5)).await.unwrap()
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

#[test]
fn a_bridge_that_nobody_knows_is_in_the_way_and_named() {
    play(async {
        let site = Site::new().await;
        assert_eq!(apply(&site, FLEET).await.verdict, Verdict::Converged);
        // Somebody took a copy of a bridge, password included.
        let pod = site.get("fra", &POD, "meet-jvb-eu-0-0").unwrap();
        let mut spec = pod["spec"].clone();
        for field in ["nodeName", "hostname", "subdomain"] {
            spec.as_object_mut().unwrap().remove(field);
        }
        let own = ["JVB_MUC_NICKNAME", "JVB_OCTO_RELAY_ID"];
        for variable in spec["containers"][0]["env"].as_array_mut().unwrap() {
            if own.iter().any(|name| variable["name"] == *name) {
                *variable = json!({ "name": variable["name"], "value": "bridge-of-somebody" });
            }
        }
        let body = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "theirs" }, "spec": spec });
        site.call("fra", Verb::Create, &POD, None, body);
        tokio::time::sleep(MINUTE).await;
        let outcome = apply(&site, FLEET).await;
        let foreign: Vec<_> = outcome.proof.slots.iter().flat_map(|slot| &slot.foreign).collect();
        assert_eq!(
            (outcome.verdict, foreign.as_slice()),
            (Verdict::NotConverged, &[&"bridge-of-somebody".to_owned()][..])
        );
        site.delete("fra", &POD, "theirs");
        tokio::time::sleep(5 * MINUTE).await;
        assert_eq!(apply(&site, FLEET).await.verdict, Verdict::Converged);
    });
}

#[test]
fn a_bridge_that_somebody_else_drained_is_named() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        jvb::set_drain(rest(&site, "fra", "meet-jvb-eu-0-0").await, true, Duration::from_secs(5)).await.unwrap();
        tokio::time::sleep(MINUTE).await;
        let outcome = apply(&site, FLEET).await;
        let drained: Vec<_> = outcome.proof.drained.iter().map(|one| (one.pool.as_str(), one.index.0)).collect();
        assert_eq!((outcome.verdict, drained), (Verdict::Converged, vec![("eu", 0)]));
    });
}

async fn move_to(site: &Site, addresses: &[&str]) {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    site.sandbox.world().set_load_balancer_address("hq", "jitsi", "meet-alpha-xmpp", addresses).await.unwrap();
}

#[test]
fn an_address_that_moved_is_known_again_where_it_was_applied() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        move_to(&site, &[ADDRESS]).await;
        let mut options = site.options();
        options.policy.clusters = ["sin".parse().unwrap()].into();
        let outcome = orchestrator::apply(&load(FLEET), &options, &|_| {}).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?}", outcome.proof.endpoints);
    });
}

#[test]
fn whoever_applies_the_control_plane_alone_misses_no_bridge() {
    play(async {
        let site = Site::new().await;
        site.sandbox.world().hold_load_balancers("hq", true).unwrap();
        let mut options = site.options();
        options.policy.planes = [Plane::Control].into();
        let waits = Mutex::new(Vec::new());
        let tell = |event: Event| {
            if let Event::Waiting { why } = event {
                *waits.lock().unwrap() = why;
            }
        };
        let outcome = orchestrator::apply(&load(FLEET), &options, &tell).await.unwrap();
        assert_eq!((outcome.verdict, outcome.proof.missing), (Verdict::NotConverged, Vec::new()));
        let why = "the XMPP endpoint of alpha/a is pending: the load balancer has no address yet";
        assert_eq!(*waits.lock().unwrap(), [why]);
    });
}

#[test]
fn a_host_name_that_is_taken_away_is_stale_as_an_address_is() {
    play(async {
        let site = Site::new().await;
        apply(&site, FLEET).await;
        let address = site.get("hq", &SERVICE, "meet-alpha-xmpp").unwrap();
        let address = address.pointer("/status/loadBalancer/ingress/0/ip").and_then(Json::as_str).unwrap().to_owned();
        site.sandbox.world().set_host("lb.example.org", vec![address]);
        for (given, is_kept) in [(&["lb.example.org"][..], false), (&[], true)] {
            site.sandbox.world().hold_load_balancers("hq", true).unwrap();
            move_to(&site, given).await;
            let endpoints = apply(&site, FLEET).await.proof.endpoints;
            let host = Target::Host { host: "lb.example.org".into(), port: 5222 };
            match &endpoints[0].endpoint {
                Endpoint::Known(target) => assert_eq!((target, is_kept), (&host, false)),
                Endpoint::Stale { last, .. } => assert_eq!((last, is_kept), (&host, true)),
                other => panic!("{other:?}"),
            }
        }
        let wiring = site.get("sin", &SERVICE, "meet-alpha-a-xmpp").unwrap();
        assert_eq!(wiring["spec"]["externalName"], "lb.example.org");
    });
}

#[test]
fn an_address_that_is_on_its_way_is_waited_for_though_the_last_one_is_kept() {
    play(async {
        let site = Site::new().await;
        let by_node_port =
            FLEET.replace("xmpp: { expose: load_balancer }", "xmpp: { expose: node_port, node_port: { base: 31000 } }");
        assert_eq!(apply(&site, &by_node_port).await.verdict, Verdict::Converged);
        let world = site.sandbox.world();
        world.hold_load_balancers("hq", true).unwrap();
        let comes = async {
            sleep(MINUTE / 2).await;
            world.hold_load_balancers("hq", false).unwrap();
        };
        let (outcome, ()) = tokio::join!(apply(&site, FLEET), comes);
        assert_eq!(outcome.verdict, Verdict::Converged, "{:?}", outcome.proof.endpoints);
    });
}
