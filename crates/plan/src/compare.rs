//! Whether a live object already is what we would send: a subset comparison that knows Kubernetes' list keys.
//!
//! Only leaves that we send are compared; what the server defaulted or somebody else added is not ours to judge.
//! A field that we sent once and don't send any more shows in the `jitsictl.dev/intent` annotation, which hashes
//! all that is sent.

use std::fmt;

use manifest::Body;
use serde_json::Value as Json;

use crate::change::Field;
use crate::tree::Tree;

/// The leaves of `desired` that `live` lacks or has otherwise.
#[must_use]
pub fn differences(desired: &Json, live: &Json) -> Vec<Field> {
    compare(&desired.into(), &live.into())
}

/// The same for texts, without trees of what they say.
#[must_use]
pub(crate) fn differences_of_texts(desired: &Body, live: &Body) -> Vec<Field> {
    compare(&Tree::read(desired.text()), &Tree::read(live.text()))
}

fn compare(desired: &Tree<'_>, live: &Tree<'_>) -> Vec<Field> {
    let mut fields = Vec::new();
    walk(desired, Some(live), &Path::Root, &mut fields);
    fields
}

/// Where a value stands; written out only where there is something to say of it.
enum Path<'p> {
    Root,
    Key(&'p Self, &'p str),
    /// An entry of a list that is merged by these keys.
    Entry(&'p Self, &'static [&'static str], &'p Tree<'p>),
    Index(&'p Self, usize),
}

impl Path<'_> {
    /// Whether one of the keys on the way is such a one.
    fn has_key(&self, is: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Root => false,
            Self::Key(parent, key) => is(key) || parent.has_key(is),
            Self::Entry(parent, ..) | Self::Index(parent, _) => parent.has_key(is),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => write!(f, "{parent}/{key}"),
            Self::Entry(parent, keys, entry) => {
                let name = keys.iter().filter_map(|key| entry.get(key).map(|value| format!("{key}={value}")));
                write!(f, "{parent}[{}]", name.collect::<Vec<_>>().join(","))
            }
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

fn walk(desired: &Tree<'_>, live: Option<&Tree<'_>>, path: &Path<'_>, fields: &mut Vec<Field>) {
    match (desired, live) {
        (Tree::Object(desired), Some(live @ Tree::Object(_))) => {
            for (key, value) in desired {
                walk(value, live.get(key), &Path::Key(path, key), fields);
            }
        }
        (Tree::List(entries), Some(Tree::List(others))) => walk_list(desired, entries, others, path, fields),
        // The server drops what is empty.
        (desired, None) if desired.is_empty() => {}
        (desired, Some(live)) if desired.says_the_same_as(live) => {}
        (desired, live) => fields.push(Field {
            path: path.to_string(),
            from: live.map(|live| shorten(live.to_string())),
            to: Some(shorten(desired.to_string())),
        }),
    }
}

fn walk_list(desired: &Tree<'_>, entries: &[Tree<'_>], live: &[Tree<'_>], path: &Path<'_>, fields: &mut Vec<Field>) {
    if let Some(keys) = list_keys(path, entries) {
        for entry in entries {
            let found = live.iter().find(|other| keys.iter().all(|key| same_key(key, entry, other)));
            walk(entry, found, &Path::Entry(path, keys, entry), fields);
        }
        return;
    }
    if entries.len() != live.len() {
        let from = Some(shorten(Tree::List(live.to_vec()).to_string()));
        fields.push(Field { path: path.to_string(), from, to: Some(shorten(desired.to_string())) });
        return;
    }
    for (index, (entry, live)) in entries.iter().zip(live).enumerate() {
        walk(entry, Some(live), &Path::Index(path, index), fields);
    }
}

/// The keys by which the server merges a list, told by the list's name.
fn list_keys(path: &Path<'_>, entries: &[Tree<'_>]) -> Option<&'static [&'static str]> {
    let Path::Key(_, list) = path else { return None };
    let has = |key: &str| entries.iter().all(|entry| entry.get(key).is_some());
    // Those of policies and of slices have no keys.
    let elsewhere = || path.has_key(&|key| key.contains("ngress") || key.starts_with("endpoints"));
    let keys: &'static [&'static str] = match *list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "ports" if has("containerPort") => &["containerPort", "protocol"],
        "ports" if has("port") && !elsewhere() => &["port", "protocol"],
        "volumeMounts" => &["mountPath"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "hostAliases" => &["ip"],
        _ => return None,
    };
    has(keys[0]).then_some(keys)
}

fn same_key(key: &str, a: &Tree<'_>, b: &Tree<'_>) -> bool {
    match (a.get(key), b.get(key)) {
        (Some(a), Some(b)) => a.says_the_same_as(b),
        // The server defaults the protocol, as the only key that may be left out.
        (None, Some(Tree::Text(b))) | (Some(Tree::Text(b)), None) => key == "protocol" && b == "TCP",
        (None, Some(_)) | (Some(_), None) => false,
        (None, None) => true,
    }
}

fn shorten(text: String) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
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
