//! What a run is given: all that reaches it from outside, time and chance included.

use std::time::Duration;

use clock::Clock;
use cluster::{Connector, Limits, Logins, Proxies, RunKey, Tallies};
use fleet::ClusterName;
use plan::Policy;
use tokio_util::sync::CancellationToken;

use crate::{Entropy, Handover};

/// What a run is allowed and told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it happens.
    pub place: Place,
    /// Planes, clusters, disruption.
    pub policy: Policy,
    /// How long to go on until everything has converged.
    pub timeout: Duration,
    /// Namespaces that are missing are created.
    pub create_namespaces: bool,
    /// A cluster that an existing fleet has not used before is trusted.
    pub trust_new_clusters: bool,
    /// Passwords that are lost in the control cluster are taken from this data cluster's copy.
    pub restore_passwords_from: Option<ClusterName>,
    /// What the control plane's keepers handed over, instead of access to their cluster.
    pub handover: Option<Handover>,
    /// Cancelled, it ends as if the time was up: nothing new begins, drains are taken back, and Leases given back.
    pub stop: CancellationToken,
}

/// The world that a run is in: its clusters, its time, its chance.
#[derive(Debug, Clone)]
pub struct Place {
    /// How clusters are reached.
    pub connector: Connector,
    /// The runner's proxy settings.
    pub proxies: Proxies,
    /// `jitsictl/<version>`.
    pub user_agent: String,
    /// What time it is. Waiting is by tokio's timer.
    pub clock: Clock,
    /// What passwords and the like are made from.
    pub entropy: Entropy,
}

impl Place {
    /// The real world.
    #[must_use]
    pub fn real(connector: Connector, proxies: Proxies, user_agent: String) -> Self {
        Self { connector, proxies, user_agent, clock: Clock::machine(), entropy: Entropy::of_system() }
    }

    /// How clusters are connected to in one run.
    #[must_use]
    pub fn connection(&self) -> cluster::Options {
        cluster::Options {
            user_agent: self.user_agent.clone(),
            limits: Limits::default(),
            proxies: self.proxies.clone(),
            run_key: RunKey::new(&mut self.entropy.generator()),
            tallies: Tallies::default(),
            logins: Logins::new(self.clock.clone()),
        }
    }
}
