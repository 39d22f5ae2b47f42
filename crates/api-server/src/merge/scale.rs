//! Who owns the number of replicas after somebody scaled.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::Writer;
use super::managers::{Manager, Managers, Operation, Owned};
use crate::fields::FieldSet;

/// A scale is an object of its own, of this version, with owners of its own.
const VERSION: &str = "autoscaling/v1";

/// Completes `managedFields` of an object whose number of replicas was changed by way of its scale. As in a real server,
/// owners are taken over from the object to its scale and back, by which those that update lose their moment, and are
/// listed apart from what they own besides.
pub fn scale(old: &Json, new: &mut Json, writer: &Writer) {
    let replicas = FieldSet::of(&[&["spec", "replicas"]]);
    let number = |object: &Json| object.pointer("/spec/replicas").and_then(Json::as_i64).unwrap_or(0);
    let mut managers = Managers::of(old);
    let owns = |owned: &Owned| replicas.is_subset(owned.fields.set());
    let of_scale = |manager: &Manager| Manager {
        api_version: (manager.operation == Operation::Update).then(|| VERSION.to_owned()),
        ..manager.clone()
    };
    let mut scalers: BTreeSet<Manager> =
        managers.0.iter().filter(|(_, owned)| owns(owned)).map(|(manager, _)| of_scale(manager)).collect();
    // A scale that nobody owned is as one of an object that was never applied: nobody comes to own it.
    if number(old) != number(new) && !scalers.is_empty() {
        scalers.clear();
        // None is not printed, so nobody owns it.
        if number(new) != 0 {
            let writer = Writer { api_version: VERSION.to_owned(), ..writer.clone() };
            scalers.insert(Manager::of(&writer, Operation::Update));
        }
    }
    managers.0.retain(|manager, owned| {
        if !owns(owned) || scalers.remove(manager) {
            return true;
        }
        let rest = owned.fields.set().difference(&replicas);
        let stays = !rest.is_empty();
        owned.fields = rest.into();
        stays
    });
    let api_version = writer.api_version.clone();
    let alone = scalers.into_iter().map(|manager| {
        let owned = Owned { api_version: api_version.clone(), time: None, fields: replicas.clone().into() };
        (manager, owned)
    });
    managers.write_with(alone.collect(), new);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As a server of version 1.34.3 left them.
    #[test]
    fn who_scales_owns_the_number_unless_nobody_did_and_who_only_repeats_it_is_listed_apart() {
        let entry = |manager: &str, fields: Json| {
            json!({
                "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields, "manager": manager,
                "operation": "Update", "time": "2026-01-01T00:00:00Z",
            })
        };
        let all = json!({ "f:spec": { "f:replicas": {}, "f:paused": {} } });
        let object = |replicas: u32| json!({ "metadata": { "managedFields": [entry("green", all.clone())] }, "spec": { "replicas": replicas } });
        let writer = |manager: &str| Writer {
            manager: manager.to_owned(),
            api_version: "apps/v1".to_owned(),
            subresource: Some("scale".to_owned()),
            now: "2026-01-01T00:00:09Z".parse().unwrap(),
        };
        let rest = entry("green", json!({ "f:spec": { "f:paused": {} } }));
        let mut unowned = json!({ "metadata": { "managedFields": [rest] }, "spec": { "replicas": 3 } });
        scale(
            &json!({ "metadata": { "managedFields": [rest] }, "spec": { "replicas": 2 } }),
            &mut unowned,
            &writer("blue"),
        );
        assert_eq!(unowned["metadata"]["managedFields"], json!([rest]));
        let mut number = entry("green", json!({ "f:spec": { "f:replicas": {} } }));
        number.as_object_mut().unwrap().remove("time");
        for (manager, replicas, expected) in [
            ("green", 2, json!([number, rest])),
            ("blue", 0, json!([rest])),
            ("blue", 3, {
                let mut of_blue = number.clone();
                (of_blue["manager"], of_blue["subresource"]) = ("blue".into(), "scale".into());
                json!([of_blue, rest])
            }),
        ] {
            let mut new = object(replicas);
            scale(&object(2), &mut new, &writer(manager));
            assert_eq!(new["metadata"]["managedFields"], expected, "{manager} {replicas}");
        }
    }
}
