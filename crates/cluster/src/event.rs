//! Events on objects, for those who ask `kubectl describe`: as the core group knows them, which every reader shows.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use manifest::{ObjectRef, labels};
use serde_json::json;

use crate::wire::{JSON, MERGE, Request, escape};
use crate::{Cluster, ClusterError};

/// Nobody waits for an Event.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is told of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark<'a> {
    /// The object.
    pub object: &'a ObjectRef,
    /// Its UID: readers look for Events by it.
    pub uid: Option<&'a str>,
    /// The name of the Event.
    pub name: &'a str,
    /// Whether it is a warning.
    pub warning: bool,
    /// Why, in one word for programs.
    pub reason: &'a str,
    /// What was done, in one word for programs.
    pub action: &'a str,
    /// In words; 1024 bytes at most.
    pub note: &'a str,
    /// When it happened.
    pub at: Timestamp,
    /// Who tells it.
    pub by: &'a str,
}

impl Cluster {
    /// Writes a new Event.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn remark(&self, remark: &Remark<'_>) -> Result<(), ClusterError> {
        let Remark { object, uid, name, warning, reason, action, note, at, by } = remark;
        let kind = object.kind;
        let group = if kind.group().is_empty() { String::new() } else { format!("{}/", kind.group()) };
        let time = format!("{at:.0}");
        let body = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": object.namespace },
            "involvedObject": {
                "apiVersion": format!("{group}{}", kind.version()),
                "kind": kind.name(),
                "namespace": object.namespace,
                "name": object.name,
                "uid": uid.unwrap_or_default(),
            },
            "type": if *warning { "Warning" } else { "Normal" },
            "reason": reason,
            "action": action,
            "message": note,
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "source": { "component": labels::MANAGER },
            "reportingComponent": labels::MANAGER,
            "reportingInstance": by,
        });
        let request = self.events("create", Method::POST, &object.namespace, None);
        self.call(request.send(JSON, &body)).await.map(drop)
    }

    /// Says of an Event that it has happened so often, the last time now.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub async fn remark_again(&self, remark: &Remark<'_>, count: u32) -> Result<(), ClusterError> {
        let body = json!({
            "count": count,
            "lastTimestamp": format!("{:.0}", remark.at),
            "message": remark.note,
        });
        let request = self.events("patch", Method::PATCH, &remark.object.namespace, Some(remark.name));
        self.call(request.send(MERGE, &body)).await.map(drop)
    }

    fn events(&self, verb: &'static str, method: Method, namespace: &str, name: Option<&str>) -> Request {
        let mut path = format!("/api/v1/namespaces/{}/events", escape(namespace));
        if let Some(name) = name {
            path.push('/');
            path.push_str(&escape(name));
        }
        Request::path(verb, method, path, "events").within(PATIENCE).query("fieldManager", labels::MANAGER)
    }
}
