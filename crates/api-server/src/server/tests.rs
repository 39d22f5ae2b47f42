//! What requests do, one after the other.

use clock::Clock;
use futures::FutureExt as _;
use serde_json::{Value as Json, json};

use super::{ApiServer, Options};
use crate::error::ApiError;
use crate::kinds::{CONFIG_MAP, DISRUPTION_BUDGET, Kind, POD, SERVICE};
use crate::request::{Answer, PatchType, Request, Verb};
use crate::store::Change;

fn server() -> ApiServer {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    ApiServer::new(Options { name: "one".to_owned(), clock: Clock::starting_at(now), seed: 1, custom_kinds: true })
}

fn request(verb: Verb, kind: &'static Kind, name: Option<&str>, body: Json) -> Request {
    let mut request = Request::new(verb, kind, Some("default"), name);
    request.parameters.manager = Some("red".to_owned());
    request.body = body;
    request
}

/// The object that is answered, or the refusal.
fn ask(server: &ApiServer, request: Request) -> Result<Json, ApiError> {
    match server.call(request)? {
        Answer::Object { object, .. } => Ok(Json::clone(&object)),
        other => panic!("{other:?}"),
    }
}

fn create(server: &ApiServer, kind: &'static Kind, body: Json) -> Result<Json, ApiError> {
    ask(server, request(Verb::Create, kind, None, body))
}

fn get(server: &ApiServer, kind: &'static Kind, name: &str) -> Result<Json, ApiError> {
    ask(server, request(Verb::Get, kind, Some(name), Json::Null))
}

fn patch(server: &ApiServer, kind: &'static Kind, name: &str, how: PatchType, body: Json) -> Result<Json, ApiError> {
    ask(server, request(Verb::Patch(how), kind, Some(name), body))
}

fn map(name: &str, value: &str) -> Json {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "k": value } })
}

fn pod(name: &str, node: &str) -> Json {
    let spec = json!({ "nodeName": node, "containers": [{ "name": "main", "image": "x:1" }] });
    json!({ "metadata": { "name": name, "labels": { "app": "x" } }, "spec": spec })
}

#[tokio::test]
async fn an_object_is_made_once_and_changed_by_who_knows_its_version() {
    let server = server();
    let made = create(&server, &CONFIG_MAP, map("a", "1")).unwrap();
    assert_eq!(create(&server, &CONFIG_MAP, map("a", "1")).unwrap_err().reason, "AlreadyExists");
    let with = |key: &str, value: &Json| {
        let mut body = map("a", "2");
        body["metadata"][key] = value.clone();
        ask(&server, request(Verb::Update, &CONFIG_MAP, Some("a"), body))
    };
    let changed = with("resourceVersion", &made["metadata"]["resourceVersion"]).unwrap();
    assert_ne!(changed["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    for (key, value, code) in [
        ("resourceVersion", made["metadata"]["resourceVersion"].clone(), 409),
        ("uid", "00000000-0000-4000-8000-000000000000".into(), 409),
        ("name", "b".into(), 400),
        ("namespace", "kube-system".into(), 400),
    ] {
        assert_eq!(with(key, &value).unwrap_err().code, code, "{key}");
    }
}

#[tokio::test]
async fn what_changes_nothing_and_what_is_dry_is_not_written() {
    let server = server();
    let made = create(&server, &CONFIG_MAP, map("a", "1")).unwrap();
    let again = patch(&server, &CONFIG_MAP, "a", PatchType::Merge, json!({ "data": { "k": "1" } })).unwrap();
    assert_eq!(again["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let mut dry = request(Verb::Patch(PatchType::Merge), &CONFIG_MAP, Some("a"), json!({ "data": { "k": "2" } }));
    dry.parameters.dry_run = true;
    assert_eq!(ask(&server, dry).unwrap()["data"]["k"], "2");
    assert_eq!(get(&server, &CONFIG_MAP, "a").unwrap()["data"]["k"], "1");
}

#[tokio::test]
async fn fields_that_another_applied_are_taken_only_by_force() {
    let server = server();
    let apply = |manager: &str, value: &str, force: bool| {
        let mut apply = request(Verb::Patch(PatchType::Apply), &CONFIG_MAP, Some("a"), map("a", value));
        apply.parameters.manager = Some(manager.to_owned());
        apply.parameters.force = force;
        ask(&server, apply)
    };
    apply("red", "1", false).unwrap();
    assert_eq!(
        apply("blue", "2", false).unwrap_err().message,
        "Apply failed with 1 conflict: conflict with \"red\": .data.k"
    );
    let taken = apply("blue", "2", true).unwrap();
    let owners = taken["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(owners.iter().map(|owner| &owner["manager"]).collect::<Vec<_>>(), ["blue"]);
}

#[tokio::test]
async fn refusals_carry_the_warnings_that_came_before() {
    let server = server();
    create(&server, &CONFIG_MAP, map("a", "1")).unwrap();
    let mut body = map("a", "1");
    body["surplus"] = 1.into();
    let refused = create(&server, &CONFIG_MAP, body).unwrap_err();
    assert_eq!((refused.code, refused.warnings), (409, vec!["unknown field \"surplus\"".to_owned()]));
}

#[tokio::test]
async fn a_deletion_takes_as_long_as_something_holds_the_object() {
    let server = server();
    let delete = |kind, name: &str, grace: Option<i64>| {
        let mut delete = request(Verb::Delete, kind, Some(name), Json::Null);
        delete.parameters.grace_seconds = grace;
        ask(&server, delete)
    };
    let mut held = map("held", "1");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    create(&server, &CONFIG_MAP, held).unwrap();
    assert!(delete(&CONFIG_MAP, "held", None).unwrap().pointer("/metadata/deletionTimestamp").is_some());
    assert!(
        create(&server, &CONFIG_MAP, map("held", "1")).unwrap_err().message.starts_with("object is being deleted: ")
    );
    patch(&server, &CONFIG_MAP, "held", PatchType::Merge, json!({ "metadata": { "finalizers": null } })).unwrap();
    assert_eq!(get(&server, &CONFIG_MAP, "held").unwrap_err().code, 404);

    // A pod on a node gets its time, which can only be made shorter.
    create(&server, &POD, pod("p", "node")).unwrap();
    for (asked, left) in [(Some(60), 60), (None, 60), (Some(90), 60), (Some(-1), 1)] {
        assert_eq!(delete(&POD, "p", asked).unwrap()["metadata"]["deletionGracePeriodSeconds"], left, "{asked:?}");
    }
    delete(&POD, "p", Some(0)).unwrap();
    assert_eq!(get(&server, &POD, "p").unwrap_err().code, 404);
    // One that nobody runs goes at once.
    create(&server, &POD, pod("q", "")).unwrap();
    assert_eq!(delete(&POD, "q", None).unwrap()["kind"], "Pod");
    assert_eq!(get(&server, &POD, "q").unwrap_err().code, 404);
}

#[tokio::test]
async fn a_deletion_asks_its_preconditions() {
    let server = server();
    create(&server, &CONFIG_MAP, map("a", "1")).unwrap();
    let mut delete = request(Verb::Delete, &CONFIG_MAP, Some("a"), Json::Null);
    delete.parameters.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    assert_eq!(ask(&server, delete.clone()).unwrap_err().code, 409);
    let made = get(&server, &CONFIG_MAP, "a").unwrap();
    delete.parameters.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
    assert_eq!(ask(&server, delete).unwrap()["status"], "Success");
}

#[tokio::test]
async fn a_watch_tells_what_happened_in_its_order() {
    let server = server();
    let made = create(&server, &CONFIG_MAP, map("a", "1")).unwrap();
    let mut watch = request(Verb::Watch, &CONFIG_MAP, None, Json::Null);
    watch.parameters.resource_version = made["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    watch.parameters.label_selector = Some("on".to_owned());
    let Answer::Watch(mut watch) = server.call(watch).unwrap() else { panic!("no watch") };
    for labels in [json!({ "on": "1" }), json!({ "on": "2" }), json!({ "on": null }), json!({ "off": "1" })] {
        patch(&server, &CONFIG_MAP, "a", PatchType::Merge, json!({ "metadata": { "labels": labels } })).unwrap();
    }
    let mut seen = Vec::new();
    while let Some(Some(change)) = watch.next().now_or_never() {
        seen.push(match change {
            Change::Added(_) => "added",
            Change::Modified(_) => "modified",
            Change::Deleted(_) => "deleted",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
}

#[tokio::test]
async fn an_eviction_asks_the_budget_of_running_pods() {
    for (allowed, phase, ready, code) in [
        (0, "Running", "True", Some(429)),
        (1, "Running", "True", None),
        (0, "Pending", "True", None),
        // As many are healthy as must be: who is not does not count among them.
        (0, "Running", "False", None),
    ] {
        let server = server();
        create(&server, &POD, pod("p", "node")).unwrap();
        let status = |kind, name: &str, status: Json| {
            let mut request = request(Verb::Patch(PatchType::Merge), kind, Some(name), json!({ "status": status }));
            request.subresource = Some("status".to_owned());
            ask(&server, request).unwrap()
        };
        status(&POD, "p", json!({ "phase": phase, "conditions": [{ "type": "Ready", "status": ready }] }));
        let spec = json!({ "minAvailable": 1, "selector": { "matchLabels": { "app": "x" } } });
        create(&server, &DISRUPTION_BUDGET, json!({ "metadata": { "name": "b" }, "spec": spec })).unwrap();
        let counted = json!({
            "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1,
            "expectedPods": 1,
        });
        status(&DISRUPTION_BUDGET, "b", counted);
        let mut eviction = request(Verb::Create, &POD, Some("p"), json!({ "metadata": { "name": "p" } }));
        eviction.subresource = Some("eviction".to_owned());
        let case = format!("{allowed} {phase} {ready}");
        assert_eq!(ask(&server, eviction).err().map(|refused| refused.code), code, "{case}");
        let pod = get(&server, &POD, "p").unwrap();
        assert_eq!(pod.pointer("/metadata/deletionTimestamp").is_some(), code.is_none(), "{case}");
        if allowed == 1 {
            let budget = get(&server, &DISRUPTION_BUDGET, "b").unwrap();
            assert_eq!(budget["status"]["disruptionsAllowed"], 0);
            assert!(budget.pointer("/status/disruptedPods/p").is_some());
            assert_eq!(pod.pointer("/status/conditions/1/type"), Some(&"DisruptionTarget".into()));
        }
    }
}

#[tokio::test]
async fn a_port_of_the_nodes_has_one_service_and_is_given_from_where_nobody_asks() {
    let server = server();
    let service = |name: &str, port: u64| {
        let ports = json!([{ "port": 80, "nodePort": port }]);
        let spec = json!({ "type": "NodePort", "ports": ports });
        create(&server, &SERVICE, json!({ "metadata": { "name": name }, "spec": spec }))
    };
    service("a", 30_000).unwrap();
    let refused = service("b", 30_000).unwrap_err();
    assert!(refused.message.contains("provided port is already allocated"), "{}", refused.message);
    let given = service("c", 0).unwrap();
    assert!(given.pointer("/spec/ports/0/nodePort").and_then(Json::as_u64) >= Some(30_086));
}
