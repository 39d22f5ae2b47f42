//! One look at a cluster: one LIST per kind, all at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fleet::{FleetName, Plane};
use futures::future::join_all;
use http::Method;
use jiff::Timestamp;
use manifest::{Kind, ObjectRef, Scope, labels};
use plan::{ClusterView, Inventory, Known, LiveObject, LivePod, NodeView, Reason, Record, Seen, Source};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::inventory::Shelf;
use crate::live::Listed;
use crate::patience::patiently;
use crate::wire::{Request, escape};
use crate::{Cluster, ClusterError, ErrorKind, inventory, pods, record};

/// What one look showed.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// What the planner sees.
    pub view: ClusterView,
    /// The inventories as they are stored: needed to write them back.
    pub shelves: BTreeMap<Plane, Shelf>,
    /// The records that live here, with their versions.
    pub records: BTreeMap<Plane, (Record, String)>,
    /// Records that are here and can't be read, with the reason: never a reason to begin anew.
    pub unreadable_records: BTreeMap<Plane, String>,
}

/// More than a large fleet has of a kind, so that one LIST does: what a server reads for it fits into memory easily.
pub(crate) const PAGE: &str = "2500";

impl Cluster {
    /// Looks at everything of the fleet in this cluster. A kind that may not be listed, or is not known there, leaves
    /// a note in the view; a cluster that does not answer is an error. One that is too busy is waited for, a little.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    pub async fn look(&self, fleet: &FleetName) -> Result<Look, ClusterError> {
        let of_kind = |kind| {
            self.beside(
                fleet,
                move |cluster, fleet| async move { (kind, patiently(|| cluster.list(kind, &fleet)).await) },
            )
        };
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.scope() == Scope::Namespaced);
        let (lists, pods, nodes, namespace) = futures::join!(
            join_all(kinds.map(of_kind)),
            self.beside(fleet, |cluster, fleet| async move { patiently(|| cluster.pods(&fleet)).await }),
            self.beside(fleet, |cluster, _| async move { patiently(|| cluster.nodes()).await }),
            patiently(|| self.namespace_state()),
        );
        let mut look = Look::default();
        look.view.pods = pods?.into_iter().map(|pod| (pod.name.clone(), pod)).collect();
        look.view.nodes = nodes?;
        look.view.namespace = namespace?;
        for (kind, listed) in lists {
            match listed {
                Ok(objects) => {
                    for object in objects {
                        look.put(fleet, object);
                    }
                }
                Err(error) => match &error.kind {
                    ErrorKind::KindMissing(_) => {
                        look.view.missing_kinds.insert(kind);
                    }
                    // Also of an optional kind that is not installed: authorization comes before existence.
                    ErrorKind::Forbidden { .. } => {
                        look.view.unreadable_kinds.insert(kind, error.to_string());
                    }
                    _ => return Err(error),
                },
            }
        }
        look.view.inventories = look.inventories();
        Ok(look)
    }

    /// Asks in a task of its own: what comes is read on all cores. The task ends with who waits for it.
    async fn beside<T: Send + 'static, W: Future<Output = T> + Send + 'static>(
        &self,
        fleet: &FleetName,
        ask: impl FnOnce(Self, FleetName) -> W,
    ) -> T {
        let task = AbortOnDropHandle::new(tokio::spawn(ask(self.clone(), fleet.clone()).in_current_span()));
        match task.await.map_err(JoinError::try_into_panic) {
            Ok(answer) => answer,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and we with it.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    /// What [`look`](Self::look) shows the planner.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    pub async fn view(&self, fleet: &FleetName) -> Result<ClusterView, ClusterError> {
        Ok(self.look(fleet).await?.view)
    }

    /// The fleet's objects of a kind.
    ///
    /// # Errors
    /// `KindMissing` when the cluster does not know the kind.
    pub async fn list(&self, kind: Kind, fleet: &FleetName) -> Result<Vec<LiveObject>, ClusterError> {
        let selector = format!("{}={fleet}", labels::FLEET);
        let request =
            || Request::kind("list", Method::GET, kind, Some(self.namespace())).query("labelSelector", &selector);
        let live = |found: Listed| (!found.is_controlled()).then(|| found.into_live(self, kind));
        self.all_pages(request, live).await
    }

    /// The fleet's pods.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn pods(&self, fleet: &FleetName) -> Result<Vec<LivePod>, ClusterError> {
        let selector = format!("{}={fleet}", labels::FLEET);
        let path = format!("/api/v1/namespaces/{}/pods", escape(self.namespace()));
        let request = || Request::path("list", Method::GET, path.clone(), "pods").query("labelSelector", &selector);
        self.all_pages(request, |pod: Listed| pods::read(&pod.into_body())).await
    }

    /// The nodes; `None` where they may not be listed.
    ///
    /// # Errors
    /// When the cluster can't be asked.
    pub async fn nodes(&self) -> Result<Option<Vec<NodeView>>, ClusterError> {
        let request = || Request::path("list", Method::GET, "/api/v1/nodes".to_owned(), "nodes");
        match self.all_pages(request, |found: Listed| node(&found.into_body())).await {
            Ok(nodes) => Ok(Some(nodes)),
            Err(error) if matches!(error.kind, ErrorKind::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is made of each item of a LIST. Items are read as they come in.
    pub(crate) async fn all_pages<T: DeserializeOwned, R: Send>(
        &self,
        request: impl Fn() -> Request,
        read: impl Fn(T) -> Option<R> + Send + Sync,
    ) -> Result<Vec<R>, ClusterError> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut request = request().query("limit", PAGE).within(self.0.limits.list);
            if !next.is_empty() {
                request = request.query("continue", &next);
            }
            next = self.read_list(request, |item| all.extend(read(item))).await?.next;
            if next.is_empty() {
                return Ok(all);
            }
        }
    }
}

impl Look {
    /// Our own books apart, everything else into the view.
    pub(crate) fn put(&mut self, fleet: &FleetName, object: LiveObject) {
        match Book::of(fleet, &object.object) {
            Some(Book::Chunk(plane, chunk)) => self.shelves.entry(plane).or_default().put(chunk, &object),
            Some(Book::Record(plane)) => {
                self.forget_record(plane);
                match record::read(&object.body.json()) {
                    Ok(record) => {
                        self.records.insert(plane, (record, object.version));
                    }
                    Err(why) => {
                        self.unreadable_records.insert(plane, why);
                    }
                }
            }
            None => {
                self.view.objects.insert(object.object.clone(), object);
            }
        }
    }

    /// The opposite of [`put`](Self::put).
    pub(crate) fn remove(&mut self, fleet: &FleetName, object: &ObjectRef) {
        match Book::of(fleet, object) {
            Some(Book::Chunk(plane, chunk)) => {
                if self.shelves.get_mut(&plane).is_some_and(|shelf| shelf.remove(chunk)) {
                    self.shelves.remove(&plane);
                }
            }
            Some(Book::Record(plane)) => self.forget_record(plane),
            None => {
                self.view.objects.remove(object);
            }
        }
    }

    fn forget_record(&mut self, plane: Plane) {
        self.records.remove(&plane);
        self.unreadable_records.remove(&plane);
    }

    /// What the shelves hold.
    pub(crate) fn inventories(&self) -> BTreeMap<Plane, Inventory> {
        self.shelves.iter().map(|(plane, shelf)| (*plane, shelf.inventory())).collect()
    }
}

/// One of our own ConfigMaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Book {
    Chunk(Plane, usize),
    Record(Plane),
}

impl Book {
    pub(crate) fn of(fleet: &FleetName, object: &ObjectRef) -> Option<Self> {
        if object.kind != Kind::ConfigMap {
            return None;
        }
        let chunk = inventory::of_name(fleet, &object.name).map(|(plane, chunk)| Self::Chunk(plane, chunk));
        chunk.or_else(|| record::of_name(fleet, &object.name).map(Self::Record))
    }
}

/// An answer as evidence: only the server's own word makes something absent.
pub fn known<T>(answer: Result<Option<T>, ClusterError>, asked: Timestamp) -> Known<T> {
    match answer {
        Ok(Some(value)) => Known::Yes(Seen { value, source: Source::ApiServer, as_of: asked }),
        Ok(None) => Known::Absent { as_of: asked },
        Err(error) => Known::Unknown { why: Reason(error.to_string()) },
    }
}

/// A node of a LIST. `None` if it has no name.
pub(crate) fn node(node: &Json) -> Option<NodeView> {
    let metadata = node.get("metadata")?;
    let texts = |key: &str| -> BTreeMap<String, String> {
        let entries = metadata.get(key).and_then(Json::as_object).into_iter().flatten();
        entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let addresses = |kind: &str| -> Vec<IpAddr> {
        let all = node.pointer("/status/addresses").and_then(Json::as_array).into_iter().flatten();
        all.filter(|entry| entry.get("type").and_then(Json::as_str) == Some(kind))
            .filter_map(|entry| entry.get("address")?.as_str()?.parse().ok())
            .collect()
    };
    Some(NodeView {
        name: metadata.get("name")?.as_str()?.to_owned(),
        external: addresses("ExternalIP"),
        internal: addresses("InternalIP"),
        annotations: texts("annotations"),
        labels: texts("labels"),
        cordoned: node.pointer("/spec/unschedulable") == Some(&Json::Bool(true)),
    })
}
