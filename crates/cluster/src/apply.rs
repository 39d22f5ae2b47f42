//! Server-side apply: first politely, then as the table of managers says.

use std::borrow::Cow;
use std::sync::Arc;

use fleet::Plane;
use http::Method;
use manifest::{Kind, ObjectRef};
use plan::LiveBody;
use serde_json::{Value as Json, json};

use crate::conflict::{Resolution, resolve};
use crate::wire::{APPLY, Answer, Failure, Request};
use crate::{Cluster, ClusterError, ErrorKind, FieldConflict, fields, immutable};

/// What is known of the object before it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// It was not among the fleet's objects. If it exists after all, it is somebody else's and is left alone.
    Absent,
    /// It was there in this version; it may have changed since, unless the cluster is fenced.
    Seen(String),
    /// It must still be in this version: apply nothing otherwise.
    Exactly(String),
}

/// How to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyMode {
    /// Ask what would happen, change nothing.
    pub dry_run: bool,
    /// What is known of the object.
    pub before: Before,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It is another version now. A dry run says this of everything that exists.
    Changed,
    /// Nothing was written.
    Unchanged,
}

/// An object that was applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// Its UID.
    pub uid: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// What the server has now, without `managedFields`; hashes instead of a Secret's values.
    pub body: Arc<LiveBody>,
    /// The server's warnings.
    pub warnings: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Fields that were left to the controllers that own them.
    pub yielded: Vec<FieldConflict>,
    /// Fields that were taken back from people.
    pub forced: Vec<FieldConflict>,
}

/// Managers can appear while we try; nobody needs more rounds than that.
const ROUNDS: usize = 4;

impl Cluster {
    /// Applies an object as field manager `jitsictl/<plane>`.
    ///
    /// # Errors
    /// When the server refuses, an unknown manager holds the same fields, or the object is not the fleet's.
    pub async fn apply(
        &self,
        plane: Plane,
        body: &Json,
        object: &ObjectRef,
        mode: &ApplyMode,
    ) -> Result<Applied, ClusterError> {
        if mode.before == Before::Absent {
            self.refuse_foreign(object, fleet_of(body)).await?;
        }
        let manager = manager(plane);
        let mut body = Cow::Borrowed(body);
        let bound = match &mode.before {
            Before::Exactly(version) => Some(version),
            // What is delivered late must not meet what somebody else made of the object meanwhile.
            Before::Seen(version) if self.1.is_some() => Some(version),
            Before::Seen(_) | Before::Absent => None,
        };
        if let Some(version) = bound {
            body.to_mut()["metadata"]["resourceVersion"] = json!(version);
        }
        let (mut yielded, mut forced) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let force = !forced.is_empty();
            let (failure, request) = match self.ask(self.patch(&body, object, &manager, mode.dry_run, force)).await {
                Ok(answer) => return self.applied(answer, object, mode, yielded, forced),
                Err(failed) => failed,
            };
            let conflicts = match &failure {
                Failure::Refused(refusal) => refusal.field_conflicts(),
                Failure::Silent(_) => Vec::new(),
            };
            if conflicts.is_empty() {
                return Err(self.explain_apply(failure, &request, &body, object).await);
            }
            match resolve(conflicts, &manager) {
                Resolution::Stop(conflicts) => return Err(self.about(object, ErrorKind::Contested(conflicts))),
                Resolution::Again { yielded: leave, forced: take } => {
                    for conflict in &leave {
                        if !fields::remove(body.to_mut(), &conflict.field) {
                            return Err(self.about(object, ErrorKind::Contested(leave)));
                        }
                    }
                    yielded.extend(leave);
                    forced.extend(take);
                }
            }
        }
        forced.extend(yielded);
        Err(self.about(object, ErrorKind::Contested(forced)))
    }

    fn patch(&self, body: &Json, object: &ObjectRef, manager: &str, dry_run: bool, force: bool) -> Request {
        let mut request = Request::object("patch", Method::PATCH, object)
            .query("fieldManager", manager)
            .query("fieldValidation", "Strict")
            .send(APPLY, body);
        if force {
            request = request.query("force", "true");
        }
        if dry_run {
            request = request.query("dryRun", "All");
        }
        request
    }

    fn applied(
        &self,
        answer: Answer,
        object: &ObjectRef,
        mode: &ApplyMode,
        yielded: Vec<FieldConflict>,
        forced: Vec<FieldConflict>,
    ) -> Result<Applied, ClusterError> {
        let live = self.parse::<crate::live::Listed>(&answer.body)?.into_live(self, object.kind);
        let outcome = match &mode.before {
            _ if answer.code == 201 => Outcome::Created,
            _ if mode.dry_run => Outcome::Changed,
            Before::Seen(version) | Before::Exactly(version) if *version == live.version => Outcome::Unchanged,
            _ => Outcome::Changed,
        };
        Ok(Applied {
            uid: live.uid,
            version: live.version,
            body: live.body,
            warnings: answer.warnings,
            outcome,
            yielded,
            forced,
        })
    }

    /// Some refusals say too little: looks at what is there to tell more, as far as it may.
    async fn explain_apply(
        &self,
        failure: Failure,
        request: &Request,
        body: &Json,
        object: &ObjectRef,
    ) -> ClusterError {
        let mut error = self.explain(failure, request);
        match &mut error.kind {
            ErrorKind::Invalid(_) => {
                if let Ok(Some(live)) = self.get(object).await
                    && let Some((fields, way_out)) = immutable::differing(object.kind, body, &live.body.json())
                {
                    error.kind = ErrorKind::Immutable { fields, way_out };
                }
            }
            ErrorKind::NodePortTaken { port: Some(port), by } => *by = self.holder_of(*port).await,
            _ => {}
        }
        error
    }

    /// The Service that has the node port, if Services can be listed across namespaces.
    async fn holder_of(&self, port: u16) -> Option<String> {
        let request = || Request::kind("list", Method::GET, Kind::Service, None);
        let services: Vec<Json> = self.all_pages(request, Some).await.ok()?;
        let has = |service: &&Json| {
            let spec = service.get("spec");
            let ports = spec.and_then(|spec| spec.get("ports")?.as_array());
            let health = spec.and_then(|spec| spec.get("healthCheckNodePort"));
            ports.into_iter().flatten().any(|entry| entry.get("nodePort") == Some(&json!(port)))
                || health == Some(&json!(port))
        };
        let metadata = services.iter().find(has)?.get("metadata")?;
        Some(format!("{}/{}", metadata.get("namespace")?.as_str()?, metadata.get("name")?.as_str()?))
    }

    /// An error about an object here.
    #[must_use]
    pub fn about(&self, object: &ObjectRef, kind: ErrorKind) -> ClusterError {
        ClusterError { object: Some(Box::new(object.clone())), ..self.error(kind) }
    }
}

/// The field manager of a plane. It never changes, or every field would be orphaned.
pub(crate) fn manager(plane: Plane) -> String {
    format!("jitsictl/{plane}")
}

fn fleet_of(body: &Json) -> Option<&str> {
    body.get("metadata")?.get("labels")?.get(manifest::labels::FLEET)?.as_str()
}
