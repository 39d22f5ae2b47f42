//! Objects that are not the fleet's but might have the names that it wants. Server-side apply would quietly merge into
//! them, and it has no "must not exist": so before anything is created, one LIST of names per kind tells.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use manifest::{Kind, ObjectRef, labels};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::wire::Request;
use crate::{Cluster, ClusterError, ErrorKind};

/// What was listed lately, by kind.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashMap<Kind, (Instant, Listing)>>);

/// Names and whose they seem to be; `None` where LIST is forbidden.
type Listing = Option<Arc<HashMap<String, String>>>;

/// One apply creates its objects within this time; what strangers make meanwhile is theirs to explain.
const FRESH: Duration = Duration::from_secs(30);
const NAMES_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

#[derive(Debug, Deserialize)]
struct Named {
    metadata: Meta,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    managed_fields: Vec<Manager>,
}

#[derive(Debug, Deserialize)]
struct Manager {
    #[serde(default)]
    manager: String,
}

impl Cluster {
    /// Refuses if the object exists without being the fleet's.
    pub(crate) async fn refuse_foreign(&self, object: &ObjectRef, fleet: Option<&str>) -> Result<(), ClusterError> {
        let owner = match self.strangers(object.kind, fleet).await? {
            Some(names) => names.get(&object.name).cloned(),
            // Without LIST, each has to be looked at.
            None => match self.get(object).await? {
                Some(live) if live.label(labels::FLEET) != fleet => {
                    owner(live.label(labels::FLEET), live.managers.iter().map(String::as_str))
                }
                Some(_) | None => None,
            },
        };
        owner.map_or(Ok(()), |owner| Err(self.about(object, ErrorKind::Foreign { owner })))
    }

    async fn strangers(&self, kind: Kind, fleet: Option<&str>) -> Result<Listing, ClusterError> {
        // Held while listing: many objects of a kind are created at once, and one LIST does for all.
        let mut known = self.0.strangers.0.lock().await;
        if let Some((since, listing)) = known.get(&kind)
            && since.elapsed() < FRESH
        {
            return Ok(listing.clone());
        }
        let selector = match fleet {
            Some(fleet) => format!("{}!={fleet}", labels::FLEET),
            None => format!("!{}", labels::FLEET),
        };
        let listing = match self.names(kind, &selector).await {
            Ok(names) => Some(Arc::new(names)),
            Err(ClusterError { kind: ErrorKind::Forbidden { .. }, .. }) => None,
            Err(error) => return Err(error),
        };
        known.insert(kind, (Instant::now(), listing.clone()));
        Ok(listing)
    }

    async fn names(&self, kind: Kind, selector: &str) -> Result<HashMap<String, String>, ClusterError> {
        let mut names = HashMap::new();
        let mut next = String::new();
        loop {
            let mut request = Request::kind("list", Method::GET, kind, Some(self.namespace()))
                .query("labelSelector", selector)
                .query("limit", "500")
                .accept(NAMES_ONLY)
                .within(self.0.limits.list);
            if !next.is_empty() {
                request = request.query("continue", &next);
            }
            let note = |Named { metadata }: Named| {
                let managers = metadata.managed_fields.iter().map(|entry| entry.manager.as_str());
                let owner = owner(metadata.labels.get(labels::FLEET).map(String::as_str), managers);
                if let Some(owner) = owner {
                    names.insert(metadata.name, owner);
                }
            };
            next = self.read_list(request, note).await?.next;
            if next.is_empty() {
                return Ok(names);
            }
        }
    }
}

/// Whose it seems to be. An object that we applied and that only lost our label is still ours.
fn owner<'a>(fleet: Option<&str>, managers: impl Iterator<Item = &'a str>) -> Option<String> {
    if let Some(fleet) = fleet {
        return Some(format!("the fleet `{fleet}`"));
    }
    let mut managers: Vec<&str> = managers.filter(|name| !name.is_empty()).collect();
    if managers.iter().any(|name| name.starts_with("jitsictl/")) {
        return None;
    }
    managers.sort_unstable();
    managers.dedup();
    Some(if managers.is_empty() { "somebody else".to_owned() } else { managers.join(", ") })
}
