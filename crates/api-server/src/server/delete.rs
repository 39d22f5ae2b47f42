//! DELETE: at once, after a time of grace, or when nothing holds the object any more.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::write::is_over;
use super::{Call, State, details, stamp};
use crate::error::ApiError;
use crate::kinds::{NAMESPACE, POD};
use crate::request::{Answer, Propagation};
use crate::store::text;

/// Kinds of which a deletion returns the object as it was last, and not a Status.
const RETURNED: [&str; 5] = ["PersistentVolumeClaim", "Pod", "ResourceQuota", "Service", "ServiceAccount"];

impl Call<'_> {
    pub(super) fn delete(&self, state: &mut State) -> Result<Answer, ApiError> {
        let key = self.key();
        let old = state.store.get(self.request.kind, &key).ok_or_else(|| self.not_found(self.name()))?;
        self.preconditions(&old)?;
        let object = self.deleted(state, &key, &old)?;
        Ok(Answer::Object { object, created: false, warnings: Vec::new() })
    }

    pub(super) fn preconditions(&self, object: &Json) -> Result<(), ApiError> {
        let parameters = &self.request.parameters;
        let version = &parameters.if_resource_version;
        for (what, asked, is, end) in [
            ("UID", &parameters.uid, text(object, "uid"), "deleted and then recreated"),
            ("ResourceVersion", version, text(object, "resourceVersion"), "modified"),
        ] {
            if let Some(asked) = asked.as_deref().filter(|asked| Some(*asked) != is) {
                // The words of this refusal name the kind where all others name the resource.
                let (kind, name) = (self.request.kind, self.name());
                let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
                let message = format!(
                    "Operation cannot be fulfilled on {}{group} {name:?}: the {what} in the precondition ({asked}) does not match the {what} in record ({}). The object might have been {end}",
                    kind.name,
                    is.unwrap_or_default()
                );
                let mut details = details(kind, name);
                details["kind"] = kind.name.into();
                return Err(ApiError::new(409, "Conflict", message).with(details));
            }
        }
        Ok(())
    }

    /// Takes an object as far towards its end as it may go now.
    pub(super) fn deleted(&self, state: &mut State, key: &str, old: &Json) -> Result<Arc<Json>, ApiError> {
        let kind = self.request.kind;
        let mut new = old.clone();
        self.hold(&mut new);
        let grace = self.grace(&new);
        let before = old.pointer("/metadata/deletionGracePeriodSeconds").and_then(Json::as_i64);
        let deleting = old.pointer("/metadata/deletionTimestamp").is_some();
        // A time of grace that runs can only be made shorter, by who says how short.
        let says = kind != &POD || self.request.parameters.grace_seconds.is_some();
        let shorter = before.is_none_or(|before| says && grace < before);
        if !deleting || shorter {
            let moment = self.now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(self.now);
            let moment = if deleting && grace == 0 {
                old.pointer("/metadata/deletionTimestamp").cloned()
            } else {
                Some(stamp(moment).into())
            };
            new["metadata"]["deletionTimestamp"] = moment.unwrap_or_default();
            new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            if let Some(generation) = new.pointer("/metadata/generation").and_then(Json::as_u64).filter(|_| !deleting) {
                new["metadata"]["generation"] = (generation + 1).into();
            }
        }
        if kind == &NAMESPACE {
            new["status"]["phase"] = "Terminating".into();
            if let Some(metadata) = new["metadata"].as_object_mut() {
                metadata.remove("deletionGracePeriodSeconds");
            }
        }
        if is_over(&new) {
            // Pods are seen to go even when they go at once.
            let mut last = if kind == &POD { Arc::new(new.clone()) } else { Arc::new(old.clone()) };
            if !self.request.parameters.dry_run {
                if kind == &POD && new != *old {
                    state.store.put(kind, key.to_owned(), new);
                }
                last = state.store.remove(kind, key).unwrap_or(last);
            }
            if RETURNED.contains(&kind.name) {
                return Ok(last);
            }
            return Ok(Arc::new(success(kind, old)));
        }
        if new == *old || self.request.parameters.dry_run {
            return Ok(Arc::new(new));
        }
        Ok(state.store.put(kind, key.to_owned(), new))
    }

    /// Dependents may have to be seen to first.
    fn hold(&self, object: &mut Json) {
        let finalizer = match self.request.parameters.propagation {
            Some(Propagation::Orphan) => Some("orphan"),
            Some(Propagation::Foreground) => Some("foregroundDeletion"),
            Some(Propagation::Background) | None => None,
        };
        let metadata = &mut object["metadata"];
        let mut finalizers: Vec<Json> = metadata["finalizers"].as_array().cloned().unwrap_or_default();
        if self.request.parameters.propagation.is_some() {
            finalizers.retain(|one| {
                one != "orphan" && one != "foregroundDeletion" || Some(one) == finalizer.map(Json::from).as_ref()
            });
        }
        if let Some(finalizer) = finalizer.map(Json::from).filter(|one| !finalizers.contains(one)) {
            finalizers.push(finalizer);
        }
        if finalizers.is_empty() {
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.remove("finalizers");
            }
        } else {
            metadata["finalizers"] = finalizers.into();
        }
    }

    /// In seconds; less than nothing is one. Only pods that were given to a node take time.
    fn grace(&self, object: &Json) -> i64 {
        if self.request.kind != &POD {
            return 0;
        }
        let asked = self.request.parameters.grace_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
        // Of what is going already nothing else is asked.
        if let (true, Some(asked)) = (object.pointer("/metadata/deletionTimestamp").is_some(), asked) {
            return asked;
        }
        let at = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        if at("/spec/nodeName").is_empty() || matches!(at("/status/phase"), "Succeeded" | "Failed") {
            return 0;
        }
        let of_spec = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Json::as_i64);
        asked.or(of_spec).unwrap_or(30).max(0)
    }

    pub(super) fn delete_collection(&self, state: &mut State) -> Result<Answer, ApiError> {
        let Answer::List { items, resource_version, .. } = self.list(state)? else {
            return Err(ApiError::new(500, "InternalError", "a list is a list"));
        };
        for item in &items {
            let (namespace, name) = (text(item, "namespace"), text(item, "name").unwrap_or_default());
            self.deleted(state, &crate::store::key(namespace, name), item)?;
        }
        Ok(Answer::List { items, resource_version, more: None })
    }
}

/// What is answered when the object is gone.
fn success(kind: &crate::kinds::Kind, object: &Json) -> Json {
    let mut details = details(kind, text(object, "name").unwrap_or_default());
    details["uid"] = text(object, "uid").unwrap_or_default().into();
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
