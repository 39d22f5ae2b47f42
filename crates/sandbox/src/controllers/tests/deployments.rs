use api_server::kinds::{DEPLOYMENT, POD, REPLICA_SET};
use serde_json::json;

use super::super::object::{annotation, condition, is_going, number, text};
use super::cluster::{Cluster, IMAGE, image, image_of, status, workload};

#[tokio::test(start_paused = true)]
async fn a_rolling_update_never_goes_below_its_margin() {
    let cluster = Cluster::start().await;
    let strategy = json!({ "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 1 } } });
    cluster.create(&DEPLOYMENT, workload(4, "a", strategy));
    cluster.pass(500).await;
    let deployment = cluster.get(&DEPLOYMENT, "web").unwrap();
    assert_eq!(status(&deployment, "availableReplicas"), 4, "{deployment}");
    assert_eq!(text(condition(&deployment, "Progressing").unwrap(), &["reason"]), "NewReplicaSetAvailable");
    assert_eq!(annotation(&deployment, "deployment.kubernetes.io/revision"), "1");

    cluster.edit(&DEPLOYMENT, "web", IMAGE, image("b"));
    for _ in 0..1000 {
        cluster.pass(10).await;
        assert!(cluster.ready_pods() >= 3);
        let counted = cluster.list(&POD).iter().filter(|pod| !is_going(pod)).count();
        assert!(counted <= 5);
    }
    let deployment = cluster.get(&DEPLOYMENT, "web").unwrap();
    assert_eq!(status(&deployment, "updatedReplicas"), 4);
    assert_eq!(status(&deployment, "replicas"), 4);
    assert_eq!(status(&deployment, "unavailableReplicas"), &json!(null));
    assert_eq!(annotation(&deployment, "deployment.kubernetes.io/revision"), "2");
    assert!(cluster.list(&POD).iter().all(|pod| image_of(pod) == "b"));

    // Back to the first template: its ReplicaSet is used again, with a new number.
    cluster.edit(
        &DEPLOYMENT,
        "web",
        IMAGE,
        json!([{
            "name": "main", "image": "a", "ports": [{ "name": "http", "containerPort": 8080 }],
        }]),
    );
    cluster.pass(20_000).await;
    assert_eq!(cluster.list(&REPLICA_SET).len(), 2);
    let deployment = cluster.get(&DEPLOYMENT, "web").unwrap();
    assert_eq!(annotation(&deployment, "deployment.kubernetes.io/revision"), "3");
}

#[tokio::test(start_paused = true)]
async fn recreate_waits_for_the_old_pods_but_a_deleted_pod_is_replaced_at_once() {
    let cluster = Cluster::start().await;
    cluster.create(&DEPLOYMENT, workload(1, "a", json!({ "strategy": { "type": "Recreate" } })));
    cluster.pass(500).await;
    let first = cluster.pod_names();
    assert_eq!(first.len(), 1);

    cluster.delete(&POD, &first[0], None);
    cluster.pass(500).await;
    let both = cluster.pod_names();
    assert_eq!(both.iter().filter(|name| name.starts_with('-')).count(), 1, "{both:?}");
    assert_eq!(both.len(), 2);
    assert_eq!(cluster.ready_pods(), 1);
    cluster.pass(6_000).await;

    cluster.edit(&DEPLOYMENT, "web", IMAGE, image("b"));
    cluster.pass(500).await;
    let only = cluster.pod_names();
    assert!(only.len() == 1 && only[0].starts_with('-'), "{only:?}");
    cluster.pass(6_000).await;
    let pods = cluster.list(&POD);
    assert!(pods.len() == 1 && image_of(&pods[0]) == "b");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_hangs_is_told_after_its_deadline() {
    let cluster = Cluster::start().await;
    let more = json!({ "progressDeadlineSeconds": 60, "strategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } } });
    cluster.create(&DEPLOYMENT, workload(2, "a", more));
    cluster.pass(500).await;
    cluster.edit(&DEPLOYMENT, "web", IMAGE, image("broken"));
    cluster.pass(50_000).await;
    let reason = || {
        let deployment = cluster.get(&DEPLOYMENT, "web").unwrap();
        text(condition(&deployment, "Progressing").unwrap(), &["reason"]).to_owned()
    };
    assert_eq!(reason(), "ReplicaSetUpdated");
    cluster.pass(15_000).await;
    assert_eq!(reason(), "ProgressDeadlineExceeded");
    assert_eq!(cluster.ready_pods(), 2);
    cluster.edit(&DEPLOYMENT, "web", IMAGE, image("b"));
    cluster.pass(30_000).await;
    assert_eq!(reason(), "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn pods_are_made_once_and_orphans_adopted() {
    let cluster = Cluster::start().await;
    let orphan = json!({
        "metadata": { "name": "orphan", "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "main", "image": "a" }] },
    });
    cluster.create(&POD, orphan);
    let set = cluster.create(&REPLICA_SET, workload(3, "a", json!({})));
    cluster.pass(500).await;
    assert_eq!(cluster.list(&POD).len(), 3);
    assert!(cluster.get(&POD, "orphan").is_some());
    cluster.edit(&REPLICA_SET, "web", &["spec", "replicas"], json!(1));
    cluster.pass(40_000).await;
    assert_eq!(cluster.list(&POD).len(), 1);
    let set = cluster.get(&REPLICA_SET, text(&set, &["metadata", "name"])).unwrap();
    assert_eq!(number(&set, &["status", "observedGeneration"]), number(&set, &["metadata", "generation"]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_nothing_is_to_do() {
    let cluster = Cluster::start().await;
    cluster.create(&DEPLOYMENT, workload(3, "a", json!({})));
    cluster.pass(1_000).await;
    let state = || [&DEPLOYMENT, &REPLICA_SET, &POD].map(|kind| cluster.list(kind));
    let before = state();
    cluster.pass(60_000).await;
    assert_eq!(state(), before);
}
