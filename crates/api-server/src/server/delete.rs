//! DELETE: at once, after a time of grace, or when nothing holds the object any more.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::write::is_over;
use super::{Call, State, details, stamp};
use crate::error::ApiError;
use crate::kinds::{NAMESPACE, POD};
use crate::request::{Answer, Propagation};
use crate::store::text;

/// Kinds of which a deletion returns the object as it was last, and not a Status.
const RETURNED: [&str; 5] = ["PersistentVolumeClaim", "Pod", "ResourceQuota", "Service", "ServiceAccount"];

/// Namespaces without which there is no cluster.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

impl Call<'_> {
    pub(super) fn delete(&self, state: &mut State) -> Result<Answer, ApiError> {
        if self.request.kind == &NAMESPACE && IMMORTAL.contains(&self.name()) {
            return Err(self.forbidden(self.name(), "this namespace may not be deleted"));
        }
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
        match self.grace(old) {
            // Nothing else can be asked of what is on its way, not even what becomes of its dependents.
            Grace::Runs => return Ok(Arc::new(new)),
            Grace::Shorter { begun, seconds } => {
                end(&mut new, begun, seconds);
                self.hold(&mut new);
            }
            Grace::Begins(seconds) => {
                end(&mut new, self.now, seconds);
                grow(&mut new);
                self.hold(&mut new);
            }
            Grace::None => {
                self.hold(&mut new);
                // Where a request both lets go of an object and names its version, a real server compares that with nothing.
                let (parameters, held) =
                    (&self.request.parameters, |object: &Json| object.pointer("/metadata/finalizers").is_some());
                if parameters.if_resource_version.is_some() && !parameters.dry_run && held(old) && !held(&new) {
                    let version = text(old, "resourceVersion").unwrap_or_default();
                    let why = format!("ResourceVersion in precondition: , ResourceVersion in object meta: {version}");
                    return Err(self.stored_otherwise(&why));
                }
                if new.pointer("/metadata/deletionTimestamp").is_none() {
                    end(&mut new, self.now, 0);
                    grow(&mut new);
                }
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

    /// Only pods take time, and of those only what was given to a node. Less than no time is a second.
    fn grace(&self, object: &Json) -> Grace {
        if self.request.kind != &POD {
            return Grace::None;
        }
        let asked = self.request.parameters.grace_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
        let at = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        if let Ok(ends) = at("/metadata/deletionTimestamp").parse::<Timestamp>() {
            let granted = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Json::as_i64).unwrap_or(0);
            let begun = ends.checked_sub(SignedDuration::from_secs(granted)).unwrap_or(ends);
            return match asked {
                _ if granted == 0 => Grace::None,
                Some(seconds) if seconds < granted => Grace::Shorter { begun, seconds },
                _ => Grace::Runs,
            };
        }
        if at("/spec/nodeName").is_empty() || matches!(at("/status/phase"), "Succeeded" | "Failed") {
            return Grace::Begins(0);
        }
        let of_spec = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Json::as_i64);
        Grace::Begins(asked.or(of_spec).unwrap_or(30).max(0))
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

/// The time that an object has to end.
enum Grace {
    /// It takes none.
    None,
    /// So many seconds from now on.
    Begins(i64),
    /// It is running, and is made shorter.
    Shorter { begun: Timestamp, seconds: i64 },
    /// It is running, and stays as it is.
    Runs,
}

/// It ends so long after this.
fn end(object: &mut Json, begun: Timestamp, seconds: i64) {
    let moment = begun.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(begun);
    object["metadata"]["deletionTimestamp"] = stamp(moment).into();
    object["metadata"]["deletionGracePeriodSeconds"] = seconds.into();
}

/// What is being deleted is no longer what it was.
fn grow(object: &mut Json) {
    if let Some(generation) = object.pointer("/metadata/generation").and_then(Json::as_u64).filter(|it| *it > 0) {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

/// What is answered when the object is gone.
fn success(kind: &crate::kinds::Kind, object: &Json) -> Json {
    let mut details = details(kind, text(object, "name").unwrap_or_default());
    details["uid"] = text(object, "uid").unwrap_or_default().into();
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
