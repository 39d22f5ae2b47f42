//! The accepted intent: the merged file as a fleet file of its own, without secrets and without other files.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Map, Value as Json, json};

use crate::secrets::looks_secret;
use crate::{Fleet, SecretSource};

/// The text; the same for the same file, whatever the order of its keys.
pub(crate) fn text(
    mut merged: Json,
    env_files: &BTreeMap<String, String>,
    files: &BTreeMap<String, Vec<u8>>,
    fleet: &Fleet,
) -> String {
    strip_env(&mut merged);
    if let Some(map) = merged.as_object_mut() {
        map.remove("env_files");
        let env = map.entry("env").or_insert_with(|| json!({}));
        for (name, value) in env_files {
            if let Some(env) = env.as_object_mut().filter(|env| !env.contains_key(name)) {
                env.insert(name.clone(), json!(value));
            }
        }
        map.insert("secrets".into(), secrets(fleet));
        // What the order of the pools decided: JSON keeps no order.
        set(map, "data", "home", json!(fleet.data.home));
        set(map, "rollout", "order", json!(fleet.rollout.order));
    }
    strip_webhooks(&mut merged);
    inline(&mut merged, files);
    merged.to_string()
}

fn set(map: &mut Map<String, Json>, section: &str, key: &str, value: Json) {
    if let Some(section) = map.entry(section).or_insert_with(|| json!({})).as_object_mut() {
        section.insert(key.to_owned(), value);
    }
}

/// Values at hand become names of variables that no runner has: loaded again, the stored value is kept.
fn secrets(fleet: &Fleet) -> Json {
    let each = fleet.secrets.iter().map(|(name, source)| {
        let source = match source {
            SecretSource::Existing { secret, key } => json!({ "secret": secret, "key": key }),
            SecretSource::Value(_) | SecretSource::Missing { .. } => json!({ "env": name.as_str() }),
        };
        (name.to_string(), source)
    });
    Json::Object(each.collect())
}

/// Takes secrets out of every `env` map.
fn strip_env(value: &mut Json) {
    match value {
        Json::Object(map) => {
            if let Some(env) = map.get_mut("env").and_then(Json::as_object_mut) {
                env.retain(|name, _| !looks_secret(name));
            }
            map.values_mut().for_each(strip_env);
        }
        Json::Array(items) => items.iter_mut().for_each(strip_env),
        _ => {}
    }
}

fn strip_webhooks(merged: &mut Json) {
    let hooks = merged.pointer_mut("/daemon/webhooks").and_then(Json::as_array_mut).into_iter().flatten();
    for hook in hooks.filter_map(Json::as_object_mut) {
        if hook.get("secret").is_some_and(|secret| !secret.is_object()) {
            hook.remove("secret");
        }
    }
}

/// Puts the content of local files in place of their names.
fn inline(value: &mut Json, contents: &BTreeMap<String, Vec<u8>>) {
    match value {
        Json::Object(map) => {
            if let Some(files) = map.get_mut("files").and_then(Json::as_array_mut) {
                files.iter_mut().filter_map(Json::as_object_mut).for_each(|file| inline_file(file, contents));
            }
            map.values_mut().for_each(|value| inline(value, contents));
        }
        Json::Array(items) => items.iter_mut().for_each(|value| inline(value, contents)),
        _ => {}
    }
}

fn inline_file(file: &mut Map<String, Json>, contents: &BTreeMap<String, Vec<u8>>) {
    let known = file.get("file").and_then(Json::as_str).and_then(|name| contents.get(name));
    if let Some(bytes) = known {
        file.remove("file");
        match std::str::from_utf8(bytes) {
            Ok(text) => file.insert("text".into(), json!(text)),
            Err(_) => file.insert("base64".into(), json!(base64::engine::general_purpose::STANDARD.encode(bytes))),
        };
    }
}
