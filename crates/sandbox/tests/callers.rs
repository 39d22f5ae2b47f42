//! Callers over a whole fleet, rendered and applied: who is interrupted by what, and who is not.

#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

use std::{collections::BTreeSet, time::Duration};

use jitsi_api::{jibri, jicofo, jvb};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use sandbox::people::{Load, People, PeopleReport};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncWrite};

mod support;

use support::Ground;

const NS: &str = "meet";
const DEADLINE: Duration = Duration::from_secs(10);
const FLEET: &str = "
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters:
  hq: { context: hq, namespace: meet }
  fra: { context: fra, namespace: meet, region: eu-central }
control:
  cluster: hq
  shards: { alpha: {}, beta: {} }
  xmpp: { expose: load_balancer }
data:
  pools:
    eu:
      cluster: fra
      bridges: { replicas: 6, expose: node_port, base_port: 30120 }
      recorders: { replicas: 1, storage: { size: 10Gi } }
";

struct Stage {
    ground: Ground,
    callers: People,
}

impl Stage {
    /// The fleet, and 200 conferences of three people each, which last that long.
    async fn with_calls(length: Duration) -> Self {
        let ground = Ground::start(FLEET, 9).await.unwrap();
        let callers = People::start(ground.sandbox.world(), Load::none(), 1);
        for room in 0..200 {
            callers.meet(&format!("/Acme/Room{room}"), 3, length);
        }
        seconds(60).await;
        let stage = Self { ground, callers };
        assert!(stage.callers.settle().await);
        let report = stage.callers.report();
        assert_eq!((report.conferences_now, report.participants_now, report.failed_joins), (200, 600, 0));
        stage
    }

    fn api<K>(&self, cluster: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.ground.sandbox.client(cluster, None).unwrap(), NS)
    }

    async fn pods(&self, cluster: &str, component: &str) -> Vec<String> {
        let listed = ListParams::default().labels(&format!("app.kubernetes.io/name={component}"));
        let pods = self.api::<Pod>(cluster).list(&listed).await.unwrap();
        pods.items.iter().map(ResourceExt::name_any).collect()
    }

    async fn dial(&self, cluster: &str, pod: &str, port: u16) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        let mut forward = self.api::<Pod>(cluster).portforward(pod, &[port]).await.unwrap();
        forward.take_stream(port).unwrap()
    }

    async fn people_on(&self, bridge: &str) -> u64 {
        let stats = jvb::stats(self.dial("fra", bridge, 8080).await, DEADLINE).await.unwrap();
        stats.local_endpoints
    }

    fn report(&self) -> PeopleReport {
        let report = self.callers.report();
        assert_eq!((report.split_conferences, report.failed_joins), (0, 0), "{:?}", report.interruptions);
        report
    }
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn only_those_are_interrupted_whom_it_concerns() {
    let stage = Stage::with_calls(Duration::from_secs(3 * 3600)).await;
    let world = stage.ground.sandbox.world();

    // Nothing changes, and the same file is applied once more.
    seconds(1800).await;
    stage.ground.apply().await.unwrap();
    seconds(600).await;
    assert_eq!(stage.report().interruptions.total(), 0);

    let bridges = stage.pods("fra", "jvb").await;
    assert_eq!(bridges.len(), 6);
    let on = stage.people_on(&bridges[0]).await;
    assert!((50..150).contains(&on), "{on} of 600 are on one of six");

    // A drained one keeps its people, as long as they stay.
    jvb::set_drain(stage.dial("fra", &bridges[1], 8080).await, true, DEADLINE).await.unwrap();
    stage.api::<Pod>("fra").delete(&bridges[2], &DeleteParams::default()).await.unwrap();
    seconds(600).await;
    assert_eq!(stage.report().interruptions.total(), 0);

    // A killed one loses exactly its own, and none of them goes to one that drains.
    let drained = (stage.people_on(&bridges[1]).await, stage.people_on(&bridges[2]).await);
    world.out_of_memory("fra", NS, &bridges[0]).unwrap();
    seconds(20).await;
    assert!(stage.callers.settle().await);
    let report = stage.report();
    assert_eq!((report.interruptions.bridge_killed, report.interruptions.total()), (on, on));
    assert_eq!((stage.people_on(&bridges[1]).await, stage.people_on(&bridges[2]).await), drained);

    // A prosody that is gone for a while: everyone of its shard, and nobody else.
    let before = report.interruptions.total();
    let focuses = stage.pods("hq", "jicofo").await;
    let focus = focuses.iter().find(|pod| pod.contains("alpha")).unwrap();
    let alpha = jicofo::stats(stage.dial("hq", focus, 8888).await, DEADLINE).await.unwrap().participants;
    assert!((200..400).contains(&alpha), "{alpha} of 600 are on one of two");
    let prosodies = stage.pods("hq", "prosody").await;
    let prosody = prosodies.iter().find(|pod| pod.contains("alpha")).unwrap();
    let now = DeleteParams::default();
    stage.api::<Pod>("hq").delete(prosody, &now).await.unwrap();
    seconds(30).await;
    assert!(stage.callers.settle().await);
    let report = stage.report();
    assert_eq!((report.interruptions.shard_restarted, report.interruptions.total()), (alpha, before + alpha));
    assert_eq!(report.participants_now, 600);

    // They leave, and the bridge that was deleted ends by itself and comes back empty.
    seconds(3 * 3600).await;
    let report = stage.report();
    assert_eq!((report.participants_now, report.interruptions.total()), (0, before + alpha));
    assert_eq!(world.daemon("fra", NS, &bridges[2]).unwrap().starts, 1);
    assert_eq!(stage.people_on(&bridges[2]).await, 0);
}

#[tokio::test(start_paused = true)]
async fn media_is_cut_by_readiness_where_a_service_lets_it() {
    let stage = Stage::with_calls(Duration::from_secs(3600)).await;
    let bridges = stage.pods("fra", "jvb").await;
    let on = stage.people_on(&bridges[0]).await;

    // Somebody takes from one Service what all of them have.
    let services = services_of(&stage, &bridges[0]).await;
    assert!(!services.is_empty());
    for service in &services {
        let patch = Patch::Merge(json!({ "spec": { "publishNotReadyAddresses": false } }));
        stage.api::<Service>("fra").patch(service, &PatchParams::default(), &patch).await.unwrap();
    }
    seconds(10).await;
    assert_eq!(stage.report().interruptions.total(), 0);
    for bridge in &bridges[..2] {
        set_ready(&stage, bridge, false).await;
    }
    seconds(30).await;
    let report = stage.callers.report();
    assert_eq!((report.interruptions.media_cut, report.interruptions.total()), (on, on));
    set_ready(&stage, &bridges[0], true).await;
    seconds(30).await;
    assert!(stage.callers.settle().await, "media comes back with readiness");
    assert_eq!(stage.callers.report().interruptions.total(), on);
}

/// The UDP Services that lead to a pod.
async fn services_of(stage: &Stage, pod: &str) -> BTreeSet<String> {
    let slices = stage.api::<EndpointSlice>("fra").list(&ListParams::default()).await.unwrap();
    let leads = |slice: &&EndpointSlice| {
        slice.ports.iter().flatten().any(|port| port.protocol.as_deref() == Some("UDP"))
            && slice.endpoints.iter().any(|it| it.target_ref.as_ref().and_then(|to| to.name.as_deref()) == Some(pod))
    };
    let owners = slices.items.iter().filter(leads).map(|slice| slice.labels()["kubernetes.io/service-name"].clone());
    owners.collect()
}

/// What a failed probe does to a pod that goes on to serve.
async fn set_ready(stage: &Stage, pod: &str, ready: bool) {
    let pods = stage.api::<Pod>("fra");
    let mut conditions = json!(pods.get(pod).await.unwrap().status.unwrap().conditions.unwrap());
    for condition in conditions.as_array_mut().unwrap() {
        if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
            condition["status"] = Json::from(if ready { "True" } else { "False" });
        }
    }
    let patch = Patch::Merge(json!({ "status": { "conditions": conditions } }));
    pods.patch_status(pod, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_used_up_is_recycled_by_its_probe() {
    let ground = Ground::start(FLEET, 9).await.unwrap();
    let callers = People::start(ground.sandbox.world(), Load::none(), 1);
    let stage = Stage { ground, callers };
    let world = stage.ground.sandbox.world();
    let recorder = stage.pods("fra", "jibri").await.remove(0);
    let busy = async || jibri::health(stage.dial("fra", &recorder, 2222).await, DEADLINE).await.unwrap().busy;
    let before = world.daemon("fra", NS, &recorder).unwrap();
    assert_eq!(busy().await, jibri::Busy::Idle);
    world.set_load("fra", NS, &recorder, 1, 1).unwrap();
    assert_eq!(busy().await, jibri::Busy::Busy);
    world.set_load("fra", NS, &recorder, 0, 0).unwrap();
    assert_eq!(busy().await, jibri::Busy::Expired);
    // Three probes, fifteen seconds apart, and its start.
    seconds(90).await;
    assert_eq!(busy().await, jibri::Busy::Idle);
    let after = world.daemon("fra", NS, &recorder).unwrap();
    assert_eq!((after.pod_uid, after.starts), (before.pod_uid, before.starts + 1));
}
