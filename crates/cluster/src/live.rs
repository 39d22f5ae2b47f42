//! Reads objects as API servers list them, and as watches bring them.

use std::borrow::Cow;
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

/// An object, its managed fields read only as far as we use them: they are half of what a server sends. All else stays the
/// text that came: a page of workloads never stands in memory in pieces.
#[derive(Debug)]
pub(crate) struct Listed {
    metadata: Metadata,
    rest: Fields,
}

#[derive(Debug, Default)]
struct Metadata {
    managed_fields: Vec<ManagedFields>,
    rest: Fields,
}

/// The text of each value.
type Fields = BTreeMap<String, Box<RawValue>>;

/// The value of a field of text, or nothing.
fn text<'f>(fields: &'f Fields, key: &str) -> Cow<'f, str> {
    /// Borrowed where nothing in it is escaped.
    #[derive(Deserialize)]
    struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
    let read = fields.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok());
    read.map_or(Cow::Borrowed(""), |Text(text)| text)
}

/// The values of fields.
fn values(fields: Fields) -> Map<String, Json> {
    // What was read as a value is one.
    let value = |raw: Box<RawValue>| serde_json::from_str(raw.get()).unwrap_or_default();
    fields.into_iter().map(|(key, raw)| (key, value(raw))).collect()
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
    type Value = (Option<T>, Fields);

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
        #[derive(Deserialize)]
        struct Owner {
            #[serde(default)]
            controller: Option<bool>,
        }
        let owners = self.metadata.rest.get("ownerReferences").map(|raw| serde_json::from_str::<Vec<Owner>>(raw.get()));
        matches!(owners, Some(Ok(owners)) if owners.iter().any(|owner| owner.controller == Some(true)))
    }

    /// Its `resourceVersion`.
    pub(crate) fn version(&self) -> Cow<'_, str> {
        text(&self.metadata.rest, "resourceVersion")
    }

    /// Its name.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        text(&self.metadata.rest, "name")
    }

    /// All but its managed fields.
    pub(crate) fn into_body(self) -> Json {
        let mut body = values(self.rest);
        body.insert("metadata".to_owned(), Json::Object(values(self.metadata.rest)));
        Json::Object(body)
    }

    /// As the rest of the program sees it. Items of a LIST carry neither `apiVersion` nor `kind`.
    pub(crate) fn into_live(self, cluster: &Cluster, kind: Kind) -> LiveObject {
        let Self { metadata: Metadata { managed_fields, rest: metadata }, mut rest } = self;
        let text = |key: &str| text(&metadata, key).into_owned();
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
fn together(kind: Kind, metadata: &Fields, rest: &Fields) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        api_version: &'a str,
        kind: &'a str,
        metadata: &'a Fields,
        #[serde(flatten)]
        rest: &'a Fields,
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
