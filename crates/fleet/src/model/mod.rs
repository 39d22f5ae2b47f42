//! The validated fleet: what the file says after all layers, defaults and checks.

mod control;
mod data;
mod policy;
mod workload;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use control::{Control, Expose, Gateway, Haproxy, Ingress, Prosody, Shard, Web, XmppExpose, XmppTarget};
pub use data::{
    Advertise, AdvertiseFallback, BridgeExpose, BridgeWebsocket, Bridges, Data, Pool, RecorderStorage, Recorders,
    Replicas, Scale, ScaleSchedule,
};
pub use policy::{Daemon, Monitoring, OnDeadline, OnFailure, Rollout, ShardStrategy, Webhook, Window};
pub use workload::{CustomFile, EnvValue, FileSource, Image, PullPolicy, ResourceList, Resources, Storage, Workload};

use crate::{ClusterName, EnvName, FleetName, Plane, Renames};

/// Everything that serves one public URL: one fleet file, checked.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// Every object's name starts with it.
    pub name: FleetName,
    /// The address that people open.
    pub url: PublicUrl,
    /// The DNS suffix of the clusters' Services, such as `cluster.local`.
    pub cluster_domain: String,
    /// `imagePullPolicy` of every container.
    pub pull_policy: PullPolicy,
    /// Names of `imagePullSecrets` in every namespace of the fleet.
    pub pull_secrets: Vec<String>,
    /// Where things are.
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// The user's secret values: those of `secrets` and secret-looking names of `env` and `env_files`.
    pub secrets: BTreeMap<EnvName, SecretSource>,
    /// The XMPP domains that every component of a shard must agree on.
    pub domains: Domains,
    /// prosody, jicofo, web and haproxy.
    pub control: Control,
    /// jvb and jibri.
    pub data: Data,
    /// How live units are replaced.
    pub rollout: Rollout,
    /// The long-lived reconciler.
    pub daemon: Daemon,
    /// Whether metrics endpoints are opened to Prometheus.
    pub monitoring: Monitoring,
    /// Whether NetworkPolicies fence what has no authentication.
    pub network_policy: bool,
    /// Names in the file of what runs under another one.
    pub renames: Renames,
}

impl Fleet {
    /// Whether a plane lives in a cluster, or has its home there.
    #[must_use]
    pub fn has_plane_in(&self, plane: Plane, cluster: &ClusterName) -> bool {
        match plane {
            Plane::Control => self.control.cluster == *cluster,
            Plane::Data => self.data.home == *cluster || self.data.pools.iter().any(|pool| pool.cluster == *cluster),
        }
    }
}

/// A kubeconfig context and a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// How the cluster is reached.
    pub access: Access,
    /// The namespace that holds everything of the fleet there.
    pub namespace: String,
    /// The region that bridges there report, if any.
    pub region: Option<String>,
    /// The UID of the cluster's `kube-system` namespace, where the file pins it.
    pub uid: Option<String>,
}

impl Cluster {
    /// Two names of ours can stand for two namespaces of one cluster.
    #[must_use]
    pub fn is_same_cluster(&self, other: &Self) -> bool {
        match (&self.uid, &other.uid) {
            (Some(own), Some(its)) => own == its,
            _ => self.access == other.access,
        }
    }
}

/// How a cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// A context of a kubeconfig: of this file, or of the one given to the command.
    Context {
        /// The context's name.
        context: String,
        /// A kubeconfig of its own, already resolved against the fleet file's folder.
        kubeconfig: Option<PathBuf>,
    },
    /// The pod's own service account (`context: in-cluster`).
    InCluster,
}

/// The address that people open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(url::Url);

impl PublicUrl {
    /// Takes an `https://` or `http://` URL with a host and without path, query or fragment.
    #[must_use]
    pub fn new(url: url::Url) -> Option<Self> {
        let plain = matches!(url.scheme(), "https" | "http")
            && url.host_str().is_some()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        plain.then_some(Self(url))
    }

    /// The host, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Where a secret value comes from. The value itself is never part of anything that is rendered.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// The value was at hand in this runner (`{env: …}`, `{file: …}`, an env file, or in clear).
    Value(SecretString),
    /// The source names a variable or file that this runner lacks: what is stored is kept.
    Missing {
        /// The source as the file names it, for messages.
        source: String,
    },
    /// A Secret that already exists in the control cluster's namespace.
    Existing {
        /// The Secret's name.
        secret: String,
        /// Its key.
        key: String,
    },
}

/// The XMPP domains: virtual names that need no DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domains {
    /// XMPP_DOMAIN.
    pub main: String,
    /// XMPP_AUTH_DOMAIN.
    pub auth: String,
    /// XMPP_MUC_DOMAIN.
    pub muc: String,
    /// XMPP_INTERNAL_MUC_DOMAIN.
    pub internal_muc: String,
    /// XMPP_GUEST_DOMAIN.
    pub guest: String,
    /// XMPP_HIDDEN_DOMAIN.
    pub hidden: String,
}

impl Default for Domains {
    /// The images' own.
    fn default() -> Self {
        Self {
            main: "meet.jitsi".into(),
            auth: "auth.meet.jitsi".into(),
            muc: "muc.meet.jitsi".into(),
            internal_muc: "internal-muc.meet.jitsi".into(),
            guest: "guest.meet.jitsi".into(),
            hidden: "hidden.meet.jitsi".into(),
        }
    }
}
