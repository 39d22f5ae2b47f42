//! Puts a unit together: labels, namespace, hashes and annotations in one place, so that no renderer forgets one.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, Fleet, FleetName, Release};
use serde_json::{Map, Value as Json, json};

use crate::stencil::{Stencil, some};
use crate::template::Template;
use crate::unit::ShortHash;
use crate::{Body, Kind, Manifest, Metadata, ObjectRef, Part, Scope, SecretRef, Unit, UnitId, labels, short_hash};

/// Collects the manifests of one unit.
#[derive(Debug)]
pub struct UnitBuilder {
    id: UnitId,
    fleet: FleetName,
    cluster: ClusterName,
    namespace: String,
    release: Option<Release>,
    pods: Vec<String>,
    keeps: BTreeSet<ObjectRef>,
    drafts: Vec<Draft>,
}

/// A manifest whose hashes are not known yet.
#[derive(Debug)]
struct Draft {
    object: ObjectRef,
    metadata: Metadata,
    /// All but `apiVersion`, `kind` and `metadata`.
    content: Json,
    /// For workloads: what stands at `/spec/template`.
    template: Option<Template>,
    secrets: BTreeMap<String, SecretRef>,
    part: Part,
}

impl UnitBuilder {
    /// Begins a unit that lives in the cluster of that name. A cluster that the fleet lacks gets the fleet's own
    /// name as namespace; [`fleet::load`] refuses such a fleet.
    #[must_use]
    pub fn new(fleet: &Fleet, id: UnitId, cluster: &ClusterName) -> Self {
        let namespace =
            fleet.clusters.get(cluster).map_or_else(|| fleet.name.to_string(), |cluster| cluster.namespace.clone());
        Self {
            id,
            fleet: fleet.name.clone(),
            cluster: cluster.clone(),
            namespace,
            release: None,
            pods: Vec::new(),
            keeps: BTreeSet::new(),
            drafts: Vec::new(),
        }
    }

    /// The unit's id.
    #[must_use]
    pub const fn id(&self) -> &UnitId {
        &self.id
    }

    /// The namespace of the unit's objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Says which release the unit's pods run.
    pub fn release(&mut self, release: &Release) {
        self.release = Some(release.clone());
    }

    /// Says that the unit has a pod of this stable name.
    pub fn pod(&mut self, name: String) {
        self.pods.push(name);
    }

    /// Says that an object belongs to the unit although its content is not known now: whatever is there stays.
    pub fn keep(&mut self, kind: Kind, name: String) {
        let namespace = match kind.scope() {
            Scope::Namespaced => self.namespace.clone(),
            Scope::Cluster => String::new(),
        };
        self.keeps.insert(ObjectRef { cluster: self.cluster.clone(), kind, namespace, name });
    }

    /// Adds an object. `content` holds everything but `apiVersion`, `kind` and `metadata`; `metadata` may add
    /// labels and annotations to ours.
    pub fn add(&mut self, kind: Kind, name: String, part: Part, metadata: Metadata, content: Json) {
        let namespace = match kind.scope() {
            Scope::Namespaced => self.namespace.clone(),
            Scope::Cluster => String::new(),
        };
        let object = ObjectRef { cluster: self.cluster.clone(), kind, namespace, name };
        self.drafts.push(Draft { object, metadata, content, template: None, secrets: BTreeMap::new(), part });
    }

    /// Adds an object that makes pods. `spec` is all of its `spec` but for the pods' template.
    pub fn add_workload(&mut self, kind: Kind, name: String, metadata: Metadata, mut spec: Json, template: Template) {
        spec["template"] = Json::Null;
        // Not by `json!`, which copies what it is given.
        let content = Json::Object(Map::from_iter([("spec".to_owned(), spec)]));
        self.add(kind, name, Part::Roll, metadata, content);
        if let Some(draft) = self.drafts.last_mut() {
            draft.template = Some(template);
        }
    }

    /// Adds a Secret whose bytes are filled in when it is applied.
    pub fn add_secret(&mut self, name: String, secrets: BTreeMap<String, SecretRef>) {
        self.add(Kind::Secret, name, Part::Carry, Metadata::default(), json!({ "type": "Opaque" }));
        if let Some(draft) = self.drafts.last_mut() {
            draft.secrets = secrets;
        }
    }

    /// Hashes what replaces the unit, and writes that hash on its pods and each object's own hash on the object.
    #[must_use]
    pub fn finish(mut self) -> Unit {
        self.drafts.sort_by_key(|draft| draft.object.kind);
        let labels = labels::of_unit(&self.fleet, &self.id);
        let cuts: Vec<Cut> = self.drafts.into_iter().map(|draft| Cut::new(draft, &labels)).collect();
        let digests: Vec<String> = cuts.iter().map(Cut::digest).collect();
        let rolled = cuts.iter().zip(&digests).filter(|(cut, _)| cut.part == Part::Roll);
        let roll = short_hash(rolled.map(|(_, digest)| digest.as_str()).collect::<Vec<_>>().join("\n"));
        let manifests = cuts.into_iter().zip(digests).map(|(cut, digest)| cut.finish(&roll, &digest)).collect();
        Unit { id: self.id, manifests, roll, release: self.release, pods: self.pods, keeps: self.keeps }
    }
}

/// A draft as text, with holes for what follows from the rest: its own hash, and what of these it has, the number of
/// its replicas and the hash of all that replaces the unit.
struct Cut {
    object: ObjectRef,
    stencil: Stencil,
    has_pods: bool,
    /// As JSON text.
    replicas: Option<String>,
    secrets: BTreeMap<String, SecretRef>,
    part: Part,
}

impl Cut {
    fn new(draft: Draft, labels: &BTreeMap<&'static str, String>) -> Self {
        let stencil = draft.text(labels);
        let Draft { object, content, template, secrets, part, .. } = draft;
        let replicas = content.pointer("/spec/replicas").map(Json::to_string);
        Self { object, stencil, has_pods: template.is_some(), replicas, secrets, part }
    }

    /// The pieces of the text, with these hashes.
    fn pieces<T>(&self, intent: &str, roll: &str, replicas: &str, then: impl FnOnce(&[&str]) -> T) -> T {
        let mut values = vec![intent];
        values.extend(self.replicas.is_some().then_some(replicas));
        values.extend(self.has_pods.then_some(roll));
        then(&self.stencil.pieces(&values))
    }

    /// The hash of all but the number of replicas, which replaces nothing, and where secrets come from.
    fn digest(&self) -> String {
        let mut digest = ShortHash::default();
        self.pieces("", "", "null", |pieces| pieces.iter().for_each(|piece| digest.push(piece)));
        digest.finish()
    }

    fn finish(self, roll: &str, digest: &str) -> Manifest {
        let roll_of_pods = if self.has_pods { roll } else { "" };
        let replicas = self.replicas.as_deref().unwrap_or_default();
        let intent = short_hash(format!("{digest}\n{replicas}\n{:?}\n{roll_of_pods}", self.secrets));
        let body = self.pieces(&intent, roll, replicas, |pieces| pieces.concat());
        Manifest { object: self.object, body: Body::of_text(body), secrets: self.secrets, part: self.part }
    }
}

impl Draft {
    /// The whole object, its keys in order.
    fn text(&self, labels: &BTreeMap<&'static str, String>) -> Stencil {
        let mut out = Stencil::with_room_for((1 << 10) + self.template.as_ref().map_or(0, Template::len));
        let mut content: Vec<(&str, Option<&Json>)> = Vec::with_capacity(8);
        content.extend([("apiVersion", None), ("kind", None), ("metadata", None)]);
        if let Json::Object(fields) = &self.content {
            content.extend(fields.iter().map(|(key, value)| (key.as_str(), Some(value))));
        }
        content.sort_unstable_by_key(|(key, _)| *key);
        for (at, (key, value)) in content.into_iter().enumerate() {
            out.raw(if at == 0 { "{" } else { "," });
            out.key(key);
            match (key, value) {
                ("spec", Some(Json::Object(spec))) => self.spec(&mut out, spec),
                (_, Some(value)) => out.value(value),
                ("apiVersion", None) => out.string(&self.object.kind.api_version()),
                ("kind", None) => out.string(self.object.kind.name()),
                (_, None) => self.metadata(&mut out, labels),
            }
        }
        out.raw("}");
        out
    }

    fn metadata(&self, out: &mut Stencil, labels: &BTreeMap<&'static str, String>) {
        let Metadata { labels: more, annotations } = &self.metadata;
        let mut annotations: BTreeMap<&str, Option<&str>> = some(annotations).collect();
        annotations.insert(labels::INTENT, None);
        out.raw("{\"annotations\":");
        out.strings(&annotations);
        out.raw(",\"labels\":");
        out.strings(&some(labels).chain(some(more)).collect());
        out.raw(",\"name\":");
        out.string(&self.object.name);
        if !self.object.namespace.is_empty() {
            out.raw(",\"namespace\":");
            out.string(&self.object.namespace);
        }
        out.raw("}");
    }

    fn spec(&self, out: &mut Stencil, spec: &Map<String, Json>) {
        out.raw("{");
        for (at, (key, value)) in spec.iter().enumerate() {
            if at > 0 {
                out.raw(",");
            }
            out.key(key);
            match (key.as_str(), &self.template) {
                ("replicas", _) => out.hole(),
                ("template", Some(template)) => template.write(out),
                _ => out.value(value),
            }
        }
        out.raw("}");
    }
}
