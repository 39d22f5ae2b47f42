//! An object as an API server has it, and what is asked of it in each look.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use manifest::{Body, Kind, ObjectRef, labels};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::change::Field;
use crate::compare::differences_of_texts;
use crate::health::{self, Health, Spec, Status};

/// An object as the API server has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveObject {
    /// Its identity.
    pub object: ObjectRef,
    /// Its UID.
    pub uid: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// Everything but `metadata.managedFields`. Secrets: `data` values replaced by a keyed hash of this run. Shared: one
    /// that is watched is looked at all the time.
    pub body: Arc<LiveBody>,
    /// Field managers that applied or updated it, ours included.
    pub managers: BTreeSet<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl LiveObject {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        find(&self.body.labels, key)
    }

    /// The value of an annotation of ours.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        find(&self.body.annotations, key)
    }
}

/// The body of a live object. It is kept as text, since a large fleet takes ten times the memory in pieces; what each look
/// asks for is read once.
pub struct LiveBody {
    text: Body,
    labels: Pairs,
    /// Those that are ours.
    annotations: Pairs,
    generation: Option<i64>,
    observed_generation: Option<i64>,
    health: Health,
    /// The hash of the last body that was found in it, so that the same is not compared at each look.
    holds: AtomicU64,
}

type Pairs = Box<[(Box<str>, Box<str>)]>;

fn find<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a str> {
    let at = pairs.binary_search_by(|(name, _)| (**name).cmp(key)).ok()?;
    pairs.get(at).map(|(_, value)| &**value)
}

/// What is read once.
#[derive(Default, Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<Box<str>, Box<str>>,
    #[serde(default)]
    annotations: BTreeMap<Box<str>, Box<str>>,
    generation: Option<i64>,
    deletion_timestamp: Option<IgnoredAny>,
}

impl LiveBody {
    /// The body of an object of this kind.
    #[must_use]
    pub fn new(kind: Kind, text: Body) -> Self {
        // What an API server has is of its schema. Anything else is compared all the same, and its state is not known.
        let head: Head = serde_json::from_str(text.text()).unwrap_or_default();
        let Head { metadata, spec, status } = head;
        let health = match metadata.deletion_timestamp {
            Some(_) => Health::Terminating,
            None => health::judge(kind, metadata.generation, &spec, &status),
        };
        let ours = metadata.annotations.into_iter().filter(|(key, _)| key.starts_with(labels::PREFIX));
        Self {
            text,
            labels: metadata.labels.into_iter().collect(),
            annotations: ours.collect(),
            generation: metadata.generation,
            observed_generation: status.observed_generation,
            health,
            holds: AtomicU64::new(0),
        }
    }

    /// All of it, as a tree; made anew each time.
    #[must_use]
    pub fn json(&self) -> Json {
        self.text.json()
    }

    /// A part of it, as its type says; nothing if it has no such part.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.text.text()).ok()
    }

    /// Whether its pod template has this string somewhere.
    #[must_use]
    pub fn template_mentions(&self, name: &str) -> bool {
        #[derive(Deserialize)]
        struct Workload {
            spec: Template,
        }
        #[derive(Deserialize)]
        struct Template {
            template: Box<RawValue>,
        }
        let quoted = format!("\"{name}\"");
        self.text.text().contains(&quoted)
            && self.read().is_some_and(|Workload { spec }| spec.template.get().contains(&quoted))
    }

    /// How often its spec was changed, counted by the server.
    #[must_use]
    pub const fn generation(&self) -> Option<i64> {
        self.generation
    }

    /// Whether its controller has not noticed yet what its spec says.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        matches!((self.generation, self.observed_generation), (Some(wanted), Some(seen)) if seen < wanted)
    }

    /// How it is by its own account.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// The leaves of a wanted body that it lacks or has otherwise.
    #[must_use]
    pub fn lacks(&self, wanted: &Body) -> Vec<Field> {
        let mut hasher = DefaultHasher::new();
        wanted.text().hash(&mut hasher);
        let hash = hasher.finish();
        if self.holds.load(Ordering::Relaxed) == hash {
            return Vec::new();
        }
        let fields = differences_of_texts(wanted, &self.text);
        if fields.is_empty() {
            self.holds.store(hash, Ordering::Relaxed);
        }
        fields
    }
}

impl PartialEq for LiveBody {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::fmt::Debug for LiveBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(body: &Json) -> LiveObject {
        let name =
            ObjectRef { cluster: "fra".parse().unwrap(), kind: Kind::Service, namespace: "n".into(), name: "x".into() };
        LiveObject {
            object: name,
            uid: "u".into(),
            version: "1".into(),
            body: Arc::new(LiveBody::new(Kind::Service, Body::new(body))),
            managers: BTreeSet::new(),
            deleting: false,
        }
    }

    #[test]
    fn labels_and_our_annotations_are_at_hand() {
        let object = live(&json!({ "metadata": {
            "labels": { "b": "2", "a": "1" },
            "annotations": { labels::INTENT: "h", "kubectl.kubernetes.io/last-applied-configuration": "long" },
        } }));
        assert_eq!((object.label("a"), object.label("b"), object.label("c")), (Some("1"), Some("2"), None));
        assert_eq!(object.annotation(labels::INTENT), Some("h"));
        assert_eq!(object.annotation("kubectl.kubernetes.io/last-applied-configuration"), None);
    }

    #[test]
    fn what_was_found_in_it_is_remembered_and_nothing_else_is() {
        let object = live(&json!({ "spec": { "type": "ClusterIP", "clusterIP": "10.0.0.1" } }));
        let (held, other) = (
            Body::new(&json!({ "spec": { "type": "ClusterIP" } })),
            Body::new(&json!({ "spec": { "type": "NodePort" } })),
        );
        for _ in 0..2 {
            assert_eq!(object.body.lacks(&held), []);
            assert_eq!(object.body.lacks(&other).len(), 1);
        }
    }

    #[test]
    fn a_template_mentions_what_stands_in_it_and_not_beside_it() {
        let body = json!({ "metadata": { "name": "x" }, "spec": { "template": { "volumes": [{ "configMap": { "name": "files" } }] } } });
        let object = live(&body);
        assert!(object.body.template_mentions("files") && !object.body.template_mentions("file"));
        assert!(
            !object.body.template_mentions("x") && !live(&json!({ "data": { "x": "x" } })).body.template_mentions("x")
        );
    }

    #[test]
    fn what_is_of_no_schema_is_kept() {
        let body = json!({ "metadata": { "labels": ["a"] }, "spec": "text" });
        let object = live(&body);
        assert_eq!((object.label("a"), object.body.health(), object.body.json()), (None, &Health::Healthy, body));
    }
}
