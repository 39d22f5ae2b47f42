use std::sync::Arc;

use api_server::kinds::{DISRUPTION_BUDGET, ENDPOINT_SLICE, POD, SERVICE, STATEFUL_SET};
use serde_json::{Value as Json, json};

use super::super::object::{label, list, text};
use super::cluster::{Cluster, status, workload};

fn service(more: Json) -> Json {
    let mut spec = json!({
        "selector": { "app": "web" },
        "ports": [{ "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP" }],
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({ "metadata": { "name": "web", "labels": { "own": "1" } }, "spec": spec })
}

fn endpoints(slices: &[Arc<Json>]) -> Vec<&Json> {
    slices.iter().flat_map(|slice| list(slice, &["endpoints"])).collect()
}

#[tokio::test(start_paused = true)]
async fn endpoints_follow_pods_and_published_ones_stay_ready_while_they_end() {
    for published in [false, true] {
        let cluster = Cluster::start().await;
        cluster.create(&SERVICE, service(json!({ "publishNotReadyAddresses": published, "clusterIP": "None" })));
        cluster.pass(200).await;
        let slices = cluster.list(&ENDPOINT_SLICE);
        assert!(slices.len() == 1 && endpoints(&slices).is_empty());
        cluster.create(&STATEFUL_SET, workload(2, "a", json!({ "serviceName": "web" })));
        cluster.pass(1_000).await;
        let slices = cluster.list(&ENDPOINT_SLICE);
        assert_eq!(slices.len(), 1);
        assert!(text(&slices[0], &["metadata", "name"]).starts_with("web-"));
        assert_eq!(label(&slices[0], "kubernetes.io/service-name"), "web");
        assert_eq!(label(&slices[0], "own"), "1");
        assert_eq!(slices[0]["ports"], json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]));
        let found = endpoints(&slices);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["conditions"], json!({ "ready": true, "serving": true, "terminating": false }));
        assert_eq!((text(found[0], &["nodeName"]), text(found[0], &["zone"])), ("n1", "zone-n1"));
        assert_eq!(text(found[0], &["hostname"]), text(found[0], &["targetRef", "name"]));

        cluster.delete(&POD, "web-1", None);
        cluster.pass(500).await;
        let slices = cluster.list(&ENDPOINT_SLICE);
        let ending = endpoints(&slices).into_iter().find(|one| text(one, &["targetRef", "name"]) == "web-1").unwrap();
        assert_eq!(ending["conditions"], json!({ "ready": published, "serving": true, "terminating": true }));
        cluster.delete(&SERVICE, "web", None);
        cluster.pass(500).await;
        assert!(cluster.list(&ENDPOINT_SLICE).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slice_holds_a_hundred_endpoints() {
    let cluster = Cluster::start().await;
    cluster.create(&SERVICE, service(json!({})));
    let more = json!({ "serviceName": "web", "podManagementPolicy": "Parallel" });
    cluster.create(&STATEFUL_SET, workload(130, "a", more));
    cluster.pass(2_000).await;
    let slices = cluster.list(&ENDPOINT_SLICE);
    let mut sizes: Vec<_> = slices.iter().map(|slice| list(slice, &["endpoints"]).len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [30, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_budget_counts_what_is_healthy() {
    let cluster = Cluster::start().await;
    let budget = json!({
        "metadata": { "name": "web" },
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": "web" } } },
    });
    cluster.create(&DISRUPTION_BUDGET, budget);
    cluster.create(&STATEFUL_SET, workload(3, "a", json!({ "serviceName": "web" })));
    cluster.pass(1_000).await;
    let counts = || {
        let budget = cluster.get(&DISRUPTION_BUDGET, "web").unwrap();
        ["expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"]
            .map(|field| status(&budget, field).as_i64().unwrap())
    };
    assert_eq!(counts(), [3, 3, 2, 1]);
    cluster.delete(&POD, "web-1", None);
    cluster.pass(500).await;
    assert_eq!(counts(), [3, 2, 2, 0]);
    cluster.pass(10_000).await;
    assert_eq!(counts(), [3, 3, 2, 1]);
}
