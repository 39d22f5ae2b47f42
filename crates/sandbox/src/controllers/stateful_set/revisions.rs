//! The templates that a StatefulSet had, and which of them a new pod gets.

use std::sync::Arc;

use api_server::ApiError;
use api_server::kinds::{CONTROLLER_REVISION, STATEFUL_SET};
use serde_json::{Value as Json, json};

use super::super::context::Context;
use super::super::object::{at, controlled_by, label, map, name, namespace, number, short_hash, take, text};
use super::REVISION_LABEL;

/// One template.
pub(super) struct Revision {
    pub(super) name: String,
    template: Json,
}

/// The templates that matter now.
pub(super) struct Revisions {
    /// The one that all pods had when the last rolling update was complete.
    pub(super) current: Revision,
    /// The one of the present spec.
    pub(super) update: Revision,
    all: Vec<Arc<Json>>,
}

/// The lowest number that a rolling update touches.
pub(super) fn partition(set: &Json) -> Option<i64> {
    number(set, &["spec", "updateStrategy", "rollingUpdate", "partition"])
}

fn data(set: &Json) -> Json {
    let mut template = at(set, &["spec", "template"]).cloned().unwrap_or_else(|| json!({}));
    template["$patch"] = json!("replace");
    json!({ "spec": { "template": template } })
}

fn read(object: &Json) -> Revision {
    let mut template = at(object, &["data", "spec", "template"]).cloned().unwrap_or_default();
    take(&mut template, &["$patch"]);
    Revision { name: name(object).to_owned(), template }
}

impl Revisions {
    /// Finds them, and records the present template if it is new.
    pub(super) fn find(set: &Json, context: Context<'_>) -> Result<Self, ApiError> {
        let mut all = context.claim(&CONTROLLER_REVISION, &STATEFUL_SET, set)?;
        all.sort_by(|a, b| (number(a, &["revision"]), name(a)).cmp(&(number(b, &["revision"]), name(b))));
        let present = data(set);
        let next = all.last().and_then(|last| number(last, &["revision"])).unwrap_or_default() + 1;
        let update = match all.iter().rev().find(|one| at(one, &["data"]) == Some(&present)) {
            Some(known) if number(known, &["revision"]) == Some(next - 1) => Arc::clone(known),
            Some(known) => {
                let mut known = Json::clone(known);
                known["revision"] = json!(next);
                context.update(&CONTROLLER_REVISION, known)?
            }
            None => record(set, &present, next, context)?,
        };
        let stated = text(set, &["status", "currentRevision"]);
        let current = all.iter().find(|one| name(one) == stated).unwrap_or(&update);
        Ok(Self { current: read(current), update: read(&update), all })
    }

    /// What a new pod of a number is made from. Only a rolling update keeps numbers on the former template.
    pub(super) fn of_new(&self, set: &Json, ordinal: i64) -> (&Json, &str) {
        let rolling = text(set, &["spec", "updateStrategy", "type"]) != "OnDelete";
        let first = number(set, &["spec", "ordinals", "start"]).unwrap_or_default();
        let kept = match at(set, &["spec", "updateStrategy", "rollingUpdate"]) {
            Some(_) => partition(set).unwrap_or_default(),
            None => first + number(set, &["status", "currentReplicas"]).unwrap_or_default(),
        };
        let revision = if rolling && ordinal < kept { &self.current } else { &self.update };
        (&revision.template, &revision.name)
    }

    /// Deletes records beyond the limit that no pod was made from.
    pub(super) fn forget_oldest(&self, set: &Json, pods: &[Arc<Json>], context: Context<'_>) -> Result<(), ApiError> {
        let limit = number(set, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
        let is_live = |revision: &Json| {
            let name = name(revision);
            name == self.current.name
                || name == self.update.name
                || pods.iter().any(|pod| label(pod, REVISION_LABEL) == name)
        };
        let idle: Vec<_> = self.all.iter().filter(|revision| !is_live(revision)).collect();
        let extra = idle.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        idle.into_iter().take(extra).try_for_each(|revision| context.delete(&CONTROLLER_REVISION, revision))
    }
}

fn record(set: &Json, data: &Json, revision: i64, context: Context<'_>) -> Result<Arc<Json>, ApiError> {
    let mut collisions = number(set, &["status", "collisionCount"]).unwrap_or_default();
    loop {
        let hash = short_hash(&[data, &json!(collisions)]);
        let mut labels = map(set, &["spec", "template", "metadata", "labels"]).cloned().unwrap_or_default();
        labels.insert("controller.kubernetes.io/hash".to_owned(), json!(hash));
        let own = format!("{}-{hash}", name(set));
        let made = context.create(
            &CONTROLLER_REVISION,
            json!({
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {
                    "namespace": namespace(set),
                    "name": own,
                    "labels": labels,
                    "ownerReferences": [controlled_by(&STATEFUL_SET, set)],
                },
                "data": data,
                "revision": revision,
            }),
        );
        match made {
            Err(error) if error.reason == "AlreadyExists" => collisions += 1,
            other => return other,
        }
    }
}
