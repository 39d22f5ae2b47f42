//! What every cluster has from the start.

use serde_json::{Value as Json, json};

use super::ApiServer;
use crate::kinds::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, NAMESPACE, PRIORITY_CLASS};
use crate::request::{Request, Verb};

/// Fills an empty cluster.
pub(super) fn fill(server: &ApiServer) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        make(server, &NAMESPACE, json!({ "metadata": { "name": name } }));
    }
    let everything = json!([
        { "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] },
        { "nonResourceURLs": ["*"], "verbs": ["*"] },
    ]);
    let fleet = |verbs: &[&str]| {
        json!([
            { "apiGroups": [""], "resources": ["pods", "pods/log", "services", "configmaps", "events", "persistentvolumeclaims"], "verbs": verbs },
            { "apiGroups": ["apps"], "resources": ["*"], "verbs": verbs },
            { "apiGroups": ["discovery.k8s.io", "networking.k8s.io", "policy"], "resources": ["*"], "verbs": verbs },
        ])
    };
    let reads = ["get", "list", "watch"];
    let writes = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    for (name, rules) in
        [("cluster-admin", everything), ("view", fleet(&reads)), ("edit", fleet(&writes)), ("admin", fleet(&writes))]
    {
        make(server, &CLUSTER_ROLE, json!({ "metadata": { "name": name }, "rules": rules }));
    }
    let masters = json!({
        "metadata": { "name": "cluster-admin" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:masters" }],
    });
    make(server, &CLUSTER_ROLE_BINDING, masters);
    for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)] {
        make(server, &PRIORITY_CLASS, json!({ "metadata": { "name": name }, "value": value }));
    }
}

fn make(server: &ApiServer, kind: &'static Kind, body: Json) {
    let mut request = Request::new(Verb::Create, kind, None, None);
    request.parameters.manager = Some("kube-apiserver".to_owned());
    request.body = body;
    if let Err(error) = server.call(request) {
        tracing::warn!(%error, "a new cluster lacks something");
    }
}
