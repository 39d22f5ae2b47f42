//! What is different in two objects.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::item::{self, Shape};
use crate::fields::{FieldSet, PathElement, same};
use crate::schema::{Identity, Schema};

/// Where two objects differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) added: FieldSet,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Removed,
    Modified,
    Added,
}

impl Comparison {
    /// From one object to another.
    pub(super) fn of(schema: &Schema, old: &Json, new: &Json) -> Self {
        compare(schema, Some(old), Some(new)).1
    }

    /// Without certain fields and all that is below them.
    pub(super) fn outside(&self, fields: &FieldSet) -> Self {
        Self {
            removed: self.removed.outside(fields),
            modified: self.modified.outside(fields),
            added: self.added.outside(fields),
        }
    }

    /// What was changed or added.
    pub(super) fn written(&self) -> FieldSet {
        self.modified.union(&self.added)
    }

    fn graft(&mut self, element: PathElement, (change, below): (Change, Self)) {
        if !below.removed.is_empty() || change == Change::Removed {
            self.removed.graft(element.clone(), change == Change::Removed, below.removed);
        }
        if !below.modified.is_empty() || change == Change::Modified {
            self.modified.graft(element.clone(), change == Change::Modified, below.modified);
        }
        if !below.added.is_empty() || change == Change::Added {
            self.added.graft(element, change == Change::Added, below.added);
        }
    }
}

fn compare(schema: &Schema, old: Option<&Json>, new: Option<&Json>) -> (Change, Comparison) {
    let mut below = Comparison::default();
    let whole = match (old, new) {
        (None, None) => Change::None,
        (None, Some(_)) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(old), Some(new)) if same(old, new) => return (Change::None, below),
        (Some(_), Some(_)) => Change::Modified,
    };
    match item::shape(schema) {
        Shape::Leaf => return (whole, below),
        Shape::Entries => {
            let (olds, news) = (item::entries(old), item::entries(new));
            if olds.is_none() && news.is_none() {
                return (whole, below);
            }
            for (name, old) in olds.into_iter().flatten() {
                let new = news.and_then(|news| news.get(name));
                if new.is_none_or(|new| new != old) {
                    below.graft(PathElement::field(name), compare(schema.field(name), Some(old), new));
                }
            }
            for (name, new) in news.into_iter().flatten() {
                if olds.is_none_or(|olds| !olds.contains_key(name)) {
                    below.graft(PathElement::field(name), compare(schema.field(name), None, Some(new)));
                }
            }
        }
        Shape::Items(of, identity) => {
            let (olds, news) = (item::items(old), item::items(new));
            if olds.is_empty() && news.is_empty() {
                return (whole, below);
            }
            compare_items(of, identity, olds, news, &mut below);
        }
    }
    // What is there in both is only modified in its parts.
    (if whole == Change::Modified { Change::None } else { whole }, below)
}

fn compare_items(of: &Schema, identity: &Identity, olds: &[Json], news: &[Json], below: &mut Comparison) {
    let mut pairs: BTreeMap<PathElement, (Vec<&Json>, Vec<&Json>)> = BTreeMap::new();
    for old in olds {
        if let Ok(element) = item::element(old, of, identity) {
            pairs.entry(element).or_default().0.push(old);
        }
    }
    for new in news {
        if let Ok(element) = item::element(new, of, identity) {
            pairs.entry(element).or_default().1.push(new);
        }
    }
    for (element, (olds, news)) in pairs {
        // Items that stand there more than once can't be told apart: only the lot of them changes.
        let alone = Comparison::default();
        match (olds.as_slice(), news.as_slice()) {
            ([] | [_], [] | [_]) => {
                let (old, new) = (olds.first().copied(), news.first().copied());
                below.graft(element, compare(of, old, new));
            }
            ([_, _, ..], [_, _, ..]) => {
                let equal = olds.len() == news.len() && olds.iter().zip(&news).all(|(old, new)| same(old, new));
                below.graft(element, (if equal { Change::None } else { Change::Modified }, alone));
            }
            ([_, _, ..], rest) => {
                if let [new] = rest {
                    below.graft(element.clone(), compare(of, None, Some(new)));
                }
                below.graft(element, (Change::Removed, alone));
            }
            (rest, [_, _, ..]) => {
                if let [old] = rest {
                    below.graft(element.clone(), compare(of, Some(old), None));
                }
                below.graft(element, (Change::Added, alone));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kinds, schema};
    use serde_json::json;

    #[test]
    fn tells_added_from_changed_and_removed() {
        let old = json!({ "spec": { "type": "ClusterIP", "selector": { "a": "1" }, "ports": [
            { "port": 80, "protocol": "TCP", "name": "a" }, { "port": 81, "protocol": "TCP" },
        ] } });
        let new = json!({ "spec": { "selector": { "a": "2" }, "ports": [
            { "port": 82, "protocol": "TCP" }, { "port": 80, "protocol": "TCP", "name": "b" },
        ] } });
        let found = Comparison::of(schema::of(&kinds::SERVICE), &old, &new);
        assert_eq!(found.modified.paths(), [".spec.selector", ".spec.ports[port=80,protocol=\"TCP\"].name"]);
        let port = |number: u16| format!(".spec.ports[port={number},protocol=\"TCP\"]");
        let all = |number: u16| vec![port(number), port(number) + ".port", port(number) + ".protocol"];
        assert_eq!(found.added.paths(), all(82));
        assert_eq!(found.removed.paths(), [vec![".spec.type".to_owned()], all(81)].concat());
    }
}
