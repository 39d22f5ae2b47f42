//! What a real server adds to objects, and what it refuses: defaults, validation, allocation, quotas, Pod Security.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::error::ApiError;
use crate::kinds::Kind;
use crate::request::User;
use std::sync::Arc;

/// What admission may ask about the rest of the cluster.
pub trait Surroundings {
    /// An object.
    fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Option<Arc<Json>>;
    /// All objects of a kind, in one namespace or in all.
    fn list(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<Arc<Json>>;
    /// A number from 0 to `below`, from the seed.
    fn random(&self, below: u64) -> u64;
}

/// A write that wants to be admitted.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The kind.
    pub kind: &'static Kind,
    /// The namespace.
    pub namespace: Option<&'a str>,
    /// `status` and its like.
    pub subresource: Option<&'a str>,
    /// The object as it is; none when it is created.
    pub old: Option<&'a Json>,
    /// Who asks.
    pub user: &'a User,
    /// Nothing will be kept.
    pub dry_run: bool,
    /// Now.
    pub now: Timestamp,
    /// The rest of the cluster.
    pub around: &'a dyn Surroundings,
}

/// Fills in what the server defaults. Called on what a client sent, before ownership is worked out, and on the result
/// of a patch.
pub fn default(_object: &mut Json, _kind: &'static Kind) {}

/// Allocates addresses and ports, checks everything, and admits or refuses.
///
/// # Errors
/// Why not: 422 with all causes, 403 for quotas and Pod Security.
pub fn admit(_object: &mut Json, _attempt: &Attempt<'_>, _warnings: &mut Vec<String>) -> Result<(), ApiError> {
    Ok(())
}
