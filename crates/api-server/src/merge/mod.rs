//! Who owns which field, and what server-side apply makes of it.
//!
//! Where these stand in a write, as in a real server: a body is decoded and defaulted; [`apply`] or [`track`]; then
//! what admission and the kind's own rules change (allocated addresses, a `status` that is put back), which nobody
//! owns; then [`keep_times`], so that a write that changes nothing is none.

mod combine;
mod compare;
mod item;
mod managers;
mod scale;
mod typed;

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

pub use scale::scale;

use crate::error::ApiError;
use crate::fields::{FieldSet, same};
use crate::schema::{self, Schema};
use compare::Comparison;
use managers::{Manager, Managers, Operation, Owned};

/// Who changes an object, and how that is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The field manager.
    pub manager: String,
    /// `apiVersion` of the request's kind.
    pub api_version: String,
    /// `status` and its like.
    pub subresource: Option<String>,
    /// Now.
    pub now: Timestamp,
}

impl Writer {
    fn time(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// Who owns what was there before anybody applied, when that was not written down.
const BEFORE: &str = "before-first-apply";

/// Server-side apply: what becomes of `live` (nothing: it is created) when `applied` is applied. `managedFields` of the
/// result is complete. Is `live` itself when nothing changes.
///
/// # Errors
/// Conflicts with other managers (409, as the real server words them), without `force`; fields that the schema does
/// not have, values of a wrong type, keys that are missing or stand twice (500, which is what the real server says);
/// `managedFields` in what is applied, or another `apiVersion` (400).
pub fn apply(
    schema: &Schema,
    live: Option<&Json>,
    applied: &Json,
    writer: &Writer,
    force: bool,
) -> Result<Json, ApiError> {
    refuse_foreign(applied, writer)?;
    let mut managers = live.map(Managers::of).unwrap_or_default();
    let bare = live.map_or_else(|| schema::empty(schema), without_managers);
    if let Some(live) = live.filter(|_| managers.is_empty()) {
        let before = Writer { manager: BEFORE.to_owned(), ..writer.clone() };
        update(schema, &schema::empty(schema), &bare, kind_of(live), &before, &mut managers);
    }
    if let Some(words) = typed::errors(schema, applied) {
        return Err(ApiError::new(
            500,
            "",
            format!("failed to create typed patch object ({}): {words}", name(applied)),
        ));
    }

    let me = Manager::of(writer, Operation::Apply);
    let ignored = ignored_fields(schema, kind_of(applied), writer.subresource.as_deref());
    let fields = typed::field_set(schema, applied).outside(&ignored);
    let mut new = combine::merge(schema, &bare, applied);
    let owned = Owned { api_version: writer.api_version.clone(), time: None, fields: fields.into() };
    let last = managers.0.insert(me.clone(), owned);
    let mut time = None;
    if let Some(last) = last {
        time = last.time;
        new = prune(schema, new, &managers, last.fields.set(), &me);
    }

    let change = Comparison::of(schema, &bare, &new).outside(&ignored);
    let written = change.written();
    if !force {
        refuse_conflicts(&managers, &me, &written)?;
    }
    managers.take(Some(&me), &written);
    managers.take(Some(&me), &change.removed);
    let changes = !same(&bare, &new);
    if let Some(mine) = managers.0.get_mut(&me) {
        mine.fields = mine.fields.set().difference(&never_owned()).into();
        mine.time = if changes { Some(writer.time()) } else { time };
    }
    managers.drop_empty();

    if changes {
        schema::settle(schema, &mut new);
    } else {
        new = bare;
    }
    managers.write(&mut new);
    if let Some(live) = live {
        keep_times(live, &mut new);
    }
    Ok(new)
}

/// After any other change: gives the changed fields to the writer, and completes `managedFields` of `new`.
///
/// `new` is what the writer wants, defaulted, and with the `managedFields` that it sent: an empty list there forgets
/// all owners. Call it before anything is allocated or put back.
pub fn track(schema: &Schema, old: Option<&Json>, new: &mut Json, writer: &Writer) {
    let sent = new.pointer("/metadata/managedFields");
    let is_reset = sent.and_then(Json::as_array).is_some_and(|sent| match sent.as_slice() {
        [] => true,
        [only] => only.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    });
    // Subresources have no say in who owns what, and clients that know nothing of owners don't mean to forget them.
    let mut managers = if writer.subresource.is_none() { Managers::of(new) } else { Managers::default() };
    if managers.is_empty()
        && (!is_reset || writer.subresource.is_some())
        && let Some(old) = old
    {
        managers = Managers::of(old);
    }
    *new = without_managers(new);
    schema::settle(schema, new);
    // An object whose owners were forgotten stays without until somebody applies.
    if managers.is_empty() && old.is_some() {
        return;
    }
    let empty;
    let old = match old {
        Some(old) => old,
        None => {
            empty = schema::empty(schema);
            &empty
        }
    };
    update(schema, &without_managers(old), new, kind_of(new), writer, &mut managers);
    managers.write(new);
}

/// Takes `old` for `new` when only the times of owners are new: such a request writes nothing.
///
/// As the server does it, owners are compared one by one in their order, which is that of their times: when the owner
/// that was renewed now comes after another, the object is written.
pub fn keep_times(old: &Json, new: &mut Json) {
    if is_same_but(old, new, "metadata", |old, new| is_same_but(old, new, "managedFields", is_same_but_times)) {
        new.clone_from(old);
    }
}

fn is_same_but(old: &Json, new: &Json, but: &str, compare: impl Fn(&Json, &Json) -> bool) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return false };
    old.len() == new.len()
        && old.iter().all(|(name, old)| match new.get(name) {
            Some(new) if name == but => compare(old, new),
            Some(new) => old == new,
            None => false,
        })
}

fn is_same_but_times(old: &Json, new: &Json) -> bool {
    let (Some(old), Some(new)) = (old.as_array(), new.as_array()) else { return false };
    let both_or_none = |old: &Json, new: &Json| old.get("time").is_some() == new.get("time").is_some();
    let is_same = |(old, new): (&Json, &Json)| both_or_none(old, new) && is_same_but(old, new, "time", |_, _| true);
    old.len() == new.len() && old.iter().zip(new).all(is_same)
}

/// What anybody but an applier does to the owners.
fn update(schema: &Schema, old: &Json, new: &Json, kind: &str, writer: &Writer, managers: &mut Managers) {
    let ignored = ignored_fields(schema, kind, writer.subresource.as_deref());
    let change = Comparison::of(schema, old, new).outside(&ignored);
    let written = change.written();
    managers.take(None, &written);
    managers.take(None, &change.removed);
    let fields = written.difference(&never_owned());
    if !fields.is_empty() {
        let me = Manager::of(writer, Operation::Update);
        let mine = managers.0.entry(me).or_insert_with(|| Owned {
            api_version: writer.api_version.clone(),
            time: None,
            fields: FieldSet::new().into(),
        });
        mine.fields = mine.fields.set().union(&fields).into();
        mine.time = Some(writer.time());
    }
    managers.drop_empty();
    managers.cap();
}

/// Takes away what the manager applied last time, and nobody owns now.
fn prune(schema: &Schema, merged: Json, managers: &Managers, last: &FieldSet, me: &Manager) -> Json {
    let all_applied_again = managers.0.get(me).is_some_and(|mine| last.is_subset(mine.fields.set()));
    if all_applied_again {
        return merged;
    }
    let last = last.with_structs(schema);
    let all = |value: &Json| typed::field_set(schema, value).with_structs(schema);
    let there = all(&merged);
    let kept = all(&combine::without(schema, &merged, &last)).union(&managers.union().with_structs(schema));
    let kept = all(&combine::without(schema, &merged, &there.difference(&kept)));
    // What stood in something that went, but was never applied by this manager, stays.
    combine::without(schema, &merged, &there.difference(&kept).intersection(&last))
}

fn refuse_foreign(applied: &Json, writer: &Writer) -> Result<(), ApiError> {
    let version = applied.get("apiVersion").and_then(Json::as_str).unwrap_or_default();
    if version != writer.api_version {
        return Err(ApiError::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            writer.api_version
        )));
    }
    if applied.pointer("/metadata/managedFields").is_some_and(|sent| !sent.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

fn refuse_conflicts(managers: &Managers, me: &Manager, written: &FieldSet) -> Result<(), ApiError> {
    if written.is_empty() {
        return Ok(());
    }
    let mut others: Vec<_> = managers.0.iter().filter(|(manager, _)| *manager != me).collect();
    // A real server sorts them by their JSON, in which what has a subresource comes first.
    others.sort_by_key(|(manager, _)| {
        (&manager.name, manager.operation, &manager.api_version, manager.subresource.is_none(), &manager.subresource)
    });
    let conflicts = others
        .into_iter()
        .map(|(manager, owned)| (manager.to_string(), owned.fields.set().intersection(written).paths()));
    let conflicts: Vec<_> = conflicts.filter(|(_, paths)| !paths.is_empty()).collect();
    let causes = conflicts.iter().flat_map(|(manager, paths)| {
        paths.iter().map(move |path| {
            let message = format!("conflict with {manager}");
            json!({ "reason": "FieldManagerConflict", "message": message, "field": path })
        })
    });
    let causes: Vec<Json> = causes.collect();
    let message = match conflicts.as_slice() {
        [] => return Ok(()),
        [(manager, paths)] if paths.len() == 1 => {
            format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths[0])
        }
        many => {
            let lines =
                many.iter().map(|(manager, paths)| format!("conflicts with {manager}:\n- {}", paths.join("\n- ")));
            format!("Apply failed with {} conflicts: {}", causes.len(), lines.collect::<Vec<_>>().join("\n"))
        }
    };
    Err(ApiError::new(409, "Conflict", message).with(json!({ "causes": causes })))
}

/// What a request can't change, because the server puts it back: nobody comes to own it.
fn ignored_fields(schema: &Schema, kind: &str, subresource: Option<&str>) -> FieldSet {
    match (subresource, kind) {
        (None, _) if schema.has_field("status") => FieldSet::of(&[&["status"]]),
        (Some("finalize"), _) => FieldSet::of(&[&["status"]]),
        (Some("status"), "Pod") => {
            FieldSet::of(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
        }
        (Some("status"), "Deployment") => FieldSet::of(&[&["spec"], &["metadata", "labels"]]),
        (Some("status"), _) => FieldSet::of(&[&["spec"]]),
        _ => FieldSet::new(),
    }
}

/// What identifies an object and what only the server writes.
fn never_owned() -> FieldSet {
    const OF_METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut fields = FieldSet::of(&[&["apiVersion"], &["kind"], &["metadata"]]);
    for name in OF_METADATA {
        fields.insert(["metadata", name].map(crate::fields::PathElement::field));
    }
    fields
}

fn without_managers(object: &Json) -> Json {
    let copy = |fields: &Map<String, Json>, but: &str, instead: &dyn Fn(&Json) -> Option<Json>| -> Json {
        let entries = fields.iter().filter_map(|(name, entry)| {
            let entry = if name == but { instead(entry)? } else { entry.clone() };
            Some((name.clone(), entry))
        });
        entries.collect::<Map<_, _>>().into()
    };
    let metadata =
        |metadata: &Json| Some(metadata.as_object().map_or(Json::Null, |it| copy(it, "managedFields", &|_| None)));
    object.as_object().map_or(Json::Null, |fields| copy(fields, "metadata", &metadata))
}

fn kind_of(object: &Json) -> &str {
    object.get("kind").and_then(Json::as_str).unwrap_or_default()
}

/// `namespace/name; group/version, Kind=Kind`.
fn name(object: &Json) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let version = text("/apiVersion");
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{}/{}; {slash}{version}, Kind={}", text("/metadata/namespace"), text("/metadata/name"), text("/kind"))
}

#[cfg(test)]
mod tests;
