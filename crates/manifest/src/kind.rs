//! The closed list of Kubernetes kinds that a fleet consists of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// A kind that we apply, list and prune. The order is the order of applying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `v1`.
    Namespace,
    /// `v1`.
    Secret,
    /// `v1`.
    ConfigMap,
    /// `v1`.
    Service,
    /// `discovery.k8s.io/v1`.
    EndpointSlice,
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy/v1`.
    PodDisruptionBudget,
    /// `apps/v1`.
    StatefulSet,
    /// `apps/v1`.
    Deployment,
    /// `networking.k8s.io/v1`.
    Ingress,
    /// `gateway.networking.k8s.io/v1`.
    HttpRoute,
    /// `monitoring.coreos.com/v1`.
    PodMonitor,
}

impl Kind {
    /// All kinds, in the order of applying.
    pub const ALL: [Self; 12] = [
        Self::Namespace,
        Self::Secret,
        Self::ConfigMap,
        Self::Service,
        Self::EndpointSlice,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::StatefulSet,
        Self::Deployment,
        Self::Ingress,
        Self::HttpRoute,
        Self::PodMonitor,
    ];

    /// `kind` as Kubernetes spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.table().0
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        self.table().1
    }

    /// The version.
    #[must_use]
    pub const fn version(self) -> &'static str {
        "v1"
    }

    /// The plural that stands in URLs.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.table().2
    }

    /// Where objects of this kind live.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Namespace => Scope::Cluster,
            _ => Scope::Namespaced,
        }
    }

    /// Whether a cluster may lack this kind: it comes with a CRD.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::HttpRoute | Self::PodMonitor)
    }

    /// Whether objects of this kind make pods from a template.
    #[must_use]
    pub const fn has_pods(self) -> bool {
        matches!(self, Self::StatefulSet | Self::Deployment)
    }

    /// `apiVersion` as it stands in an object.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", self.group()) }
    }

    const fn table(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Namespace => ("Namespace", "", "namespaces"),
            Self::Secret => ("Secret", "", "secrets"),
            Self::ConfigMap => ("ConfigMap", "", "configmaps"),
            Self::Service => ("Service", "", "services"),
            Self::EndpointSlice => ("EndpointSlice", "discovery.k8s.io", "endpointslices"),
            Self::NetworkPolicy => ("NetworkPolicy", "networking.k8s.io", "networkpolicies"),
            Self::PodDisruptionBudget => ("PodDisruptionBudget", "policy", "poddisruptionbudgets"),
            Self::StatefulSet => ("StatefulSet", "apps", "statefulsets"),
            Self::Deployment => ("Deployment", "apps", "deployments"),
            Self::Ingress => ("Ingress", "networking.k8s.io", "ingresses"),
            Self::HttpRoute => ("HTTPRoute", "gateway.networking.k8s.io", "httproutes"),
            Self::PodMonitor => ("PodMonitor", "monitoring.coreos.com", "podmonitors"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
