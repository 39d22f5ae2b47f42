//! What is known to be in the cluster: one [`Look`] that is changed as the streams tell.

use std::collections::{BTreeMap, BTreeSet};

use fleet::FleetName;
use manifest::{Kind, ObjectRef};
use plan::{NamespaceState, NodeView, PodPhase};

use super::subject::{Item, Subject};
use crate::look::Book;
use crate::{Cluster, Look};

pub(super) struct Content {
    cluster: Cluster,
    fleet: FleetName,
    look: Look,
    /// By name; `None` where they may not be listed.
    nodes: Option<BTreeMap<String, NodeView>>,
    /// Our own books, which are not among the objects, and their versions.
    books: BTreeMap<String, String>,
}

/// A whole list: what is in it, by name; nothing behind the name of what was known in this version already.
pub(super) type Listing = BTreeMap<String, Option<Item>>;

impl Content {
    pub(super) fn new(cluster: Cluster, fleet: FleetName) -> Self {
        Self { cluster, fleet, look: Look::default(), nodes: None, books: BTreeMap::new() }
    }

    pub(super) fn look(&self) -> Look {
        let mut look = self.look.clone();
        look.view.nodes = self.nodes.as_ref().map(|nodes| nodes.values().cloned().collect());
        look.view.inventories = look.inventories();
        look
    }

    /// How many objects there are, pods and nodes apart.
    pub(super) fn objects(&self) -> usize {
        self.look.view.objects.len() + self.books.len()
    }

    /// An object's UID.
    pub(super) fn uid(&self, object: &ObjectRef) -> Option<String> {
        self.look.view.objects.get(object).map(|live| live.uid.clone())
    }

    /// An object's version.
    pub(super) fn version(&self, subject: Subject, name: &str) -> Option<&str> {
        let Subject::Kind(kind) = subject else { return None };
        let object = self.cluster.object(kind, name);
        if Book::of(&self.fleet, &object).is_some() {
            return self.books.get(name).map(String::as_str);
        }
        self.look.view.objects.get(&object).map(|live| live.version.as_str())
    }

    /// Whether the object of this UID is gone, or going.
    pub(super) fn is_gone(&self, subject: Subject, name: &str, uid: &str) -> bool {
        match subject {
            Subject::Kind(kind) => {
                let live = self.look.view.objects.get(&self.cluster.object(kind, name));
                live.is_none_or(|live| live.uid != uid || live.deleting)
            }
            Subject::Pods => {
                let pod = self.look.view.pods.get(name);
                pod.is_none_or(|pod| pod.uid != uid || pod.phase == PodPhase::Terminating)
            }
            Subject::Namespace | Subject::Nodes => true,
        }
    }

    /// Puts it in; whether anything is different now.
    pub(super) fn put(&mut self, item: Item) -> bool {
        let view = &mut self.look.view;
        match item {
            Item::Namespace(state) => replace(&mut view.namespace, state),
            Item::Pod(pod) if view.pods.get(&pod.name) == Some(&pod) => false,
            Item::Pod(pod) => {
                view.pods.insert(pod.name.clone(), pod);
                true
            }
            Item::Node(node) => {
                let nodes = self.nodes.get_or_insert_default();
                let same = nodes.get(&node.name) == Some(&node);
                if !same {
                    nodes.insert(node.name.clone(), node);
                }
                !same
            }
            Item::Object(object) => {
                let known = self.version(Subject::Kind(object.object.kind), &object.object.name);
                if known == Some(&object.version) {
                    return false;
                }
                if Book::of(&self.fleet, &object.object).is_some() {
                    self.books.insert(object.object.name.clone(), object.version.clone());
                }
                self.look.put(&self.fleet, object);
                true
            }
        }
    }

    /// Takes it out; whether it was there.
    pub(super) fn remove(&mut self, subject: Subject, name: &str) -> bool {
        match subject {
            Subject::Namespace => replace(&mut self.look.view.namespace, NamespaceState::Absent),
            Subject::Pods => self.look.view.pods.remove(name).is_some(),
            Subject::Nodes => self.nodes.as_mut().is_some_and(|nodes| nodes.remove(name).is_some()),
            Subject::Kind(kind) => {
                let was_there = self.version(subject, name).is_some();
                self.look.remove(&self.fleet, &self.cluster.object(kind, name));
                if kind == Kind::ConfigMap {
                    self.books.remove(name);
                }
                was_there
            }
        }
    }

    /// A whole list; whether anything is different now.
    pub(super) fn listed(&mut self, subject: Subject, listing: Listing) -> bool {
        let mut changed = match subject {
            Subject::Kind(kind) => {
                let view = &mut self.look.view;
                view.missing_kinds.remove(&kind) | view.unreadable_kinds.remove(&kind).is_some()
            }
            Subject::Nodes if self.nodes.is_none() => {
                self.nodes = Some(BTreeMap::new());
                true
            }
            Subject::Namespace | Subject::Pods | Subject::Nodes => false,
        };
        for name in self.names(subject) {
            if !listing.contains_key(&name) {
                changed |= self.remove(subject, &name);
            }
        }
        for item in listing.into_values().flatten() {
            changed |= self.put(item);
        }
        changed
    }

    /// The cluster does not know this kind.
    pub(super) fn missing(&mut self, kind: Kind) -> bool {
        let forgot = self.forget(Subject::Kind(kind));
        let view = &mut self.look.view;
        view.unreadable_kinds.remove(&kind).is_some() | view.missing_kinds.insert(kind) | forgot
    }

    /// It may not be read: nothing is known of it.
    pub(super) fn unreadable(&mut self, subject: Subject, why: String) -> bool {
        let forgot = self.forget(subject);
        match subject {
            Subject::Kind(kind) => {
                let view = &mut self.look.view;
                let missing = view.missing_kinds.remove(&kind);
                let before = view.unreadable_kinds.insert(kind, why);
                forgot | missing | (before.as_ref() != view.unreadable_kinds.get(&kind))
            }
            Subject::Nodes => self.nodes.take().is_some(),
            Subject::Namespace | Subject::Pods => forgot,
        }
    }

    fn forget(&mut self, subject: Subject) -> bool {
        match subject {
            Subject::Namespace => replace(&mut self.look.view.namespace, NamespaceState::Unknown),
            _ => self.names(subject).into_iter().fold(false, |forgot, name| self.remove(subject, &name) | forgot),
        }
    }

    fn names(&self, subject: Subject) -> BTreeSet<String> {
        let view = &self.look.view;
        match subject {
            // There or not, it has no other name.
            Subject::Namespace => BTreeSet::from([self.cluster.namespace().to_owned()]),
            Subject::Pods => view.pods.keys().cloned().collect(),
            Subject::Nodes => self.nodes.iter().flat_map(|nodes| nodes.keys().cloned()).collect(),
            Subject::Kind(kind) => {
                let of_kind = |object: &&ObjectRef| object.kind == kind;
                let objects = view.objects.keys().filter(of_kind).map(|object| object.name.clone());
                let books = self.books.keys().filter(|_| kind == Kind::ConfigMap).cloned();
                objects.chain(books).collect()
            }
        }
    }
}

fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let differs = *place != value;
    *place = value;
    differs
}
