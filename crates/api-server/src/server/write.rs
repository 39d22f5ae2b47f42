//! POST, PUT and PATCH of objects and of their status.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::birth::{born, first_status};
use super::{CREATED_BY_UPDATE, Call, State, details};
use crate::admission::{self, Attempt};
use crate::error::ApiError;
use crate::kinds::{Kind, NAMESPACE, POD};
use crate::merge::{self, Writer};
use crate::patch;
use crate::request::{Answer, FieldValidation, PatchType};
use crate::schema;
use crate::store::{key, text};

/// Kinds whose `metadata.generation` counts changes of what is wanted.
const COUNTED: [&str; 9] = [
    "Deployment",
    "EndpointSlice",
    "HTTPRoute",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PodMonitor",
    "ReplicaSet",
    "StatefulSet",
];

/// Kinds that are replaced only by who says which version he knows. Those of CRDs are, too.
const CONDITIONAL: [&str; 2] = ["Lease", "PodDisruptionBudget"];

/// What a client changes of an object that is there.
pub(super) struct Change {
    pub(super) new: Json,
    pub(super) writer: Writer,
    /// Owners are complete already.
    pub(super) applied: bool,
}

/// An object, and whether it was created.
pub(super) type Written = (Arc<Json>, bool);

/// Refusals carry the warnings that were found until then, too.
pub(super) fn warning(write: impl FnOnce(&mut Vec<String>) -> Result<Written, ApiError>) -> Result<Answer, ApiError> {
    let mut warnings = Vec::new();
    match write(&mut warnings) {
        Ok((object, created)) => Ok(Answer::Object { object, created, warnings }),
        Err(error) => Err(error.warned(warnings)),
    }
}

/// Where a real server keeps objects of a kind; some refusals tell.
fn registry(kind: &Kind) -> String {
    match kind.plural {
        "services" => "services/specs".to_owned(),
        "ingresses" => "ingress".to_owned(),
        "nodes" => "minions".to_owned(),
        plural if kind.custom => format!("{}/{plural}", kind.group),
        plural => plural.to_owned(),
    }
}

impl Call<'_> {
    fn has_status(&self) -> bool {
        self.request.kind.subresources.contains(&"status")
    }

    fn manager(&self) -> Writer {
        self.writer(self.request.parameters.manager.as_deref())
    }

    pub(super) fn create(&self, state: &mut State) -> Result<Answer, ApiError> {
        warning(|warnings| {
            let mut object = self.body()?;
            self.fits(&mut object, &self.request.duplicates, warnings)?;
            if text(&object, "resourceVersion").is_some_and(|version| !version.is_empty()) {
                return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
            }
            self.create_as(state, object, &self.manager(), false, warnings)
        })
    }

    /// Creates an object that was checked; its owners are complete when it was applied.
    fn create_as(
        &self,
        state: &mut State,
        mut object: Json,
        writer: &Writer,
        applied: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Written, ApiError> {
        let kind = self.request.kind;
        self.namespace_takes(state, text(&object, "name").unwrap_or_default())?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for key in [
                "uid",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "selfLink",
                "generation",
            ] {
                metadata.remove(key);
            }
            // What is not kept gets no version, and keeps that which it came with.
            if !self.request.parameters.dry_run {
                metadata.remove("resourceVersion");
            }
            let generated = metadata.get("generateName").and_then(Json::as_str).filter(|prefix| !prefix.is_empty());
            if metadata.get("name").and_then(Json::as_str).is_none_or(str::is_empty)
                && let Some(prefix) = generated
            {
                let name = format!("{prefix}{}", state.chance.suffix());
                metadata.insert("name".to_owned(), name.into());
            }
        }
        if self.has_status()
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        born(kind, &mut object);
        admission::default(&mut object, kind);
        if !applied {
            merge::track(schema::of(kind), None, &mut object, writer);
        }
        first_status(kind, &mut object);
        let metadata = &mut object["metadata"];
        metadata["uid"] = state.chance.uid().into();
        metadata["creationTimestamp"] = self.timestamp().into();
        if COUNTED.contains(&kind.name) || kind == &POD {
            metadata["generation"] = 1.into();
        }
        self.admitted(state, &mut object, None, warnings)?;
        let name = text(&object, "name").unwrap_or_default().to_owned();
        let key = key(self.namespace(), &name);
        if let Some(there) = state.store.get(kind, &key) {
            let going = there.pointer("/metadata/deletionTimestamp").map_or("", |_| "object is being deleted: ");
            let message = format!("{going}{} {name:?} already exists", kind.resource());
            return Err(ApiError::new(409, "AlreadyExists", message).with(details(kind, &name)));
        }
        let object =
            if self.request.parameters.dry_run { Arc::new(object) } else { state.store.put(kind, key, object) };
        Ok((object, true))
    }

    /// Objects come only into namespaces that are there to stay.
    fn namespace_takes(&self, state: &State, name: &str) -> Result<(), ApiError> {
        let Some(namespace) = self.namespace() else { return Ok(()) };
        let Some(found) = state.store.get(&NAMESPACE, namespace) else {
            let message = format!("namespaces {namespace:?} not found");
            return Err(ApiError::new(404, "NotFound", message).with(details(&NAMESPACE, namespace)));
        };
        if found.pointer("/metadata/deletionTimestamp").is_none() {
            return Ok(());
        }
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut error = self.forbidden(name, &why);
        error.details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        Err(error)
    }

    pub(super) fn update(&self, state: &mut State) -> Result<Answer, ApiError> {
        warning(|warnings| {
            let mut new = self.body()?;
            self.fits(&mut new, &self.request.duplicates, warnings)?;
            let Some(old) = state.store.get(self.request.kind, &self.key()) else {
                if CREATED_BY_UPDATE.contains(&self.request.kind.name) && self.request.subresource.is_none() {
                    self.same_uid(&new, &Json::Null)?;
                    return self.create_as(state, new, &self.manager(), false, warnings);
                }
                return Err(self.not_found(self.name()));
            };
            self.versioned(&new, &old)?;
            self.change(state, &old, Change { new, writer: self.manager(), applied: false }, warnings)
        })
    }

    /// Who replaces an object of some kinds says which version he knows.
    fn versioned(&self, new: &Json, old: &Json) -> Result<(), ApiError> {
        let kind = self.request.kind;
        self.same_uid(new, old)?;
        let conditional = kind.custom || CONDITIONAL.contains(&kind.name);
        if !conditional || text(new, "resourceVersion").is_some_and(|version| !version.is_empty()) {
            return Ok(());
        }
        let cause = "Invalid value: 0: must be specified for an update";
        let message = format!("{} {:?} is invalid: metadata.resourceVersion: {cause}", kind.resource(), self.name());
        let mut error = ApiError::new(422, "Invalid", message).with(details(kind, self.name()));
        error.details["causes"] =
            json!([{ "reason": "FieldValueInvalid", "message": cause, "field": "metadata.resourceVersion" }]);
        Err(error)
    }

    fn same_uid(&self, new: &Json, old: &Json) -> Result<(), ApiError> {
        let (given, uid) = (text(new, "uid").unwrap_or_default(), text(old, "uid").unwrap_or_default());
        if given.is_empty() || given == uid {
            return Ok(());
        }
        Err(self.stored_otherwise(&format!("UID in precondition: {given}, UID in object meta: {uid}")))
    }

    /// What the store below a real server says when a precondition does not hold.
    pub(super) fn stored_otherwise(&self, why: &str) -> ApiError {
        let (place, key) = (registry(self.request.kind), self.key());
        let root = if self.request.parameters.dry_run { "" } else { "/registry" };
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {root}/{place}/{key}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: {why}"
        );
        self.conflict(self.name(), &why)
    }

    pub(super) fn patch(&self, state: &mut State, how: PatchType) -> Result<Answer, ApiError> {
        warning(|warnings| self.patched(state, how, warnings))
    }

    fn patched(&self, state: &mut State, how: PatchType, warnings: &mut Vec<String>) -> Result<Written, ApiError> {
        let kind = self.request.kind;
        let old = state.store.get(kind, &self.key());
        if how == PatchType::Apply {
            return self.apply(state, old.as_deref(), warnings);
        }
        let old = old.ok_or_else(|| self.not_found(self.name()))?;
        let mut new = Json::clone(&old);
        match how {
            PatchType::Merge => patch::merge(&mut new, &self.request.body),
            PatchType::Json => patch::json(&mut new, &self.request.body)?,
            PatchType::StrategicMerge if kind.custom => {
                let message = "the body of the request was in an unknown format - accepted media types include: \
                    application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
                return Err(ApiError::new(415, "UnsupportedMediaType", message));
            }
            PatchType::StrategicMerge => patch::strategic(schema::of(kind), &mut new, &self.request.body),
            PatchType::Apply => {}
        }
        if text(&new, "name") != text(&old, "name") || text(&new, "namespace") != text(&old, "namespace") {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                text(&new, "name").unwrap_or_default(),
                self.name()
            )));
        }
        self.fits(&mut new, &self.request.duplicates, warnings).map_err(|error| self.of_patch(error))?;
        self.change(state, &old, Change { new, writer: self.manager(), applied: false }, warnings)
    }

    /// A patched object that can't be read is the patch's fault.
    fn of_patch(&self, error: ApiError) -> ApiError {
        let Some((_, why)) = error.message.split_once(" cannot be handled as a ") else { return error };
        let why = why.split_once(": ").map_or(why, |(_, why)| why);
        // A real server shows the object here.
        let cause = format!("Invalid value: \"{}\": {why}", self.name());
        let causes = json!({ "causes": [{ "reason": "FieldValueInvalid", "message": cause, "field": "patch" }] });
        ApiError::new(422, "Invalid", format!(" \"\" is invalid: patch: {cause}")).with(causes)
    }

    fn apply(&self, state: &mut State, old: Option<&Json>, warnings: &mut Vec<String>) -> Result<Written, ApiError> {
        let kind = self.request.kind;
        let Some(manager) = self.request.parameters.manager.as_deref() else {
            let message =
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
            return Err(ApiError::new(422, "Invalid", message));
        };
        let writer = self.writer(Some(manager));
        let mut applied = self.body()?;
        if old.is_none() && self.request.subresource.is_some() {
            return Err(self.not_found(self.name()));
        }
        if let Some(asked) = text(&applied, "uid").filter(|uid| !uid.is_empty())
            && old.is_none()
        {
            let why =
                format!("uid mismatch: the provided object specified uid {asked}, and no existing object was found");
            return Err(self.conflict(self.name(), &why));
        }
        // A version that is asked for must be that of the object, force or no force.
        if let (Some(asked), Some(old)) = (text(&applied, "resourceVersion"), old)
            && Some(asked) != text(old, "resourceVersion")
        {
            return Err(self.conflict(self.name(), MODIFIED));
        }
        let schema = schema::of(kind);
        if self.request.parameters.field_validation == FieldValidation::Warn {
            warnings.extend(self.request.duplicates.iter().cloned());
        } else if self.request.parameters.field_validation == FieldValidation::Strict
            && !self.request.duplicates.is_empty()
        {
            return Err(ApiError::bad_request(format!(
                "error decoding patch: strict decoding error: {}",
                self.request.duplicates.join(", ")
            )));
        }
        // Refusals name the object as the client wrote it.
        if self.request.body.pointer("/metadata/namespace").is_none()
            && let Some(metadata) = applied["metadata"].as_object_mut()
        {
            metadata.remove("namespace");
        }
        let mut new = merge::apply(schema, old, &applied, &writer, self.request.parameters.force)?;
        if let Some(namespace) = self.namespace() {
            new["metadata"]["namespace"] = namespace.into();
        }
        match old {
            None => self.create_as(state, new, &writer, true, warnings),
            Some(old) => {
                let old = Json::clone(old);
                self.change(state, &old, Change { new, writer, applied: true }, warnings)
            }
        }
    }

    /// Takes an object that is there from what it is to what a client wants it to be.
    pub(super) fn change(
        &self,
        state: &mut State,
        old: &Json,
        change: Change,
        warnings: &mut Vec<String>,
    ) -> Result<Written, ApiError> {
        let kind = self.request.kind;
        let Change { mut new, writer, applied } = change;
        self.same_uid(&new, old)?;
        let version = text(&new, "resourceVersion").filter(|version| !version.is_empty());
        if version.is_some_and(|version| Some(version) != text(old, "resourceVersion")) {
            return Err(self.conflict(self.name(), MODIFIED));
        }
        let of_status = self.request.subresource.is_some();
        keep_identity(old, &mut new);
        if of_status {
            only_status(old, &mut new);
        }
        admission::default(&mut new, kind);
        if !applied {
            merge::track(schema::of(kind), Some(old), &mut new, &writer);
            keep_identity(old, &mut new);
        }
        if !of_status && self.has_status() {
            put(&mut new, "status", old.get("status").cloned());
        }
        let wanted = |object: &Json| {
            let mut object = object.clone();
            // Labels of slices are for their readers, and annotations of Deployments for their controller: they count.
            let counted = match kind.name {
                "EndpointSlice" => object.pointer("/metadata/labels").cloned(),
                "Deployment" => object.pointer("/metadata/annotations").cloned(),
                _ => None,
            };
            if let Some(fields) = object.as_object_mut() {
                fields.remove("metadata");
                fields.extend(counted.map(|counted| ("metadata".to_owned(), counted)));
                fields.remove("status");
            }
            object
        };
        self.admitted(state, &mut new, Some(old), warnings)?;
        // What admission fills in is not what a client changed.
        if (COUNTED.contains(&kind.name) || kind == &POD) && !of_status && wanted(&new) != wanted(old) {
            let generation = old.pointer("/metadata/generation").and_then(Json::as_u64).unwrap_or(0);
            new["metadata"]["generation"] = (generation + 1).into();
        }
        merge::keep_times(old, &mut new);
        let answer = |object| Ok((object, false));
        if new == *old || self.request.parameters.dry_run {
            return answer(Arc::new(new));
        }
        if is_over(&new) {
            // What let it go was never kept.
            state.store.remove(kind, &self.key());
            return answer(Arc::new(new));
        }
        answer(state.store.put(kind, self.key(), new))
    }

    /// What the rest of the cluster says to a write.
    fn admitted(
        &self,
        state: &State,
        new: &mut Json,
        old: Option<&Json>,
        warnings: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        let kind = self.request.kind;
        if self.request.subresource.is_none() {
            let refusal = state.refusals.iter().find_map(|refusal| refusal.of(kind, self.namespace(), new));
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
        let attempt = Attempt {
            kind,
            namespace: self.namespace(),
            subresource: self.request.subresource.as_deref(),
            old,
            user: &self.request.user,
            dry_run: self.request.parameters.dry_run,
            now: self.now,
            around: state,
        };
        admission::admit(new, &attempt, warnings)
    }
}

/// Why a version does not fit.
const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// Whether nothing holds an object any more that is being deleted.
pub(super) fn is_over(object: &Json) -> bool {
    let empty = |pointer: &str| object.pointer(pointer).and_then(Json::as_array).is_none_or(Vec::is_empty);
    let metadata = |key: &str| object.get("metadata").and_then(|metadata| metadata.get(key));
    let graceful = metadata("deletionGracePeriodSeconds").and_then(Json::as_i64).unwrap_or(0) > 0;
    metadata("deletionTimestamp").is_some() && !graceful && empty("/metadata/finalizers") && {
        let namespace = object.get("kind").is_some_and(|kind| kind == "Namespace");
        !namespace || empty("/spec/finalizers")
    }
}

/// What only the server says about an object.
fn keep_identity(old: &Json, new: &mut Json) {
    for key in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "generateName",
    ] {
        let value = old.pointer(&format!("/metadata/{key}")).cloned();
        put(&mut new["metadata"], key, value);
    }
}

/// All but the status stays as it is.
fn only_status(old: &Json, new: &mut Json) {
    let status = new.get("status").cloned();
    let managed = new.pointer("/metadata/managedFields").cloned();
    new.clone_from(old);
    put(new, "status", status);
    put(&mut new["metadata"], "managedFields", managed);
}

fn put(object: &mut Json, key: &str, value: Option<Json>) {
    let Some(fields) = object.as_object_mut() else { return };
    match value {
        Some(value) => drop(fields.insert(key.to_owned(), value)),
        None => drop(fields.remove(key)),
    }
}
