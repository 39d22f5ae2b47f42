//! Puts a unit together: labels, namespace, hashes and annotations in one place, so that no renderer forgets one.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, Fleet, FleetName, Release};
use serde_json::{Map, Value as Json, json};

use crate::pod::Template;
use crate::stencil::Stencil;
use crate::unit::ShortHash;
use crate::{Body, Kind, Manifest, ObjectRef, Part, Scope, SecretRef, Unit, UnitId, labels, short_hash};

/// Collects the manifests of one unit.
#[derive(Debug)]
pub struct UnitBuilder {
    id: UnitId,
    fleet: FleetName,
    cluster: ClusterName,
    namespace: String,
    release: Option<Release>,
    needs: BTreeSet<UnitId>,
    pods: Vec<String>,
    keeps: BTreeSet<ObjectRef>,
    drafts: Vec<Draft>,
}

/// A manifest whose hashes are not known yet.
#[derive(Debug)]
struct Draft {
    object: ObjectRef,
    body: Json,
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
            needs: BTreeSet::new(),
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

    /// Says that another unit must be applied first.
    pub fn needs(&mut self, unit: UnitId) {
        self.needs.insert(unit);
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
        let mut object_labels = labels::of_unit(&self.fleet, &self.id);
        object_labels.extend(metadata.labels);
        let mut meta = Map::new();
        meta.insert("name".into(), name.as_str().into());
        let namespace = match kind.scope() {
            Scope::Namespaced => {
                meta.insert("namespace".into(), self.namespace.as_str().into());
                self.namespace.clone()
            }
            Scope::Cluster => String::new(),
        };
        meta.insert("labels".into(), labels::json(&object_labels));
        if !metadata.annotations.is_empty() {
            meta.insert("annotations".into(), labels::json(&metadata.annotations));
        }
        let mut body = Map::new();
        body.insert("apiVersion".into(), kind.api_version().into());
        body.insert("kind".into(), kind.name().into());
        body.insert("metadata".into(), Json::Object(meta));
        if let Json::Object(content) = content {
            body.extend(content);
        }
        let object = ObjectRef { cluster: self.cluster.clone(), kind, namespace, name };
        self.drafts.push(Draft { object, body: Json::Object(body), template: None, secrets: BTreeMap::new(), part });
    }

    /// Adds an object that makes pods. `spec` is all of its `spec` but for the pods' template.
    pub fn add_workload(&mut self, kind: Kind, name: String, metadata: Metadata, mut spec: Json, template: Template) {
        spec["template"] = Json::Null;
        self.add(kind, name, Part::Roll, metadata, json!({ "spec": spec }));
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
        let cuts: Vec<Cut> = self.drafts.into_iter().map(Cut::new).collect();
        let digests: Vec<String> = cuts.iter().map(Cut::digest).collect();
        let rolled = cuts.iter().zip(&digests).filter(|(cut, _)| cut.part == Part::Roll);
        let roll = short_hash(rolled.map(|(_, digest)| digest.as_str()).collect::<Vec<_>>().join("\n"));
        let manifests = cuts.into_iter().zip(digests).map(|(cut, digest)| cut.finish(&roll, &digest)).collect();
        Unit {
            id: self.id,
            manifests,
            roll,
            release: self.release,
            needs: self.needs,
            pods: self.pods,
            keeps: self.keeps,
        }
    }
}

/// A draft as text, with holes for what follows from the rest.
struct Cut {
    object: ObjectRef,
    stencil: Stencil,
    template: Option<Template>,
    /// As JSON text.
    replicas: String,
    secrets: BTreeMap<String, SecretRef>,
    part: Part,
}

impl Cut {
    fn new(draft: Draft) -> Self {
        let Draft { object, mut body, template, secrets, part } = draft;
        if let Some(meta) = body.get_mut("metadata") {
            annotate(meta, labels::INTENT, "");
        }
        let replicas = body.pointer("/spec/replicas").map(Json::to_string).unwrap_or_default();
        let holes: [&[&str]; 3] =
            [&["metadata", "annotations", labels::INTENT], &["spec", "replicas"], &["spec", "template"]];
        let stencil = Stencil::cut(&body, &holes);
        Self { object, stencil, template, replicas, secrets, part }
    }

    /// Hands on what fills the holes, with these hashes.
    fn filled<T>(&self, intent: &str, roll: &str, replicas: &str, then: impl FnOnce(&[&str]) -> T) -> T {
        let intent = format!("\"{intent}\"");
        match &self.template {
            Some(template) if self.replicas.is_empty() => then(&[&intent, &template.text(roll)]),
            Some(template) => then(&[&intent, replicas, &template.text(roll)]),
            None => then(&[&intent, replicas]),
        }
    }

    /// The hash of all but the number of replicas, which replaces nothing, and where secrets come from.
    fn digest(&self) -> String {
        let mut digest = ShortHash::default();
        self.filled("", "", "null", |values| self.stencil.pieces(values).for_each(|piece| digest.push(piece)));
        digest.finish()
    }

    fn finish(self, roll: &str, digest: &str) -> Manifest {
        let roll_of_pods = if self.template.is_some() { roll } else { "" };
        let intent = short_hash(format!("{digest}\n{}\n{:?}\n{roll_of_pods}", self.replicas, self.secrets));
        let body = self.filled(&intent, roll, &self.replicas, |values| self.stencil.fill(values));
        Manifest { object: self.object, body: Body::of_text(body), secrets: self.secrets, part: self.part }
    }
}

fn annotate(metadata: &mut Json, key: &str, value: &str) {
    if let Json::Object(metadata) = metadata {
        let annotations = metadata.entry("annotations").or_insert_with(|| Json::Object(Map::new()));
        if let Json::Object(annotations) = annotations {
            annotations.insert(key.to_owned(), value.into());
        }
    }
}

/// Labels and annotations beside ours.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// Extra labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// The recommended name label of a component.
    #[must_use]
    pub fn of(component: fleet::Component) -> Self {
        Self {
            labels: BTreeMap::from([(labels::NAME.to_owned(), component.to_string())]),
            annotations: BTreeMap::new(),
        }
    }

    /// With these annotations.
    #[must_use]
    pub fn annotated(mut self, annotations: BTreeMap<String, String>) -> Self {
        self.annotations.extend(annotations);
        self
    }
}
