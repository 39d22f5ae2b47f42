//! What the streams are about, and how what they bring is read: as [`Cluster::look`] does it.

use std::fmt;

use fleet::FleetName;
use http::Method;
use manifest::{Kind, Scope, labels};
use plan::{LiveObject, LivePod, NamespaceState, NodeView};

use crate::live::Listed;
use crate::wire::{Request, escape};
use crate::{Cluster, identity, look, pods};

/// What one stream is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The fleet's namespace.
    Namespace,
    /// The fleet's objects of a kind.
    Kind(Kind),
    /// The fleet's pods.
    Pods,
    /// All nodes.
    Nodes,
}

/// One of the things that a stream brings.
#[derive(Debug)]
pub(super) enum Item {
    Namespace(NamespaceState),
    Object(LiveObject),
    Pod(LivePod),
    Node(NodeView),
}

impl Subject {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.scope() == Scope::Namespaced);
        [Self::Namespace].into_iter().chain(kinds.map(Self::Kind)).chain([Self::Pods, Self::Nodes])
    }

    pub(super) fn of(kind: Kind) -> Self {
        if kind == Kind::Namespace { Self::Namespace } else { Self::Kind(kind) }
    }

    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Namespace => Kind::Namespace.plural(),
            Self::Kind(kind) => kind.plural(),
            Self::Pods => "pods",
            Self::Nodes => "nodes",
        }
    }

    /// Whether we can do without it, as far as rights go.
    pub(super) fn is_optional(self) -> bool {
        self != Self::Pods
    }

    /// Whether all else can be kept without it, whatever is wrong with it: what an add-on serves breaks with that, and
    /// nothing else of the fleet depends on it.
    pub(super) const fn is_dispensable(self) -> bool {
        matches!(self, Self::Kind(kind) if kind.is_optional() || matches!(kind, Kind::Ingress))
    }

    pub(super) fn request(self, verb: &'static str, cluster: &Cluster, fleet: &FleetName) -> Request {
        let namespace = cluster.namespace();
        let ours = |request: Request| request.query("labelSelector", &format!("{}={fleet}", labels::FLEET));
        match self {
            // By its name, so that rights to this one namespace are enough; they take a ClusterRole, and without them it
            // is read from time to time.
            Self::Namespace => Request::kind(verb, Method::GET, Kind::Namespace, None)
                .query("fieldSelector", &format!("metadata.name={namespace}")),
            Self::Kind(kind) => ours(Request::kind(verb, Method::GET, kind, Some(namespace))),
            Self::Pods => {
                let path = format!("/api/v1/namespaces/{}/pods", escape(namespace));
                ours(Request::path(verb, Method::GET, path, "pods"))
            }
            Self::Nodes => Request::path(verb, Method::GET, "/api/v1/nodes".to_owned(), "nodes"),
        }
    }

    /// `None` for what is not ours, or makes no sense.
    pub(super) fn read(self, cluster: &Cluster, found: Listed) -> Option<Item> {
        match self {
            Self::Namespace => Some(Item::Namespace(identity::state_of(found.into_live(cluster, Kind::Namespace)))),
            Self::Kind(_) if found.is_controlled() => None,
            Self::Kind(kind) => Some(Item::Object(found.into_live(cluster, kind))),
            Self::Pods => pods::read(&found.into_body()).map(Item::Pod),
            Self::Nodes => look::node(&found.into_body()).map(Item::Node),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())
    }
}
