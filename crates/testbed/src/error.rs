//! What can go wrong, each with a way out.

use std::{path::PathBuf, time::Duration};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a testbed could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Go toolchain that builds the servers is not there.
    #[error(
        "the API servers have to be built, but `go` cannot be run ({source})\n  hint: install Go 1.24 or newer, or set KUBEBUILDER_ASSETS to a folder with kube-apiserver, kube-controller-manager and etcd"
    )]
    NoGo {
        /// What the attempt to run it said.
        source: std::io::Error,
    },
    /// `go build` ended with an error.
    #[error("cannot build the API servers from {tools}: `go build` ended with {status}\n  hint: {tail}")]
    Build {
        /// The folder with go.mod.
        tools: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last lines that it wrote.
        tail: String,
    },
    /// `KUBEBUILDER_ASSETS` points to a folder that lacks a binary.
    #[error("{folder} has no `{binary}`\n  hint: KUBEBUILDER_ASSETS must name a folder with {}", needed.join(", "))]
    Incomplete {
        /// The folder.
        folder: PathBuf,
        /// What is not in it.
        binary: &'static str,
        /// What has to be.
        needed: &'static [&'static str],
    },
    /// go.mod does not say which Kubernetes is built.
    #[error("{file} does not require `{module}`\n  hint: `go get -tool {module}@VERSION` in its folder")]
    NoVersion {
        /// The file.
        file: PathBuf,
        /// The module that it should name.
        module: &'static str,
    },
    /// A server ended, or did not become ready in time.
    #[error("{cluster}: {program} {why}\n{log}")]
    NotReady {
        /// The cluster.
        cluster: String,
        /// The program.
        program: &'static str,
        /// What was seen.
        why: String,
        /// The end of its log.
        log: String,
    },
    /// No free port was found.
    #[error("no free port on 127.0.0.1 between {from} and {to}")]
    NoPort {
        /// First port that was tried.
        from: u16,
        /// Last port that was tried.
        to: u16,
    },
    /// A name that no cluster has.
    #[error("there is no cluster `{name}` here, only {}", known.join(", "))]
    NoSuchCluster {
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// The audit log did not show what must be in it.
    #[error("{cluster}: the audit log did not catch up within {waited:?}")]
    AuditLate {
        /// The cluster.
        cluster: String,
        /// How long we waited.
        waited: Duration,
    },
    /// A request of ours to an API server failed.
    #[error("{cluster}: cannot {what}: {source}")]
    Request {
        /// The cluster.
        cluster: String,
        /// What was tried.
        what: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// A kubeconfig that we wrote cannot be used.
    #[error("{cluster}: the kubeconfig is unusable: {source}")]
    Kubeconfig {
        /// The cluster.
        cluster: String,
        /// What the parser said.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The definition of a kind cannot be used.
    #[error("{path}: no definition of a kind: {why}")]
    Definition {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// The key that signs service account tokens could not be made.
    #[error("cannot make a signing key: {0}")]
    Key(#[from] rcgen::Error),
    /// A file or a process could not be handled.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Says what was tried when an input or output operation fails.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}
