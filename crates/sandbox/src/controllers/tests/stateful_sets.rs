use api_server::kinds::{CLAIM, CONTROLLER_REVISION, POD, STATEFUL_SET};
use serde_json::json;

use super::super::object::{label, text};
use super::cluster::{Cluster, IMAGE, image, image_of, status, workload};

#[tokio::test(start_paused = true)]
async fn pods_come_in_order_unless_parallel_and_never_twice() {
    let cluster = Cluster::start().await;
    cluster.create(&STATEFUL_SET, workload(3, "broken", json!({ "serviceName": "web" })));
    cluster.pass(1_000).await;
    assert_eq!(cluster.pod_names(), ["web-0"]);
    cluster.delete(&STATEFUL_SET, "web", None);
    cluster.pass(10_000).await;
    assert!(cluster.pod_names().is_empty());

    let parallel = json!({ "serviceName": "web", "podManagementPolicy": "Parallel" });
    cluster.create(&STATEFUL_SET, workload(3, "broken", parallel));
    cluster.pass(1_000).await;
    assert_eq!(cluster.pod_names(), ["web-0", "web-1", "web-2"]);
    cluster.delete(&POD, "web-1", None);
    cluster.pass(1_000).await;
    assert_eq!(cluster.pod_names(), ["web-0", "-web-1", "web-2"]);
    cluster.pass(6_000).await;
    assert_eq!(cluster.pod_names(), ["web-0", "web-1", "web-2"]);
    let pod = cluster.get(&POD, "web-2").unwrap();
    assert_eq!(label(&pod, "apps.kubernetes.io/pod-index"), "2");
    assert_eq!(label(&pod, "statefulset.kubernetes.io/pod-name"), "web-2");
    assert_eq!((text(&pod, &["spec", "hostname"]), text(&pod, &["spec", "subdomain"])), ("web-2", "web"));
}

#[tokio::test(start_paused = true)]
async fn on_delete_upgrades_what_is_deleted_and_the_current_revision_never_follows() {
    let cluster = Cluster::start().await;
    let more = json!({ "serviceName": "web", "updateStrategy": { "type": "OnDelete" } });
    cluster.create(&STATEFUL_SET, workload(2, "a", more));
    cluster.pass(1_000).await;
    let before = cluster.get(&STATEFUL_SET, "web").unwrap();
    assert_eq!(status(&before, "readyReplicas"), 2);
    assert_eq!(status(&before, "currentRevision"), status(&before, "updateRevision"));

    cluster.edit(&STATEFUL_SET, "web", IMAGE, image("b"));
    cluster.pass(10_000).await;
    assert!(cluster.list(&POD).iter().all(|pod| image_of(pod) == "a"));
    for pod in ["web-0", "web-1"] {
        cluster.delete(&POD, pod, None);
        cluster.pass(10_000).await;
        assert_eq!(image_of(&cluster.get(&POD, pod).unwrap()), "b");
    }
    let after = cluster.get(&STATEFUL_SET, "web").unwrap();
    assert_eq!(status(&after, "updatedReplicas"), 2);
    assert_eq!(status(&after, "currentRevision"), status(&before, "currentRevision"));
    assert_eq!(status(&after, "currentReplicas"), &json!(null));
    assert_ne!(status(&after, "updateRevision"), status(&before, "updateRevision"));
    assert_eq!(cluster.list(&CONTROLLER_REVISION).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_goes_down_to_the_partition_one_by_one() {
    let cluster = Cluster::start().await;
    let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } });
    cluster.create(&STATEFUL_SET, workload(3, "a", json!({ "serviceName": "web", "updateStrategy": strategy })));
    cluster.pass(1_000).await;
    cluster.edit(&STATEFUL_SET, "web", IMAGE, image("b"));
    for _ in 0..300 {
        cluster.pass(100).await;
        assert!(cluster.ready_pods() >= 2);
    }
    let images = |cluster: &Cluster| cluster.list(&POD).iter().map(|pod| image_of(pod).to_owned()).collect::<Vec<_>>();
    assert_eq!(images(&cluster), ["a", "b", "b"]);
    cluster.delete(&POD, "web-0", None);
    cluster.pass(10_000).await;
    assert_eq!(images(&cluster), ["a", "b", "b"]);
    cluster.edit(&STATEFUL_SET, "web", &["spec", "updateStrategy", "rollingUpdate", "partition"], json!(0));
    cluster.pass(10_000).await;
    assert_eq!(images(&cluster), ["b", "b", "b"]);
    let set = cluster.get(&STATEFUL_SET, "web").unwrap();
    assert_eq!(status(&set, "currentRevision"), status(&set, "updateRevision"));
    assert_eq!(status(&set, "currentReplicas"), 3);
}

#[tokio::test(start_paused = true)]
async fn availability_takes_its_time_and_volumes_stay_or_go_as_asked() {
    let cluster = Cluster::start().await;
    let template = json!({
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    let more = json!({
        "serviceName": "web", "minReadySeconds": 10, "volumeClaimTemplates": [template],
        "persistentVolumeClaimRetentionPolicy": { "whenScaled": "Delete", "whenDeleted": "Retain" },
    });
    cluster.create(&STATEFUL_SET, workload(2, "a", more));
    cluster.pass(5_000).await;
    assert_eq!(cluster.pod_names(), ["web-0"]);
    let set = cluster.get(&STATEFUL_SET, "web").unwrap();
    assert_eq!((status(&set, "readyReplicas"), status(&set, "availableReplicas")), (&json!(1), &json!(0)));
    cluster.pass(20_000).await;
    let set = cluster.get(&STATEFUL_SET, "web").unwrap();
    assert_eq!(status(&set, "availableReplicas"), 2);
    let claim = cluster.get(&CLAIM, "data-web-1").unwrap();
    assert_eq!(status(&claim, "phase"), "Bound");
    let volumes = cluster.get(&POD, "web-1").unwrap();
    assert!(volumes["spec"]["volumes"].to_string().contains("data-web-1"));
    cluster.edit(&STATEFUL_SET, "web", &["spec", "replicas"], json!(1));
    cluster.pass(20_000).await;
    assert!(cluster.get(&CLAIM, "data-web-1").is_none());
    cluster.delete(&STATEFUL_SET, "web", None);
    cluster.pass(20_000).await;
    assert!(cluster.get(&CLAIM, "data-web-0").is_some());
}
