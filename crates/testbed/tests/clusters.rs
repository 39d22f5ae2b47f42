//! The testbed against itself: one pair of clusters for all of it, since starting them is what costs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is how a test fails")]

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use testbed::{Credential, Options, Rights, Rule, Sources, Testbed, write_kubeconfig};

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_side_by_side() {
    let testbed = Testbed::start(&["hq", "fra"], Options::default()).await.unwrap();

    the_clusters_are_two(&testbed).await;
    a_token_without_rights_is_refused(&testbed).await;
    pod_security_is_enforced(&testbed).await;
    a_strict_dry_run_tells_what_is_wrong(&testbed).await;
    requests_are_seen_in_the_audit_log(&testbed).await;
    a_restart_keeps_the_data(&testbed).await;

    let dir = testbed.dir().to_owned();
    drop(testbed);
    assert!(!dir.exists(), "nothing is left behind");
}

async fn client(path: &std::path::Path, context: &str) -> Client {
    let options = KubeConfigOptions { context: Some(context.into()), ..Default::default() };
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path).unwrap(), &options).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn the_clusters_are_two(testbed: &Testbed) {
    let mut uids = Vec::new();
    for name in ["hq", "fra"] {
        let client = client(testbed.kubeconfig(), name).await;
        let version = client.apiserver_version().await.unwrap();
        assert!(version.git_version.starts_with("v1.") && version.minor != "0", "{version:?}");
        let system = Api::<Namespace>::all(client).get("kube-system").await.unwrap();
        uids.push(system.metadata.uid.unwrap());
    }
    assert_ne!(uids[0], uids[1]);

    let unknown = testbed.cluster("sin").unwrap_err().to_string();
    assert_eq!(unknown, "there is no cluster `sin` here, only hq, fra");
}

async fn a_token_without_rights_is_refused(testbed: &Testbed) {
    let hq = testbed.cluster("hq").unwrap();
    let reads_config = Rule {
        api_groups: vec![String::new()],
        resources: vec!["configmaps".into()],
        resource_names: vec![],
        verbs: vec!["get".into(), "list".into()],
    };
    let nobody = hq.user("nobody", &Rights::None).await.unwrap();
    let reader = hq.user("reader", &Rights::Namespaced("reading".into(), vec![reads_config])).await.unwrap();
    let path = testbed.dir().join("few-rights");
    let entries = [hq.entry("nobody", nobody), hq.entry("reader", reader), hq.entry("late", Credential::Expired)];
    write_kubeconfig(&path, &entries).unwrap();

    let status = |result: kube::Result<_>| match result {
        Ok(_list) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("{other}"),
    };
    let config_maps = |client, namespace| async move {
        Api::<ConfigMap>::namespaced(client, namespace).list(&ListParams::default()).await.map(drop)
    };
    assert_eq!(status(config_maps(client(&path, "nobody").await, "reading").await), 403);
    assert_eq!(status(config_maps(client(&path, "reader").await, "reading").await), 200);
    assert_eq!(status(config_maps(client(&path, "reader").await, "default").await), 403);
    assert_eq!(status(config_maps(client(&path, "late").await, "reading").await), 401);
    let secrets =
        Api::<Secret>::namespaced(client(&path, "reader").await, "reading").list(&ListParams::default()).await;
    assert_eq!(status(secrets.map(drop)), 403);
}

async fn pod_security_is_enforced(testbed: &Testbed) {
    let client = testbed.cluster("fra").unwrap().client().clone();
    let namespace =
        json!({ "metadata": { "name": "strict", "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
    let pod = json!({
        "metadata": { "name": "rude" },
        "spec": { "containers": [{ "name": "c", "image": "i", "securityContext": { "privileged": true } }] },
    });
    let refused = Api::<Pod>::namespaced(client, "strict")
        .create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("violates PodSecurity"), "{refused}");
}

async fn a_strict_dry_run_tells_what_is_wrong(testbed: &Testbed) {
    let fra = testbed.cluster("fra").unwrap();
    fra.install_definitions(&Sources::of_this_machine()).await.unwrap();
    let metadata = json!({ "name": "x", "namespace": "dry" });
    let route = |field: &str| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata,
            "spec": { "parentRefs": [{ "name": "public" }], field: ["meet.example.org"] },
        })
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "rude", "namespace": "strict" },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    });
    let unknown = json!({ "apiVersion": "example.org/v1", "kind": "Unheard", "metadata": metadata });
    let verdicts = fra.dry_run(&[route("hostnames"), route("hostnamez"), pod, unknown]).await.unwrap();
    assert!(verdicts[0].is_clean(), "{verdicts:#?}");
    assert_eq!(verdicts[0].object, "HTTPRoute dry/x");
    let refused = |index: usize| verdicts[index].refused.clone().unwrap_or_default();
    assert!(refused(1).contains("field not declared in schema"), "{}", refused(1));
    assert!(refused(2).contains("violates PodSecurity"), "{}", refused(2));
    assert_eq!(refused(3), "the API server does not know this kind");
}

async fn requests_are_seen_in_the_audit_log(testbed: &Testbed) {
    let (hq, fra) = (testbed.cluster("hq").unwrap(), testbed.cluster("fra").unwrap());
    let (in_hq, in_fra) = (hq.audit_mark().await.unwrap(), fra.audit_mark().await.unwrap());
    let maps: Api<ConfigMap> = Api::namespaced(client(testbed.kubeconfig(), "hq").await, "default");
    let map: ConfigMap =
        serde_json::from_value(json!({ "metadata": { "name": "seen" }, "data": { "a": "1" } })).unwrap();
    maps.create(&PostParams { dry_run: true, ..Default::default() }, &map).await.unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.get("seen").await.unwrap();

    let entries = hq.audit_since(in_hq).await.unwrap();
    let ours: Vec<_> = entries
        .iter()
        .filter(|entry| entry.object.as_ref().is_some_and(|object| object.resource == "configmaps"))
        .collect();
    let verbs: Vec<(&str, bool, u16)> =
        ours.iter().map(|entry| (entry.verb.as_str(), entry.is_write(), entry.code)).collect();
    assert_eq!(verbs, [("create", false, 201), ("create", true, 201), ("get", false, 200)], "{entries:#?}");
    assert_eq!(ours[2].object.as_ref().unwrap().name, "seen");
    assert!(ours.iter().all(|entry| entry.user == "admin"));
    assert!(
        fra.audit_since(in_fra).await.unwrap().iter().all(|entry| !entry.is_write()),
        "the other cluster saw nothing"
    );
}

async fn a_restart_keeps_the_data(testbed: &Testbed) {
    let hq = testbed.cluster("hq").unwrap();
    hq.stop_apiserver();
    assert!(!hq.apiserver_runs());
    let gone = hq.client().apiserver_version().await;
    assert!(gone.is_err());
    testbed.restart_apiserver("hq").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(hq.client().clone(), "default");
    assert_eq!(maps.get("seen").await.unwrap().data.unwrap()["a"], "1");
}
