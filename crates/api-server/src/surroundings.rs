//! The rest of the cluster, for those who decide about one request.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::Kind;

/// What they may ask.
pub trait Surroundings {
    /// An object.
    fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Option<Arc<Json>>;
    /// All objects of a kind, in one namespace or in all.
    fn list(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<Arc<Json>>;
    /// A number from 0 to `below`, from the seed.
    fn random(&self, below: u64) -> u64;
}
