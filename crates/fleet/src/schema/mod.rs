//! The JSON schema of the fleet file, derived from the grammar's types: what editors complete from and what the
//! file is checked against.

mod shape;

use std::sync::LazyLock;

use serde_json::Value as Json;

use crate::raw;

pub(crate) use shape::{Missing, Shaper, free, missing, nearest, resolve_key, takes_collections};

/// The JSON schema of the fleet file.
#[must_use]
pub fn json() -> Json {
    SCHEMA.clone()
}

pub(crate) static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(raw::Fleet).to_value();
    close(&mut schema);
    schema
});

/// Every object with keys of its own takes no others.
fn close(schema: &mut Json) {
    match schema {
        Json::Object(map) => {
            for value in map.values_mut() {
                close(value);
            }
            if map.get("type").is_some_and(|t| t == "object")
                && map.contains_key("properties")
                && !map.contains_key("additionalProperties")
            {
                map.insert("additionalProperties".into(), Json::Bool(false));
            }
            let needed = needed(map);
            if !needed.is_empty() {
                map.insert("required".into(), needed.into());
            }
            // Defaults of the types only say "nothing": the real ones are the lowest layer.
            if map.contains_key("type") || map.contains_key("$ref") || map.contains_key("anyOf") {
                map.remove("default");
            }
        }
        Json::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The keys that the grammar's types mark as needed; the mark itself goes. The types say nothing of it themselves,
/// since each layer alone may lack any key.
fn needed(object: &mut serde_json::Map<String, Json>) -> Vec<String> {
    let mut needed: Vec<String> = object
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(str::to_owned)
        .collect();
    let properties = object.get_mut("properties").and_then(Json::as_object_mut).into_iter().flatten();
    for (key, schema) in properties {
        if schema.as_object_mut().is_some_and(|schema| schema.remove("x-needed").is_some()) && !needed.contains(key) {
            needed.push(key.clone());
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/fleet.schema.json");

    #[test]
    fn the_committed_schema_is_current() {
        let now = serde_json::to_string_pretty(&json()).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(COMMITTED, &now).unwrap();
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(committed == now, "config/fleet.schema.json is out of date: run this test with UPDATE_SCHEMA=1");
    }
}
