//! Changes as they happen.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::ApiError;

/// One event of a watch.
#[derive(Debug, Clone)]
pub enum Change {
    /// An object that was not there, or did not match.
    Added(Arc<Json>),
    /// An object that changed.
    Modified(Arc<Json>),
    /// An object that is gone, or does not match any more; as it was last.
    Deleted(Arc<Json>),
    /// Nothing changed up to this version; `initial` ends the initial events.
    Bookmark {
        /// The version.
        resource_version: u64,
        /// Whether the initial events end here.
        initial: bool,
    },
    /// The watch ends: its version was compacted away (410), or the server goes down.
    Error(ApiError),
}

/// A stream of changes.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// The next change; none when the watch has ended.
    pub async fn next(&mut self) -> Option<Change> {
        None
    }
}
