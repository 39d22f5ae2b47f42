//! What rendering the data plane needs to know of the world: addresses that only clusters can tell.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use fleet::{Index, PoolName, ShardName, Slot};
use serde::{Deserialize, Serialize};

/// Addresses that were observed, or carried over by a handover file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Where each slot's XMPP is reached from outside the control cluster. A slot that is missing is pending.
    pub endpoints: BTreeMap<ShardName, BTreeMap<Slot, Endpoint>>,
    /// Per pool: node name → addresses to advertise, as `advertise` picks them. `None`: not known (keep what is).
    pub nodes: BTreeMap<PoolName, Option<BTreeMap<String, Vec<IpAddr>>>>,
    /// Per pool whose bridges have load balancers: bridge → addresses.
    pub load_balancers: BTreeMap<PoolName, BTreeMap<Index, Vec<IpAddr>>>,
}

/// Where other clusters reach a slot's prosody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    /// There it is.
    Known(Target),
    /// Not there yet.
    Pending {
        /// Why not.
        why: PendingReason,
    },
    /// It was there and can't be seen any more: the last one is kept.
    Stale {
        /// Where it was.
        last: Target,
        /// Why it can't be seen.
        why: PendingReason,
    },
    /// It moved: both are kept until bridges have joined by the new one.
    Moving {
        /// Where it was.
        old: Target,
        /// Where it is.
        new: Target,
    },
}

impl Endpoint {
    /// The address that wiring should point to.
    #[must_use]
    pub const fn target(&self) -> Option<&Target> {
        match self {
            Self::Known(target) | Self::Stale { last: target, .. } | Self::Moving { new: target, .. } => Some(target),
            Self::Pending { .. } => None,
        }
    }

    /// Why it is not known now, whether or not it ever was.
    #[must_use]
    pub const fn unknown(&self) -> Option<&PendingReason> {
        match self {
            Self::Pending { why } | Self::Stale { why, .. } => Some(why),
            Self::Known(_) | Self::Moving { .. } => None,
        }
    }
}

/// Why an endpoint is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PendingReason {
    /// The Service has not been applied.
    NoService,
    /// The load balancer's provider has not given an address.
    Allocating,
    /// The Service has not got this node port yet.
    NodePort(u16),
    /// The control cluster does not let us read it.
    Forbidden(String),
    /// The control cluster can't be reached, and nothing was ever known.
    Unreachable(String),
}

impl fmt::Display for PendingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoService => f.write_str("its Service is not there yet"),
            Self::Allocating => f.write_str("the load balancer has no address yet"),
            Self::NodePort(port) => write!(f, "its Service does not have node port {port} yet"),
            Self::Forbidden(why) => write!(f, "reading it is forbidden: {why}"),
            Self::Unreachable(why) => write!(f, "the control cluster can't be reached: {why}"),
        }
    }
}

/// An address: IPs of one family or more, or a host name; and a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Written as an EndpointSlice per family.
    Ips {
        /// Sorted, never empty.
        ips: Vec<IpAddr>,
        /// TCP port.
        port: u16,
    },
    /// Written as an ExternalName.
    Host {
        /// The name.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl Target {
    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Ips { port, .. } | Self::Host { port, .. } => *port,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ips { ips, port } => {
                let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
                write!(f, "{}:{port}", ips.join(","))
            }
            Self::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
