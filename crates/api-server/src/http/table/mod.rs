//! Tables for people, with the columns that a real server prints.

mod cells;
mod columns;
mod pod;

use std::sync::Arc;

use clock::Clock;
use serde_json::{Value as Json, json};

use super::query;
use crate::kinds::Kind;

/// What the rows carry beside their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    /// Nothing.
    None,
    /// The object's metadata.
    Metadata,
    /// The object.
    Object,
}

impl Include {
    /// `includeObject` of a query.
    pub(super) fn of(asked: &str) -> Self {
        match query::pairs(asked).find(|(key, _)| key == "includeObject").map(|(_, value)| value).as_deref() {
            Some("None") => Self::None,
            Some("Object") => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// The table of these objects; without its heads if an earlier table of the same watch had them.
pub(super) fn render(
    kind: &Kind,
    items: &[Arc<Json>],
    heads: bool,
    include: Include,
    clock: &Clock,
    metadata: Json,
) -> Json {
    let now = clock.now();
    let rows: Vec<Json> = items
        .iter()
        .map(|item| {
            let mut row = json!({ "cells": columns::cells(kind, item, now) });
            match include {
                Include::None => row["object"] = Json::Null,
                Include::Metadata => row["object"] = self::metadata(item),
                Include::Object => row["object"] = (**item).clone(),
            }
            row
        })
        .collect();
    let metadata = match (metadata, items) {
        (Json::Null, [only]) => json!({ "resourceVersion": only.pointer("/metadata/resourceVersion") }),
        (Json::Null, _) => json!({}),
        (given, _) => given,
    };
    let heads = if heads { columns::heads(kind) } else { Json::Null };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": heads,
        "rows": rows,
    })
}

/// An object's metadata alone.
pub(super) fn metadata(object: &Json) -> Json {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;

    #[test]
    fn every_kind_has_as_many_cells_as_heads() {
        let object = Arc::new(json!({ "metadata": { "name": "x" } }));
        for kind in KINDS {
            let table = render(kind, &[Arc::clone(&object)], true, Include::Metadata, &Clock::machine(), Json::Null);
            let heads = table["columnDefinitions"].as_array().unwrap();
            assert_eq!(table["rows"][0]["cells"].as_array().unwrap().len(), heads.len(), "{}", kind.name);
            assert!(heads.iter().any(|head| head["name"] == "Name"), "{}", kind.name);
        }
    }
}
