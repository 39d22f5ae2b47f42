use api_server::kinds::{CONFIG_MAP, NAMESPACE, POD, QUOTA, REPLICA_SET, SERVICE_ACCOUNT};
use api_server::request::Propagation;
use serde_json::json;

use super::super::object::{is_going, list, namespace, uid};
use super::cluster::{Cluster, workload};

#[tokio::test(start_paused = true)]
async fn a_namespace_is_furnished_and_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start().await;
    cluster.create(&NAMESPACE, json!({ "metadata": { "name": "meet" } }));
    cluster.pass(200).await;
    let within = |kind| cluster.list(kind).iter().filter(|object| namespace(object) == "meet").count();
    assert_eq!((within(&SERVICE_ACCOUNT), within(&CONFIG_MAP)), (1, 1));
    let mut set = workload(2, "a", json!({}));
    set["metadata"]["namespace"] = json!("meet");
    cluster.create(&REPLICA_SET, set);
    cluster.pass(500).await;
    assert_eq!(within(&POD), 2);
    cluster.delete(&NAMESPACE, "meet", None);
    cluster.pass(1_000).await;
    assert!(cluster.get(&NAMESPACE, "meet").is_some_and(|space| is_going(&space)));
    assert_eq!((within(&POD), within(&REPLICA_SET)), (2, 0));
    cluster.pass(10_000).await;
    assert!(cluster.get(&NAMESPACE, "meet").is_none());
    assert_eq!(within(&CONFIG_MAP), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_owned_goes_after_before_or_not_at_all() {
    for (propagation, sets, pods) in
        [(Propagation::Background, 0, 2), (Propagation::Foreground, 1, 2), (Propagation::Orphan, 0, 2)]
    {
        let cluster = Cluster::start().await;
        cluster.create(&REPLICA_SET, workload(2, "a", json!({})));
        cluster.pass(500).await;
        cluster.delete(&REPLICA_SET, "web", Some(propagation));
        cluster.pass(500).await;
        assert_eq!((cluster.list(&REPLICA_SET).len(), cluster.list(&POD).len()), (sets, pods), "{propagation:?}");
        cluster.pass(10_000).await;
        assert!(cluster.list(&REPLICA_SET).is_empty());
        let left = cluster.list(&POD);
        if propagation == Propagation::Orphan {
            assert!(left.len() == 2 && left.iter().all(|pod| list(pod, &["metadata", "ownerReferences"]).is_empty()));
        } else {
            assert!(left.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_stays_as_long_as_one_of_its_owners() {
    let cluster = Cluster::start().await;
    let owner = |name: &str| cluster.create(&CONFIG_MAP, json!({ "metadata": { "name": name } }));
    let reference = |owner: &serde_json::Value, name: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid(owner) });
    let references = json!([reference(&owner("a"), "a"), reference(&owner("b"), "b")]);
    cluster.create(&CONFIG_MAP, json!({ "metadata": { "name": "owned", "ownerReferences": references } }));
    cluster.pass(100).await;
    cluster.delete(&CONFIG_MAP, "a", None);
    cluster.pass(100).await;
    let owned = cluster.get(&CONFIG_MAP, "owned").unwrap();
    assert_eq!(list(&owned, &["metadata", "ownerReferences"]).len(), 1);
    cluster.delete(&CONFIG_MAP, "b", None);
    cluster.pass(100).await;
    assert!(cluster.get(&CONFIG_MAP, "owned").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_quota_tells_what_is_used() {
    let cluster = Cluster::start().await;
    let quota = json!({ "metadata": { "name": "all" }, "spec": { "hard": { "pods": "5", "configmaps": "9" } } });
    cluster.create(&QUOTA, quota);
    cluster.create(&REPLICA_SET, workload(3, "a", json!({})));
    cluster.pass(500).await;
    let quota = cluster.get(&QUOTA, "all").unwrap();
    assert_eq!(quota["status"]["used"], json!({ "pods": "3", "configmaps": "1" }));
}
