//! What the schema has to say to an object that is applied, before anything is merged.

use std::fmt::{self, Display, Formatter};

use serde_json::Value as Json;

use super::item;
use crate::fields::{FieldSet, PathElement};
use crate::schema::{Identity, Scalar, Schema};

/// All fields of a value: the fields that an applier claims.
pub(super) fn field_set(schema: &Schema, value: &Json) -> FieldSet {
    claimed(schema, value).1
}

/// Whether the value itself is claimed, and what is below.
fn claimed(schema: &Schema, value: &Json) -> (bool, FieldSet) {
    let mut below = FieldSet::new();
    match item::shape(schema) {
        item::Shape::Leaf => return (true, below),
        item::Shape::Entries => {
            for (name, entry) in value.as_object().into_iter().flatten() {
                let (here, inner) = claimed(schema.field(name), entry);
                let is_bare = entry.is_null() || entry.as_object().is_some_and(serde_json::Map::is_empty);
                below.graft(PathElement::field(name), here || is_bare || !schema.has_field(name), inner);
            }
        }
        item::Shape::Items(of, identity) => {
            let mut seen = FieldSet::new();
            let mut twice = FieldSet::new();
            let items = item::items(Some(value)).iter();
            let items: Vec<_> =
                items.filter_map(|entry| Some((item::element(entry, of, identity).ok()?, entry))).collect();
            for (element, _) in &items {
                let target = if seen.has(element) { &mut twice } else { &mut seen };
                target.insert([element.clone()]);
            }
            for (element, entry) in items {
                // Of items that can't be told apart only the lot of them can be owned.
                let inner = if twice.has(&element) { FieldSet::new() } else { claimed(of, entry).1 };
                below.graft(element, true, inner);
            }
        }
    }
    (false, below)
}

/// What is wrong with an object that is applied, in the server's words.
pub(super) fn errors(schema: &Schema, value: &Json) -> Option<String> {
    let mut found = Vec::new();
    validate(schema, value, &Place::Top, &mut found);
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

/// Where a value stands; only printed when something is wrong there.
#[derive(Clone, Copy)]
enum Place<'a> {
    Top,
    Field(&'a Self, &'a str),
    Item(&'a Self, &'a PathElement),
}

impl Display for Place<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Field(above, name) => write!(out, "{above}.{name}"),
            Self::Item(above, element) => write!(out, "{above}{element}"),
        }
    }
}

fn validate(schema: &Schema, value: &Json, path: &Place<'_>, found: &mut Vec<String>) {
    let mut say = |words: String| {
        found.push(if matches!(path, Place::Top) { words } else { format!("{path}: {words}") });
    };
    match (schema, value) {
        (_, Json::Null) | (Schema::Any, _) => {}
        (Schema::Struct(of), Json::Object(fields)) => {
            for (name, entry) in fields {
                match of.fields.get(name.as_str()) {
                    Some(field) => validate(field.schema, entry, &Place::Field(path, name), found),
                    None if of.open => {}
                    None => found.push(format!("{path}.{name}: field not declared in schema")),
                }
            }
        }
        (Schema::Map { value: of, .. }, Json::Object(entries)) => {
            entries.iter().for_each(|(name, entry)| validate(of, entry, &Place::Field(path, name), found));
        }
        (Schema::Struct(_) | Schema::Map { .. }, other) => say(format!("expected map, got &{{{}}}", plain(other))),
        (Schema::List { item, identity }, Json::Array(items)) => validate_items(item, identity, items, path, found),
        (Schema::List { .. }, other) => say(format!("expected list, got &{{{}}}", plain(other))),
        (Schema::Scalar(scalar), value) => match (scalar, value) {
            (Scalar::Integer | Scalar::Int32 | Scalar::Number, Json::Number(_))
            | (Scalar::Boolean, Json::Bool(_))
            | (Scalar::String | Scalar::Bytes, Json::String(_)) => {}
            (Scalar::Integer | Scalar::Int32 | Scalar::Number, other) => {
                say(format!("expected numeric (int or float), got {}", type_name(other)));
            }
            (Scalar::Boolean, other) => say(format!("expected boolean, got &{{{}}}", plain(other))),
            (Scalar::String | Scalar::Bytes, other) => {
                say(format!("expected string, got &value.valueUnstructured{{Value:{}}}", plain(other)));
            }
            (_, Json::Array(_) | Json::Object(_)) => say(format!("expected any scalar, got &{{{}}}", plain(value))),
            _ => {}
        },
    }
}

fn validate_items(of: &Schema, identity: &Identity, items: &[Json], path: &Place<'_>, found: &mut Vec<String>) {
    let mut seen = FieldSet::new();
    for (index, entry) in items.iter().enumerate() {
        let element = match identity {
            Identity::Atomic => PathElement::Index(index),
            _ => match item::element(entry, of, identity) {
                Ok(element) => element,
                Err(words) => return found.push(format!("{path}: element {index}: {words}")),
            },
        };
        if seen.has(&element) {
            found.push(format!("{path}: duplicate entries for key {element}"));
        }
        validate(of, entry, &Place::Item(path, &element), found);
        seen.insert([element]);
    }
}

/// A value as the server's language prints it.
fn plain(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(name, entry)| format!("{name}:{}", plain(entry)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

fn type_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kinds, schema};
    use serde_json::json;

    fn service(spec: Json) -> Option<String> {
        errors(schema::of(&kinds::SERVICE), &json!({ "spec": spec }))
    }

    /// What a server of version 1.34.3 said to each.
    #[test]
    fn what_does_not_fit_is_named_in_the_servers_words() {
        let two = json!({ "metadata": { "foo": 1 }, "spec": { "x": 1, "ports": [{ "port": 80, "bar": 2 }] } });
        let words = "errors:\n  .metadata.foo: field not declared in schema\n  \
                     .spec.ports[port=80,protocol=\"TCP\"].bar: field not declared in schema\n  \
                     .spec.x: field not declared in schema";
        assert_eq!(errors(schema::of(&kinds::SERVICE), &two).as_deref(), Some(words));
        for (spec, words) in [
            (json!({ "ports": {} }), ".spec.ports: expected list, got &{map[]}"),
            (json!([]), ".spec: expected map, got &{[]}"),
            (json!({ "type": 1 }), ".spec.type: expected string, got &value.valueUnstructured{Value:1}"),
            (
                json!({ "publishNotReadyAddresses": "yes" }),
                ".spec.publishNotReadyAddresses: expected boolean, got &{yes}",
            ),
            (
                json!({ "ports": [{ "port": "80" }] }),
                ".spec.ports[port=\"80\",protocol=\"TCP\"].port: expected numeric (int or float), got string",
            ),
            (
                json!({ "ports": ["x"] }),
                ".spec.ports: element 0: associative list with keys may not have non-map elements",
            ),
        ] {
            assert_eq!(service(spec).as_deref(), Some(words));
        }
        let quota = json!({ "spec": { "hard": { "cpu": {} } } });
        let words = ".spec.hard.cpu: expected any scalar, got &{map[]}";
        assert_eq!(errors(schema::of(&kinds::QUOTA), &quota).as_deref(), Some(words));
        assert_eq!(service(json!({ "ports": [{ "port": 80, "targetPort": "http" }] })), None);
    }

    #[test]
    fn empty_maps_and_nulls_are_claimed_empty_lists_are_not() {
        let config = json!({ "data": {}, "immutable": null, "metadata": { "labels": { "a": "b" }, "finalizers": [] } });
        let set = field_set(schema::of(&kinds::CONFIG_MAP), &config);
        assert_eq!(set.paths(), [".data", ".immutable", ".metadata.labels.a"]);
    }
}
