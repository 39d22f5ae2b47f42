//! Reads objects as API servers list them, and as watches bring them.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use manifest::{Kind, ObjectRef};
use plan::LiveObject;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value as Json, json};

use crate::Cluster;

/// One page of a LIST.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    #[serde(default)]
    pub(crate) metadata: PageMeta,
    /// An empty list of names is `null`.
    pub(crate) items: Option<Vec<T>>,
}

/// Where the next page begins, and which version of the whole it is.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageMeta {
    #[serde(default, rename = "continue")]
    pub(crate) next: String,
    #[serde(default, rename = "resourceVersion")]
    pub(crate) version: String,
}

/// An object, its managed fields read only as far as we use them: they are half of what a server sends.
#[derive(Debug)]
pub(crate) struct Listed {
    metadata: Metadata,
    rest: Map<String, Json>,
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
        let (metadata, mut rest) = input.deserialize_map(Apart::new("metadata"))?;
        // Here, not later: a page of workloads never stands in memory unfolded.
        if let Some(spec) = rest.get_mut("spec") {
            plan::compare::fold(spec);
        }
        Ok(Self { metadata: metadata.unwrap_or_default(), rest })
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let (managed_fields, rest) = input.deserialize_map(Apart::new("managedFields"))?;
        Ok(Self { managed_fields: managed_fields.unwrap_or_default(), rest })
    }
}

/// Reads a map with one entry apart.
struct Apart<T> {
    key: &'static str,
    kind: PhantomData<T>,
}

impl<T> Apart<T> {
    const fn new(key: &'static str) -> Self {
        Self { key, kind: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Apart<T> {
    type Value = (Option<T>, Map<String, Json>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut apart, mut rest) = (None, Map::new());
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
        let Self { metadata, mut rest } = self;
        rest.insert("metadata".to_owned(), Json::Object(metadata.rest));
        Json::Object(rest)
    }

    /// As the rest of the program sees it. Items of a LIST carry neither `apiVersion` nor `kind`.
    pub(crate) fn into_live(self, cluster: &Cluster, kind: Kind) -> LiveObject {
        let Self { metadata: Metadata { managed_fields, rest: metadata }, mut rest } = self;
        let text = |key: &str| metadata.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        let object =
            ObjectRef { cluster: cluster.name().clone(), kind, namespace: text("namespace"), name: text("name") };
        let (uid, version) = (text("uid"), text("resourceVersion"));
        let deleting = metadata.contains_key("deletionTimestamp");
        rest.insert("apiVersion".to_owned(), json!(kind.api_version()));
        rest.insert("kind".to_owned(), json!(kind.name()));
        rest.insert("metadata".to_owned(), Json::Object(metadata));
        let mut body = Json::Object(rest);
        if kind == Kind::Secret {
            cluster.0.run_key.redact(&mut body);
        }
        let managers: BTreeSet<String> = managed_fields.into_iter().map(|entry| entry.manager).collect();
        LiveObject { object, uid, version, body: Arc::new(body), managers, deleting }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(Json::Object(listed.metadata.rest), json!({ "name": "x", "uid": "u" }));
        assert_eq!(Json::Object(listed.rest), json!({ "data": { "a": "1" } }));
        assert!(serde_json::from_str::<Listed>("[]").is_err());
    }
}
