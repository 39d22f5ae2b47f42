//! Who a cluster is, and what its namespace is like.

use http::Method;
use manifest::{Kind, ObjectRef};
use plan::{LiveObject, NamespaceState, Pin, SYSTEM};
use serde_json::Value as Json;

use crate::wire::Request;
use crate::{Cluster, ClusterError, ErrorKind};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

impl Cluster {
    /// The UID of the cluster's `kube-system` namespace, which nothing but a new cluster changes, and that of the fleet's own
    /// namespace; where not both may be read, the other.
    ///
    /// # Errors
    /// When neither can be read.
    pub async fn identity(&self) -> Result<Pin, ClusterError> {
        let (system, own) = futures::join!(self.namespace_uid(SYSTEM), self.namespace_uid(self.namespace()));
        let own = own.map(|uid| Pin::new(self.namespace(), &uid));
        match (system, own) {
            (Ok(uid), own) => {
                let mut pin = Pin::new(SYSTEM, &uid);
                if let Ok(own) = own {
                    pin.complete(&own);
                }
                Ok(pin)
            }
            (Err(error), Ok(own)) if matches!(error.kind, ErrorKind::Forbidden { .. }) => Ok(own),
            (Err(error), Err(own)) if matches!(error.kind, ErrorKind::Forbidden { .. }) => {
                Err(if matches!(own.kind, ErrorKind::NamespaceMissing(_)) { own } else { error })
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn namespace_uid(&self, name: &str) -> Result<String, ClusterError> {
        let namespace: Json = self.read(Request::object("get", Method::GET, &self.namespace_object(name))).await?;
        let uid = namespace.pointer("/metadata/uid").and_then(Json::as_str);
        uid.map(str::to_owned).ok_or_else(|| self.error(ErrorKind::Garbled("a namespace without UID".to_owned())))
    }

    /// Whether the fleet's namespace is there, and what Pod Security enforces in it. Unknown where it may not be read.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    pub async fn namespace_state(&self) -> Result<NamespaceState, ClusterError> {
        let read = self.get(&self.namespace_object(self.namespace())).await;
        let live = match read {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(NamespaceState::Absent),
            Err(error) if matches!(error.kind, ErrorKind::Forbidden { .. }) => return Ok(NamespaceState::Unknown),
            Err(error) => return Err(error),
        };
        Ok(state_of(live))
    }

    pub(crate) fn namespace_object(&self, name: &str) -> ObjectRef {
        ObjectRef {
            cluster: self.name().clone(),
            kind: Kind::Namespace,
            namespace: String::new(),
            name: name.to_owned(),
        }
    }
}

/// What a namespace that is there is like.
pub(crate) fn state_of(namespace: LiveObject) -> NamespaceState {
    let enforce = namespace.label(ENFORCE).map(str::to_owned);
    NamespaceState::Present { uid: namespace.uid, enforce, terminating: namespace.deleting }
}
