//! The server over connections within the process, in virtual time.

#![allow(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_server::http::{Gate, Hooks, RequestLine, RequestLog, Verdict, listen};
use api_server::{ApiError, User};
use clock::Clock;
use futures::future::BoxFuture;
use serde_json::{Value as Json, json};
use support::{Client, client, request, server};
use tokio_util::sync::CancellationToken;

async fn get(client: &Client, path: &str) -> (u16, Json) {
    support::send(client, request("GET", path, None)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_served_is_told() {
    let client = client(server(), Hooks::default());
    let (code, version) = get(&client, "/version").await;
    assert_eq!((code, version["major"].as_str()), (200, Some("1")));

    let (_, groups) = get(&client, "/apis").await;
    let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().filter_map(|g| g["name"].as_str()).collect();
    assert!(names.contains(&"apps") && names.contains(&"authorization.k8s.io"), "{names:?}");

    let (_, core) = get(&client, "/api/v1").await;
    let resources = core["resources"].as_array().unwrap();
    assert!(resources.iter().any(|resource| resource["name"] == "pods/portforward"));

    let mut aggregated = request("GET", "/apis", None);
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    aggregated.headers_mut().insert("accept", accept.parse().unwrap());
    let (_, list) = support::send(&client, aggregated).await.unwrap();
    assert_eq!(list["kind"], "APIGroupDiscoveryList");

    let (_, index) = get(&client, "/openapi/v3").await;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let (_, apps) = get(&client, url).await;
    assert!(apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"].is_object());
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_said_loudly_and_what_is_unknown_is_not_found() {
    let client = client(server(), Hooks::default());
    let (code, status) = get(&client, "/apis/batch/v1/namespaces/x/jobs").await;
    assert_eq!(code, 501);
    assert_eq!(status["message"], "list of jobs (batch/v1) is not served here");
    assert_eq!(get(&client, "/apis/apps/v1/nothings").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn bodies_are_checked_before_the_server_sees_them() {
    let client = client(server(), Hooks::default());
    let path = "/api/v1/namespaces/default/configmaps";
    let large = json!({ "data": { "x": "y".repeat(3 * 1024 * 1024) } });
    assert_eq!(support::send(&client, request("POST", path, Some(&large))).await.unwrap().0, 413);

    let mut apply = request("PATCH", "/api/v1/namespaces/default/configmaps/x?fieldManager=me", None);
    *apply.body_mut() = "a: 1".to_owned();
    apply.headers_mut().insert("content-type", "application/apply-patch+yaml".parse().unwrap());
    let (code, status) = support::send(&client, apply).await.unwrap();
    assert_eq!((code, status["reason"].as_str()), (415, Some("UnsupportedMediaType")));

    assert_eq!(support::send(&client, request("PUT", path, Some(&json!({})))).await.unwrap().0, 405);
}

#[tokio::test(start_paused = true)]
async fn who_asks_is_known_by_a_token() {
    let hooks = Hooks::default();
    hooks.users.insert("t", User { name: "jane".to_owned(), groups: Vec::new() });
    let client = client(server(), hooks.clone());
    let review = |token: &str| {
        let mut review = request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", Some(&json!({})));
        review.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        review
    };
    let (code, answer) = support::send(&client, review("t")).await.unwrap();
    assert_eq!((code, answer["status"]["userInfo"]["username"].as_str()), (201, Some("jane")));
    hooks.users.remove("t");
    let (code, answer) = support::send(&client, review("t")).await.unwrap();
    assert_eq!((code, answer["reason"].as_str()), (401, Some("Unauthorized")));
}

/// The same request with a bearer token.
fn with_token(mut request: http::Request<String>, token: &str) -> http::Request<String> {
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_account_is_the_account_until_it_expires_or_the_account_goes() {
    let client = client(server(), Hooks::default());
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let post = |path: &str, body: &Json| support::send(&client, request("POST", path, Some(body)));
    let mine = format!("{accounts}/ops/token");
    let wanted = json!({ "spec": { "expirationSeconds": 900 } });
    let (code, refused) = post(&mine, &wanted).await.unwrap();
    assert_eq!((code, refused["message"].as_str()), (404, Some("serviceaccounts \"ops\" not found")));
    post(accounts, &json!({ "metadata": { "name": "ops" } })).await.unwrap();
    let (code, refused) = post(&mine, &json!({ "spec": { "expirationSeconds": 60 } })).await.unwrap();
    assert_eq!((code, refused["details"]["causes"][0]["field"].as_str()), (422, Some("spec.expirationSeconds")));
    assert_eq!(post(&mine, &json!({ "spec": { "audiences": ["vault"] } })).await.unwrap().0, 501);
    assert_eq!(get(&client, &mine).await.0, 405);

    let mint = async || {
        let (code, made) = post(&mine, &wanted).await.unwrap();
        assert_eq!(code, 201, "{made}");
        (made["status"]["token"].as_str().unwrap().to_owned(), made)
    };
    let (token, made) = mint().await;
    assert_eq!(made["status"]["expirationTimestamp"], "2026-11-22T10:15:00Z");
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let who = async |token: &str| {
        let (code, answer) =
            support::send(&client, with_token(request("POST", review, Some(&json!({}))), token)).await.unwrap();
        (code, answer["status"]["userInfo"].clone())
    };
    let (_, info) = who(&token).await;
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(info, json!({ "username": "system:serviceaccount:default:ops", "groups": groups }));

    // It may nothing of itself, and what its role says.
    let read = |token: &str| support::send(&client, with_token(request("GET", accounts, None), token));
    assert_eq!(read(&token).await.unwrap().0, 403);
    let (code, refused) =
        support::send(&client, with_token(request("POST", &mine, Some(&wanted)), &token)).await.unwrap();
    assert!(code == 403 && refused.to_string().contains("serviceaccounts/token"), "{refused}");
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let rules = json!([{ "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list"] }]);
    post(&format!("{rbac}/roles"), &json!({ "metadata": { "name": "r" }, "rules": rules })).await.unwrap();
    let binding = json!({
        "metadata": { "name": "r" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "ServiceAccount", "namespace": "default", "name": "ops" }],
    });
    post(&format!("{rbac}/rolebindings"), &binding).await.unwrap();
    assert_eq!(read(&token).await.unwrap().0, 200);

    tokio::time::sleep(Duration::from_secs(899)).await;
    assert_eq!(who(&token).await.0, 201);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(who(&token).await.0, 401);

    // An account of the same name is not the same account.
    let (token, _) = mint().await;
    support::send(&client, request("DELETE", &format!("{accounts}/ops"), None)).await.unwrap();
    assert_eq!(who(&token).await.0, 401);
    post(accounts, &json!({ "metadata": { "name": "ops" } })).await.unwrap();
    assert_eq!(who(&token).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn namespaces_of_the_cluster_itself_stay() {
    let client = client(server(), Hooks::default());
    for name in ["default", "kube-system", "kube-public"] {
        let path = format!("/api/v1/namespaces/{name}");
        let (code, refused) = support::send(&client, request("DELETE", &path, None)).await.unwrap();
        let message = format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
        assert_eq!((code, refused["message"].as_str()), (403, Some(message.as_str())));
        assert_eq!(get(&client, &path).await.1["status"]["phase"], "Active");
    }
    assert_eq!(support::send(&client, request("DELETE", "/api/v1/namespaces", None)).await.unwrap().0, 405);
}

#[tokio::test(start_paused = true)]
async fn nobody_grants_what_he_may_not_do_himself() {
    let hooks = Hooks::default();
    hooks.users.insert("t", User { name: "jane".to_owned(), groups: vec!["ops".to_owned()] });
    let client = client(server(), hooks);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let (roles, bindings) =
        (format!("{rbac}/namespaces/default/roles"), format!("{rbac}/namespaces/default/rolebindings"));
    let role = |name: &str, resource: &str, verbs: &[&str]| {
        let rules = json!([{ "apiGroups": [""], "resources": [resource], "verbs": verbs }]);
        json!({ "metadata": { "name": name }, "rules": rules })
    };
    let binding = |name: &str, kind: &str, of: &str| {
        let group = "rbac.authorization.k8s.io";
        json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": group, "kind": kind, "name": of },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": "jane" }],
        })
    };
    let admin = |path: &str, body: &Json| support::send(&client, request("POST", path, Some(body)));
    let jane = |path: &str, body: &Json| support::send(&client, with_token(request("POST", path, Some(body)), "t"));

    let mut hers = role("hers", "pods", &["get"]);
    let writes = json!({
        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "patch"],
    });
    hers["rules"].as_array_mut().unwrap().push(writes);
    assert_eq!(admin(&roles, &hers).await.unwrap().0, 201);
    assert_eq!(admin(&bindings, &binding("hers", "Role", "hers")).await.unwrap().0, 201);

    assert_eq!(jane(&roles, &role("same", "pods", &["get"])).await.unwrap().0, 201);
    let (code, refused) = jane(&roles, &role("more", "pods", &["get", "delete"])).await.unwrap();
    let message = "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"jane\" (groups=[\"ops\" \
                   \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
                   {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}";
    assert_eq!((code, refused["message"].as_str()), (403, Some(message)));
    let grown = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    let mut patch = with_token(request("PATCH", &format!("{roles}/same"), Some(&grown)), "t");
    patch.headers_mut().insert("content-type", "application/merge-patch+json".parse().unwrap());
    assert_eq!(support::send(&client, patch).await.unwrap().0, 403);

    assert_eq!(jane(&bindings, &binding("same", "Role", "same")).await.unwrap().0, 201);
    assert_eq!(jane(&bindings, &binding("all", "ClusterRole", "cluster-admin")).await.unwrap().0, 403);
    let (code, refused) = jane(&bindings, &binding("none", "ClusterRole", "nothing")).await.unwrap();
    assert_eq!(
        (code, refused["message"].as_str()),
        (404, Some("clusterroles.rbac.authorization.k8s.io \"nothing\" not found"))
    );

    // Who may bind and escalate needs no rights of his own.
    let free = json!({
        "metadata": { "name": "free" },
        "rules": [{
            "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "clusterroles"],
            "verbs": ["bind", "escalate"], "resourceNames": ["more", "cluster-admin"],
        }],
    });
    assert_eq!(admin(&roles, &free).await.unwrap().0, 201);
    assert_eq!(admin(&bindings, &binding("free", "Role", "free")).await.unwrap().0, 201);
    assert_eq!(jane(&bindings, &binding("all", "ClusterRole", "cluster-admin")).await.unwrap().0, 201);
    assert_eq!(jane(&roles, &role("more", "pods", &["delete"])).await.unwrap().0, 201);
}

#[tokio::test]
async fn over_tcp_strangers_are_anonymous() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let listening = tokio::spawn(listen(server(), listener, None, Hooks::default(), stop.clone()));
    let client = support::tcp_client();
    let url = |path: &str| format!("http://{address}{path}");
    let (code, status) = support::send(&client, request("GET", &url("/api"), None)).await.unwrap();
    assert_eq!((code, status["reason"].as_str()), (403, Some("Forbidden")));
    assert!(status["message"].as_str().unwrap().contains("system:anonymous"), "{status}");
    assert_eq!(support::send(&client, request("GET", &url("/version"), None)).await.unwrap().0, 200);
    stop.cancel();
    listening.await.unwrap().unwrap();
    assert!(support::send(&client, request("GET", &url("/version"), None)).await.is_err());
}

/// Makes of the n-th request what the n-th verdict says.
struct Script(AtomicUsize, Vec<(Duration, Verdict, Verdict)>);

impl Gate for Script {
    fn on_request(&self, _: &RequestLine) -> BoxFuture<'static, Verdict> {
        let (delay, verdict, _) = self.1[self.0.load(Ordering::Relaxed)].clone();
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            verdict
        })
    }

    fn on_response(&self, _: &RequestLine, _: u16) -> BoxFuture<'static, Verdict> {
        let (_, _, verdict) = self.1[self.0.fetch_add(1, Ordering::Relaxed)].clone();
        Box::pin(async move { verdict })
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_delays_refuses_and_breaks() {
    let busy = ApiError::new(429, "TooManyRequests", "later");
    let script = Script(
        AtomicUsize::new(0),
        vec![
            (Duration::from_secs(3600), Verdict::Pass, Verdict::Pass),
            (Duration::ZERO, Verdict::Answer(busy), Verdict::Pass),
            (Duration::ZERO, Verdict::Pass, Verdict::Reset),
            (Duration::ZERO, Verdict::Pass, Verdict::Pass),
            (Duration::ZERO, Verdict::Hang, Verdict::Pass),
        ],
    );
    let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
    let log = Arc::new(RequestLog::new(clock));
    let hooks = Hooks { gate: Some(Arc::new(script)), log: Some(Arc::clone(&log)), ..Hooks::default() };
    let client = client(server(), hooks.clone());

    assert_eq!(get(&client, "/version").await.0, 200);
    let mark = log.mark();
    assert_eq!(log.since(0)[0].time.to_string(), "2026-11-22T11:00:00Z");
    assert_eq!(get(&client, "/version").await.0, 429);
    assert!(support::send(&client, request("GET", "/version", None)).await.is_err());
    assert_eq!(get(&client, "/version").await.0, 200);
    let codes: Vec<u16> = log.since(mark).iter().map(|entry| entry.code).collect();
    assert_eq!(codes, [429, 200, 200]);

    let connections = hooks.connections.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        connections.cut();
    });
    assert!(support::send(&client, request("GET", "/version", None)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_port_forward_lives_for_an_hour_and_is_cut() {
    let hooks = Hooks { kubelets: Some(Arc::new(support::Echo)), ..Hooks::default() };
    let client = client(server(), hooks.clone());
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "jvb-0" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "jvb", "image": "jvb:1" }] },
    });
    let path = "/api/v1/namespaces/default/pods";
    let (code, created) = support::send(&client, request("POST", path, Some(&pod))).await.unwrap();
    assert_eq!(code, 201, "{created}");
    let path = format!("{path}/jvb-0/portforward?ports=8080");
    assert_eq!(get(&client, &path).await.0, 400);
    support::echo_for_an_hour(&client, &path, &hooks).await;
}
