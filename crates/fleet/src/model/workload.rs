//! What every workload takes: image, environment, files, resources, scheduling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{Component, EnvName, Era, Release};

/// One component's workload with everything resolved: layers merged, files read, era chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Which program runs.
    pub component: Component,
    /// Its image.
    pub image: Image,
    /// What the user sets for this component, each name already selected for this image: global env, env files,
    /// secrets, the shard's and the component's own. Names that jitsictl computes are not in here.
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Custom files mounted into the container.
    pub files: Vec<CustomFile>,
    /// Requests and limits, in canonical quantities.
    pub resources: Resources,
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Kubernetes' own `tolerations` list, as written.
    pub tolerations: Vec<Json>,
    /// Kubernetes' own `affinity`, as written; replaces ours where it is set.
    pub affinity: Option<Json>,
    /// Kubernetes' own `topologySpreadConstraints`; replaces ours where it is set.
    pub topology_spread: Option<Vec<Json>>,
    /// `priorityClassName`.
    pub priority_class: Option<String>,
    /// Annotations of the pods.
    pub annotations: BTreeMap<String, String>,
    /// Labels of the pods, beside ours.
    pub labels: BTreeMap<String, String>,
    /// `serviceAccountName`.
    pub service_account: Option<String>,
    /// Extra volumes: Kubernetes' own volume plus `mounts` (a list of `volumeMounts` without `name`).
    pub volumes: Vec<Json>,
    /// Extra containers, Kubernetes' own.
    pub sidecars: Vec<Json>,
}

/// A container image and how it wants to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The full reference, `registry/name:tag` or `registry/name@sha256:…`.
    pub reference: String,
    /// The Jitsi release (haproxy: its own tag).
    pub release: Release,
    /// Which recipe runs it.
    pub era: Era,
}

/// A value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvValue {
    /// In clear, in the pod template.
    Plain(String),
    /// From the fleet's Secret `<fleet>-secrets` (in data clusters its copy), under the variable's own name.
    Secret,
}

/// A file of the user's in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomFile {
    /// Absolute path in the container.
    pub path: String,
    /// Where its content comes from.
    pub source: FileSource,
    /// Permission bits, such as `0o444`.
    pub mode: u32,
}

/// Where a custom file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// Read from `text` or from a local `file` at load time.
    Content(Vec<u8>),
    /// A key of a ConfigMap that exists in the component's cluster.
    ConfigMap {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// A key of a Secret that exists in the component's cluster.
    Secret {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
}

/// `resources` of a container, with quantities in the API server's canonical spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// What the scheduler reserves.
    pub requests: ResourceList,
    /// What the kubelet enforces.
    pub limits: ResourceList,
}

/// Resource name → canonical quantity.
pub type ResourceList = BTreeMap<String, String>;

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Pull when absent.
    IfNotPresent,
    /// Pull at every start.
    Always,
    /// Never pull.
    Never,
}

/// A persistent volume of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Canonical quantity.
    pub size: String,
    /// `storageClassName`; the cluster's default if absent.
    pub class: Option<String>,
}
