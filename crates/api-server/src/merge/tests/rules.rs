//! The rules one by one, and laws that hold for all objects.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::super::{Writer, apply, keep_times, track};
use crate::error::ApiError;
use crate::kinds::{self, Kind};
use crate::schema::{self, Schema};

fn writer(manager: &str, second: i64) -> Writer {
    Writer {
        manager: manager.to_owned(),
        api_version: "v1".to_owned(),
        subresource: None,
        now: jiff::Timestamp::from_second(1_700_000_000 + second).unwrap(),
    }
}

fn config() -> &'static Schema {
    schema::of(&kinds::CONFIG_MAP)
}

fn map(data: Json) -> Json {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m", "namespace": "n" }, "data": data })
}

fn applied(live: Option<&Json>, manager: &str, second: i64, data: Json) -> Result<Json, ApiError> {
    apply(config(), live, &map(data), &writer(manager, second), false)
}

fn owners(object: &Json) -> Vec<(String, String, Json)> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |entry: &Json, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    entries.map(|entry| (text(entry, "manager"), text(entry, "operation"), entry["fieldsV1"].clone())).collect()
}

#[test]
fn an_entry_says_who_what_and_when() {
    let object = applied(None, "a", 0, json!({ "x": "1" })).unwrap();
    let entry = json!({
        "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:x": {} } },
        "manager": "a", "operation": "Apply", "time": "2023-11-14T22:13:20Z",
    });
    assert_eq!(object["metadata"]["managedFields"], json!([entry]));
}

#[test]
fn nothing_changes_by_applying_again() {
    let once = applied(None, "a", 0, json!({ "x": "1" })).unwrap();
    assert_eq!(applied(Some(&once), "a", 9, json!({ "x": "1" })).unwrap(), once);
}

#[test]
fn conflicts_are_told_and_force_takes() {
    let live = applied(None, "a", 0, json!({ "x": "1", "y": "1" })).unwrap();
    let one = applied(Some(&live), "b", 1, json!({ "x": "2" })).unwrap_err();
    assert_eq!(one.message, "Apply failed with 1 conflict: conflict with \"a\": .data.x");
    assert_eq!((one.code, one.reason), (409, "Conflict"));
    let cause = json!({ "reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".data.x" });
    assert_eq!(one.details, json!({ "causes": [cause] }));

    let two = applied(Some(&live), "b", 1, json!({ "x": "2", "y": "2" })).unwrap_err();
    assert_eq!(two.message, "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.x\n- .data.y");

    let taken = apply(config(), Some(&live), &map(json!({ "x": "2" })), &writer("b", 1), true).unwrap();
    assert_eq!(taken["data"], json!({ "x": "2", "y": "1" }));
    let owner = |name: &str, field: &str| (name.to_owned(), "Apply".to_owned(), json!({ "f:data": { field: {} } }));
    assert_eq!(owners(&taken), [owner("a", "f:y"), owner("b", "f:x")]);
}

#[test]
fn what_is_no_longer_applied_goes_unless_another_owns_it() {
    let live = applied(None, "a", 0, json!({ "x": "1", "y": "1" })).unwrap();
    let live = applied(Some(&live), "b", 1, json!({ "x": "1" })).unwrap();
    let less = applied(Some(&live), "a", 2, json!({})).unwrap();
    assert_eq!(less["data"], json!({ "x": "1" }));
    let last = applied(Some(&less), "b", 3, json!({})).unwrap();
    // An empty map is claimed, and stays as long as one is applied.
    assert_eq!(last["data"], Json::Null);
}

#[test]
fn an_update_takes_what_it_changes() {
    let live = applied(None, "a", 0, json!({ "x": "1", "y": "1" })).unwrap();
    let mut new = live.clone();
    new["data"] = json!({ "x": "2", "z": "3", "y": "1" });
    track(config(), Some(&live), &mut new, &writer("kubectl-edit", 5));
    let expected = [
        ("a".to_owned(), "Apply".to_owned(), json!({ "f:data": { "f:y": {} } })),
        ("kubectl-edit".to_owned(), "Update".to_owned(), json!({ "f:data": { "f:x": {}, "f:z": {} } })),
    ];
    assert_eq!(owners(&new), expected);
    let conflict = applied(Some(&new), "a", 6, json!({ "x": "1", "y": "1" })).unwrap_err();
    assert_eq!(conflict.message, "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.x");
    let mut gone = new.clone();
    gone["data"] = json!({ "y": "1" });
    track(config(), Some(&new), &mut gone, &writer("other", 7));
    assert_eq!(owners(&gone), expected[..1]);
}

#[test]
fn forgotten_owners_come_back_as_before_first_apply() {
    let live = applied(None, "a", 0, json!({ "x": "1" })).unwrap();
    let mut new = live.clone();
    new["metadata"]["managedFields"] = json!([]);
    track(config(), Some(&live), &mut new, &writer("b", 1));
    assert_eq!(owners(&new), []);
    let applied = applied(Some(&new), "a", 2, json!({ "x": "1" })).unwrap();
    let names: Vec<_> = owners(&applied).into_iter().map(|(name, operation, _)| (name, operation)).collect();
    let expected = [("a", "Apply"), ("before-first-apply", "Update")];
    assert_eq!(names, expected.map(|(name, operation)| (name.to_owned(), operation.to_owned())));
}

#[test]
fn what_only_the_server_writes_is_owned_by_nobody() {
    let mut new = map(json!({ "x": "1" }));
    new["metadata"]["uid"] = "u".into();
    new["metadata"]["generation"] = 1.into();
    track(config(), None, &mut new, &writer("m", 0));
    let fields = json!({ "f:data": { ".": {}, "f:x": {} } });
    assert_eq!(owners(&new), [("m".to_owned(), "Update".to_owned(), fields)]);
}

#[test]
fn a_status_is_owned_by_those_who_write_the_status() {
    let pods = schema::of(&kinds::POD);
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": { "nodeName": "n" } });
    let mut live = pod.clone();
    track(pods, None, &mut live, &writer("m", 0));
    let mut new = live.clone();
    new["status"] = json!({ "phase": "Running" });
    new["spec"]["nodeName"] = "other".into();
    let kubelet = Writer { subresource: Some("status".to_owned()), ..writer("kubelet", 1) };
    let mut main = new.clone();
    track(pods, Some(&live), &mut new, &kubelet);
    let status = &new["metadata"]["managedFields"][1];
    assert_eq!(
        (&status["fieldsV1"], &status["subresource"]),
        (&json!({ "f:status": { "f:phase": {} } }), &json!("status"))
    );
    track(pods, Some(&live), &mut main, &writer("m", 1));
    assert_eq!(owners(&main), [("m".to_owned(), "Update".to_owned(), json!({ "f:spec": { "f:nodeName": {} } }))]);
}

#[test]
fn a_write_that_only_renews_times_is_none() {
    let live = applied(None, "a", 0, json!({ "x": "1" })).unwrap();
    let mut new = live.clone();
    new["metadata"]["managedFields"][0]["time"] = "2030-01-01T00:00:00Z".into();
    keep_times(&live, &mut new);
    assert_eq!(new, live);
    let mut other = live.clone();
    other["data"]["x"] = "2".into();
    other["metadata"]["managedFields"][0]["time"] = "2030-01-01T00:00:00Z".into();
    let before = other.clone();
    keep_times(&live, &mut other);
    assert_eq!(other, before);
}

#[test]
fn owners_can_not_be_applied_and_versions_must_match() {
    let mut object = map(json!({}));
    object["metadata"]["managedFields"] = json!([]);
    let refused = apply(config(), None, &object, &writer("a", 0), false).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (400, "metadata.managedFields must be nil"));
    object["apiVersion"] = "v2".into();
    assert_eq!(apply(config(), None, &object, &writer("a", 0), false).unwrap_err().code, 400);
}

/// Objects of a kind, by its schema, three levels of choices deep.
fn values(schema: &'static Schema, depth: u32) -> BoxedStrategy<Json> {
    use schema::{Identity, Scalar};
    let text = prop_oneof![Just(json!("a")), Just(json!("b"))].boxed();
    match schema {
        Schema::Scalar(Scalar::Integer | Scalar::Int32 | Scalar::Number) => (1_u8..4).prop_map(|n| json!(n)).boxed(),
        Schema::Scalar(Scalar::Boolean) => Just(json!(true)).boxed(),
        Schema::Scalar(Scalar::Quantity) => Just(json!("1")).boxed(),
        Schema::Scalar(Scalar::Time | Scalar::MicroTime) => Just(json!("2026-01-01T00:00:00Z")).boxed(),
        Schema::Scalar(_) => text,
        Schema::Any => Just(json!({ "any": 1 })).boxed(),
        _ if depth == 0 => Just(Json::Null).boxed(),
        Schema::Map { value, .. } => proptest::collection::btree_map("[xy]", values(value, depth - 1), 1..3)
            .prop_map(|entries| entries.into_iter().filter(|(_, entry)| !entry.is_null()).collect::<Map<_, _>>().into())
            .boxed(),
        Schema::List { item, identity } => {
            let identity = identity.clone();
            let items = proptest::collection::vec(values(item, depth - 1), 1..4);
            items
                .prop_map(move |items| {
                    let key = |item: &Json| match &identity {
                        Identity::Map(keys) => keys.iter().map(|key| item[*key].to_string()).collect::<Vec<_>>(),
                        _ => vec![item.to_string()],
                    };
                    let mut seen = std::collections::BTreeSet::new();
                    items.into_iter().filter(|item| !item.is_null() && seen.insert(key(item))).collect()
                })
                .boxed()
        }
        Schema::Struct(of) => {
            let fields: Vec<_> = of.fields.iter().filter(|(name, _)| **name != "managedFields").collect();
            let required: Vec<_> = fields
                .iter()
                .filter(|(name, field)| {
                    field.required
                        || ["name", "port", "protocol", "containerPort", "type", "uid", "key", "ip"].contains(name)
                })
                .map(|(name, field)| (**name, values(field.schema, depth - 1)))
                .collect();
            let optional: Vec<_> =
                fields.iter().map(|(name, field)| (**name, values(field.schema, depth - 1))).collect();
            let some =
                proptest::sample::subsequence((0..optional.len()).collect::<Vec<_>>(), 0..=optional.len().min(3));
            some.prop_flat_map(move |chosen| {
                let mut all = required.clone();
                all.extend(chosen.into_iter().map(|index| optional[index].clone()));
                let names: Vec<&'static str> = all.iter().map(|(name, _)| *name).collect();
                let fields: Vec<_> = all.into_iter().map(|(_, values)| values).collect();
                fields.prop_map(move |fields| {
                    let fields = names.iter().zip(fields).filter(|(_, field)| !field.is_null());
                    fields.map(|(name, field)| ((*name).to_owned(), field)).collect::<Map<_, _>>().into()
                })
            })
            .boxed()
        }
    }
}

fn objects(kind: &'static Kind) -> impl Strategy<Value = Json> {
    values(schema::of(kind), 6).prop_map(|mut object| {
        let entries = object.as_object_mut().unwrap();
        entries.insert("apiVersion".to_owned(), "v1".into());
        entries.insert("kind".to_owned(), kind.name.into());
        entries.remove("status");
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_changes_nothing(one in objects(&kinds::POD), other in objects(&kinds::POD)) {
        let pods = schema::of(&kinds::POD);
        let first = apply(pods, None, &one, &writer("a", 0), false).unwrap();
        prop_assert_eq!(&apply(pods, Some(&first), &one, &writer("a", 9), false).unwrap(), &first);
        let second = apply(pods, Some(&first), &other, &writer("b", 1), true).unwrap();
        prop_assert_eq!(&apply(pods, Some(&second), &other, &writer("b", 9), false).unwrap(), &second);
    }

    #[test]
    fn what_is_applied_alone_is_all_there_is(one in objects(&kinds::SERVICE), other in objects(&kinds::SERVICE)) {
        let services = schema::of(&kinds::SERVICE);
        let first = apply(services, None, &one, &writer("a", 0), false).unwrap();
        let then = apply(services, Some(&first), &other, &writer("a", 1), false).unwrap();
        let fresh = apply(services, None, &other, &writer("a", 1), false).unwrap();
        let spec = |object: &Json| object["spec"].clone();
        prop_assert_eq!(owners(&then), owners(&fresh));
        let (then, fresh) = (spec(&then), spec(&fresh));
        for (name, field) in then.as_object().unwrap() {
            prop_assert_eq!(Some(field), fresh.get(name), "{}", name);
        }
    }

    #[test]
    fn what_is_created_is_owned_by_its_creator_alone(pod in objects(&kinds::POD)) {
        let pods = schema::of(&kinds::POD);
        let mut created = pod;
        track(pods, None, &mut created, &writer("m", 0));
        prop_assert!(owners(&created).len() <= 1);
        let before = created.clone();
        track(pods, Some(&before), &mut created, &writer("n", 1));
        prop_assert_eq!(created, before);
    }
}
