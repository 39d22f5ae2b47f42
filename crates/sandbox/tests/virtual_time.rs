//! A small fleet over two clusters in virtual time: it comes up, a bridge joins across clusters, an hour passes at once,
//! and everything that happens follows from the seed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use clock::Clock;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Namespace, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

const NS: &str = "jitsi";

async fn apply<K>(api: &Api<K>, name: &str, mut body: Json)
where
    K: k8s_openapi::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    body["apiVersion"] = K::API_VERSION.into();
    body["kind"] = K::KIND.into();
    body["metadata"]["name"] = name.into();
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(body)).await.unwrap();
}

/// Asks until the answer is there.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not come: {what}");
        sleep(Duration::from_millis(500)).await;
    }
}

fn template(name: &str, env: Json, more: Json) -> Json {
    let mut container = json!({
        "name": name, "image": format!("example.org/jitsi/{name}:stable-11146-2"), "env": env,
        "readinessProbe": { "tcpSocket": { "port": 1 }, "periodSeconds": 5 },
    });
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "metadata": { "labels": { "app": name } }, "spec": { "containers": [container] } })
}

fn password(key: &str) -> Json {
    json!({ "name": key, "valueFrom": { "secretKeyRef": { "name": "passwords", "key": key } } })
}

async fn base(client: &Client) {
    apply::<Namespace>(&Api::all(client.clone()), NS, json!({ "metadata": {} })).await;
    let data = json!({ "JICOFO_AUTH_PASSWORD": "f", "JVB_AUTH_PASSWORD": "b" });
    apply::<Secret>(&Api::namespaced(client.clone(), NS), "passwords", json!({ "metadata": {}, "stringData": data }))
        .await;
}

async fn control_plane(hq: &Client) -> String {
    let services: Api<Service> = Api::namespaced(hq.clone(), NS);
    let ports = json!([{ "name": "xmpp", "port": 5222, "targetPort": "xmpp" }]);
    let spec = json!({ "type": "LoadBalancer", "selector": { "app": "prosody" }, "ports": ports });
    apply(&services, "xmpp", json!({ "metadata": {}, "spec": spec })).await;
    let stateful: Api<StatefulSet> = Api::namespaced(hq.clone(), NS);
    let env = json!([password("JICOFO_AUTH_PASSWORD"), password("JVB_AUTH_PASSWORD")]);
    let pod = template("prosody", env, json!({ "ports": [{ "name": "xmpp", "containerPort": 5222 }] }));
    let spec = json!({ "serviceName": "prosody", "replicas": 1, "selector": { "matchLabels": { "app": "prosody" } },
        "template": pod });
    apply(&stateful, "prosody", json!({ "metadata": {}, "spec": spec })).await;
    let deployments: Api<Deployment> = Api::namespaced(hq.clone(), NS);
    let env = json!([{ "name": "XMPP_SERVER", "value": format!("xmpp.{NS}.svc") }, password("JICOFO_AUTH_PASSWORD")]);
    let spec = json!({ "replicas": 1, "selector": { "matchLabels": { "app": "jicofo" } },
        "template": template("jicofo", env, json!({})) });
    apply(&deployments, "jicofo", json!({ "metadata": {}, "spec": spec })).await;
    until("an address", || async {
        services.get("xmpp").await.unwrap().status?.load_balancer?.ingress?.first()?.ip.clone()
    })
    .await
}

async fn bridge(fra: &Client, address: &str) {
    let ports = json!([{ "name": "xmpp", "port": 5222 }]);
    apply::<Service>(&Api::namespaced(fra.clone(), NS), "hq", json!({ "metadata": {}, "spec": { "ports": ports } }))
        .await;
    let slice = json!({
        "metadata": { "labels": { "kubernetes.io/service-name": "hq" } }, "addressType": "IPv4", "ports": ports,
        "endpoints": [{ "addresses": [address], "conditions": { "ready": true } }],
    });
    apply::<EndpointSlice>(&Api::namespaced(fra.clone(), NS), "hq-1", slice).await;
    let env = json!([
        { "name": "XMPP_SERVER", "value": format!("hq.{NS}.svc") },
        { "name": "COLIBRI_REST_ENABLED", "value": "1" },
        password("JVB_AUTH_PASSWORD"),
    ]);
    let spec = json!({ "serviceName": "jvb", "replicas": 1, "selector": { "matchLabels": { "app": "jvb" } },
        "template": template("jvb", env, json!({})) });
    apply::<StatefulSet>(&Api::namespaced(fra.clone(), NS), "jvb", json!({ "metadata": {}, "spec": spec })).await;
}

/// Asks the bridge's own statistics through a port-forward.
async fn joined(pods: &Api<Pod>) -> Option<u64> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut forward = pods.portforward("jvb-0", &[8080]).await.ok()?;
    let mut stream = forward.take_stream(8080)?;
    let request = "GET /colibri/stats HTTP/1.1\r\nHost: jvb\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let body: Json = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    body["mucs_joined"].as_u64().filter(|joined| *joined > 0)
}

async fn an_hour(seed: u64) -> Vec<String> {
    let options = SandboxOptions {
        clusters: vec!["hq".to_owned(), "fra".to_owned()],
        timing: Timing::real(),
        clock: Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap()),
        seed,
        custom_kinds: false,
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let (hq, fra) = (sandbox.client("hq", None).unwrap(), sandbox.client("fra", None).unwrap());
    base(&hq).await;
    base(&fra).await;
    let address = control_plane(&hq).await;
    assert_eq!(address, "203.0.113.10");
    bridge(&fra, &address).await;
    let pods: Api<Pod> = Api::namespaced(fra.clone(), NS);
    until("a bridge in its room", || joined(&pods)).await;
    let before = sandbox.world().daemon("fra", NS, "jvb-0").unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(sandbox.world().daemon("fra", NS, "jvb-0").unwrap(), before, "nothing was restarted");
    assert_eq!(joined(&pods).await, Some(1));

    // Its node goes down and comes back.
    let node = pods.get("jvb-0").await.unwrap().spec.unwrap().node_name.unwrap();
    sandbox.world().lose_node("fra", &node).unwrap();
    sleep(Duration::from_secs(120)).await;
    assert!(sandbox.world().daemon("fra", NS, "jvb-0").is_err());
    sandbox.world().restore_node("fra", &node).unwrap();
    until("the bridge again", || joined(&pods)).await;

    let mut trace = Vec::new();
    for cluster in ["hq", "fra"] {
        for entry in sandbox.requests(cluster).unwrap().since(0) {
            trace.push(format!("{cluster} {} {} {} {}", entry.time, entry.line.method, entry.line.uri, entry.code));
        }
        let pods: Api<Pod> = Api::all(sandbox.client(cluster, None).unwrap());
        for pod in pods.list(&Default::default()).await.unwrap() {
            trace.push(serde_json::to_string(&pod).unwrap());
        }
    }
    drop((hq, fra, pods));
    sandbox.stop().await;
    trace
}

#[test]
fn an_hour_passes_at_once_and_follows_from_its_seed() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let trace = an_hour(seed).await;
            // Pools of connections look after themselves by a timer.
            sleep(Duration::from_secs(120)).await;
            assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "no task is left");
            trace
        })
    };
    let begun = std::time::Instant::now();
    let first = run(7);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    let second = run(7);
    assert_eq!(first, second);
    assert_ne!(first, run(8), "another seed draws other names");
}
