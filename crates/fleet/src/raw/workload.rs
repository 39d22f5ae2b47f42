//! What every workload takes.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Map, Recipe, Text};

/// What every workload takes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Workload {
    /// The image's full reference, `registry/name:tag` or `registry/name@sha256:…`.
    pub(crate) image: Option<String>,
    /// The Jitsi release: the image's tag.
    pub(crate) release: Option<String>,
    /// Where the image comes from.
    pub(crate) registry: Option<String>,
    /// How the image wants to be run.
    pub(crate) recipe: Option<Recipe>,
    /// Requests and limits.
    pub(crate) resources: Resources,
    /// `nodeSelector`.
    pub(crate) node_selector: Map<Text>,
    /// Kubernetes' own tolerations.
    pub(crate) tolerations: Vec<Map<Json>>,
    /// Kubernetes' own affinity; replaces ours.
    pub(crate) affinity: Option<Map<Json>>,
    /// Kubernetes' own topologySpreadConstraints; replaces ours.
    pub(crate) topology_spread: Option<Vec<Map<Json>>>,
    /// `priorityClassName`.
    pub(crate) priority_class: Option<String>,
    /// Annotations of the pods.
    pub(crate) annotations: Map<Text>,
    /// Labels of the pods, beside jitsictl's own.
    pub(crate) labels: Map<Text>,
    /// `serviceAccountName`.
    pub(crate) service_account: Option<String>,
    /// Environment of this component; a name that jitsictl computes is an error here.
    pub(crate) env: Map<Text>,
    /// Custom files mounted into the container.
    pub(crate) files: Vec<File>,
    /// Kubernetes' own volumes, each with `mounts`: volumeMounts without `name`.
    pub(crate) volumes: Vec<Map<Json>>,
    /// Extra containers, Kubernetes' own.
    pub(crate) sidecars: Vec<Map<Json>>,
}

/// Requests and limits of a container.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Resources {
    /// What the scheduler reserves.
    pub(crate) requests: Map<Text>,
    /// What the kubelet enforces.
    pub(crate) limits: Map<Text>,
}

/// A custom file: exactly one of `text`, `file`, `base64`, `config_map` + `key`, `secret` + `key`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct File {
    /// Absolute path in the container.
    #[schemars(extend("x-needed" = true))]
    pub(crate) path: Option<String>,
    /// The content.
    pub(crate) text: Option<String>,
    /// The content in base64.
    pub(crate) base64: Option<String>,
    /// A local file, relative to this one.
    pub(crate) file: Option<String>,
    /// A ConfigMap that exists in the component's cluster.
    pub(crate) config_map: Option<String>,
    /// A Secret that exists in the component's cluster.
    pub(crate) secret: Option<String>,
    /// The key in that ConfigMap or Secret.
    pub(crate) key: Option<String>,
    /// Permission bits in octal. Default: `"0444"`.
    pub(crate) mode: Option<Text>,
}

/// A persistent volume.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Storage {
    /// Its size, such as `1Gi`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) size: Option<Text>,
    /// `storageClassName`. Default: the cluster's own.
    pub(crate) class: Option<String>,
}
