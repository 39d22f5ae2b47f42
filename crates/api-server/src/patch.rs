//! JSON patch, merge patch, and strategic merge patch.

use serde_json::{Map, Value as Json};

use crate::error::ApiError;
use crate::schema::Schema;

/// RFC 7386.
pub fn merge(target: &mut Json, patch: &Json) {
    let Json::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Json::Object(Map::new());
    }
    let Json::Object(fields) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Json::Null), change);
        }
    }
}

/// RFC 6902.
///
/// # Errors
/// 422 when an operation can't be done, 400 when the patch is none.
pub fn json(target: &mut Json, patch: &Json) -> Result<(), ApiError> {
    let invalid = |message: String| ApiError::new(422, "Invalid", message).with(Json::Object(serde_json::Map::new()));
    let operations =
        patch.as_array().ok_or_else(|| ApiError::bad_request("json patch must be a list of operations"))?;
    for operation in operations {
        let text = |key: &str| operation.get(key).and_then(Json::as_str);
        let path = text("path").ok_or_else(|| ApiError::bad_request("a json patch operation needs a path"))?;
        // A real server keeps what went wrong to itself.
        let missing = |_: &str| invalid("the server rejected our request due to an error in our request".to_owned());
        match text("op") {
            Some("add") => put(target, path, operation["value"].clone(), true).ok_or_else(|| missing(path))?,
            Some("replace") => put(target, path, operation["value"].clone(), false).ok_or_else(|| missing(path))?,
            Some("remove") => drop(take(target, path).ok_or_else(|| missing(path))?),
            Some("move") => {
                let from = text("from").unwrap_or_default();
                let value = take(target, from).ok_or_else(|| missing(from))?;
                put(target, path, value, true).ok_or_else(|| missing(path))?;
            }
            Some("copy") => {
                let from = text("from").unwrap_or_default();
                let value = target.pointer(from).cloned().ok_or_else(|| missing(from))?;
                put(target, path, value, true).ok_or_else(|| missing(path))?;
            }
            Some("test") => {
                if target.pointer(path).unwrap_or(&Json::Null) != &operation["value"] {
                    return Err(invalid("the server rejected our request due to an error in our request".to_owned()));
                }
            }
            other => {
                return Err(ApiError::bad_request(format!(
                    "unknown json patch operation {:?}",
                    other.unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}

fn place<'a>(target: &'a mut Json, path: &str) -> Option<(&'a mut Json, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((target.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn put(target: &mut Json, path: &str, value: Json, may_be_new: bool) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    match place(target, path)? {
        (Json::Object(fields), name) => {
            // A real server replaces what is not there, too.
            fields.insert(name, value);
        }
        (Json::Array(items), index) if may_be_new => {
            let index =
                if index == "-" { items.len() } else { index.parse().ok().filter(|index| *index <= items.len())? };
            items.insert(index, value);
        }
        (Json::Array(items), index) => *items.get_mut(index.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

fn take(target: &mut Json, path: &str) -> Option<Json> {
    match place(target, path)? {
        (Json::Object(fields), name) => fields.remove(&name),
        (Json::Array(items), index) => {
            let index = index.parse().ok().filter(|index| *index < items.len())?;
            Some(items.remove(index))
        }
        _ => None,
    }
}

/// A strategic merge patch of one of the server's own kinds: lists are merged by the key that the schema names.
pub fn strategic(schema: &Schema, target: &mut Json, patch: &Json) {
    let Json::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if changes.get("$patch").and_then(Json::as_str) == Some("replace") {
        let mut new = changes.clone();
        new.remove("$patch");
        *target = Json::Object(new);
        return;
    }
    if !target.is_object() {
        *target = Json::Object(Map::new());
    }
    let Json::Object(fields) = target else { return };
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Json::Array(items)), Json::Array(gone)) = (fields.get_mut(list), change) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        // The order of lists that are merged matters to nobody here.
        if name.starts_with('$') {
            continue;
        }
        if change.is_null() {
            fields.remove(name);
            continue;
        }
        let strategy = match schema {
            Schema::Struct(of) => of.fields.get(name.as_str()).and_then(|field| field.patch.as_ref()),
            _ => None,
        };
        let inner = schema.field(name);
        match (change, strategy.filter(|strategy| strategy.merge)) {
            (Json::Array(changes), Some(strategy)) => {
                let items = fields.entry(name.clone()).or_insert_with(|| Json::Array(Vec::new()));
                if let Json::Array(items) = items {
                    list(inner, items, changes, strategy.key);
                }
            }
            (Json::Object(_), _) => strategic(inner, fields.entry(name.clone()).or_insert(Json::Null), change),
            _ => drop(fields.insert(name.clone(), change.clone())),
        }
    }
}

fn list(schema: &Schema, items: &mut Vec<Json>, changes: &[Json], key: Option<&str>) {
    if changes.iter().any(|change| change.get("$patch").and_then(Json::as_str) == Some("replace")) {
        *items = changes.iter().filter(|change| change.get("$patch").is_none()).cloned().collect();
        return;
    }
    for change in changes {
        let Some(key) = key else {
            if !items.contains(change) {
                items.push(change.clone());
            }
            continue;
        };
        let found = items.iter().position(|item| item.get(key) == change.get(key));
        let deletes = change.get("$patch").and_then(Json::as_str) == Some("delete");
        match (found, deletes) {
            (Some(index), true) => drop(items.remove(index)),
            (Some(index), false) => {
                if let Some(item) = items.get_mut(index) {
                    strategic(schema.item(), item, change);
                }
            }
            (None, true) => {}
            (None, false) => items.push(change.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{kinds::DEPLOYMENT, schema};

    #[test]
    fn merge_patches_remove_by_null() {
        let mut object = json!({ "a": { "b": 1, "c": 2 }, "l": [1, 2] });
        merge(&mut object, &json!({ "a": { "b": null, "d": { "e": null, "f": 1 } }, "l": [3] }));
        assert_eq!(object, json!({ "a": { "c": 2, "d": { "f": 1 } }, "l": [3] }));
    }

    #[test]
    fn json_patches_do_what_they_say_or_nothing() {
        let mut object = json!({ "a": [1, 3], "b": { "x/y": 1 } });
        let patch = json!([
            { "op": "test", "path": "/a/0", "value": 1 },
            { "op": "add", "path": "/a/1", "value": 2 },
            { "op": "add", "path": "/a/-", "value": 4 },
            { "op": "replace", "path": "/b/x~1y", "value": 2 },
            { "op": "copy", "from": "/b", "path": "/c" },
            { "op": "move", "from": "/c/x~1y", "path": "/d" },
            { "op": "remove", "path": "/b" },
        ]);
        json(&mut object, &patch).unwrap();
        assert_eq!(object, json!({ "a": [1, 2, 3, 4], "c": {}, "d": 2 }));
        let missing = json!([{ "op": "remove", "path": "/nowhere" }]);
        assert_eq!(json(&mut object, &missing).unwrap_err().code, 422);
        assert_eq!(json(&mut object, &json!([{ "op": "test", "path": "/d", "value": 3 }])).unwrap_err().code, 422);
    }

    #[test]
    fn strategic_patches_merge_lists_by_their_keys() {
        let mut object = json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "a", "image": "a:1", "args": ["x"] }, { "name": "b", "image": "b:1" }] } } } });
        let patch = json!({ "spec": { "template": { "spec": {
            "$setElementOrder/containers": [{ "name": "a" }],
            "containers": [{ "name": "a", "image": "a:2", "args": ["y"] }, { "name": "b", "$patch": "delete" }] } } } });
        strategic(schema::of(&DEPLOYMENT), &mut object, &patch);
        let containers = json!([{ "name": "a", "image": "a:2", "args": ["y"] }]);
        assert_eq!(object["spec"]["template"]["spec"]["containers"], containers);
    }
}
