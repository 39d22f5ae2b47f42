//! Refusals that are injected, as admission webhooks and policies do.

use crate::error::ApiError;
use crate::kinds::Kind;

/// A webhook that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub webhook: String,
    /// Objects of this kind.
    pub kind: &'static Kind,
    /// In this namespace; none for all.
    pub namespace: Option<String>,
    /// Objects whose name contains this.
    pub name_contains: String,
    /// Why not.
    pub message: String,
}

impl Refusal {
    /// The refusal of a write, if it is about that.
    pub(super) fn of(&self, kind: &Kind, namespace: Option<&str>, name: &str) -> Option<ApiError> {
        let here = self.namespace.is_none() || self.namespace.as_deref() == namespace;
        if self.kind != kind || !here || !name.contains(&self.name_contains) {
            return None;
        }
        let message = format!("admission webhook {:?} denied the request: {}", self.webhook, self.message);
        Some(ApiError::new(403, "Forbidden", message))
    }
}
