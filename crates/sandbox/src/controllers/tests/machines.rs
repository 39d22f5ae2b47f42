use api_server::kinds::{NODE, POD, REPLICA_SET, STATEFUL_SET};
use serde_json::json;

use super::super::object::{condition, is_going, list, text};
use super::super::pods;
use super::cluster::{Cluster, workload};

#[tokio::test(start_paused = true)]
async fn pods_of_a_silent_node_are_unready_then_leave_but_stay_terminating() {
    let cluster = Cluster::start().await;
    cluster.create(&STATEFUL_SET, workload(1, "a", json!({ "serviceName": "web" })));
    cluster.pass(1_000).await;
    cluster.set_dead("n1", true);
    cluster.pass(28_000).await;
    let ready = || text(condition(&cluster.get(&NODE, "n1").unwrap(), "Ready").unwrap(), &["status"]).to_owned();
    assert_eq!(ready(), "True");
    cluster.pass(15_000).await;
    assert_eq!(ready(), "Unknown");
    let pod = cluster.get(&POD, "web-0").unwrap();
    assert!(!pods::is_ready(&pod) && !is_going(&pod));
    let taints = cluster.get(&NODE, "n1").unwrap();
    assert_eq!(list(&taints, &["spec", "taints"]).len(), 2);

    cluster.pass(280_000).await;
    assert_eq!(cluster.pod_names(), ["web-0"]);
    cluster.pass(25_000).await;
    assert_eq!(cluster.pod_names(), ["-web-0"]);
    cluster.pass(600_000).await;
    assert_eq!(cluster.pod_names(), ["-web-0"]);

    // Back: its kubelet ends what was to end, and the pod comes again.
    cluster.set_dead("n1", false);
    cluster.pass(5_000).await;
    assert_eq!(ready(), "True");
    assert!(list(&cluster.get(&NODE, "n1").unwrap(), &["spec", "taints"]).is_empty());
    assert_eq!(cluster.pod_names(), ["web-0"]);
    assert_eq!(cluster.ready_pods(), 1);
}

#[tokio::test(start_paused = true)]
async fn replicas_of_a_dead_node_are_replaced_and_those_of_a_removed_one_forgotten() {
    let cluster = Cluster::start().await;
    cluster.create(&REPLICA_SET, workload(2, "a", json!({})));
    cluster.pass(1_000).await;
    cluster.set_dead("n1", true);
    cluster.pass(350_000).await;
    assert_eq!(cluster.list(&POD).len(), 4);
    assert_eq!(cluster.ready_pods(), 2);
    cluster.delete(&NODE, "n1", None);
    cluster.pass(30_000).await;
    assert_eq!(cluster.list(&POD).len(), 4);
    cluster.pass(15_000).await;
    let left = cluster.list(&POD);
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|pod| text(pod, &["spec", "nodeName"]) == "n2"));
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_makes_no_node_old() {
    let cluster = Cluster::start().await;
    cluster.clock.jump(jiff::SignedDuration::from_hours(5));
    cluster.pass(1_000).await;
    assert!(list(&cluster.get(&NODE, "n1").unwrap(), &["spec", "taints"]).is_empty());
}
