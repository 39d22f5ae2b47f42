//! Field paths as API servers write them in conflicts: `.spec.ports[port=80,protocol="TCP"].nodePort`.

use serde_json::Value as Json;

/// Takes the field out of the body. False if it is not there.
pub(crate) fn remove(body: &mut Json, path: &str) -> bool {
    let Some((step, rest)) = step(body, path) else { return false };
    if !rest.is_empty() {
        return match child(body, &step) {
            Some(child) => remove(child, rest),
            None => false,
        };
    }
    match (body, step) {
        (Json::Object(map), Step::Key(key)) => map.remove(&key).is_some(),
        (Json::Array(list), Step::Index(index)) => {
            list.remove(index);
            true
        }
        _ => false,
    }
}

enum Step {
    Key(String),
    Index(usize),
}

fn child<'a>(body: &'a mut Json, step: &Step) -> Option<&'a mut Json> {
    match step {
        Step::Key(key) => body.get_mut(key.as_str()),
        Step::Index(index) => body.get_mut(index),
    }
}

/// The first step of a path within this body, and the rest of the path. Keys may contain dots, so it is the body that
/// tells where a key ends; the longest one that fits wins.
fn step<'p>(body: &Json, path: &'p str) -> Option<(Step, &'p str)> {
    match body {
        Json::Object(map) => {
            let after_dot = path.strip_prefix('.')?;
            let fits = |key: &&String| {
                after_dot
                    .strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
            };
            let key = map.keys().filter(fits).max_by_key(|key| key.len())?;
            Some((Step::Key(key.clone()), after_dot.get(key.len()..)?))
        }
        Json::Array(list) => {
            let inside = path.strip_prefix('[')?;
            let end = closing(inside)?;
            let (selector, rest) = (inside.get(..end)?, inside.get(end + 1..)?);
            Some((Step::Index(find(list, selector)?), rest))
        }
        _ => None,
    }
}

/// Where the bracket ends; quoted values may contain brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// `0`, `="value"`, or `key="value",other=1`.
fn find(list: &[Json], selector: &str) -> Option<usize> {
    if let Ok(index) = selector.parse::<usize>() {
        return (index < list.len()).then_some(index);
    }
    if let Some(value) = selector.strip_prefix('=') {
        let value: Json = serde_json::from_str(value).ok()?;
        return list.iter().position(|item| *item == value);
    }
    let wanted = keys(selector)?;
    let exactly = |item: &Json| wanted.iter().all(|(key, value)| item.get(key) == Some(value));
    // A key that the server defaulted (`protocol`) may be absent from what we send.
    let nearly = |item: &Json| wanted.iter().all(|(key, value)| item.get(key).is_none_or(|own| own == value));
    list.iter().position(exactly).or_else(|| list.iter().position(nearly))
}

fn keys(selector: &str) -> Option<Vec<(String, Json)>> {
    let mut pairs = Vec::new();
    let mut rest = selector;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Json>();
        let value = values.next()?.ok()?;
        rest = after.get(values.byte_offset()..)?.trim_start_matches(',');
        pairs.push((key.to_owned(), value));
    }
    (!pairs.is_empty()).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_found_where_the_server_says() {
        let body = json!({
            "metadata": { "annotations": { "a.b/c": "1", "a.b/c.d": "2" } },
            "spec": {
                "replicas": 2,
                "finalizers": ["x", "y"],
                "ports": [{ "port": 80, "nodePort": 1 }, { "port": 80, "protocol": "UDP", "nodePort": 2 }],
                "containers": [{ "name": "jvb]", "resources": { "limits": { "cpu": 1 } } }],
            },
        });
        for (path, pointer) in [
            (".spec.replicas", "/spec/replicas"),
            (".metadata.annotations.a.b/c.d", "/metadata/annotations/a.b~1c.d"),
            (r#".spec.ports[port=80,protocol="UDP"].nodePort"#, "/spec/ports/1/nodePort"),
            (r#".spec.ports[port=80,protocol="TCP"].nodePort"#, "/spec/ports/0/nodePort"),
            (r#".spec.containers[name="jvb]"].resources.limits"#, "/spec/containers/0/resources/limits"),
        ] {
            let mut changed = body.clone();
            assert!(body.pointer(pointer).is_some() && remove(&mut changed, path), "{path}");
            assert_ne!(changed.pointer(pointer), body.pointer(pointer), "{path}");
        }
        let mut changed = body.clone();
        assert!(remove(&mut changed, r#".spec.finalizers[="x"]"#));
        assert_eq!(changed["spec"]["finalizers"], json!(["y"]));
        for path in [".spec.nothing", ".spec.ports[port=81].nodePort", "spec", ""] {
            assert!(!remove(&mut body.clone(), path), "{path}");
        }
    }
}
