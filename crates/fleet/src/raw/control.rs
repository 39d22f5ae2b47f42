//! The control plane's keys.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Map, Recipe, Storage, Text, Workload};

/// prosody, jicofo, web and haproxy, all in one cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Control {
    /// Where they run.
    #[schemars(extend("x-needed" = true))]
    pub(crate) cluster: Option<String>,
    /// Name → what differs in that shard.
    #[schemars(extend("x-needed" = true))]
    pub(crate) shards: Option<Map<Shard>>,
    /// How other clusters reach each shard's prosody.
    pub(crate) xmpp: Xmpp,
    /// The XMPP server of every shard.
    pub(crate) prosody: Prosody,
    /// The focus of every shard.
    pub(crate) jicofo: Workload,
    /// The web servers of every shard.
    pub(crate) web: Web,
    /// The entrance that keeps each room on its shard.
    pub(crate) haproxy: Haproxy,
    /// The Gateway that carries the fleet's HTTPRoute.
    pub(crate) gateway: Option<Gateway>,
    /// An Ingress in front of the entrance.
    pub(crate) ingress: Option<Ingress>,
    /// The entrance's own Service.
    pub(crate) service: Option<Service>,
}

/// What differs in one shard.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Shard {
    /// Its release.
    pub(crate) release: Option<String>,
    /// Where its images come from.
    pub(crate) registry: Option<String>,
    /// How its images want to be run.
    pub(crate) recipe: Option<Recipe>,
    /// Its environment; each image gets those names it reads.
    pub(crate) env: Map<Text>,
    /// What differs in its XMPP server.
    pub(crate) prosody: Prosody,
    /// What differs in its focus.
    pub(crate) jicofo: Workload,
    /// What differs in its web servers.
    pub(crate) web: Web,
    /// The name that this shard had before: objects and rooms keep it, so leave this here.
    pub(crate) renamed_from: Option<String>,
}

/// The XMPP server of a shard.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Prosody {
    /// What every workload takes.
    #[serde(flatten)]
    pub(crate) workload: Workload,
    /// Persistent data; `AUTH_TYPE=internal` needs it.
    pub(crate) storage: Option<Storage>,
    /// A Secret of user → password that every shard creates; `AUTH_TYPE=internal` needs it.
    pub(crate) users: Option<Users>,
}

/// Where the users of `AUTH_TYPE=internal` are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Users {
    /// The name of a Secret in the control cluster: user → password.
    #[schemars(extend("x-needed" = true))]
    pub(crate) secret: Option<String>,
}

/// The web servers of a shard.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Web {
    /// What every workload takes.
    #[serde(flatten)]
    pub(crate) workload: Workload,
    /// How many. Default: 2.
    pub(crate) replicas: Option<u16>,
}

/// The entrance.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Haproxy {
    /// What every workload takes.
    #[serde(flatten)]
    pub(crate) workload: Workload,
    /// How many, joined as peers. Default: 2.
    pub(crate) replicas: Option<u16>,
    /// Text that is appended to the rendered configuration.
    pub(crate) snippet: Option<String>,
    /// Where people are: region of the clusters → networks of clients. The most specific network counts.
    pub(crate) regions: Map<Vec<String>>,
}

/// How other clusters reach each shard's prosody.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Xmpp {
    /// Which way. Default: `cluster_ip`.
    pub(crate) expose: Option<XmppExpose>,
    /// Who may connect to the load balancers.
    pub(crate) source_ranges: Vec<String>,
    /// Annotations of the Services.
    pub(crate) annotations: Map<Text>,
    /// For `expose: node_port`.
    pub(crate) node_port: Option<XmppNodePort>,
    /// For `expose: external`: shard → addresses.
    pub(crate) external: Option<Map<Target>>,
}

/// How prosody is exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum XmppExpose {
    /// Only within the control cluster.
    ClusterIp,
    /// A load balancer per shard, with a port per slot.
    LoadBalancer,
    /// Two node ports per shard, one per slot.
    NodePort,
    /// Addresses that somebody else keeps.
    External,
}

/// Node ports for XMPP.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct XmppNodePort {
    /// The first port; two per shard.
    #[schemars(extend("x-needed" = true))]
    pub(crate) base: Option<u16>,
    /// Addresses to use instead of the nodes' own.
    pub(crate) addresses: Vec<String>,
}

/// Where somebody else keeps a shard's slots reachable.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Target {
    /// `host:port` of slot a.
    #[schemars(extend("x-needed" = true))]
    pub(crate) a: Option<String>,
    /// `host:port` of slot b; without it the shard rolls in place.
    pub(crate) b: Option<String>,
}

/// The Gateway that carries the fleet's HTTPRoute.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Gateway {
    /// Its name.
    #[schemars(extend("x-needed" = true))]
    pub(crate) name: Option<String>,
    /// Its namespace. Default: the fleet's own.
    pub(crate) namespace: Option<String>,
    /// The listener.
    pub(crate) section: Option<String>,
}

/// The Ingress in front of the entrance.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Ingress {
    /// `ingressClassName`.
    pub(crate) class: Option<String>,
    /// The Secret with the certificate.
    pub(crate) tls_secret: Option<String>,
    /// Annotations.
    pub(crate) annotations: Map<Text>,
}

/// The entrance's own Service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Service {
    /// Its type. Default: `load_balancer`.
    #[serde(rename = "type")]
    pub(crate) type_: Option<ServiceType>,
    /// Annotations.
    pub(crate) annotations: Map<Text>,
}

/// A Service's type.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServiceType {
    /// `LoadBalancer`.
    LoadBalancer,
    /// `NodePort`.
    NodePort,
}
