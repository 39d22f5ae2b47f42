//! Pod recipes: how a component's pod is put together in each image era.

use fleet::{Component, Era, Fleet, PullPolicy, Storage, Workload};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

mod env;
mod files;
mod ports;

pub use files::has_file;

use crate::stencil::{Stencil, some};
use crate::template::Template;
use crate::{Metadata, UnitBuilder, UnitId, labels};

/// What a component adds to the common recipe.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Labels of the pod; they must contain its workload's selector.
    pub labels: BTreeMap<String, String>,
    /// The name of the Secret in which the user's secret values stand in this cluster.
    pub user_secrets: String,
    /// Variables that jitsictl computes, in the order in which they refer to each other. They win over the user's.
    pub env: Vec<(&'static str, Env)>,
    /// Ports of the container.
    pub ports: Vec<Port>,
    /// Replaces the image's entry point.
    pub command: Option<Vec<String>>,
    /// Volumes beside those of the recipe and of custom files.
    pub volumes: Vec<Volume>,
    /// `startupProbe`.
    pub startup: Option<Json>,
    /// `readinessProbe`.
    pub readiness: Option<Json>,
    /// `livenessProbe`; none on anything that depends on another cluster.
    pub liveness: Option<Json>,
    /// `lifecycle.preStop`.
    pub pre_stop: Option<Json>,
    /// `terminationGracePeriodSeconds`.
    pub grace_seconds: u64,
    /// Whether the pod shares the node's network.
    pub host_network: bool,
    /// Our `affinity`, unless the user sets one.
    pub affinity: Option<Json>,
    /// Our `topologySpreadConstraints`, unless the user sets some.
    pub spread: Vec<Json>,
    /// Whether a node must not be removed under the pod: calls hang on it.
    pub carries_calls: bool,
    /// Files of the user's that are mounted elsewhere than they say: path in the file → path in the container.
    pub moved_files: BTreeMap<&'static str, &'static str>,
}

impl Pod {
    /// A pod with nothing special.
    #[must_use]
    pub fn new(labels: BTreeMap<String, String>, user_secrets: String) -> Self {
        Self {
            labels,
            user_secrets,
            env: Vec::new(),
            ports: Vec::new(),
            command: None,
            volumes: Vec::new(),
            startup: None,
            readiness: None,
            liveness: None,
            pre_stop: None,
            grace_seconds: 30,
            host_network: false,
            affinity: None,
            spread: Vec::new(),
            carries_calls: false,
            moved_files: BTreeMap::new(),
        }
    }
}

/// The value of a computed variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Env {
    /// As it stands.
    Text(String),
    /// A key of a Secret.
    Secret {
        /// Its name.
        name: String,
        /// The key.
        key: String,
        /// Whether the pod starts without it.
        optional: bool,
    },
    /// A field of the pod, such as `spec.nodeName`.
    Field(&'static str),
}

/// A port of a container.
#[derive(Debug, Clone)]
pub struct Port {
    /// Its name, at most 15 characters.
    pub name: String,
    /// The number.
    pub number: u16,
    /// Whether it is UDP.
    pub udp: bool,
    /// The same number on the node.
    pub on_host: bool,
}

impl Port {
    /// A TCP port.
    #[must_use]
    pub fn tcp(name: impl Into<String>, number: u16) -> Self {
        Self { name: name.into(), number, udp: false, on_host: false }
    }
}

/// A volume and where the container sees it.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name within the pod.
    pub name: String,
    /// The source, such as `{"emptyDir": {}}`; null where a claim template of the same name is the source.
    pub source: Json,
    /// `volumeMounts` without `name`.
    pub mounts: Vec<Json>,
}

impl Volume {
    /// A volume with one mount.
    #[must_use]
    pub fn at(name: impl Into<String>, source: Json, path: &str) -> Self {
        Self { name: name.into(), source, mounts: vec![json!({ "mountPath": path })] }
    }

    /// The mount of a StatefulSet's claim template of that name.
    #[must_use]
    pub fn of_claim_template(name: impl Into<String>, path: &str) -> Self {
        Self::at(name, Json::Null, path)
    }
}

/// An entry of a StatefulSet's `volumeClaimTemplates`, for a [`Volume::of_claim_template`] of that name.
#[must_use]
pub fn claim_template(name: &str, storage: &Storage) -> Json {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": storage.size } },
    });
    if let Some(class) = &storage.class {
        spec["storageClassName"] = class.as_str().into();
    }
    json!({ "metadata": { "name": name }, "spec": spec })
}

/// What the pods of several units have in common: all but their labels, variables and ports. A pool of bridges has one
/// recipe, and what takes most of the time and of the text is made once.
#[derive(Debug, Clone)]
pub struct Recipe {
    spec: Arc<Stencil>,
    holes: Vec<Hole>,
    labels: BTreeMap<String, String>,
    metadata: Metadata,
    user_secrets: String,
}

/// What differs from one pod of a recipe to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    Env,
    Ports,
}

impl Hole {
    const fn path(self) -> &'static [&'static str] {
        match self {
            Self::Env => &["containers", "0", "env"],
            Self::Ports => &["containers", "0", "ports"],
        }
    }
}

impl Recipe {
    /// Puts the common part together, and adds the immutable ConfigMap of the workload's custom files to the unit.
    ///
    /// `owner` begins the name of that ConfigMap. Whether there are variables and ports is told by those of `pod`; which
    /// is up to [`Recipe::template`].
    #[must_use]
    pub fn new(fleet: &Fleet, unit: &mut UnitBuilder, owner: &str, workload: &Workload, pod: Pod) -> Self {
        let mut volumes = recipe_volumes(workload);
        volumes.extend(pod.volumes);
        volumes.extend(files::volumes(unit, owner, workload, &pod.moved_files));
        volumes.extend(user_volumes(&workload.volumes));

        let mut container = Map::new();
        container.insert("name".into(), workload.component.as_str().into());
        container.insert("image".into(), workload.image.reference.as_str().into());
        container.insert("imagePullPolicy".into(), pull_policy(fleet.pull_policy).into());
        if let Some(command) = pod.command {
            container.insert("command".into(), command.into());
        }
        let mut holes = Vec::new();
        if !env::is_empty(workload, &pod.env) {
            container.insert("env".into(), Json::Null);
            holes.push(Hole::Env);
        }
        if !pod.ports.is_empty() {
            container.insert("ports".into(), Json::Null);
            holes.push(Hole::Ports);
        }
        if let Some(resources) = resources(workload) {
            container.insert("resources".into(), resources);
        }
        container.insert("securityContext".into(), container_security(workload));
        for (key, probe) in
            [("startupProbe", pod.startup), ("readinessProbe", pod.readiness), ("livenessProbe", pod.liveness)]
        {
            if let Some(probe) = probe {
                container.insert(key.into(), probe);
            }
        }
        if let Some(hook) = pod.pre_stop {
            container.insert("lifecycle".into(), json!({ "preStop": hook }));
        }
        let mounts: Vec<Json> = volumes
            .iter()
            .flat_map(|volume| volume.mounts.iter().map(|mount| with_name(mount.clone(), &volume.name)))
            .collect();
        if !mounts.is_empty() {
            container.insert("volumeMounts".into(), mounts.into());
        }

        let mut containers = vec![Json::Object(container)];
        containers.extend(workload.sidecars.iter().cloned());

        let mut spec = Map::new();
        spec.insert("containers".into(), containers.into());
        spec.insert("automountServiceAccountToken".into(), false.into());
        spec.insert("enableServiceLinks".into(), false.into());
        spec.insert("securityContext".into(), pod_security(workload));
        spec.insert("terminationGracePeriodSeconds".into(), pod.grace_seconds.into());
        if pod.host_network {
            spec.insert("hostNetwork".into(), true.into());
            spec.insert("dnsPolicy".into(), "ClusterFirstWithHostNet".into());
        }
        if !volumes.is_empty() {
            let listed: Vec<Json> = volumes
                .iter()
                .filter(|volume| !volume.source.is_null())
                .map(|volume| with_name(volume.source.clone(), &volume.name))
                .collect();
            if !listed.is_empty() {
                spec.insert("volumes".into(), listed.into());
            }
        }
        if !fleet.pull_secrets.is_empty() {
            let secrets: Vec<Json> = fleet.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
            spec.insert("imagePullSecrets".into(), secrets.into());
        }
        schedule(&mut spec, workload, pod.affinity, pod.spread);

        let mut annotations = workload.annotations.clone();
        if pod.carries_calls {
            // Node autoscalers leave such a node alone; a drain by hand still runs the preStop hook.
            annotations.insert("cluster-autoscaler.kubernetes.io/safe-to-evict".into(), "false".into());
            annotations.insert("karpenter.sh/do-not-disrupt".into(), "true".into());
        }
        let paths: Vec<&[&str]> = holes.iter().map(|hole| hole.path()).collect();
        Self {
            spec: Arc::new(Stencil::cut(&Json::Object(spec), &paths)),
            holes,
            labels: pod.labels,
            metadata: Metadata { labels: workload.labels.clone(), annotations },
            user_secrets: pod.user_secrets,
        }
    }

    /// The pods of one unit. Variables that jitsictl computes come in the order in which they refer to each other, and
    /// win over the user's.
    #[must_use]
    pub fn template(
        &self,
        fleet: &Fleet,
        unit: &UnitId,
        workload: &Workload,
        variables: &[(&'static str, Env)],
        ports: &[Port],
    ) -> Template {
        let own = labels::of_component(&fleet.name, unit, workload.component);
        let mut labels: BTreeMap<&str, Option<&str>> = some(&self.metadata.labels).collect();
        labels.extend(some(&own));
        labels.extend(some(&self.labels));
        let mut annotations: BTreeMap<&str, Option<&str>> = some(&self.metadata.annotations).collect();
        annotations.insert(labels::ROLL, None);
        let mut metadata = Stencil::with_room_for(1 << 10);
        metadata.raw("{\"annotations\":");
        metadata.strings(&annotations);
        metadata.raw(",\"labels\":");
        metadata.strings(&labels);
        metadata.raw("}");
        let filling = |hole: &Hole| match hole {
            Hole::Env => env::text(workload, &self.user_secrets, variables),
            Hole::Ports => ports::text(ports),
        };
        let fillings = self.holes.iter().map(filling).collect();
        Template { metadata, spec: Arc::clone(&self.spec), fillings }
    }
}

/// The pod template of a workload whose pods have nothing in common with others; adds the immutable ConfigMap of its
/// custom files to the unit.
///
/// `owner` is the name of the workload's own object.
#[must_use]
pub fn template(fleet: &Fleet, unit: &mut UnitBuilder, owner: &str, workload: &Workload, pod: Pod) -> Template {
    let (variables, ports) = (pod.env.clone(), pod.ports.clone());
    Recipe::new(fleet, unit, owner, workload, pod).template(fleet, unit.id(), workload, &variables, &ports)
}

fn with_name(mut object: Json, name: &str) -> Json {
    if let Json::Object(fields) = &mut object {
        fields.insert("name".into(), name.into());
    }
    object
}

fn resources(workload: &Workload) -> Option<Json> {
    let mut object = Map::new();
    for (key, list) in [("requests", &workload.resources.requests), ("limits", &workload.resources.limits)] {
        if !list.is_empty() {
            object.insert(key.into(), labels::json(list));
        }
    }
    (!object.is_empty()).then_some(Json::Object(object))
}

const fn pull_policy(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Always => "Always",
        PullPolicy::Never => "Never",
    }
}

fn container_security(workload: &Workload) -> Json {
    match (workload.component, workload.image.era) {
        (Component::Jibri, Era::Legacy) => json!({ "capabilities": { "add": ["SYS_ADMIN"] } }),
        (Component::Prosody | Component::Jicofo | Component::Web | Component::Jvb, Era::Legacy) => {
            json!({ "allowPrivilegeEscalation": false })
        }
        (Component::Haproxy, _) | (_, Era::Rootless) => json!({
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
        }),
    }
}

fn pod_security(workload: &Workload) -> Json {
    match (workload.component, workload.image.era) {
        // The official haproxy image runs as uid 99.
        (Component::Haproxy, _) => json!({
            "runAsNonRoot": true,
            "runAsUser": 99,
            "runAsGroup": 99,
            "fsGroup": 99,
            "seccompProfile": { "type": "RuntimeDefault" },
        }),
        (_, Era::Rootless) => json!({
            "runAsNonRoot": true,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            // A shared recordings claim would otherwise be re-owned file by file at each start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        }),
        (_, Era::Legacy) => json!({ "seccompProfile": { "type": "RuntimeDefault" } }),
    }
}

fn recipe_volumes(workload: &Workload) -> Vec<Volume> {
    if workload.component == Component::Haproxy {
        return vec![Volume::at("tmp", json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "16Mi" } }), "/tmp")];
    }
    match workload.image.era {
        Era::Legacy => Vec::new(),
        Era::Rootless => {
            let size = if workload.component == Component::Jibri { "256Mi" } else { "16Mi" };
            ["run", "tmp"]
                .into_iter()
                .map(|name| {
                    let source = json!({ "emptyDir": { "medium": "Memory", "sizeLimit": size } });
                    Volume::at(name, source, &format!("/{name}"))
                })
                .collect()
        }
    }
}

/// A volume of the user's is Kubernetes' own plus `mounts`.
fn user_volumes(volumes: &[Json]) -> impl Iterator<Item = Volume> {
    volumes.iter().filter_map(|volume| {
        let mut source = volume.as_object()?.clone();
        let name = source.remove("name")?.as_str()?.to_owned();
        let mounts = source.remove("mounts").and_then(|mounts| mounts.as_array().cloned()).unwrap_or_default();
        Some(Volume { name, source: Json::Object(source), mounts })
    })
}

fn schedule(spec: &mut Map<String, Json>, workload: &Workload, affinity: Option<Json>, spread: Vec<Json>) {
    if !workload.node_selector.is_empty() {
        spec.insert("nodeSelector".into(), labels::json(&workload.node_selector));
    }
    if !workload.tolerations.is_empty() {
        spec.insert("tolerations".into(), workload.tolerations.clone().into());
    }
    if let Some(affinity) = workload.affinity.clone().or(affinity) {
        spec.insert("affinity".into(), affinity);
    }
    let spread = workload.topology_spread.clone().unwrap_or(spread);
    if !spread.is_empty() {
        spec.insert("topologySpreadConstraints".into(), spread.into());
    }
    if let Some(class) = &workload.priority_class {
        spec.insert("priorityClassName".into(), class.as_str().into());
    }
    if let Some(account) = &workload.service_account {
        spec.insert("serviceAccountName".into(), account.as_str().into());
    }
}
