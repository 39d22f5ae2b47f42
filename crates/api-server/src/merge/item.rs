//! How the parts of an object are told apart.

use serde_json::{Map, Value as Json};

use crate::fields::PathElement;
use crate::schema::{Identity, Schema};

/// What a value is, as far as ownership is concerned.
pub(super) enum Shape<'a> {
    /// Owned as a whole.
    Leaf,
    /// Its entries are owned one by one.
    Entries,
    /// Its items are owned one by one.
    Items(&'static Schema, &'a Identity),
}

pub(super) fn shape(schema: &Schema) -> Shape<'_> {
    match schema {
        Schema::Struct(of) if !of.atomic => Shape::Entries,
        Schema::Map { atomic: false, .. } => Shape::Entries,
        Schema::List { item, identity } if *identity != Identity::Atomic => Shape::Items(item, identity),
        _ => Shape::Leaf,
    }
}

/// The items of a list by which they are told apart; none for what is no list, or has none.
pub(super) fn items(value: Option<&Json>) -> &[Json] {
    value.and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The entries of an object, where it has any.
pub(super) fn entries(value: Option<&Json>) -> Option<&Map<String, Json>> {
    value.and_then(Json::as_object).filter(|entries| !entries.is_empty())
}

/// What tells an item apart.
///
/// # Errors
/// In the server's words: an item that can't be told apart.
pub(super) fn element(item: &Json, schema: &Schema, identity: &Identity) -> Result<PathElement, String> {
    match identity {
        Identity::Map(keys) => keyed(item, schema, keys),
        Identity::Set | Identity::Atomic => match item {
            Json::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Json::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Json::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            value => Ok(PathElement::Value(value.clone().into())),
        },
    }
}

fn keyed(item: &Json, schema: &Schema, keys: &[&'static str]) -> Result<PathElement, String> {
    let fields = match item {
        Json::Object(fields) => fields,
        Json::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let default = |name: &str| match schema {
        Schema::Struct(of) => of.fields.get(name).and_then(|field| field.default.as_ref()),
        _ => None,
    };
    let values = keys.iter().filter_map(|name| {
        let value = fields.get(*name).or_else(|| default(name))?;
        Some(((*name).into(), value.clone()))
    });
    let values: Vec<_> = values.collect();
    if values.is_empty() {
        let keys = keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" ");
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{keys}] (and doesn't have default \
             values for any key fields)"
        ));
    }
    Ok(PathElement::key(values))
}
