//! Who owns which field, and what server-side apply makes of it.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::error::ApiError;
use crate::schema::Schema;

/// Who changes an object, and how that is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The field manager.
    pub manager: String,
    /// `apiVersion` of the request's kind.
    pub api_version: String,
    /// `status` and its like.
    pub subresource: Option<String>,
    /// Now.
    pub now: Timestamp,
}

/// Server-side apply: what becomes of `live` (nothing: it is created) when `applied` is applied. `managedFields` of the
/// result is complete.
///
/// # Errors
/// Conflicts with other managers (409, as the real server words them), without `force`; keys that are missing or
/// stand twice.
pub fn apply(
    _schema: &Schema,
    _live: Option<&Json>,
    applied: &Json,
    _writer: &Writer,
    _force: bool,
) -> Result<Json, ApiError> {
    Ok(applied.clone())
}

/// After any other change: gives the changed fields to the writer, and completes `managedFields` of `new`.
pub fn track(_schema: &Schema, _old: Option<&Json>, _new: &mut Json, _writer: &Writer) {}
