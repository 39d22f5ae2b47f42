//! Refusals, in the API server's own words: a `Status` object and its code.

use serde_json::{Value as Json, json};

/// Why a request is refused. Prints as its message.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub code: u16,
    /// `reason` of the Status, such as `NotFound`.
    pub reason: &'static str,
    /// `message` of the Status.
    pub message: String,
    /// `details` of the Status; null without any.
    pub details: Json,
    /// `Warning` headers, without their code: what was wrong besides.
    pub warnings: Vec<String>,
}

impl ApiError {
    /// Any refusal.
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Json::Null, warnings: Vec::new() }
    }

    /// The same with `details`.
    #[must_use]
    pub fn with(mut self, details: Json) -> Self {
        self.details = details;
        self
    }

    /// The same with warnings.
    #[must_use]
    pub fn warned(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 501: this server does not have that. The message must name what is missing.
    #[must_use]
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(501, "NotImplemented", message)
    }

    /// The `Status` object.
    #[must_use]
    pub fn status(&self) -> Json {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        // Failures of the server itself have none.
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
