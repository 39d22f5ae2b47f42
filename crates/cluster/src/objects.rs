//! Requests about single objects other than apply: read, create, delete, and what we write on pods.

use std::time::Duration;

use fleet::Plane;
use http::Method;
use manifest::{Kind, Manifest, ObjectRef, SecretRef};
use plan::LiveObject;
use serde_json::{Value as Json, json};

use crate::apply::manager;
use crate::live::Listed;
use crate::secrets::{SecretBytes, SecretMap, StoredSecret};
use crate::wire::{Failure, JSON, MERGE, Request, escape};
use crate::{Cluster, ClusterError, ErrorKind};

/// What came of a POST.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It is ours.
    Created(LiveObject),
    /// Somebody was first: this is theirs.
    AlreadyExists(LiveObject),
}

/// What came of a DELETE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It goes, now or when its finalizers allow.
    Begun,
    /// It was not there.
    AlreadyGone,
}

impl Cluster {
    /// Reads an object; `None` only if the server says that there is none.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn get(&self, object: &ObjectRef) -> Result<Option<LiveObject>, ClusterError> {
        match self.get_body(object).await? {
            Some(body) => Ok(Some(self.parse::<Listed>(&body)?.into_live(self, object.kind))),
            None => Ok(None),
        }
    }

    /// Reads a Secret with its values.
    ///
    /// # Errors
    /// When it can't be read. A 403 is an error, never an absence.
    pub async fn secret(&self, name: &str) -> Result<Option<StoredSecret>, ClusterError> {
        let object = self.object(Kind::Secret, name);
        let Some(body) = self.get_body(&object).await? else { return Ok(None) };
        let body: Json = self.parse(&body)?;
        let stored = StoredSecret::read(&body)
            .ok_or_else(|| self.about(&object, ErrorKind::Garbled("a Secret with unreadable data".to_owned())))?;
        Ok(Some(stored))
    }

    async fn get_body(&self, object: &ObjectRef) -> Result<Option<Vec<u8>>, ClusterError> {
        match self.ask(Request::object("get", Method::GET, object)).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err((Failure::Refused(refusal), _)) if refusal.is_not_found() => Ok(None),
            Err((failure, request)) => Err(self.explain(failure, &request)),
        }
    }

    /// Creates an object unless there is one of that name: then that one is returned.
    ///
    /// # Errors
    /// When the server refuses, or the one that is there can't be read.
    pub async fn create(&self, plane: Plane, body: &Json, object: &ObjectRef) -> Result<Created, ClusterError> {
        let request = Request::kind("create", Method::POST, object.kind, Some(&object.namespace))
            .query("fieldManager", &manager(plane))
            .query("fieldValidation", "Strict")
            .send(JSON, body);
        match self.call(request).await {
            Ok(answer) => Ok(Created::Created(self.parse::<Listed>(&answer.body)?.into_live(self, object.kind))),
            Err(error) if error.kind == ErrorKind::AlreadyExists => match self.get(object).await? {
                Some(live) => Ok(Created::AlreadyExists(live)),
                None => Err(self.about(object, ErrorKind::Changed)),
            },
            Err(error) => Err(self.about(object, error.kind)),
        }
    }

    /// Makes sure that the Secret exists with a value for every key that is made, and returns what is stored. A value
    /// that is there is never made anew; if somebody else creates it at the same time, theirs counts. Values that were
    /// `given` are taken where none is stored.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub async fn ensure_made(
        &self,
        plane: Plane,
        manifest: &Manifest,
        given: &SecretMap,
        rng: &mut (impl rand::CryptoRng + Send),
    ) -> Result<StoredSecret, ClusterError> {
        let object = &manifest.object;
        let again = || self.about(object, ErrorKind::Changed);
        if self.secret(&object.name).await?.is_none() {
            let mut made = given.clone();
            for reference in manifest.secrets.values().filter(|reference| matches!(reference, SecretRef::Made(_))) {
                made.keep(reference.clone(), SecretBytes::password(rng));
            }
            let body = made.fill(manifest).map_err(|key| self.about(object, ErrorKind::SecretMissing(key)))?;
            self.create(plane, &body, object).await?;
        }
        let stored = self.secret(&object.name).await?.ok_or_else(again)?;
        let mut part = manifest.clone();
        part.secrets.retain(|key, reference| matches!(reference, SecretRef::Made(_)) && !stored.data.contains_key(key));
        if part.secrets.is_empty() {
            return Ok(stored);
        }
        // A key is added to exactly what was read: a 409 means that somebody else did it first.
        let mut added = given.clone();
        for reference in part.secrets.values() {
            added.keep(reference.clone(), SecretBytes::password(rng));
        }
        let filled = added.fill(&part).map_err(|key| self.about(object, ErrorKind::SecretMissing(key)))?;
        let patch = json!({
            "metadata": { "uid": stored.uid, "resourceVersion": stored.version },
            "data": filled.get("data"),
        });
        let request =
            Request::object("patch", Method::PATCH, object).query("fieldManager", &manager(plane)).send(MERGE, &patch);
        match self.call(request).await {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::Changed => {}
            Err(error) => return Err(error),
        }
        let stored = self.secret(&object.name).await?.ok_or_else(again)?;
        if part.secrets.keys().all(|key| stored.data.contains_key(key)) { Ok(stored) } else { Err(again()) }
    }

    /// Deletes exactly this object, and this version of it if one is given. What belongs to it goes in the background.
    ///
    /// # Errors
    /// `Changed` when another object has the name now, or it changed.
    pub async fn delete(&self, object: &ObjectRef, uid: &str, version: Option<&str>) -> Result<Deletion, ClusterError> {
        self.delete_by(Request::object("delete", Method::DELETE, object), uid, version, None).await
    }

    /// Deletes exactly this pod, within its own grace period unless another one is given.
    ///
    /// # Errors
    /// `Changed` when another pod has the name now.
    pub async fn delete_pod(&self, name: &str, uid: &str, grace: Option<Duration>) -> Result<Deletion, ClusterError> {
        self.delete_by(self.pod("delete", Method::DELETE, name), uid, None, grace).await
    }

    async fn delete_by(
        &self,
        request: Request,
        uid: &str,
        version: Option<&str>,
        grace: Option<Duration>,
    ) -> Result<Deletion, ClusterError> {
        let mut preconditions = json!({ "uid": uid });
        if let Some(version) = version {
            preconditions["resourceVersion"] = json!(version);
        }
        let mut options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        });
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = json!(grace.as_secs());
        }
        match self.ask(request.send(JSON, &options)).await {
            Ok(_) => Ok(Deletion::Begun),
            Err((Failure::Refused(refusal), _)) if refusal.is_not_found() => Ok(Deletion::AlreadyGone),
            Err((failure, request)) => Err(self.explain(failure, &request)),
        }
    }

    /// Sets an annotation of exactly this pod, or takes it away. Returns the pod's version since.
    ///
    /// # Errors
    /// `Changed` when another pod has the name now, `NotFound` when none has.
    pub async fn annotate_pod(
        &self,
        plane: Plane,
        name: &str,
        uid: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<String, ClusterError> {
        let patch = json!({ "metadata": { "uid": uid, "annotations": { key: value } } });
        let request = self.pod("patch", Method::PATCH, name).query("fieldManager", &manager(plane)).send(MERGE, &patch);
        let pod: Json = self.read(request).await?;
        let version = pod.pointer("/metadata/resourceVersion").and_then(Json::as_str).map(str::to_owned);
        version.ok_or_else(|| self.error(ErrorKind::Garbled("no resourceVersion".to_owned())))
    }

    /// Creates the fleet's namespace. One that exists is left as it is.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_namespace(&self) -> Result<(), ClusterError> {
        let object = ObjectRef {
            cluster: self.name().clone(),
            kind: Kind::Namespace,
            namespace: String::new(),
            name: self.namespace().to_owned(),
        };
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": object.name } });
        let request = Request::kind("create", Method::POST, Kind::Namespace, None).send(JSON, &body);
        match self.call(request).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(self.about(&object, error.kind)),
        }
    }

    /// The identity of an object in the fleet's namespace here.
    #[must_use]
    pub fn object(&self, kind: Kind, name: &str) -> ObjectRef {
        ObjectRef { cluster: self.name().clone(), kind, namespace: self.namespace().to_owned(), name: name.to_owned() }
    }

    pub(crate) fn pod(&self, verb: &'static str, method: Method, name: &str) -> Request {
        let path = format!("/api/v1/namespaces/{}/pods/{}", escape(self.namespace()), escape(name));
        Request::path(verb, method, path, "pods")
    }
}
