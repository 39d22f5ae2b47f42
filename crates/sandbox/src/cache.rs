//! Watch-fed copies of what the API server holds, with the few indexes that the network needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::serde::de::DeserializeOwned;
use kube::{
    Api, Resource, ResourceExt,
    runtime::watcher::{self, Event, watcher},
};
use tokio::sync::mpsc::UnboundedSender;

use crate::signal::Signal;

/// `(namespace, name)`.
pub(crate) type Name = (String, String);

/// What happened to an object, in the order in which it happened.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// It is new, or differs.
    Applied(Arc<K>),
    /// It is gone.
    Deleted(Arc<K>),
}

/// The objects of one kind in one cluster.
#[derive(Debug)]
pub(crate) struct Cache<K> {
    inner: RwLock<Inner<K>>,
    keys: fn(&K) -> Vec<String>,
    /// Told after each change.
    pub(crate) signal: Signal,
}

#[derive(Debug)]
struct Inner<K> {
    objects: BTreeMap<Name, Arc<K>>,
    index: BTreeMap<String, BTreeSet<Name>>,
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// An empty cache; `keys` says under which index keys an object is found.
    pub(crate) fn new(keys: fn(&K) -> Vec<String>) -> Self {
        let inner = Inner { objects: BTreeMap::new(), index: BTreeMap::new() };
        Self { inner: RwLock::new(inner), keys, signal: Signal::default() }
    }

    /// Tells of its changes by a signal that it shares with others.
    pub(crate) fn telling(mut self, signal: &Signal) -> Self {
        self.signal = signal.clone();
        self
    }

    /// One object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The objects under an index key, in the order of their names.
    pub(crate) fn indexed(&self, key: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let Some(names) = inner.index.get(key) else { return Vec::new() };
        names.iter().filter_map(|name| inner.objects.get(name).cloned()).collect()
    }

    /// All objects, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).objects.values().cloned().collect()
    }

    /// Puts an object in.
    pub(crate) fn apply(&self, object: K) -> Arc<K> {
        let object = Arc::new(object);
        let name = name_of(&*object);
        {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            let before = inner.objects.insert(name.clone(), Arc::clone(&object));
            if let Some(before) = before {
                inner.unlist(&name, (self.keys)(&before));
            }
            for key in (self.keys)(&object) {
                inner.index.entry(key).or_default().insert(name.clone());
            }
        }
        self.signal.bump();
        object
    }

    fn remove(&self, name: &Name) -> Option<Arc<K>> {
        let gone = {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            let gone = inner.objects.remove(name)?;
            inner.unlist(name, (self.keys)(&gone));
            gone
        };
        self.signal.bump();
        Some(gone)
    }

    /// Follows the API server for ever. A broken watch keeps what is known: unknown is not absent.
    pub(crate) async fn follow(self: Arc<Self>, api: Api<K>, tell: Option<UnboundedSender<Change<K>>>) {
        let tell = |change| {
            if let Some(sender) = &tell {
                // Nobody listens any more when the world ends.
                let _ = sender.send(change);
            }
        };
        let events = watcher(api, watcher::Config::default());
        pin_mut!(events);
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(name_of(&object));
                    tell(Change::Applied(self.apply(object)));
                }
                Ok(Event::InitDone) => {
                    for object in self.all() {
                        let name = name_of(&*object);
                        if !listed.contains(&name)
                            && let Some(gone) = self.remove(&name)
                        {
                            tell(Change::Deleted(gone));
                        }
                    }
                }
                Ok(Event::Apply(object)) => tell(Change::Applied(self.apply(object))),
                Ok(Event::Delete(object)) => {
                    if let Some(gone) = self.remove(&name_of(&object)) {
                        tell(Change::Deleted(gone));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, kind = %K::kind(&()), "watch broke");
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
        }
    }
}

impl<K> Inner<K> {
    fn unlist(&mut self, name: &Name, keys: Vec<String>) {
        for key in keys {
            if let Some(names) = self.index.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
    }
}

fn name_of<K: Resource>(object: &K) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}
