//! The grammar of the fleet file: every key, as written, with nothing decided yet.
//!
//! The doc comments are the descriptions of the JSON schema, so they speak to whoever writes the file.

mod control;
mod data;
mod policy;
mod text;
mod workload;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use control::{Control, ServiceType, Shard, Target, XmppExpose};
pub(crate) use data::{
    Advertise, BridgeExpose, Bridges, Count, Data, NodeAddress, Pool, RecorderStorage, Recorders, Scale, Shards,
};
pub(crate) use policy::{Daemon, Monitoring, OnDeadline, OnFailure, Rollout, ShardStrategy};
pub(crate) use text::Text;
pub(crate) use workload::{File, Resources, Storage, Workload};

/// A map whose keys the user chooses.
pub(crate) type Map<T> = BTreeMap<String, T>;

/// A fleet: everything that serves one public URL.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "Fleet")]
pub(crate) struct Fleet {
    /// The fleet's name, a DNS label; every object's name starts with it.
    #[schemars(extend("x-needed" = true))]
    pub(crate) fleet: Option<String>,
    /// The address that people open, such as `https://meet.example.org`.
    #[schemars(extend("x-needed" = true))]
    pub(crate) url: Option<String>,
    /// Tag of every Jitsi image, unless a shard, pool or component says otherwise.
    #[schemars(extend("x-needed" = true))]
    pub(crate) release: Option<String>,
    /// Where the images come from. Default: `ghcr.io/jitsi` for rootless, `docker.io/jitsi` for legacy tags.
    pub(crate) registry: Option<String>,
    /// How the images want to be run. Default: by the tag.
    pub(crate) recipe: Option<Recipe>,
    /// `imagePullPolicy` of every container.
    pub(crate) pull_policy: Option<PullPolicy>,
    /// Names of `imagePullSecrets` in every namespace of the fleet.
    pub(crate) pull_secrets: Vec<String>,
    /// The DNS suffix of the clusters' Services.
    pub(crate) cluster_domain: Option<String>,
    /// A name of yours → where it is.
    #[schemars(extend("x-needed" = true))]
    pub(crate) clusters: Option<Map<Cluster>>,
    /// The names of docker-compose's `.env`, unchanged; each image gets exactly those it reads.
    pub(crate) env: Map<Text>,
    /// Files read as docker-compose reads them, relative to this file; secret-looking names go to a Secret.
    pub(crate) env_files: Vec<String>,
    /// Values that don't belong in this file.
    pub(crate) secrets: Map<Secret>,
    /// The XMPP domains. Default: the images' own.
    pub(crate) domains: Domains,
    /// prosody, jicofo, web and haproxy.
    #[schemars(extend("x-needed" = true))]
    pub(crate) control: Option<Control>,
    /// jvb and jibri.
    #[schemars(extend("x-needed" = true))]
    pub(crate) data: Option<Data>,
    /// How live units are replaced.
    pub(crate) rollout: Rollout,
    /// The long-lived reconciler.
    pub(crate) daemon: Daemon,
    /// Metrics endpoints for Prometheus.
    pub(crate) monitoring: Monitoring,
    /// Whether NetworkPolicies fence what has no authentication.
    pub(crate) network_policy: Option<bool>,
}

/// How images want to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recipe {
    /// From `stable-11146`: uid 1000, read-only root.
    Rootless,
    /// From `stable-9823` to `stable-11031`: root, ports 80/443, colibri websockets.
    Legacy,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(crate) enum PullPolicy {
    /// Pull when absent.
    IfNotPresent,
    /// Pull at every start.
    Always,
    /// Never pull.
    Never,
}

/// A kubeconfig context and a namespace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Cluster {
    /// The kubeconfig's context; `in-cluster` is the pod's own.
    #[schemars(extend("x-needed" = true))]
    pub(crate) context: Option<String>,
    /// The namespace that holds everything of the fleet there. Default: the fleet's name.
    pub(crate) namespace: Option<String>,
    /// The region that bridges there report.
    pub(crate) region: Option<String>,
    /// A kubeconfig of its own, relative to this file; wins over `--kubeconfig`.
    pub(crate) kubeconfig: Option<String>,
    /// The UID of the cluster's `kube-system` namespace; else the one seen at first use is pinned.
    pub(crate) uid: Option<String>,
    /// The name that this entry had before: what runs there keeps it, so leave this here.
    pub(crate) renamed_from: Option<String>,
}

/// Where a secret value comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Secret {
    /// A variable of the process that runs jitsictl.
    Env {
        /// The variable's name.
        env: String,
    },
    /// A file, relative to this one; a line break at its end is dropped.
    File {
        /// The file's path.
        file: String,
    },
    /// A Secret that already exists in the control cluster.
    Existing {
        /// The Secret's name.
        secret: String,
        /// Its key.
        key: String,
    },
    /// The value in clear: it works, with a warning.
    Clear(Text),
}

/// The XMPP domains: virtual names that need no DNS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Domains {
    /// XMPP_DOMAIN.
    pub(crate) main: Option<String>,
    /// XMPP_AUTH_DOMAIN.
    pub(crate) auth: Option<String>,
    /// XMPP_MUC_DOMAIN.
    pub(crate) muc: Option<String>,
    /// XMPP_INTERNAL_MUC_DOMAIN.
    pub(crate) internal_muc: Option<String>,
    /// XMPP_GUEST_DOMAIN.
    pub(crate) guest: Option<String>,
    /// XMPP_HIDDEN_DOMAIN.
    pub(crate) hidden: Option<String>,
}
