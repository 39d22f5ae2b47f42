//! Real Kubernetes API servers, side by side on loopback, for the tests and the demo.
//!
//! Each cluster is one etcd, one kube-apiserver and one kube-controller-manager, with RBAC, Pod Security admission
//! and an audit log. What a machine without a container engine lacks (scheduler, kubelets, load balancers) is played
//! by the `sandbox` crate. The binaries come from [`Sources`]; everything else is made in a temporary folder and ends
//! with the [`Testbed`] that started it, even when the test that owns it is killed.

mod access;
mod audit;
mod binaries;
mod cluster;
mod definitions;
mod error;
mod kubeconfig;
mod ports;
mod process;
mod server;
mod strict;

pub use access::{Rights, Rule};
pub use audit::{AuditEntry, AuditMark, ObjectRef};
pub use binaries::{Binaries, Sources};
pub use cluster::Cluster;
pub use error::{Error, Result};
pub use kubeconfig::{Credential, Entry, write as write_kubeconfig};
pub use strict::Verdict;

use std::{
    net::Ipv4Addr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use futures::future::try_join_all;
use tempfile::TempDir;

/// Where a cluster's load balancers get their addresses, one network per cluster: those that are set aside for
/// documentation, because an EndpointSlice refuses loopback and nothing may answer there.
pub const LOAD_BALANCERS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(198, 51, 100, 10), Ipv4Addr::new(192, 0, 2, 10)];

/// What differs from one testbed to the next.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keep an audit log of every request (level Metadata). Costs a little disk; needed by [`Cluster::audit_since`].
    pub audit: bool,
    /// Run kube-controller-manager. Without it nothing but the API server writes.
    pub controllers: bool,
    /// The ports that Services get on nodes. One that nobody asked for is drawn from all but the first few.
    pub node_ports: RangeInclusive<u16>,
    /// Where the binaries come from.
    pub sources: Sources,
}

impl Default for Options {
    fn default() -> Self {
        Self { audit: true, controllers: true, node_ports: 30_000..=32_767, sources: Sources::of_this_machine() }
    }
}

/// Clusters that run until this value is dropped.
#[derive(Debug)]
pub struct Testbed {
    // Declared (and so dropped) before the folder they write to.
    clusters: Vec<Cluster>,
    kubeconfig: PathBuf,
    dir: TempDir,
}

impl Testbed {
    /// Starts one cluster per name, all at once, and returns when every API server is ready.
    ///
    /// # Errors
    /// When the binaries can neither be found nor built, or a server does not come up.
    pub async fn start(names: &[&str], options: Options) -> Result<Self> {
        let sources = options.sources.clone();
        let binaries = tokio::task::spawn_blocking(move || Binaries::locate_or_build(&sources))
            .await
            .map_err(|gone| Error::Io { what: "cannot look for the API servers".into(), source: gone.into() })??;
        let dir = tempfile::Builder::new()
            .prefix("jitsictl-testbed-")
            .tempdir()
            .map_err(|source| Error::Io { what: "cannot create a temporary folder".into(), source })?;
        let starting =
            names.iter().enumerate().map(|(index, name)| Cluster::start(name, index, dir.path(), &binaries, &options));
        let clusters = try_join_all(starting).await?;

        let kubeconfig = dir.path().join("kubeconfig");
        let entries: Vec<Entry<'_>> = clusters.iter().map(Cluster::admin_entry).collect();
        kubeconfig::write(&kubeconfig, &entries)?;
        Ok(Self { clusters, kubeconfig, dir })
    }

    /// The clusters, in the order of their names at the start.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// One cluster by its name.
    ///
    /// # Errors
    /// When no cluster has that name.
    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name() == name).ok_or_else(|| Error::NoSuchCluster {
            name: name.to_owned(),
            known: self.clusters.iter().map(|cluster| cluster.name().to_owned()).collect(),
        })
    }

    /// A kubeconfig with one context per cluster, named like it, with all rights.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder with the servers' data and logs; it goes when the testbed goes.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the API server of a cluster and starts it again on the same port, with the same data.
    ///
    /// # Errors
    /// When there is no such cluster, or its server does not come back.
    pub async fn restart_apiserver(&self, name: &str) -> Result<()> {
        let cluster = self.cluster(name)?;
        cluster.stop_apiserver();
        cluster.start_apiserver().await
    }
}
