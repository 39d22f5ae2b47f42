//! Whether a live object already is what we would send: a subset comparison that knows Kubernetes' list keys.
//!
//! Only leaves that we send are compared; what the server defaulted or somebody else added is not ours to judge.
//! A field that we sent once and don't send any more shows in the `jitsictl.dev/intent` annotation, which hashes
//! all that is sent.

use serde_json::Value as Json;

use crate::change::Field;

/// The leaves of `desired` that `live` lacks or has otherwise.
#[must_use]
pub fn differences(desired: &Json, live: &Json) -> Vec<Field> {
    let mut fields = Vec::new();
    walk(desired, Some(live), &mut String::new(), &mut fields);
    fields
}

fn walk(desired: &Json, live: Option<&Json>, path: &mut String, fields: &mut Vec<Field>) {
    match (desired, live) {
        (Json::Object(desired), Some(Json::Object(live))) => {
            for (key, value) in desired {
                within(path, &format!("/{key}"), |path| walk(value, live.get(key), path, fields));
            }
        }
        (Json::Array(desired), Some(Json::Array(live))) => walk_list(desired, live, path, fields),
        // The server drops what is empty.
        (desired, None) if is_empty(desired) => {}
        (desired, Some(live)) if desired == live || same_number(desired, live) => {}
        (desired, live) => {
            fields.push(Field { path: path.clone(), from: live.map(shorten), to: Some(shorten(desired)) })
        }
    }
}

fn walk_list(desired: &[Json], live: &[Json], path: &mut String, fields: &mut Vec<Field>) {
    if let Some(keys) = list_keys(path, desired) {
        for entry in desired {
            let found = live.iter().find(|other| keys.iter().all(|key| same_key(key, entry, other)));
            let name: Vec<String> =
                keys.iter().filter_map(|key| entry.get(key).map(|value| format!("{key}={}", plain(value)))).collect();
            within(path, &format!("[{}]", name.join(",")), |path| walk(entry, found, path, fields));
        }
        return;
    }
    if desired.len() != live.len() {
        let (from, to) = (Json::from(live.to_vec()), Json::from(desired.to_vec()));
        fields.push(Field { path: path.clone(), from: Some(shorten(&from)), to: Some(shorten(&to)) });
        return;
    }
    for (index, (desired, live)) in desired.iter().zip(live).enumerate() {
        within(path, &format!("[{index}]"), |path| walk(desired, Some(live), path, fields));
    }
}

/// The keys by which the server merges a list, told by the list's name.
fn list_keys(path: &str, entries: &[Json]) -> Option<&'static [&'static str]> {
    let list = path.rsplit('/').next().unwrap_or_default();
    let has = |key: &str| entries.iter().all(|entry| entry.get(key).is_some());
    let keys: &'static [&'static str] = match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "ports" if has("containerPort") => &["containerPort", "protocol"],
        "ports" if has("port") && !path.contains("ngress") && !path.contains("/endpoints") => &["port", "protocol"],
        "volumeMounts" => &["mountPath"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "hostAliases" => &["ip"],
        _ => return None,
    };
    has(keys[0]).then_some(keys)
}

fn same_key(key: &str, a: &Json, b: &Json) -> bool {
    match (a.get(key), b.get(key)) {
        (Some(a), Some(b)) => a == b,
        // The server defaults the protocol, as the only key that may be left out.
        (None, Some(b)) | (Some(b), None) => key == "protocol" && b == "TCP",
        (None, None) => true,
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.values().all(is_empty),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}

fn same_number(a: &Json, b: &Json) -> bool {
    matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn shorten(value: &Json) -> String {
    const LONGEST: usize = 120;
    let text = plain(value);
    if text.chars().count() <= LONGEST {
        return text;
    }
    let cut: String = text.chars().take(LONGEST).collect();
    format!("{cut}…")
}

fn within(path: &mut String, segment: &str, inner: impl FnOnce(&mut String)) {
    let before = path.len();
    path.push_str(segment);
    inner(path);
    path.truncate(before);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(desired: Json, live: Json) -> Vec<String> {
        differences(&desired, &live).into_iter().map(|field| field.path).collect()
    }

    #[test]
    fn what_the_server_adds_is_not_a_difference() {
        let desired = json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {}}});
        let live =
            json!({"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}});
        assert_eq!(paths(desired, live), Vec::<String>::new());
    }

    #[test]
    fn keyed_lists_ignore_order_and_strangers() {
        let desired = json!({"spec": {"containers": [{"name": "jvb", "env": [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}]}]}});
        let live = json!({"spec": {"containers": [
            {"name": "injected"},
            {"name": "jvb", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "1"}]}]}});
        assert_eq!(paths(desired.clone(), live), Vec::<String>::new());
        let live = json!({"spec": {"containers": [{"name": "jvb", "env": [{"name": "A", "value": "3"}]}]}});
        assert_eq!(
            paths(desired, live),
            ["/spec/containers[name=jvb]/env[name=B]", "/spec/containers[name=jvb]/env[name=A]/value"]
        );
    }

    #[test]
    fn the_same_port_in_two_protocols_is_two_ports() {
        let desired = json!({"ports": [{"port": 1, "protocol": "UDP", "nodePort": 30000}]});
        let live =
            json!({"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP", "nodePort": 30001}]});
        assert_eq!(paths(desired, live), ["/ports[port=1,protocol=UDP]/nodePort"]);
    }

    #[test]
    fn other_lists_are_whole() {
        assert_eq!(paths(json!({"args": ["a", "b"]}), json!({"args": ["a"]})), ["/args"]);
        assert_eq!(paths(json!({"args": ["a", "b"]}), json!({"args": ["a", "c"]})), ["/args[1]"]);
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(paths(json!({"n": 1}), json!({"n": 1.0})), Vec::<String>::new());
        assert_eq!(paths(json!({"n": 1}), json!({"n": "1"})), ["/n"]);
    }
}
