//! Local copies of what the API server holds, fed by watches, with an index by owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api_server::Kind;
use serde_json::Value as Json;

use super::object::{list, name, namespace, text, uid};

/// What names an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) kind: &'static Kind,
    /// Empty for kinds of the cluster.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: &'static Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn of(kind: &'static Kind, object: &Json) -> Self {
        Self::new(kind, namespace(object), name(object))
    }
}

/// What happened to one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) key: Key,
    /// As it was; none when it is new.
    pub(crate) old: Option<Arc<Json>>,
    /// As it is; none when it is gone.
    pub(crate) new: Option<Arc<Json>>,
}

impl Event {
    /// As it is, or as it was last.
    pub(crate) fn last(&self) -> &Json {
        self.new.as_deref().or(self.old.as_deref()).unwrap_or(&Json::Null)
    }

    /// As it was and as it is, where there is any.
    pub(crate) fn both(&self) -> impl Iterator<Item = &Json> {
        self.old.as_deref().into_iter().chain(self.new.as_deref())
    }

    /// Whether what stands under a path differs, or the object is new or gone.
    pub(crate) fn differs(&self, of: impl for<'a> Fn(&'a Json) -> Option<&'a Json>) -> bool {
        match (self.old.as_deref(), self.new.as_deref()) {
            (Some(old), Some(new)) => of(old) != of(new),
            _ => true,
        }
    }
}

/// The objects of one namespace under their names.
type Names = BTreeMap<String, Arc<Json>>;

/// All objects of one cluster that controllers look at.
#[derive(Debug, Default)]
pub(crate) struct Store {
    kinds: BTreeMap<&'static Kind, BTreeMap<String, Names>>,
    uids: BTreeMap<String, Key>,
    owned: BTreeMap<String, BTreeSet<Key>>,
}

impl Store {
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Json>> {
        self.kinds.get(key.kind)?.get(&key.namespace)?.get(&key.name)
    }

    pub(crate) fn find(&self, kind: &'static Kind, namespace: &str, name: &str) -> Option<&Arc<Json>> {
        self.kinds.get(kind)?.get(namespace)?.get(name)
    }

    /// Those of one namespace, by their names.
    pub(crate) fn within(&self, kind: &'static Kind, namespace: &str) -> impl Iterator<Item = &Arc<Json>> {
        self.kinds.get(kind).and_then(|spaces| spaces.get(namespace)).into_iter().flat_map(BTreeMap::values)
    }

    /// Those of all namespaces.
    pub(crate) fn all(&self, kind: &'static Kind) -> impl Iterator<Item = &Arc<Json>> {
        self.kinds.get(kind).into_iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    /// The object with this UID.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<(&Key, &Arc<Json>)> {
        let key = self.uids.get(uid)?;
        Some((key, self.get(key)?))
    }

    /// Those that name this UID among their owners.
    pub(crate) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.owned.get(uid).into_iter().flatten()
    }

    /// Those of a kind that name this object among their owners.
    pub(crate) fn owned(&self, kind: &'static Kind, owner: &Json) -> impl Iterator<Item = &Arc<Json>> {
        self.dependents(uid(owner)).filter(move |key| key.kind == kind).filter_map(|key| self.get(key))
    }

    /// The keys of a kind that is listed anew.
    pub(crate) fn keys(&self, kind: &'static Kind) -> Vec<Key> {
        self.all(kind).map(|object| Key::of(kind, object)).collect()
    }

    /// Takes a new state in.
    pub(crate) fn put(&mut self, kind: &'static Kind, object: Arc<Json>) -> Event {
        let key = Key::of(kind, &object);
        let names = self.kinds.entry(kind).or_default().entry(key.namespace.clone()).or_default();
        let old = names.insert(key.name.clone(), Arc::clone(&object));
        if let Some(old) = &old {
            self.unlist(&key, old);
        }
        self.uids.insert(uid(&object).to_owned(), key.clone());
        for owner in owners(&object) {
            self.owned.entry(owner.to_owned()).or_default().insert(key.clone());
        }
        Event { key, old, new: Some(object) }
    }

    /// Forgets an object that is gone.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Event> {
        let old = self.kinds.get_mut(key.kind)?.get_mut(&key.namespace)?.remove(&key.name)?;
        self.unlist(&key, &old);
        Some(Event { key, old: Some(old), new: None })
    }

    fn unlist(&mut self, key: &Key, old: &Json) {
        self.uids.remove(uid(old));
        for owner in owners(old) {
            if let Some(keys) = self.owned.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
    }
}

fn owners(object: &Json) -> impl Iterator<Item = &str> {
    list(object, &["metadata", "ownerReferences"]).iter().map(|owner| text(owner, &["uid"]))
}

#[cfg(test)]
mod tests {
    use api_server::kinds::{POD, REPLICA_SET};
    use serde_json::json;

    use super::*;

    #[test]
    fn owned_objects_are_found_until_they_are_released_or_gone() {
        let owner = json!({ "metadata": { "namespace": "a", "name": "set", "uid": "1" } });
        let pod = |owners: Json| {
            Arc::new(json!({ "metadata": { "namespace": "a", "name": "p", "uid": "2", "ownerReferences": owners } }))
        };
        let mut store = Store::default();
        store.put(&REPLICA_SET, Arc::new(owner.clone()));
        store.put(&POD, pod(json!([{ "uid": "1" }])));
        assert_eq!(store.owned(&POD, &owner).count(), 1);
        store.put(&POD, pod(json!([])));
        assert_eq!(store.owned(&POD, &owner).count(), 0);
        store.put(&POD, pod(json!([{ "uid": "1" }])));
        let gone = store.remove(Key::new(&POD, "a", "p")).unwrap();
        assert!(gone.new.is_none() && store.dependents("1").next().is_none() && store.by_uid("2").is_none());
    }
}
