//! Hand-written pods in two real clusters: a bridge joins over the other cluster's load balancer, or not, and why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is how a test fails")]

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use sandbox::{ClusterAccess, Door, World};
use serde_json::{Value as Json, json};
use testbed::{LOAD_BALANCERS, Options, Testbed};
use tokio::time::{Instant, sleep};

const NS: &str = "jitsi";

#[tokio::test(flavor = "multi_thread")]
async fn bridges_join_across_clusters() {
    let testbed = Testbed::start(&["hq", "fra"], Options::default()).await.unwrap();
    let access = testbed.clusters().iter().zip(LOAD_BALANCERS).map(|(cluster, load_balancer_base)| ClusterAccess {
        name: cluster.name().to_owned(),
        door: Door::Network(Box::new(cluster.config().clone())),
        load_balancer_base,
    });
    let world = World::start(access.collect()).await.unwrap();
    let hq = testbed.cluster("hq").unwrap().client().clone();
    let fra = testbed.cluster("fra").unwrap().client().clone();
    for client in [&hq, &fra] {
        create::<Namespace>(&Api::all(client.clone()), json!({ "metadata": { "name": NS } })).await;
    }

    a_missing_secret_is_named(&hq).await;
    control_plane(&hq).await;
    let address = balancer_address(&hq).await;
    data_plane(&fra, &address).await;
    a_bridge_is_listed(&hq).await;
    the_ways_in_are_true(&hq, &fra).await;
    a_wrong_password_is_not_listed(&hq, &fra).await;
    drain_and_load_reach_jicofo(&world, &hq, &fra).await;
    a_moved_address_is_followed(&world, &hq, &fra).await;
    a_hook_waits_for_people(&world, &hq, &fra).await;
    world.stop().await;
}

async fn create<K>(api: &Api<K>, body: Json)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let object = serde_json::from_value(body).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Asks until the answer is there.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not come: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn pod(name: &str, image: &str, env: Json, extra: Json) -> Json {
    let mut container = json!({ "name": name, "image": image, "env": env });
    container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({
        "metadata": { "name": name, "namespace": NS, "labels": { "app": name } },
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 60,
            "containers": [container],
            "volumes": [{ "name": "wiring", "configMap": { "name": "wiring", "optional": true } }],
        },
    })
}

fn password(key: &str) -> Json {
    json!({ "name": key, "valueFrom": { "secretKeyRef": { "name": "passwords", "key": key } } })
}

async fn a_missing_secret_is_named(hq: &Client) {
    let pods: Api<Pod> = Api::namespaced(hq.clone(), NS);
    let env = json!([password("JICOFO_AUTH_PASSWORD"), password("JVB_AUTH_PASSWORD")]);
    let ports = json!({ "ports": [{ "name": "xmpp-a", "containerPort": 5222 }] });
    create(&pods, pod("prosody", "example.org/jitsi/prosody:stable-11146-2", env, ports)).await;
    let waiting = until("a reason", || async {
        let status = pods.get("prosody").await.unwrap().status?;
        status.container_statuses?.first()?.state.clone()?.waiting
    })
    .await;
    assert_eq!(waiting.reason.as_deref(), Some("CreateContainerConfigError"));
    assert_eq!(waiting.message.as_deref(), Some("secret \"passwords\" not found"));
}

async fn control_plane(hq: &Client) {
    let secret = json!({ "metadata": { "name": "passwords" },
        "stringData": { "JICOFO_AUTH_PASSWORD": "f", "JVB_AUTH_PASSWORD": "b" } });
    create::<Secret>(&Api::namespaced(hq.clone(), NS), secret).await;
    let services: Api<Service> = Api::namespaced(hq.clone(), NS);
    let ports = json!([{ "name": "xmpp-a", "port": 5222, "targetPort": "xmpp-a" }]);
    let local = json!({ "metadata": { "name": "prosody" },
        "spec": { "selector": { "app": "prosody" }, "ports": ports, "publishNotReadyAddresses": true } });
    create(&services, local).await;
    let outside = json!({ "metadata": { "name": "xmpp" },
        "spec": { "type": "LoadBalancer", "selector": { "app": "prosody" }, "ports": ports } });
    create(&services, outside).await;
    let server = format!("prosody.{NS}.svc.cluster.local");
    let env = json!([{ "name": "XMPP_SERVER", "value": server }, password("JICOFO_AUTH_PASSWORD")]);
    let pods: Api<Pod> = Api::namespaced(hq.clone(), NS);
    create(&pods, pod("jicofo", "example.org/jitsi/jicofo:stable-11146-2", env, json!({}))).await;
    until("a ready jicofo", || async { ready(&pods, "jicofo").await.then_some(()) }).await;
}

async fn ready(pods: &Api<Pod>, name: &str) -> bool {
    let status = pods.get(name).await.unwrap().status.unwrap_or_default();
    status.conditions.unwrap_or_default().iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

async fn balancer_address(hq: &Client) -> String {
    let services: Api<Service> = Api::namespaced(hq.clone(), NS);
    until("an address", || async {
        services.get("xmpp").await.unwrap().status?.load_balancer?.ingress?.first()?.ip.clone()
    })
    .await
}

fn slice(address: &str) -> Json {
    json!({
        "metadata": { "name": "hq-xmpp-4", "labels": { "kubernetes.io/service-name": "hq-xmpp" } },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [address] }],
        "ports": [{ "name": "xmpp", "port": 5222 }],
    })
}

fn bridge(name: &str) -> Json {
    let env = json!([
        password("JVB_AUTH_PASSWORD"),
        { "name": "JVB_MUC_NICKNAME", "value": format!("fra-{name}") },
        { "name": "JVB_OCTO_RELAY_ID", "value": format!("fra-{name}") },
        { "name": "JVB_OCTO_REGION", "value": "eu" },
        { "name": "ENABLE_OCTO", "value": "1" },
        { "name": "JVB_DISABLE_XMPP", "value": "1" },
        { "name": "COLIBRI_REST_ENABLED", "value": "1" },
    ]);
    let extra = json!({
        "volumeMounts": [{ "name": "wiring", "mountPath": "/etc/jitsictl/wiring" }],
        "lifecycle": { "preStop": { "exec": { "command": ["drain-and-wait"] } } },
    });
    pod(name, "example.org/jitsi/jvb:stable-11146-2", env, extra)
}

async fn data_plane(fra: &Client, address: &str) {
    let config = format!(
        r#"videobridge.apis.xmpp-client.configs {{
  "alpha-a" {{
    HOSTNAME = "hq-xmpp.{NS}.svc.cluster.local"
    PORT = "5222"
    DOMAIN = "auth.meet.jitsi"
    USERNAME = "jvb"
    PASSWORD = ${{JVB_AUTH_PASSWORD}}
    MUC_JIDS = "jvbbrewery@internal-muc.meet.jitsi"
    MUC_NICKNAME = ${{JVB_MUC_NICKNAME}}
    DISABLE_CERTIFICATE_VERIFICATION = "true"
  }}
}}
"#
    );
    let wiring = json!({ "metadata": { "name": "wiring" }, "data": { "custom-jvb.conf": config } });
    create::<ConfigMap>(&Api::namespaced(fra.clone(), NS), wiring).await;
    let secret = json!({ "metadata": { "name": "passwords" }, "stringData": { "JVB_AUTH_PASSWORD": "b" } });
    create::<Secret>(&Api::namespaced(fra.clone(), NS), secret).await;
    let service = json!({ "metadata": { "name": "hq-xmpp" }, "spec": { "ports": [{ "name": "xmpp", "port": 5222 }] } });
    create::<Service>(&Api::namespaced(fra.clone(), NS), service).await;
    create::<EndpointSlice>(&Api::namespaced(fra.clone(), NS), slice(address)).await;
    create(&Api::<Pod>::namespaced(fra.clone(), NS), bridge("jvb-0")).await;
}

async fn ask(client: &Client, pod: &str, port: u16, method: Method, path: &str, body: &str) -> Option<(u16, Json)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NS);
    let mut forward = pods.portforward(pod, &[port]).await.ok()?;
    let stream = forward.take_stream(port)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driver = tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = if body.is_empty() { request } else { request.header("content-type", "application/json") };
    let response = sender.send_request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await.ok()?;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.ok()?.to_bytes();
    driver.abort();
    Some((status, serde_json::from_slice(&bytes).unwrap_or(Json::Null)))
}

async fn bridges(hq: &Client) -> serde_json::Map<String, Json> {
    let debug = ask(hq, "jicofo", 8888, Method::GET, "/debug", "").await;
    let Some((200, debug)) = debug else { return serde_json::Map::default() };
    debug["bridge_selector"]["bridge"].as_object().cloned().unwrap_or_default()
}

async fn listed(hq: &Client, nick: &str) -> Option<Json> {
    bridges(hq).await.remove(&format!("jvbbrewery@internal-muc.meet.jitsi/{nick}"))
}

async fn a_bridge_is_listed(hq: &Client) {
    let bridge = until("a listed bridge", || listed(hq, "fra-jvb-0")).await;
    assert_eq!(bridge["version"], "11146-2");
    assert_eq!((&bridge["region"], &bridge["relay-id"]), (&json!("eu"), &json!("fra-jvb-0")));
    assert_eq!(bridge["operational"], json!(true));
}

async fn the_ways_in_are_true(hq: &Client, fra: &Client) {
    let pods: Api<Pod> = Api::namespaced(hq.clone(), NS);
    let mut forward = pods.portforward("jicofo", &[9000]).await.unwrap();
    let error = forward.take_error(9000).unwrap().await.unwrap();
    assert!(error.contains("connection refused"), "{error}");
    let logs = pods.logs("jicofo", &kube::api::LogParams::default()).await.unwrap();
    assert!(logs.contains("connected to prosody.jitsi.svc.cluster.local:5222"), "{logs}");

    let add = |id: &str, word: &str| {
        json!({ "id": id, "hostname": "hq-xmpp.jitsi.svc", "port": "5222", "domain": "auth.meet.jitsi",
            "username": "jvb", "password": word, "muc_jids": "jvbbrewery@internal-muc.meet.jitsi",
            "muc_nickname": "second" })
        .to_string()
    };
    let post = |path: &'static str, body: String| async move {
        ask(fra, "jvb-0", 8080, Method::POST, path, &body).await.unwrap().0
    };
    assert_eq!(post("/colibri/muc-client/add", add("alpha-b", "wrong")).await, 200, "accepted, not joined");
    assert_eq!(post("/colibri/muc-client/add", add("alpha-b", "b")).await, 200, "ignored for ever");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(listed(hq, "second").await, None);
    let (_, stats) = ask(fra, "jvb-0", 8080, Method::GET, "/colibri/stats", "").await.unwrap();
    assert_eq!((&stats["muc_clients_configured"], &stats["muc_clients_connected"]), (&json!(2), &json!(1)));
    assert_eq!(post("/colibri/muc-client/remove", r#"{"id":"alpha-b"}"#.into()).await, 200);
    assert_eq!(post("/colibri/muc-client/remove", r#"{"id":"alpha-b"}"#.into()).await, 400);
    assert_eq!(post("/colibri/muc-client/add", add("alpha-b", "b")).await, 200);
    until("the second connection", || listed(hq, "second")).await;
    let (_, list) = ask(fra, "jvb-0", 8080, Method::GET, "/colibri/muc-client/list", "").await.unwrap();
    assert_eq!(list, json!(["alpha-a", "alpha-b"]));
    assert_eq!(post("/colibri/muc-client/remove", r#"{"id":"alpha-b"}"#.into()).await, 200);
    let no_type = ask(fra, "jvb-0", 8080, Method::POST, "/colibri/muc-client/add", "").await.unwrap().0;
    assert_eq!(no_type, 415);
}

async fn a_wrong_password_is_not_listed(hq: &Client, fra: &Client) {
    let secret = json!({ "metadata": { "name": "wrong" }, "stringData": { "JVB_AUTH_PASSWORD": "x" } });
    create::<Secret>(&Api::namespaced(fra.clone(), NS), secret).await;
    let mut body = bridge("jvb-1");
    body["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"] = "wrong".into();
    let pods: Api<Pod> = Api::namespaced(fra.clone(), NS);
    create(&pods, body).await;
    until("a ready bridge", || async { ready(&pods, "jvb-1").await.then_some(()) }).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(listed(hq, "fra-jvb-1").await, None);
    let (_, stats) = ask(fra, "jvb-1", 8080, Method::GET, "/colibri/stats", "").await.unwrap();
    assert_eq!((&stats["mucs_configured"], &stats["mucs_joined"]), (&json!(1), &json!(0)));
    let logs = pods.logs("jvb-1", &kube::api::LogParams::default()).await.unwrap();
    assert!(logs.contains("not-authorized"), "{logs}");
}

async fn drain_and_load_reach_jicofo(world: &World, hq: &Client, fra: &Client) {
    world.set_load("fra", NS, "jvb-0", 2, 7).unwrap();
    assert_eq!(ask(fra, "jvb-0", 8080, Method::POST, "/colibri/drain/enable", "").await.unwrap().0, 200);
    until("drain and people", || async {
        let bridge = listed(hq, "fra-jvb-0").await?;
        (bridge["drain"] == json!(true) && bridge["endpoints"] == json!(7)).then_some(())
    })
    .await;

    let before = world.daemon("fra", NS, "jvb-0").unwrap();
    world.crash("fra", NS, "jvb-0").unwrap();
    until("a bridge that forgot", || async { (listed(hq, "fra-jvb-0").await?["drain"] == json!(false)).then_some(()) })
        .await;
    let after = world.daemon("fra", NS, "jvb-0").unwrap();
    assert_eq!((&before.pod_uid, before.starts + 1), (&after.pod_uid, after.starts));

    world.set_load("hq", NS, "jicofo", 2, 5).unwrap();
    let (_, stats) = ask(hq, "jicofo", 8888, Method::GET, "/stats", "").await.unwrap();
    assert_eq!((&stats["conferences"], &stats["participants"]), (&json!(2), &json!(5)));
    assert_eq!(stats["conference_sizes"], json!([3, 2]));
}

async fn a_moved_address_is_followed(world: &World, hq: &Client, fra: &Client) {
    let before = world.daemon("fra", NS, "jvb-0").unwrap();
    world.set_load_balancer_address("hq", NS, "xmpp", vec!["203.0.113.77".into()]).await.unwrap();
    until("a lost bridge", || async { listed(hq, "fra-jvb-0").await.is_none().then_some(()) }).await;
    let log = world.log("fra", NS, "jvb-0").unwrap().join("\n");
    assert!(log.contains("the connection broke: no route to 203.0.113.10:5222"), "{log}");
    let slices: Api<EndpointSlice> = Api::namespaced(fra.clone(), NS);
    let patch = Patch::Merge(slice("203.0.113.77"));
    slices.patch("hq-xmpp-4", &PatchParams::default(), &patch).await.unwrap();
    until("the bridge again", || listed(hq, "fra-jvb-0")).await;
    assert_eq!(before, world.daemon("fra", NS, "jvb-0").unwrap(), "nothing was restarted");
}

async fn a_hook_waits_for_people(world: &World, hq: &Client, fra: &Client) {
    world.set_load("fra", NS, "jvb-0", 1, 2).unwrap();
    let pods: Api<Pod> = Api::namespaced(fra.clone(), NS);
    pods.delete("jvb-0", &DeleteParams::default()).await.unwrap();
    until("a drained bridge", || async { (listed(hq, "fra-jvb-0").await?["drain"] == json!(true)).then_some(()) })
        .await;
    sleep(Duration::from_millis(500)).await;
    assert!(pods.get_opt("jvb-0").await.unwrap().is_some(), "people are still on it");
    world.set_load("fra", NS, "jvb-0", 0, 0).unwrap();
    until("its end", || async { pods.get_opt("jvb-0").await.unwrap().is_none().then_some(()) }).await;
    assert_eq!(listed(hq, "fra-jvb-0").await, None);
}
