//! What people change by hand in what is ours.

use api_server::request::PatchType;
use api_server::{Answer, Kind, Request, Verb, kinds};
use serde_json::{Value as Json, json};

use crate::stage::NAMESPACE;

use super::Course;

/// Kinds of which single objects come back when they are deleted, without anybody on a call who notices.
static DELETED: [&Kind; 5] =
    [&kinds::SERVICE, &kinds::CONFIG_MAP, &kinds::ENDPOINT_SLICE, &kinds::NETWORK_POLICY, &kinds::DISRUPTION_BUDGET];

/// Kinds that are only changed.
static CHANGED: [&Kind; 2] = [&kinds::STATEFUL_SET, &kinds::DEPLOYMENT];

impl Course {
    /// Somebody changes or deletes an object of ours.
    pub(super) fn meddle(&mut self) {
        let cluster = self.dice.pick(self.stage.clusters).unwrap_or("hq");
        let Ok(server) = self.stage.sandbox.server(cluster) else { return };
        let mut ours: Vec<(&'static Kind, String)> = Vec::new();
        for kind in DELETED.into_iter().chain(CHANGED) {
            let Ok(Answer::List { items, .. }) = server.call(Request::new(Verb::List, kind, Some(NAMESPACE), None))
            else {
                continue;
            };
            let names = items.iter().filter(|item| is_ours(item)).filter_map(|item| item["metadata"]["name"].as_str());
            ours.extend(names.filter(|name| !is_book(name)).map(|name| (kind, name.to_owned())));
        }
        if ours.is_empty() {
            return;
        }
        let index = usize::try_from(self.dice.next()).unwrap_or(0) % ours.len();
        let (kind, name) = ours.swap_remove(index);
        // Without its Service a bridge has no media.
        let deletes = !CHANGED.contains(&kind) && !name.contains("-jvb-") && self.dice.comes(50);
        let mut request = if deletes {
            Request::new(Verb::Delete, kind, Some(NAMESPACE), Some(&name))
        } else {
            let mut request = Request::new(Verb::Patch(PatchType::Merge), kind, Some(NAMESPACE), Some(&name));
            request.body = json!({ "metadata": { "labels": { "app.kubernetes.io/part-of": "somebody-elses" } } });
            request
        };
        request.parameters.manager = Some("kubectl-edit".to_owned());
        let what = if deletes { "deletes" } else { "changes" };
        let done = server.call(request).is_ok();
        self.stage.trace.say(format!("{cluster}: somebody {what} {} {name}: {done}", kind.plural));
    }
}

/// Ours, and not made by a controller of what is ours.
fn is_ours(object: &Json) -> bool {
    object.pointer("/metadata/labels/jitsictl.dev~1fleet").and_then(Json::as_str) == Some("meet")
        && object.pointer("/metadata/ownerReferences").is_none()
        && object.pointer("/metadata/deletionTimestamp").is_none()
}

/// What jitsictl keeps for itself, and what only looks like ours.
fn is_book(name: &str) -> bool {
    name.contains("inventory") || ["meet-control", "meet-data", "meet-lookalike"].contains(&name)
}
