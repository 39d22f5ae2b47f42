//! What a controller sees and can do.

use std::sync::Arc;

use api_server::request::Propagation;
use api_server::{Answer, ApiError, ApiServer, Kind, Request, Verb};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::labels;
use super::object::{self, at, is_going, list, name, namespace, put, text, uid};
use super::store::Store;

/// The field manager of everything that controllers write.
const MANAGER: &str = "kube-controller-manager";

/// What a controller sees and can do, for one look at one key. What it sees includes everything that was written up to
/// now, its own writes of this look excepted.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) server: &'a ApiServer,
    pub(crate) store: &'a Store,
    /// The time of day.
    pub(crate) now: Timestamp,
    /// For lengths of time, which no jump of the clock changes.
    pub(crate) instant: Instant,
}

impl Context<'_> {
    /// Now, as it stands in objects.
    pub(crate) fn stamp(&self) -> String {
        object::stamp(self.now)
    }

    fn call(&self, mut request: Request) -> Result<Arc<Json>, ApiError> {
        request.parameters.manager = Some(MANAGER.to_owned());
        match self.server.call(request)? {
            Answer::Object { object, .. } => Ok(object),
            Answer::List { .. } | Answer::Watch(_) => Ok(Arc::new(Json::Null)),
        }
    }

    pub(crate) fn create(&self, kind: &'static Kind, object: Json) -> Result<Arc<Json>, ApiError> {
        let mut request = Request::new(Verb::Create, kind, space(&object), None);
        request.body = object;
        self.call(request)
    }

    /// Creates it unless it is there.
    pub(crate) fn ensure(&self, kind: &'static Kind, object: Json) -> Result<(), ApiError> {
        match self.create(kind, object) {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces it; refused when it has changed since.
    pub(crate) fn update(&self, kind: &'static Kind, object: Json) -> Result<Arc<Json>, ApiError> {
        self.replace(kind, object, None)
    }

    /// Replaces a subresource: `status`, `finalize`.
    pub(crate) fn replace(
        &self,
        kind: &'static Kind,
        object: Json,
        subresource: Option<&str>,
    ) -> Result<Arc<Json>, ApiError> {
        let mut request = Request::new(Verb::Update, kind, space(&object), Some(name(&object)));
        request.subresource = subresource.map(str::to_owned);
        request.body = object;
        self.call(request)
    }

    /// Writes the status if it differs.
    pub(crate) fn set_status(&self, kind: &'static Kind, object: &Json, status: Json) -> Result<(), ApiError> {
        if object.get("status") == Some(&status) {
            return Ok(());
        }
        let mut object = object.clone();
        put(&mut object, &["status"], status);
        self.replace(kind, object, Some("status")).map(drop)
    }

    /// Deletes this very object. One that is gone, or another by now, is fine.
    pub(crate) fn delete(&self, kind: &'static Kind, object: &Json) -> Result<(), ApiError> {
        self.delete_with(kind, object, None, None)
    }

    /// The same, with a time of grace of its own or a wish for what it owns.
    pub(crate) fn delete_with(
        &self,
        kind: &'static Kind,
        object: &Json,
        grace_seconds: Option<i64>,
        propagation: Option<Propagation>,
    ) -> Result<(), ApiError> {
        let mut request = Request::new(Verb::Delete, kind, space(object), Some(name(object)));
        request.parameters.uid = Some(uid(object).to_owned());
        request.parameters.grace_seconds = grace_seconds;
        request.parameters.propagation = propagation;
        match self.call(request) {
            Err(error) if error.code != 404 && error.code != 409 => Err(error),
            _ => Ok(()),
        }
    }

    /// Those of a kind that `owner` controls, after it has adopted those that it selects and nobody controls.
    pub(crate) fn claim(
        &self,
        kind: &'static Kind,
        owner_kind: &'static Kind,
        owner: &Json,
    ) -> Result<Vec<Arc<Json>>, ApiError> {
        let mut claimed: Vec<_> =
            self.store.owned(kind, owner).filter(|object| object::is_controlled_by(object, owner)).cloned().collect();
        if is_going(owner) {
            return Ok(claimed);
        }
        let selector = at(owner, &["spec", "selector"]);
        for orphan in self.store.within(kind, namespace(owner)) {
            if object::controller(orphan).is_none() && !is_going(orphan) && labels::selects(selector, orphan) {
                let mut adopted = Json::clone(orphan);
                let mut owners = list(orphan, &["metadata", "ownerReferences"]).to_vec();
                owners.retain(|reference| text(reference, &["uid"]) != uid(owner));
                owners.push(object::controlled_by(owner_kind, owner));
                put(&mut adopted, &["metadata", "ownerReferences"], json!(owners));
                claimed.push(self.update(kind, adopted)?);
            }
        }
        Ok(claimed)
    }
}

fn space(object: &Json) -> Option<&str> {
    Some(namespace(object)).filter(|namespace| !namespace.is_empty())
}
