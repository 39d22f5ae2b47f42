//! What an object looks like once the server's own types have decoded and printed it: what is not set is not printed,
//! except for structs and scalars that are always there. Ownership is about objects that have been through that.

use serde_json::{Map, Value as Json};

use super::{Field, Scalar, Schema, Struct};

/// Numbers and booleans that are not printed when they are zero. All others tell zero from nothing.
const PLAIN: [&str; 28] = [
    "availableReplicas",
    "count",
    "currentReplicas",
    "failureThreshold",
    "fullyLabeledReplicas",
    "generation",
    "globalDefault",
    "healthCheckNodePort",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "number",
    "observedGeneration",
    "paused",
    "periodSeconds",
    "publishNotReadyAddresses",
    "readOnly",
    "readyReplicas",
    "stdin",
    "stdinOnce",
    "successThreshold",
    "tty",
    "unschedulable",
    "updatedReplicas",
];

/// Strings that tell empty from nothing. All others are not printed when they are empty.
const POINTERS: [(&str, &str); 9] = [
    ("Endpoint", "hostname"),
    ("Endpoint", "nodeName"),
    ("Endpoint", "zone"),
    ("EndpointPort", "appProtocol"),
    ("EndpointPort", "name"),
    ("LeaseSpec", "holderIdentity"),
    ("PersistentVolumeClaimSpec", "storageClassName"),
    ("PersistentVolumeClaimSpec", "volumeAttributesClassName"),
    ("ServicePort", "appProtocol"),
];

/// Moments that are printed as null when they are not set.
const MOMENTS: [&str; 9] = [
    "eventTime",
    "finishedAt",
    "firstTimestamp",
    "lastHeartbeatTime",
    "lastProbeTime",
    "lastTimestamp",
    "lastTransitionTime",
    "lastUpdateTime",
    "startedAt",
];

/// Lists that are printed as null when nothing is in them.
const LISTS: [(&str, &str); 4] =
    [("ClusterRole", "rules"), ("EndpointSlice", "endpoints"), ("EndpointSlice", "ports"), ("Role", "rules")];

/// The object of a kind in which nothing is set: what a new object is compared with.
#[must_use]
pub fn empty(schema: &Schema) -> Json {
    let mut object = Map::new();
    let Schema::Struct(of) = schema else { return Json::Object(object) };
    if of.name.is_empty() {
        return Json::Object(object);
    }
    for (name, field) in &of.fields {
        match (zero(field), field.schema) {
            (Some(Json::Object(_)), inner) => drop(object.insert((*name).to_owned(), empty(inner))),
            (Some(zero), _) => drop(object.insert((*name).to_owned(), zero)),
            (None, _) if field.required || LISTS.contains(&(of.name, *name)) => {
                drop(object.insert((*name).to_owned(), Json::Null))
            }
            (None, _) => {}
        }
    }
    Json::Object(object)
}

/// Brings an object into the form in which the server would print it. Kinds of a CRD are printed as they came, but
/// without nulls, and with metadata like all others.
pub fn settle(schema: &Schema, object: &mut Json) {
    if schema.is_custom() {
        without_nulls(schema, object);
        if let Some(metadata) = object.get_mut("metadata") {
            value(schema.field("metadata"), metadata);
        }
    } else {
        value(schema, object);
    }
}

fn without_nulls(schema: &Schema, object: &mut Json) {
    match (schema, object) {
        (Schema::Struct(_) | Schema::Map { .. }, Json::Object(fields)) => {
            fields.retain(|_, entry| !entry.is_null());
            fields.iter_mut().for_each(|(name, entry)| without_nulls(schema.field(name), entry));
        }
        (Schema::List { item, .. }, Json::Array(items)) => {
            items.iter_mut().for_each(|entry| without_nulls(item, entry));
        }
        _ => {}
    }
}

fn value(schema: &Schema, object: &mut Json) {
    match (schema, object) {
        (Schema::Struct(of), Json::Object(fields)) => settle_fields(of, fields),
        (Schema::Map { value: of, .. }, Json::Object(entries)) => {
            // A scalar entry without a value is its zero value, and stays.
            entries.values_mut().for_each(|entry| value(of, entry));
        }
        (Schema::List { item, .. }, Json::Array(items)) => items.iter_mut().for_each(|entry| value(item, entry)),
        (Schema::Scalar(Scalar::Quantity), quantity) => {
            if let Some(canonical) = crate::quantity::canonical(quantity) {
                *quantity = canonical.into();
            }
        }
        _ => {}
    }
}

fn settle_fields(of: &Struct, fields: &mut Map<String, Json>) {
    fields.retain(|name, entry| {
        let Some(field) = of.fields.get(name.as_str()) else { return true };
        value(field.schema, entry);
        !is_unset(of, name, field, entry)
    });
    for (name, field) in &of.fields {
        if fields.contains_key(*name) {
            continue;
        }
        if let Some(mut zero) = zero(field) {
            value(field.schema, &mut zero);
            fields.insert((*name).to_owned(), zero);
        } else if LISTS.contains(&(of.name, *name)) || (!field.required && is_moment(name, field)) {
            fields.insert((*name).to_owned(), Json::Null);
        }
    }
}

/// What is always printed, when nothing is set: structs that are there by value, and scalars that are never omitted.
/// OpenAPI states exactly these as defaults, among them (only) those that mean something.
fn zero(field: &Field) -> Option<Json> {
    let default = field.default.as_ref()?;
    let is_zero = match default {
        Json::Object(fields) => fields.is_empty(),
        Json::String(text) => text.is_empty(),
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::Bool(set) => !set,
        _ => false,
    };
    is_zero.then(|| default.clone())
}

fn is_moment(name: &str, field: &Field) -> bool {
    MOMENTS.contains(&name) && matches!(field.schema, Schema::Scalar(Scalar::Time | Scalar::MicroTime))
}

/// Whether an entry says nothing; what is nevertheless printed in its place is put there afterwards.
fn is_unset(of: &Struct, name: &str, field: &Field, entry: &Json) -> bool {
    let must_stay = field.required || zero(field).is_some();
    match entry {
        Json::Null => true,
        Json::Array(items) if items.is_empty() => !must_stay || LISTS.contains(&(of.name, name)),
        _ if must_stay => false,
        Json::Object(entries) => entries.is_empty() && matches!(field.schema, Schema::Map { .. }),
        Json::String(text) => {
            text.is_empty()
                && matches!(field.schema, Schema::Scalar(Scalar::String))
                && !POINTERS.contains(&(of.name, name))
        }
        Json::Number(number) => number.as_f64() == Some(0.0) && is_plain(of, name),
        Json::Bool(set) => !set && is_plain(of, name),
        Json::Array(_) => false,
    }
}

fn is_plain(of: &Struct, name: &str) -> bool {
    PLAIN.contains(&name)
        || (name == "replicas" && of.name.ends_with("Status"))
        || (name == "timeoutSeconds" && of.name == "Probe")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kinds, schema};
    use serde_json::json;

    #[test]
    fn an_empty_object_has_the_structs_that_are_always_there() {
        let service = json!({ "metadata": {}, "spec": {}, "status": { "loadBalancer": {} } });
        assert_eq!(empty(schema::of(&kinds::SERVICE)), service);
        let deployment = empty(schema::of(&kinds::DEPLOYMENT));
        let spec = json!({
            "selector": null, "strategy": {}, "template": { "metadata": {}, "spec": { "containers": null } },
        });
        assert_eq!(deployment["spec"], spec);
        assert_eq!(empty(schema::of(&kinds::HTTP_ROUTE)), json!({}));
    }

    #[test]
    fn what_is_not_set_is_not_printed() {
        let mut pod = json!({
            "metadata": { "name": "a", "labels": {}, "namespace": null },
            "spec": {
                "hostNetwork": false,
                "automountServiceAccountToken": false,
                "priorityClassName": "",
                "nodeSelector": null,
                "containers": [{ "name": "x", "env": [{ "name": "E", "value": "" }], "ports": [] }],
                "volumes": [{ "name": "v", "emptyDir": {} }],
            },
        });
        settle(schema::of(&kinds::POD), &mut pod);
        let expected = json!({
            "metadata": { "name": "a" },
            "spec": {
                "automountServiceAccountToken": false,
                "containers": [{ "name": "x", "env": [{ "name": "E" }], "resources": {} }],
                "volumes": [{ "name": "v", "emptyDir": {} }],
            },
            "status": {},
        });
        assert_eq!(pod, expected);
    }

    #[test]
    fn required_lists_stay_and_some_are_null_when_nothing_is_in_them() {
        let mut slice = json!({ "addressType": "IPv4", "endpoints": [], "ports": [{ "name": "", "port": 1 }] });
        settle(schema::of(&kinds::ENDPOINT_SLICE), &mut slice);
        assert_eq!(slice["endpoints"], Json::Null);
        assert_eq!(slice["ports"], json!([{ "name": "", "port": 1 }]));
        let mut pod = json!({ "spec": { "containers": [] } });
        settle(schema::of(&kinds::POD), &mut pod);
        assert_eq!(pod["spec"]["containers"], json!([]));
    }
}
