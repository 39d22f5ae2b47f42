//! Reading and filling objects.

use serde_json::{Map, Value as Json};

/// The string there; empty without one, as the server's types have it.
pub(super) fn text<'a>(value: &'a Json, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// The list there; empty without one.
pub(super) fn items<'a>(value: &'a Json, pointer: &str) -> &'a [Json] {
    value.pointer(pointer).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The entries there; none without a map.
pub(super) fn entries<'a>(value: &'a Json, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Json)> {
    value.pointer(pointer).and_then(Json::as_object).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The number there.
pub(super) fn number(value: &Json, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Json::as_i64)
}

/// Is `true` there?
pub(super) fn flag(value: &Json, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Json::as_bool).unwrap_or_default()
}

/// What is there, unless it is null.
pub(super) fn set<'a>(value: &'a Json, pointer: &str) -> Option<&'a Json> {
    value.pointer(pointer).filter(|found| !found.is_null())
}

/// What stands for nothing: absent, null, or an empty string.
fn is_nothing(value: Option<&Json>) -> bool {
    value.is_none_or(|value| value.is_null() || value.as_str() == Some(""))
}

/// Fills in a field that is not set.
pub(super) fn fill(fields: &mut Map<String, Json>, name: &str, value: impl Into<Json>) {
    if is_nothing(fields.get(name)) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// Fills in a number that is not set or zero.
pub(super) fn fill_number(fields: &mut Map<String, Json>, name: &str, value: i64) {
    if fields.get(name).and_then(Json::as_i64).unwrap_or(0) == 0 {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The struct of this name, created if need be.
pub(super) fn within<'a>(fields: &'a mut Map<String, Json>, name: &str) -> Option<&'a mut Map<String, Json>> {
    if fields.get(name).is_none_or(Json::is_null) {
        fields.insert(name.to_owned(), Json::Object(Map::new()));
    }
    fields.get_mut(name).and_then(Json::as_object_mut)
}

/// The struct of this name, if it is there.
pub(super) fn inner<'a>(fields: &'a mut Map<String, Json>, name: &str) -> Option<&'a mut Map<String, Json>> {
    fields.get_mut(name).and_then(Json::as_object_mut)
}

/// The structs in the list of this name.
pub(super) fn each<'a>(
    fields: &'a mut Map<String, Json>,
    name: &str,
) -> impl Iterator<Item = &'a mut Map<String, Json>> {
    fields.get_mut(name).and_then(Json::as_array_mut).into_iter().flatten().filter_map(Json::as_object_mut)
}
