//! The server: takes a request through all its stations.

mod birth;
mod delete;
mod disruption;
mod read;
mod refusal;
mod sent;
mod start;
mod subresource;
mod write;

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;
use serde_json::{Value as Json, json};

use crate::access;
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::request::{Answer, PatchType, Request, Verb};
use crate::store::{Store, key};
use crate::surroundings::Surroundings;

pub use refusal::Refusal;

/// Kinds that a PUT creates when they are not there.
const CREATED_BY_UPDATE: [&str; 2] = ["Lease", "Service"];

/// What differs from one server to the next.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's name; the UIDs of its objects follow from it and the seed.
    pub name: String,
    /// What stamps objects.
    pub clock: Clock,
    /// Where UIDs, generated names and allocated ports and addresses come from.
    pub seed: u64,
    /// Whether the kinds of CRDs are there.
    pub custom_kinds: bool,
}

/// One cluster's API server. Copies are the same server.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    options: Options,
    state: Mutex<State>,
}

/// Everything that changes.
struct State {
    store: Store,
    chance: Chance,
    refusals: Vec<Refusal>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("name", &self.0.options.name).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// An empty cluster: the namespaces that every cluster has, and the roles.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let chance = Chance::new(&options.name, options.seed);
        let state = State { store: Store::new(), chance, refusals: Vec::new() };
        let server = Self(Arc::new(Inner { options, state: Mutex::new(state) }));
        start::fill(&server);
        server
    }

    /// The cluster's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.options.name
    }

    /// What stamps objects.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.options.clock
    }

    /// Whether the kind is there: those of CRDs may be missing.
    #[must_use]
    pub fn has(&self, kind: &Kind) -> bool {
        self.0.options.custom_kinds || !kind.custom
    }

    /// Whether a request that is no POST makes an object: who may not create may not do so by another way.
    fn would_make(&self, request: &Request) -> bool {
        let may = match request.verb {
            Verb::Patch(how) => how == PatchType::Apply,
            Verb::Update => CREATED_BY_UPDATE.contains(&request.kind.name),
            _ => false,
        };
        may && request.subresource.is_none()
            && request.name.as_ref().is_some_and(|name| {
                let key = key(request.namespace.as_deref(), name);
                self.with_store(|store| store.get(request.kind, &key).is_none())
            })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_store<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.state().store)
    }

    pub(crate) fn with_all<T>(&self, look: impl FnOnce(&dyn Surroundings) -> T) -> T {
        look(&*self.state())
    }

    /// Forgets the history: watches that have not caught up end with 410.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    /// Ends all watches, as the restart of a server does.
    pub fn disconnect_watches(&self) {
        self.state().store.disconnect();
    }

    /// From now on a webhook refuses what this is about.
    pub fn refuse(&self, refusal: Refusal) {
        self.state().refusals.push(refusal);
    }

    /// Takes the webhooks of this name away.
    pub fn admit_all(&self, webhook: &str) {
        self.state().refusals.retain(|refusal| refusal.webhook != webhook);
    }

    /// Takes a request through all its stations.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn call(&self, request: Request) -> Result<Answer, ApiError> {
        if !self.has(request.kind) {
            return Err(ApiError::new(404, "NotFound", "the server could not find the requested resource"));
        }
        if !access::is_master(&request.user) {
            let require = |action| self.with_all(|around| access::require(around, &request.user, action));
            require(action(&request))?;
            if self.would_make(&request) {
                require(access::Action { verb: "create", ..action(&request) })?;
            }
        }
        let now = self.clock().now();
        let mut state = self.state();
        let call = Call { server: self, request: &request, now };
        match (request.verb, request.subresource.as_deref()) {
            (Verb::Get, None | Some("status")) => call.get(&state),
            (Verb::List, None) => call.list(&state),
            (Verb::Watch, None) => call.watch(&state),
            (Verb::Create, None) => call.create(&mut state),
            (Verb::Update, None | Some("status")) => call.update(&mut state),
            (Verb::Patch(how), None | Some("status")) => call.patch(&mut state, how),
            (Verb::Delete, None) => call.delete(&mut state),
            (Verb::DeleteCollection, None) => call.delete_collection(&mut state),
            (Verb::Get | Verb::Update | Verb::Patch(_), Some("scale")) => call.scale(&mut state),
            (Verb::Update, Some("finalize")) => call.finalize(&mut state),
            (Verb::Create, Some("binding")) => call.bind(&mut state),
            (Verb::Create, Some("eviction")) => call.evict(&mut state),
            (verb, subresource) => Err(ApiError::not_implemented(format!(
                "this server does not do: {} {}{}",
                verb.name(),
                request.kind.resource(),
                subresource.map(|name| format!("/{name}")).unwrap_or_default()
            ))),
        }
    }
}

fn action(request: &Request) -> access::Action<'_> {
    access::Action {
        verb: request.verb.name(),
        group: request.kind.group,
        resource: request.kind.plural,
        subresource: request.subresource.as_deref(),
        namespace: request.namespace.as_deref(),
        name: request.name.as_deref().or_else(|| selected(request)),
    }
}

/// A collection of which one object is chosen by its name is asked for as that object.
fn selected(request: &Request) -> Option<&str> {
    let selector = request.parameters.field_selector.as_deref()?;
    let (field, name) = selector.split_once('=')?;
    (field == "metadata.name" && !name.contains([',', '='])).then_some(name)
}

/// One request under way.
#[derive(Clone, Copy)]
struct Call<'a> {
    server: &'a ApiServer,
    request: &'a Request,
    now: jiff::Timestamp,
}

impl Call<'_> {
    fn namespace(&self) -> Option<&str> {
        self.request.namespace.as_deref()
    }

    fn name(&self) -> &str {
        self.request.name.as_deref().unwrap_or_default()
    }

    fn key(&self) -> String {
        key(self.namespace(), self.name())
    }

    fn timestamp(&self) -> String {
        stamp(self.now)
    }

    /// The manager of fields: as asked, or the program's name.
    fn writer(&self, manager: Option<&str>) -> crate::merge::Writer {
        crate::merge::Writer {
            manager: manager.unwrap_or("unknown").to_owned(),
            api_version: self.request.kind.api_version(),
            subresource: self.request.subresource.clone(),
            now: self.now,
        }
    }

    fn not_found(&self, name: &str) -> ApiError {
        let kind = self.request.kind;
        ApiError::new(404, "NotFound", format!("{} {name:?} not found", kind.resource())).with(details(kind, name))
    }

    fn conflict(&self, name: &str, why: &str) -> ApiError {
        let kind = self.request.kind;
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        ApiError::new(409, "Conflict", message).with(details(kind, name))
    }

    fn forbidden(&self, name: &str, why: &str) -> ApiError {
        let kind = self.request.kind;
        ApiError::new(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", kind.resource()))
            .with(details(kind, name))
    }
}

/// `details` of a Status about an object.
fn details(kind: &Kind, name: &str) -> Json {
    let mut details = json!({ "name": name, "kind": kind.plural });
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    details
}

/// As Kubernetes writes moments.
fn stamp(now: jiff::Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Numbers that follow from a seed (splitmix64).
struct Chance(Cell<u64>);

impl Chance {
    fn new(name: &str, seed: u64) -> Self {
        // FNV-1a: clusters of different names draw different numbers.
        let of_name = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(Cell::new(of_name ^ seed))
    }

    fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A version 4 UUID.
    fn uid(&self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// What `generateName` adds: the letters that Kubernetes takes, so that no words come out.
    fn suffix(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let letter = |_| {
            let index = usize::try_from(self.next() % LETTERS.len() as u64).unwrap_or(0);
            LETTERS.get(index).copied().map_or('x', char::from)
        };
        (0..5).map(letter).collect()
    }
}

impl Surroundings for State {
    fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Option<Arc<Json>> {
        self.store.get(kind, &key(namespace, name))
    }

    fn list(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<Arc<Json>> {
        self.store.list(kind, namespace).map(|(_, object)| Arc::clone(object)).collect()
    }

    fn random(&self, below: u64) -> u64 {
        self.chance.next() % below.max(1)
    }
}

#[cfg(test)]
mod tests;
