//! Reading and shaping objects that are plain JSON.

use api_server::Kind;
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

/// What stands under a path.
pub(crate) fn at<'a>(object: &'a Json, path: &[&str]) -> Option<&'a Json> {
    path.iter().try_fold(object, |object, key| object.get(key)).filter(|value| !value.is_null())
}

/// The text under a path; empty without one.
pub(crate) fn text<'a>(object: &'a Json, path: &[&str]) -> &'a str {
    at(object, path).and_then(Json::as_str).unwrap_or_default()
}

/// The number under a path.
pub(crate) fn number(object: &Json, path: &[&str]) -> Option<i64> {
    at(object, path).and_then(Json::as_i64)
}

/// Whether `true` stands under a path.
pub(crate) fn truth(object: &Json, path: &[&str]) -> bool {
    at(object, path).and_then(Json::as_bool).unwrap_or_default()
}

/// The list under a path; empty without one.
pub(crate) fn list<'a>(object: &'a Json, path: &[&str]) -> &'a [Json] {
    at(object, path).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The map under a path.
pub(crate) fn map<'a>(object: &'a Json, path: &[&str]) -> Option<&'a Map<String, Json>> {
    at(object, path).and_then(Json::as_object)
}

/// Puts a value under a path, with the maps that lead there.
pub(crate) fn put(object: &mut Json, path: &[&str], value: Json) {
    match path {
        [] => *object = value,
        [key, rest @ ..] => {
            if !object.is_object() {
                *object = json!({});
            }
            if let Some(map) = object.as_object_mut() {
                put(map.entry(*key).or_insert(Json::Null), rest, value);
            }
        }
    }
}

/// Takes away what stands under a path.
pub(crate) fn take(object: &mut Json, path: &[&str]) {
    if let [rest @ .., last] = path
        && let Some(map) = rest.iter().try_fold(object, |object, key| object.get_mut(key)).and_then(Json::as_object_mut)
    {
        map.remove(*last);
    }
}

pub(crate) fn name(object: &Json) -> &str {
    text(object, &["metadata", "name"])
}

pub(crate) fn namespace(object: &Json) -> &str {
    text(object, &["metadata", "namespace"])
}

pub(crate) fn uid(object: &Json) -> &str {
    text(object, &["metadata", "uid"])
}

pub(crate) fn created(object: &Json) -> &str {
    text(object, &["metadata", "creationTimestamp"])
}

pub(crate) fn label<'a>(object: &'a Json, key: &str) -> &'a str {
    text(object, &["metadata", "labels", key])
}

pub(crate) fn annotation<'a>(object: &'a Json, key: &str) -> &'a str {
    text(object, &["metadata", "annotations", key])
}

/// Whether its deletion has begun.
pub(crate) fn is_going(object: &Json) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
}

pub(crate) fn has_finalizer(object: &Json, finalizer: &str) -> bool {
    list(object, &["metadata", "finalizers"]).iter().any(|one| one == finalizer)
}

/// A condition by its type.
pub(crate) fn condition<'a>(object: &'a Json, kind: &str) -> Option<&'a Json> {
    list(object, &["status", "conditions"]).iter().find(|condition| text(condition, &["type"]) == kind)
}

/// The time under a path.
pub(crate) fn time(object: &Json, path: &[&str]) -> Option<Timestamp> {
    text(object, path).parse().ok()
}

/// As times stand in objects: whole seconds.
pub(crate) fn stamp(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// The owner that controls it.
pub(crate) fn controller(object: &Json) -> Option<&Json> {
    list(object, &["metadata", "ownerReferences"]).iter().find(|owner| truth(owner, &["controller"]))
}

/// Whether `owner` controls it.
pub(crate) fn is_controlled_by(object: &Json, owner: &Json) -> bool {
    controller(object).is_some_and(|reference| text(reference, &["uid"]) == uid(owner))
}

/// A reference to the owner that controls.
pub(crate) fn controlled_by(kind: &Kind, owner: &Json) -> Json {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name,
        "name": name(owner),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A whole number, or a share of `total`.
pub(crate) fn share(value: Option<&Json>, total: i64, up: bool) -> Option<i64> {
    match value? {
        Json::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let product = percent.saturating_mul(total);
            Some(if up { product.saturating_add(99) / 100 } else { product / 100 })
        }
        other => other.as_i64(),
    }
}

/// A short name for a value, of the letters that real controllers use: those that make no words.
pub(crate) fn short_hash(parts: &[&Json]) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash: u32 = 0x811c_9dc5;
    for part in parts {
        for byte in part.to_string().bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash.to_string()
        .bytes()
        .map(|digit| LETTERS.get(usize::from(digit) % LETTERS.len()).copied().map_or('b', char::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_as_asked() {
        assert_eq!(share(Some(&json!("25%")), 3, true), Some(1));
        assert_eq!(share(Some(&json!("25%")), 3, false), Some(0));
        assert_eq!(share(Some(&json!(2)), 3, false), Some(2));
        assert_eq!(share(None, 3, false), None);
    }

    #[test]
    fn paths_are_made_and_taken() {
        let mut object = json!({});
        put(&mut object, &["metadata", "labels", "a/b"], json!("c"));
        assert_eq!(label(&object, "a/b"), "c");
        take(&mut object, &["metadata", "labels", "a/b"]);
        assert_eq!(object, json!({ "metadata": { "labels": {} } }));
    }

    #[test]
    fn times_are_cut_to_seconds() {
        assert_eq!(stamp("2026-11-23T10:00:00.999Z".parse().unwrap()), "2026-11-23T10:00:00Z");
        assert_eq!(stamp("2026-11-23T10:00:00.1Z".parse().unwrap()), "2026-11-23T10:00:00Z");
    }
}
