//! `scale`, `binding` and `finalize`.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::write::{Change, is_over, warning};
use super::{Call, State};
use crate::error::ApiError;
use crate::merge;
use crate::patch;
use crate::request::{Answer, PatchType, Request, Verb};
use crate::store::text;

impl Call<'_> {
    /// How many there are to be, the same way for every kind that has a number.
    pub(super) fn scale(&self, state: &mut State) -> Result<Answer, ApiError> {
        let kind = self.request.kind;
        let object = state.store.get(kind, &self.key()).ok_or_else(|| self.not_found(self.name()))?;
        let scale = scale_of(&object);
        let wanted = match self.request.verb {
            Verb::Get => return Ok(Answer::Object { object: Arc::new(scale), created: false, warnings: Vec::new() }),
            Verb::Patch(how) => {
                let mut scale = scale;
                match how {
                    PatchType::Json => patch::json(&mut scale, &self.request.body)?,
                    PatchType::Merge | PatchType::StrategicMerge => patch::merge(&mut scale, &self.request.body),
                    PatchType::Apply => return Err(ApiError::not_implemented("this server does not apply scales")),
                }
                scale
            }
            _ => self.request.body.clone(),
        };
        let (old, mut new) = (Json::clone(&object), Json::clone(&object));
        new["spec"]["replicas"] = wanted.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
        if let Some(version) = text(&wanted, "resourceVersion").filter(|version| !version.is_empty()) {
            new["metadata"]["resourceVersion"] = version.into();
        }
        let writer = self.writer(self.request.parameters.manager.as_deref());
        merge::scale(&old, &mut new, &writer);
        // A scale is judged as the whole object is.
        let request = Request { subresource: None, ..self.request.clone() };
        let call = Call { request: &request, ..*self };
        let change = Change { new, writer, applied: true };
        warning(|warnings| {
            let (object, created) = call.change(state, &old, change, warnings)?;
            Ok((Arc::new(scale_of(&object)), created))
        })
    }

    /// Gives a pod to a node.
    pub(super) fn bind(&self, state: &mut State) -> Result<Answer, ApiError> {
        let kind = self.request.kind;
        let old = state.store.get(kind, &self.key()).ok_or_else(|| self.not_found(self.name()))?;
        let node = self.request.body.pointer("/target/name").and_then(Json::as_str).unwrap_or_default();
        if node.is_empty() {
            return Err(ApiError::new(422, "Invalid", "Binding is invalid: target.name: Required value"));
        }
        if old.pointer("/metadata/deletionTimestamp").is_some() {
            return Err(self.not_bound(&format!("pod {} is being deleted, cannot be assigned to a host", self.name())));
        }
        if let Some(has) = old.pointer("/spec/nodeName").and_then(Json::as_str).filter(|has| !has.is_empty()) {
            let why = format!("pod {} is already assigned to node {has:?}", self.name());
            return Err(self.not_bound(&why));
        }
        let mut new = Json::clone(&old);
        new["spec"]["nodeName"] = node.into();
        let scheduled = json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": self.timestamp(),
        });
        let mut conditions: Vec<Json> =
            new.pointer("/status/conditions").and_then(Json::as_array).cloned().unwrap_or_default();
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(scheduled);
        new["status"]["conditions"] = conditions.into();
        if !self.request.parameters.dry_run {
            state.store.put(kind, self.key(), new);
        }
        Ok(done())
    }

    /// These refusals name the subresource.
    fn not_bound(&self, why: &str) -> ApiError {
        let message = format!("Operation cannot be fulfilled on pods/binding {:?}: {why}", self.name());
        let details = json!({ "name": self.name(), "kind": "pods/binding" });
        ApiError::new(409, "Conflict", message).with(details)
    }

    /// What holds a namespace.
    pub(super) fn finalize(&self, state: &mut State) -> Result<Answer, ApiError> {
        let kind = self.request.kind;
        let old = state.store.get(kind, &self.key()).ok_or_else(|| self.not_found(self.name()))?;
        let mut new = Json::clone(&old);
        let finalizers = self.request.body.pointer("/spec/finalizers").cloned();
        new["spec"] = finalizers
            .filter(|list| list.as_array().is_some_and(|list| !list.is_empty()))
            .map_or_else(|| json!({}), |list| json!({ "finalizers": list }));
        let over = is_over(&new);
        let kept = state.store.put(kind, self.key(), new);
        let object = if over { state.store.remove(kind, &self.key()).unwrap_or(kept) } else { kept };
        Ok(Answer::Object { object, created: false, warnings: Vec::new() })
    }
}

/// What a subresource that makes nothing answers.
pub(super) fn done() -> Answer {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Answer::Object { object: Arc::new(status), created: true, warnings: Vec::new() }
}

fn scale_of(object: &Json) -> Json {
    let metadata = |key: &str| object.pointer(&format!("/metadata/{key}")).cloned().unwrap_or_default();
    let number = |pointer: &str| object.pointer(pointer).and_then(Json::as_u64).unwrap_or(0);
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Json::as_object);
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    // None is not printed.
    let spec = match number("/spec/replicas") {
        0 => json!({}),
        replicas => json!({ "replicas": replicas }),
    };
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata("name"), "namespace": metadata("namespace"), "uid": metadata("uid"),
            "resourceVersion": metadata("resourceVersion"), "creationTimestamp": metadata("creationTimestamp"),
        },
        "spec": spec,
        "status": { "replicas": number("/status/replicas"), "selector": selector.join(",") },
    })
}
