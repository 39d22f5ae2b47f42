//! What can go wrong in the world itself (what goes wrong inside a pod shows in that pod's status).

/// Why the world does not start, or a hook of it cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The API server of a cluster refused or did not answer.
    #[error("cluster `{cluster}`: cannot {what}")]
    Api {
        /// The cluster's name.
        cluster: String,
        /// What was tried.
        what: String,
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// The stand-in kubelet cannot listen on loopback.
    #[error("cluster `{cluster}`: the stand-in kubelet cannot {what}: {why}")]
    Kubelet {
        /// The cluster's name.
        cluster: String,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: String,
    },
    /// An API server in memory cannot be reached.
    #[error("cluster `{cluster}`: its API server cannot be reached: {why}")]
    Listen {
        /// The cluster's name.
        cluster: String,
        /// Why.
        why: String,
    },
    /// Two clusters were to have one name.
    #[error("there are two clusters `{name}`")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// No cluster of that name takes part.
    #[error("there is no cluster `{name}` in this world, only {known}")]
    NoSuchCluster {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// No machine of that name is part of the cluster.
    #[error("cluster `{cluster}`: there is no node {node}")]
    NoSuchNode {
        /// The cluster's name.
        cluster: String,
        /// The node's name.
        node: String,
    },
    /// No simulated daemon runs in that pod.
    #[error("cluster `{cluster}`: no daemon runs in pod {pod}")]
    NoSuchDaemon {
        /// The cluster's name.
        cluster: String,
        /// `namespace/name`.
        pod: String,
    },
}
