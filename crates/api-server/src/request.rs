//! What is asked and what is answered, free of HTTP.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::kinds::Kind;
use crate::store::Watch;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its groups; `system:masters` may do everything.
    pub groups: Vec<String>,
}

impl User {
    /// May do everything.
    #[must_use]
    pub fn admin() -> Self {
        Self { name: "system:admin".to_owned(), groups: vec!["system:masters".to_owned()] }
    }
}

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// `application/apply-patch+yaml`: server-side apply.
    Apply,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/json-patch+json`.
    Json,
    /// `application/strategic-merge-patch+json`.
    StrategicMerge,
}

/// What is to be done. The names are those of RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// One object.
    Get,
    /// A collection.
    List,
    /// Changes of a collection (or of one object, by a field selector).
    Watch,
    /// A new object; also what is posted to a subresource (binding, eviction, token).
    Create,
    /// Replaces an object.
    Update,
    /// Changes an object.
    Patch(PatchType),
    /// Deletes an object.
    Delete,
    /// Deletes a collection.
    DeleteCollection,
}

impl Verb {
    /// As RBAC spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch(_) => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// What happens to unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped with a warning.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// What happens to objects that this one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// The query of a request, and what DELETE takes in its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `fieldManager`; without one, the user agent up to the first `/`.
    pub manager: Option<String>,
    /// `force` of an apply.
    pub force: bool,
    /// `dryRun=All`.
    pub dry_run: bool,
    /// `fieldValidation`.
    pub field_validation: FieldValidation,
    /// `labelSelector`, as it came.
    pub label_selector: Option<String>,
    /// `fieldSelector`, as it came.
    pub field_selector: Option<String>,
    /// `limit` of a list.
    pub limit: Option<usize>,
    /// `continue` of a list.
    pub continue_from: Option<String>,
    /// `resourceVersion` of a get, list or watch.
    pub resource_version: Option<String>,
    /// `resourceVersionMatch`.
    pub resource_version_match: Option<String>,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`.
    pub send_initial_events: bool,
    /// `timeoutSeconds` of a watch.
    pub timeout_seconds: Option<u64>,
    /// `gracePeriodSeconds` of a delete.
    pub grace_seconds: Option<i64>,
    /// `preconditions.uid` of a delete.
    pub uid: Option<String>,
    /// `preconditions.resourceVersion` of a delete.
    pub if_resource_version: Option<String>,
    /// `propagationPolicy` of a delete.
    pub propagation: Option<Propagation>,
}

/// A request about objects.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks.
    pub user: User,
    /// What is to be done.
    pub verb: Verb,
    /// To what kind.
    pub kind: &'static Kind,
    /// In what namespace; none for kinds of the cluster, and for all namespaces.
    pub namespace: Option<String>,
    /// To which object; none for collections (and for POST to a collection).
    pub name: Option<String>,
    /// `status`, `scale`, …
    pub subresource: Option<String>,
    /// The query.
    pub parameters: Parameters,
    /// The parsed body; null without one.
    pub body: Json,
    /// What was wrong with the body besides: duplicate keys, by the words `duplicate field "spec.x"`.
    pub duplicates: Vec<String>,
}

impl Request {
    /// By an administrator, about one object or a collection; the rest is to be filled in.
    #[must_use]
    pub fn new(verb: Verb, kind: &'static Kind, namespace: Option<&str>, name: Option<&str>) -> Self {
        Self {
            user: User::admin(),
            verb,
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            subresource: None,
            parameters: Parameters::default(),
            body: Json::Null,
            duplicates: Vec::new(),
        }
    }
}

/// What a request leads to.
#[derive(Debug)]
pub enum Answer {
    /// An object; `created` makes it a 201.
    Object {
        /// The object, or a `Status`.
        object: Arc<Json>,
        /// Whether it was created by this request.
        created: bool,
        /// `Warning` headers, without their code.
        warnings: Vec<String>,
    },
    /// A page of a collection.
    List {
        /// The objects, in the order of their keys.
        items: Vec<Arc<Json>>,
        /// Of the collection.
        resource_version: u64,
        /// Where the next page begins, and how many are left.
        more: Option<(String, u64)>,
    },
    /// Changes from now on.
    Watch(Watch),
}
