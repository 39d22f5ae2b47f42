//! Objects under their keys, each with the version at which it last changed, and the log of changes that watches read.

mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::ApiError;
use crate::kinds::Kind;

pub(crate) use watch::Subject;
pub use watch::{Change, Watch};

/// How many changes are remembered: a watch, or a list of earlier, can go back so far.
const REMEMBERED: usize = 4_096;

/// All objects of a cluster.
#[derive(Debug)]
pub(crate) struct Store {
    objects: BTreeMap<&'static Kind, BTreeMap<String, Arc<Json>>>,
    version: u64,
    log: VecDeque<Entry>,
    /// Changes up to this version are forgotten.
    compacted: u64,
    /// Tells watches the version; one more than a change each time they are to end.
    news: tokio::sync::watch::Sender<News>,
}

/// What watches wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// The newest version.
    pub(crate) version: u64,
    /// How often all watches were ended.
    pub(crate) disconnects: u64,
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) version: u64,
    pub(crate) kind: &'static Kind,
    pub(crate) old: Option<Arc<Json>>,
    /// As it is now; when it was deleted, as it was last, with the version of its end.
    pub(crate) new: Arc<Json>,
    pub(crate) deleted: bool,
}

/// Where an object stands: in the order in which a real server lists.
pub(crate) fn key(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

impl Store {
    pub(crate) fn new() -> Self {
        let (news, _) = tokio::sync::watch::channel(News { version: 1, disconnects: 0 });
        Self { objects: BTreeMap::new(), version: 1, log: VecDeque::new(), compacted: 0, news }
    }

    /// The version of the whole.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Changes up to this version are forgotten.
    pub(crate) const fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(crate) fn news(&self) -> tokio::sync::watch::Receiver<News> {
        self.news.subscribe()
    }

    pub(crate) fn get(&self, kind: &'static Kind, key: &str) -> Option<Arc<Json>> {
        self.objects.get(kind)?.get(key).cloned()
    }

    /// All objects of a kind, in one namespace or in all, with their keys and in their order.
    pub(crate) fn list<'a>(
        &'a self,
        kind: &'static Kind,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Json>)> + use<'a> {
        let prefix = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let objects = self.objects.get(kind).into_iter();
        objects.flat_map(move |objects| {
            let prefix = prefix.clone();
            let from =
                objects.range::<str, _>((std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded));
            let found: Vec<_> = from.take_while(|(key, _)| key.starts_with(&prefix)).collect();
            found.into_iter().map(|(key, object)| (key.as_str(), object))
        })
    }

    /// All objects of a kind as they were at a version.
    ///
    /// # Errors
    /// 410 when that is forgotten.
    pub(crate) fn list_at(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Vec<(String, Arc<Json>)>, ApiError> {
        if version < self.compacted {
            return Err(expired("The provided continue parameter is too old to display a consistent list result."));
        }
        let mut objects: BTreeMap<String, Arc<Json>> =
            self.list(kind, namespace).map(|(key, object)| (key.to_owned(), Arc::clone(object))).collect();
        for entry in self.log.iter().rev().take_while(|entry| entry.version > version) {
            if entry.kind != kind {
                continue;
            }
            let of = text(&entry.new, "namespace");
            if namespace.is_some() && namespace != of {
                continue;
            }
            let key = key(of, text(&entry.new, "name").unwrap_or_default());
            match &entry.old {
                Some(old) => drop(objects.insert(key, Arc::clone(old))),
                None => drop(objects.remove(&key)),
            }
        }
        Ok(objects.into_iter().collect())
    }

    /// Keeps an object, and gives it the next version.
    pub(crate) fn put(&mut self, kind: &'static Kind, key: String, mut object: Json) -> Arc<Json> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let new = Arc::new(object);
        let old = self.objects.entry(kind).or_default().insert(key, Arc::clone(&new));
        self.record(Entry { version: self.version, kind, old, new: Arc::clone(&new), deleted: false });
        new
    }

    /// Forgets an object. The result is as it was last, with the version of its end.
    pub(crate) fn remove(&mut self, kind: &'static Kind, key: &str) -> Option<Arc<Json>> {
        let old = self.objects.get_mut(kind)?.remove(key)?;
        self.version += 1;
        let mut last = Json::clone(&old);
        last["metadata"]["resourceVersion"] = self.version.to_string().into();
        let new = Arc::new(last);
        self.record(Entry { version: self.version, kind, old: Some(old), new: Arc::clone(&new), deleted: true });
        Some(new)
    }

    fn record(&mut self, entry: Entry) {
        self.log.push_back(entry);
        if self.log.len() > REMEMBERED
            && let Some(oldest) = self.log.pop_front()
        {
            self.compacted = oldest.version;
        }
        self.news.send_modify(|news| news.version = self.version);
    }

    /// Changes after a version, oldest first.
    pub(crate) fn changes_after(&self, version: u64) -> impl Iterator<Item = &Entry> {
        let from = self.log.partition_point(|entry| entry.version <= version);
        self.log.range(from..)
    }

    /// Forgets all changes.
    pub(crate) fn compact(&mut self) {
        self.log.clear();
        self.compacted = self.version;
    }

    /// Ends all watches.
    pub(crate) fn disconnect(&self) {
        self.news.send_modify(|news| news.disconnects += 1);
    }
}

/// A text of an object's metadata.
pub(crate) fn text<'a>(object: &'a Json, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get(key)?.as_str()
}

/// 410.
pub(crate) fn expired(message: impl Into<String>) -> ApiError {
    ApiError::new(410, "Expired", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::{CONFIG_MAP, SECRET};

    fn object(namespace: &str, name: &str, value: u64) -> Json {
        json!({ "metadata": { "namespace": namespace, "name": name }, "data": value })
    }

    #[test]
    fn what_was_can_be_listed_until_it_is_forgotten() {
        let mut store = Store::new();
        for (namespace, name) in [("a", "x"), ("a-b", "x"), ("a", "y")] {
            store.put(&CONFIG_MAP, key(Some(namespace), name), object(namespace, name, 1));
        }
        store.put(&SECRET, key(Some("a"), "s"), object("a", "s", 1));
        let then = store.version();
        store.put(&CONFIG_MAP, key(Some("a"), "x"), object("a", "x", 2));
        store.remove(&CONFIG_MAP, "a/y");
        store.put(&CONFIG_MAP, key(Some("a"), "z"), object("a", "z", 1));

        let keys = |store: &Store| store.list(&CONFIG_MAP, None).map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
        assert_eq!(keys(&store), ["a-b/x", "a/x", "a/z"]);
        let was = store.list_at(&CONFIG_MAP, Some("a"), then).unwrap();
        let was: Vec<_> = was.iter().map(|(key, object)| (key.as_str(), object["data"].as_u64())).collect();
        assert_eq!(was, [("a/x", Some(1)), ("a/y", Some(1))]);
        assert_eq!(store.changes_after(then).count(), 3);
        store.compact();
        assert_eq!(store.list_at(&CONFIG_MAP, None, then).unwrap_err().code, 410);
        assert_eq!(keys(&store), ["a-b/x", "a/x", "a/z"]);
    }
}
