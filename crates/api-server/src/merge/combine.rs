//! Merging what is applied into what is there, and taking away what is no longer applied.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::item::{self, Shape};
use crate::fields::{FieldSet, PathElement};
use crate::schema::{Identity, Schema};

/// `live` with everything that `applied` says.
pub(super) fn merge(schema: &Schema, live: &Json, applied: &Json) -> Json {
    match item::shape(schema) {
        Shape::Leaf => applied.clone(),
        Shape::Entries => match (item::entries(Some(live)), item::entries(Some(applied))) {
            (_, None) => if item::entries(Some(live)).is_some() { live } else { applied }.clone(),
            (None, Some(_)) => applied.clone(),
            (Some(lives), Some(applieds)) => merge_entries(schema, lives, applieds).into(),
        },
        Shape::Items(of, identity) => match (item::items(Some(live)), item::items(Some(applied))) {
            ([], _) => applied.clone(),
            (_, []) => live.clone(),
            (lives, applieds) => merge_items(of, identity, lives, applieds).into(),
        },
    }
}

fn merge_entries(schema: &Schema, lives: &Map<String, Json>, applieds: &Map<String, Json>) -> Map<String, Json> {
    let mut merged = Map::new();
    for (name, live) in lives {
        let entry = applieds.get(name).map_or_else(|| live.clone(), |applied| merge(schema.field(name), live, applied));
        merged.insert(name.clone(), entry);
    }
    for (name, applied) in applieds {
        if !lives.contains_key(name) {
            merged.insert(name.clone(), applied.clone());
        }
    }
    merged
}

/// Items stand in the order in which they are applied; those that only live has stay behind the items that they stood
/// behind.
fn merge_items(of: &Schema, identity: &Identity, lives: &[Json], applieds: &[Json]) -> Vec<Json> {
    let index = |items: &[Json]| -> Vec<Option<PathElement>> {
        items.iter().map(|entry| item::element(entry, of, identity).ok()).collect()
    };
    let (live_elements, applied_elements) = (index(lives), index(applieds));
    let mut first_live: BTreeMap<&PathElement, Option<&Json>> = BTreeMap::new();
    for (element, entry) in live_elements.iter().zip(lives) {
        if let Some(element) = element {
            // Of items that stand there twice none can be merged with.
            first_live.entry(element).and_modify(|known| *known = None).or_insert(Some(entry));
        }
    }
    let known: BTreeMap<&PathElement, &Json> =
        applied_elements.iter().zip(applieds).filter_map(|(element, entry)| Some((element.as_ref()?, entry))).collect();
    let mut shared = applied_elements.iter().flatten().filter(|element| first_live.contains_key(element));
    let mut next_shared = shared.next();

    let mut merged = Vec::with_capacity(lives.len().max(applieds.len()));
    let mut done = FieldSet::new();
    let (mut at_live, mut at_applied) = (0, 0);
    while at_live < lives.len() || at_applied < applieds.len() {
        if let Some(Some(element)) = live_elements.get(at_live) {
            let is_applied = known.contains_key(element);
            if at_applied < applieds.len() && applied_elements[at_applied].as_ref() != Some(element) {
                // Its turn comes when the applied order says so.
                if is_applied && next_shared.is_some_and(|next| next != element) {
                    at_live += 1;
                    continue;
                }
            }
            if !is_applied {
                merged.push(lives[at_live].clone());
                at_live += 1;
                continue;
            }
            if done.has(element) || applied_elements.get(at_applied).and_then(Option::as_ref) == Some(element) {
                at_live += 1;
            }
        } else if at_live < lives.len() {
            // It can't be told apart from others: it stays.
            merged.push(lives[at_live].clone());
            at_live += 1;
            continue;
        }
        let Some(applied) = applieds.get(at_applied) else { continue };
        let Some(element) = &applied_elements[at_applied] else {
            at_applied += 1;
            continue;
        };
        let live = first_live.get(element).copied().flatten();
        merged.push(live.map_or_else(|| applied.clone(), |live| merge(of, live, applied)));
        done.insert([element.clone()]);
        at_applied += 1;
        if next_shared == Some(element) {
            next_shared = shared.next();
        }
    }
    merged
}

/// A value without these fields and all that is below them. A list or map of which nothing is left is null.
pub(super) fn without(schema: &Schema, value: &Json, fields: &FieldSet) -> Json {
    match item::shape(schema) {
        Shape::Leaf => value.clone(),
        Shape::Entries => {
            let mut left = Map::new();
            for (name, entry) in value.as_object().into_iter().flatten() {
                let element = PathElement::field(name);
                if fields.has(&element) {
                    continue;
                }
                let entry = match fields.below(&element) {
                    Some(below) => without(schema.field(name), entry, below),
                    None => entry.clone(),
                };
                left.insert(name.clone(), entry);
            }
            if left.is_empty() { Json::Null } else { left.into() }
        }
        Shape::Items(of, identity) => {
            let mut left = Vec::new();
            for entry in item::items(Some(value)) {
                let Ok(element) = item::element(entry, of, identity) else {
                    left.push(entry.clone());
                    continue;
                };
                if fields.has(&element) {
                    continue;
                }
                left.push(match fields.below(&element) {
                    Some(below) => without(of, entry, below),
                    None => entry.clone(),
                });
            }
            if left.is_empty() { Json::Null } else { left.into() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kinds, schema};
    use serde_json::json;

    fn merged(live: &[&str], applied: &[&str]) -> Vec<String> {
        let pod = |names: &[&str]| {
            let containers: Vec<Json> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "spec": { "containers": containers } })
        };
        let merged = merge(schema::of(&kinds::POD), &pod(live), &pod(applied));
        let containers = merged["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn items_stand_in_the_applied_order_and_others_where_they_stood() {
        for (live, applied, expected) in [
            (&["a", "b"][..], &["b", "a"][..], &["b", "a"][..]),
            (&["a", "b", "c"], &["c"], &["a", "b", "c"]),
            (&["a", "x", "b"], &["b", "a"], &["x", "b", "a"]),
            (&["a"], &["b"], &["a", "b"]),
            (&[], &["b", "a"], &["b", "a"]),
            (&["a", "b", "c", "d"], &["d", "e", "a"], &["b", "c", "d", "e", "a"]),
        ] {
            assert_eq!(merged(live, applied), expected, "{live:?} {applied:?}");
        }
    }

    #[test]
    fn a_null_takes_a_scalar_away_but_leaves_a_map_alone() {
        let live = json!({ "spec": { "type": "ClusterIP" }, "metadata": { "labels": { "a": "b" } } });
        let applied = json!({ "spec": { "type": null }, "metadata": { "labels": null } });
        let merged = merge(schema::of(&kinds::SERVICE), &live, &applied);
        assert_eq!(merged, json!({ "spec": { "type": null }, "metadata": { "labels": { "a": "b" } } }));
    }

    #[test]
    fn taking_fields_away_leaves_null_where_nothing_is_left() {
        let live = json!({ "data": { "a": "1", "b": "2" }, "metadata": { "finalizers": ["x/y"] } });
        let mut fields = FieldSet::of(&[&["data", "a"]]);
        fields.insert(
            ["metadata", "finalizers"]
                .map(PathElement::field)
                .into_iter()
                .chain([PathElement::Value(json!("x/y").into())]),
        );
        let left = without(schema::of(&kinds::CONFIG_MAP), &live, &fields);
        assert_eq!(left, json!({ "data": { "b": "2" }, "metadata": { "finalizers": null } }));
    }
}
