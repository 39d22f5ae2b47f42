//! The control plane as the file describes it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Storage, Workload};
use crate::{ClusterName, ShardName};

/// prosody, jicofo, web and haproxy, all in one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Where they run; also the home of the control plane's record and lease.
    pub cluster: ClusterName,
    /// The shards.
    pub shards: BTreeMap<ShardName, Shard>,
    /// How other clusters reach each shard's prosody.
    pub xmpp: XmppExpose,
    /// Labels and annotations of the XMPP Services.
    pub xmpp_annotations: BTreeMap<String, String>,
    /// `loadBalancerSourceRanges` of the XMPP Services, and the NetworkPolicy around prosody's 5222.
    pub xmpp_source_ranges: Vec<String>,
    /// The entrance.
    pub haproxy: Haproxy,
    /// How people reach the entrance.
    pub expose: Expose,
}

/// One prosody, one jicofo and their web pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Shard {
    /// The XMPP server.
    pub prosody: Prosody,
    /// The focus.
    pub jicofo: Workload,
    /// The web servers.
    pub web: Web,
}

/// The XMPP server of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Prosody {
    /// Its workload.
    pub workload: Workload,
    /// Persistent data, for `AUTH_TYPE=internal`.
    pub storage: Option<Storage>,
    /// A Secret of user → password that the shard creates, for `AUTH_TYPE=internal`.
    pub users: Option<String>,
}

/// The web servers of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Web {
    /// Their workload.
    pub workload: Workload,
    /// How many.
    pub replicas: u16,
}

/// The entrance that keeps each room on its shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Haproxy {
    /// Its workload.
    pub workload: Workload,
    /// How many, joined as peers.
    pub replicas: u16,
    /// Text that is appended to the rendered configuration.
    pub snippet: Option<String>,
    /// Which network of clients is in which region, wider networks first.
    pub regions: Vec<(IpNet, String)>,
}

/// How other clusters reach each shard's prosody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum XmppExpose {
    /// Only within the control cluster.
    ClusterIp,
    /// One load balancer per shard, two ports.
    LoadBalancer,
    /// Two node ports per shard, `base + 2 * shard index + slot`.
    NodePort {
        /// The first port.
        base: u16,
        /// Addresses to use instead of the nodes' own.
        addresses: Vec<IpAddr>,
    },
    /// Addresses that somebody else keeps, per shard; without `b` the shard rolls in place.
    External(BTreeMap<ShardName, XmppTarget>),
}

/// The addresses of one shard's slots under `external`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct XmppTarget {
    /// Slot a: host and port.
    pub a: (String, u16),
    /// Slot b, where there is one.
    pub b: Option<(String, u16)>,
}

/// How people reach the entrance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expose {
    /// A ClusterIP Service and nothing more.
    Internal,
    /// A Gateway API HTTPRoute.
    Gateway(Gateway),
    /// An Ingress.
    Ingress(Ingress),
    /// The entrance's own Service.
    Service {
        /// `LoadBalancer` or `NodePort`.
        type_: String,
        /// Annotations of that Service.
        annotations: BTreeMap<String, String>,
    },
}

/// The Gateway that carries the fleet's HTTPRoute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its namespace; the fleet's own if absent.
    pub namespace: Option<String>,
    /// The listener.
    pub section: Option<String>,
}

/// The Ingress in front of the entrance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// `ingressClassName`.
    pub class: Option<String>,
    /// The Secret with the certificate.
    pub tls_secret: Option<String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}
