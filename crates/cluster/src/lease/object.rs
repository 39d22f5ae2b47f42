//! The Lease as an object: read, and written by compare-and-swap.

use std::time::Duration;

use fleet::{FleetName, Plane};
use http::Method;
use jiff::Timestamp;
use manifest::{Names, labels};
use serde::Deserialize;
use serde_json::json;

use super::elector::Reading;
use crate::apply::manager;
use crate::wire::{Failure, JSON, Request, escape};
use crate::{Cluster, ClusterError, ErrorKind};

const RESOURCE: &str = "leases";

/// The Lease of a plane in its home cluster.
#[derive(Debug)]
pub(super) struct LeaseObject {
    home: Cluster,
    fleet: FleetName,
    plane: Plane,
    /// How long each request may take.
    patience: Duration,
}

/// What to write.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Who has it, and when they took it; `None` to give it back.
    pub(super) holder: Option<(&'a str, Timestamp)>,
    pub(super) transitions: u64,
    pub(super) duration: Duration,
    /// For people, as the other times in it.
    pub(super) now: Timestamp,
}

#[derive(Deserialize)]
struct Stored {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    lease_transitions: Option<u64>,
}

impl From<Stored> for Reading {
    fn from(stored: Stored) -> Self {
        Self {
            holder: stored.spec.holder_identity.unwrap_or_default(),
            transitions: stored.spec.lease_transitions.unwrap_or_default(),
            duration: Duration::from_secs(stored.spec.lease_duration_seconds.unwrap_or_default()),
            version: stored.metadata.resource_version,
        }
    }
}

impl LeaseObject {
    pub(super) fn new(home: Cluster, fleet: &FleetName, plane: Plane, patience: Duration) -> Self {
        Self { home, fleet: fleet.clone(), plane, patience }
    }

    pub(super) fn home(&self) -> &Cluster {
        &self.home
    }

    fn request(&self, verb: &'static str, method: Method, name: Option<&str>) -> Request {
        let namespace = escape(self.home.namespace());
        let mut path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/{RESOURCE}");
        if let Some(name) = name {
            path.push('/');
            path.push_str(&escape(name));
        }
        Request::path(verb, method, path, RESOURCE).within(self.patience).urgent()
    }

    /// Reads it; `None` only if the server says that there is none.
    pub(super) async fn read(&self) -> Result<Option<Reading>, ClusterError> {
        let name = Names(&self.fleet).record(self.plane);
        match self.home.ask(self.request("get", Method::GET, Some(&name))).await {
            Ok(answer) => Ok(Some(self.home.parse::<Stored>(&answer.body)?.into())),
            Err((Failure::Refused(refusal), _)) if refusal.is_not_found() => Ok(None),
            Err((failure, request)) => Err(self.home.explain(failure, &request)),
        }
    }

    /// Deletes it if it is still in this version. `Changed` otherwise.
    pub(super) async fn remove(&self, version: &str) -> Result<(), ClusterError> {
        let name = Names(&self.fleet).record(self.plane);
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": { "resourceVersion": version },
        });
        let request = self.request("delete", Method::DELETE, Some(&name)).send(JSON, &options);
        match self.home.call(request).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes it if it is still in this version, or if there is none where none is expected. `Changed` otherwise.
    pub(super) async fn write(&self, entry: &Entry<'_>, expected: Option<&str>) -> Result<Reading, ClusterError> {
        let name = Names(&self.fleet).record(self.plane);
        let mut body = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": self.home.namespace(),
                "labels": {
                    labels::FLEET: self.fleet.as_str(),
                    labels::PLANE: self.plane.as_str(),
                    labels::PART_OF: self.fleet.as_str(),
                    labels::MANAGED_BY: labels::MANAGER,
                },
            },
            "spec": {
                "leaseDurationSeconds": entry.duration.as_secs(),
                "leaseTransitions": entry.transitions,
                "renewTime": format!("{:.6}", entry.now),
            },
        });
        // One that is nobody's has neither.
        if let Some((holder, acquired)) = entry.holder {
            body["spec"]["holderIdentity"] = json!(holder);
            body["spec"]["acquireTime"] = json!(format!("{acquired:.6}"));
        }
        let request = match expected {
            Some(version) => {
                body["metadata"]["resourceVersion"] = json!(version);
                self.request("update", Method::PUT, Some(&name))
            }
            None => self.request("create", Method::POST, None),
        };
        let request = request.query("fieldManager", &manager(self.plane)).send(JSON, &body);
        let answer = self.home.call(request).await.map_err(|error| match error.kind {
            // It came or went meanwhile.
            ErrorKind::AlreadyExists => self.home.error(ErrorKind::Changed),
            ErrorKind::NotFound if expected.is_some() => self.home.error(ErrorKind::Changed),
            _ => error,
        })?;
        Ok(self.home.parse::<Stored>(&answer.body)?.into())
    }
}
