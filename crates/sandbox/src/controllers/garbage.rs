//! Garbage: objects whose owners are all gone, or go and wait for them.

use std::time::Duration;

use api_server::ApiError;
use api_server::Kind;
use api_server::request::Propagation;
use serde_json::{Value as Json, json};

use super::context::Context;
use super::object::{has_finalizer, is_going, list, put, text, truth, uid};
use super::runner::Controller;
use super::store::{Event, Key, Store};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

pub(crate) struct Garbage;

impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "garbage-collector"
    }

    fn wake(&mut self, event: &Event, store: &Store, keys: &mut Vec<Key>) {
        let object = event.last();
        let owners = list(object, &["metadata", "ownerReferences"]);
        match &event.new {
            Some(new) => {
                if is_going(new) || !owners.is_empty() {
                    keys.push(event.key.clone());
                }
                if is_going(new) && has_finalizer(new, FOREGROUND) {
                    keys.extend(store.dependents(uid(new)).cloned());
                }
            }
            None => keys.extend(store.dependents(uid(object)).cloned()),
        }
        // One that goes waits for this one.
        let references = event.both().flat_map(|object| list(object, &["metadata", "ownerReferences"]));
        let waiting = references.filter_map(|owner| store.by_uid(text(owner, &["uid"])));
        keys.extend(waiting.filter(|(_, owner)| is_going(owner)).map(|(key, _)| key.clone()));
    }

    fn reconcile(&mut self, key: &Key, context: Context<'_>) -> Result<Option<Duration>, ApiError> {
        let Some(object) = context.store.get(key) else { return Ok(None) };
        if is_going(object) {
            if has_finalizer(object, ORPHAN) {
                release_all(object, context)?;
                drop_finalizer(key.kind, object, ORPHAN, context)?;
            } else if has_finalizer(object, FOREGROUND) && !is_blocked(object, context.store) {
                drop_finalizer(key.kind, object, FOREGROUND, context)?;
            }
        } else {
            collect(key, object, context)?;
        }
        Ok(None)
    }
}

/// How things are with an owner.
#[derive(PartialEq)]
enum Owner {
    There,
    /// It goes after those that it owns.
    Waiting,
    Gone,
}

fn owner_of(reference: &Json, store: &Store) -> Owner {
    // What kinds this server does not keep cannot be judged.
    if Kind::of(text(reference, &["apiVersion"]), text(reference, &["kind"])).is_none() {
        return Owner::There;
    }
    match store.by_uid(text(reference, &["uid"])) {
        None => Owner::Gone,
        Some((_, owner)) if is_going(owner) && has_finalizer(owner, FOREGROUND) => Owner::Waiting,
        Some(_) => Owner::There,
    }
}

fn collect(key: &Key, object: &Json, context: Context<'_>) -> Result<(), ApiError> {
    let references = list(object, &["metadata", "ownerReferences"]);
    if references.is_empty() {
        return Ok(());
    }
    let having = |state: Owner| references.iter().filter(move |one| owner_of(one, context.store) == state);
    if having(Owner::There).next().is_some() {
        let kept: Vec<_> = having(Owner::There).cloned().collect();
        if kept.len() < references.len() {
            let mut object = object.clone();
            put(&mut object, &["metadata", "ownerReferences"], json!(kept));
            context.update(key.kind, object)?;
        }
        return Ok(());
    }
    let waited_for = having(Owner::Waiting).next().is_some();
    let owns = context.store.dependents(uid(object)).next().is_some();
    let propagation = if (waited_for && owns) || has_finalizer(object, FOREGROUND) {
        Propagation::Foreground
    } else if has_finalizer(object, ORPHAN) {
        Propagation::Orphan
    } else {
        Propagation::Background
    };
    context.delete_with(key.kind, object, None, Some(propagation))
}

/// Whether something that it owns wants to be gone first.
fn is_blocked(owner: &Json, store: &Store) -> bool {
    let mut references = store
        .dependents(uid(owner))
        .filter_map(|key| store.get(key))
        .flat_map(|object| list(object, &["metadata", "ownerReferences"]));
    references.any(|one| text(one, &["uid"]) == uid(owner) && truth(one, &["blockOwnerDeletion"]))
}

/// Those that it owns stay, on their own.
fn release_all(owner: &Json, context: Context<'_>) -> Result<(), ApiError> {
    for key in context.store.dependents(uid(owner)) {
        let Some(object) = context.store.get(key) else { continue };
        let references = list(object, &["metadata", "ownerReferences"]).iter();
        let kept: Vec<_> = references.filter(|one| text(one, &["uid"]) != uid(owner)).cloned().collect();
        let mut object = Json::clone(object);
        put(&mut object, &["metadata", "ownerReferences"], json!(kept));
        context.update(key.kind, object)?;
    }
    Ok(())
}

fn drop_finalizer(kind: &'static Kind, object: &Json, finalizer: &str, context: Context<'_>) -> Result<(), ApiError> {
    let finalizers = list(object, &["metadata", "finalizers"]).iter();
    let kept: Vec<_> = finalizers.filter(|one| *one != finalizer).cloned().collect();
    let mut object = object.clone();
    put(&mut object, &["metadata", "finalizers"], json!(kept));
    context.update(kind, object).map(drop)
}
