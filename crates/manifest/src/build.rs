//! Puts a unit together: labels, namespace, hashes and annotations in one place, so that no renderer forgets one.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, Fleet, FleetName, Release};
use serde_json::{Map, Value as Json, json};

use crate::{Kind, Manifest, ObjectRef, Part, Scope, SecretRef, Unit, UnitId, labels, short_hash};

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
    manifests: Vec<Manifest>,
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
            manifests: Vec::new(),
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
        self.manifests.push(Manifest { object, body: Json::Object(body), secrets: BTreeMap::new(), part });
    }

    /// Adds a Secret whose bytes are filled in when it is applied.
    pub fn add_secret(&mut self, name: String, secrets: BTreeMap<String, SecretRef>) {
        self.add(Kind::Secret, name, Part::Carry, Metadata::default(), json!({ "type": "Opaque" }));
        if let Some(manifest) = self.manifests.last_mut() {
            manifest.secrets = secrets;
        }
    }

    /// Hashes what replaces the unit, writes that hash on its pods and each object's own hash on the object.
    ///
    /// Each body is turned into text once: there may be thousands.
    #[must_use]
    pub fn finish(mut self) -> Unit {
        self.manifests.sort_by_key(|manifest| manifest.object.kind);
        let mut rolled = String::new();
        let mut digests = Vec::with_capacity(self.manifests.len());
        for manifest in &mut self.manifests {
            let (text, replicas) = text_without_replicas(manifest);
            digests.push(short_hash(format!("{text}\n{replicas:?}\n{:?}", manifest.secrets)));
            if manifest.part == Part::Roll {
                rolled.push_str(&text);
                rolled.push('\n');
            }
        }
        let roll = short_hash(&rolled);
        for (manifest, mut digest) in self.manifests.iter_mut().zip(digests) {
            if let Some(template) = manifest.body.pointer_mut("/spec/template/metadata") {
                annotate(template, labels::ROLL, &roll);
                digest = short_hash(format!("{digest}\n{roll}"));
            }
            if let Some(meta) = manifest.body.get_mut("metadata") {
                annotate(meta, labels::INTENT, &digest);
            }
        }
        Unit {
            id: self.id,
            manifests: self.manifests,
            roll,
            release: self.release,
            needs: self.needs,
            pods: self.pods,
            keeps: self.keeps,
        }
    }
}

/// The body as text but for the number of replicas, which replaces nothing; and that number.
fn text_without_replicas(manifest: &mut Manifest) -> (String, Option<Json>) {
    let spec = manifest.body.get_mut("spec").and_then(Json::as_object_mut);
    let replicas = spec.and_then(|spec| spec.remove("replicas"));
    let text = manifest.body.to_string();
    if let Some(replicas) = &replicas {
        manifest.body["spec"]["replicas"] = replicas.clone();
    }
    (text, replicas)
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
