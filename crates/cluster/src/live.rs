//! Reads objects as API servers list them, and as watches bring them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use manifest::{Body, Kind, ObjectRef};
use plan::{LiveBody, LiveObject};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::Cluster;

/// An object, its managed fields read only as far as we use them: they are half of what a server sends. What is not its
/// metadata stays the text that came: a page of workloads never stands in memory in pieces.
#[derive(Debug)]
pub(crate) struct Listed {
    metadata: Metadata,
    rest: BTreeMap<String, Box<RawValue>>,
}

#[derive(Debug, Default)]
struct Metadata {
    managed_fields: Vec<ManagedFields>,
    rest: Map<String, Json>,
}

#[derive(Debug, Deserialize)]
struct ManagedFields {
    #[serde(default)]
    manager: String,
}

// By hand, since `#[serde(flatten)]` would read everything twice: a look at a large fleet is mostly this.
impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let (metadata, rest) = input.deserialize_map(Apart::new("metadata"))?;
        Ok(Self { metadata: metadata.unwrap_or_default(), rest })
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let (managed_fields, rest) = input.deserialize_map(Apart::new("managedFields"))?;
        Ok(Self { managed_fields: managed_fields.unwrap_or_default(), rest: rest.into_iter().collect() })
    }
}

/// Reads a map with one entry apart.
struct Apart<T, V> {
    key: &'static str,
    kinds: PhantomData<(T, V)>,
}

impl<T, V> Apart<T, V> {
    const fn new(key: &'static str) -> Self {
        Self { key, kinds: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Apart<T, V> {
    type Value = (Option<T>, BTreeMap<String, V>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut apart, mut rest) = (None, BTreeMap::new());
        while let Some(key) = entries.next_key::<String>()? {
            if key == self.key {
                apart = entries.next_value()?;
            } else {
                rest.insert(key, entries.next_value()?);
            }
        }
        Ok((apart, rest))
    }
}

impl Listed {
    /// Whether another controller made it and looks after it, such as the EndpointSlices of a Service: they inherit
    /// our labels.
    pub(crate) fn is_controlled(&self) -> bool {
        let owners = self.metadata.rest.get("ownerReferences").and_then(Json::as_array);
        owners.is_some_and(|owners| owners.iter().any(|owner| owner.get("controller") == Some(&Json::Bool(true))))
    }

    /// Its `resourceVersion`.
    pub(crate) fn version(&self) -> &str {
        self.metadata.rest.get("resourceVersion").and_then(Json::as_str).unwrap_or_default()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.metadata.rest.get("name").and_then(Json::as_str).unwrap_or_default()
    }

    /// All but its managed fields.
    pub(crate) fn into_body(self) -> Json {
        let Self { metadata, rest } = self;
        // What was read as a value is one.
        let value = |raw: Box<RawValue>| serde_json::from_str(raw.get()).unwrap_or_default();
        let mut body: Map<String, Json> = rest.into_iter().map(|(key, raw)| (key, value(raw))).collect();
        body.insert("metadata".to_owned(), Json::Object(metadata.rest));
        Json::Object(body)
    }

    /// As the rest of the program sees it. Items of a LIST carry neither `apiVersion` nor `kind`.
    pub(crate) fn into_live(self, cluster: &Cluster, kind: Kind) -> LiveObject {
        let Self { metadata: Metadata { managed_fields, rest: metadata }, mut rest } = self;
        let text = |key: &str| metadata.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let object =
            ObjectRef { cluster: cluster.name().clone(), kind, namespace: text("namespace"), name: text("name") };
        let (uid, version) = (text("uid"), text("resourceVersion"));
        let deleting = metadata.contains_key("deletionTimestamp");
        rest.retain(|key, _| !["apiVersion", "kind"].contains(&key.as_str()));
        if kind == Kind::Secret
            && let Some(data) = rest.get_mut("data")
        {
            *data = cluster.0.run_key.redacted(data);
        }
        let body = Body::of_text(together(kind, &metadata, &rest));
        let managers: BTreeSet<String> = managed_fields.into_iter().map(|entry| entry.manager).collect();
        LiveObject { object, uid, version, body: Arc::new(LiveBody::new(kind, body)), managers, deleting }
    }
}

/// The text of an object.
fn together(kind: Kind, metadata: &Map<String, Json>, rest: &BTreeMap<String, Box<RawValue>>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        api_version: &'a str,
        kind: &'a str,
        metadata: &'a Map<String, Json>,
        #[serde(flatten)]
        rest: &'a BTreeMap<String, Box<RawValue>>,
    }
    let whole = Whole { api_version: &kind.api_version(), kind: kind.name(), metadata, rest };
    // Maps with keys of text always have one.
    serde_json::to_string(&whole).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managed_fields_are_read_apart() {
        let text = r#"{ "metadata": { "name": "x", "managedFields": [
            { "manager": "helm", "fieldsV1": { "f:data": {} } }, { "operation": "Apply" }
        ], "uid": "u" }, "data": { "a": "1" } }"#;
        let listed: Listed = serde_json::from_str(&text.replace(
            "},
        ]",
            "} ]",
        ))
        .unwrap();
        let managers: Vec<&str> = listed.metadata.managed_fields.iter().map(|entry| entry.manager.as_str()).collect();
        assert_eq!(managers, ["helm", ""]);
        assert_eq!(listed.into_body(), json!({ "metadata": { "name": "x", "uid": "u" }, "data": { "a": "1" } }));
        assert!(serde_json::from_str::<Listed>("[]").is_err());
    }
}
