//! Reads an API server's refusal. Pure: HTTP status and body in, [`ErrorKind`] out.

use std::time::Duration;

use manifest::Kind;
use serde::Deserialize;

use crate::{ErrorKind, FieldConflict};

/// A Kubernetes `Status`, as far as we look at it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    details: Option<Details>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    name: String,
    kind: String,
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
    field: String,
}

/// What was asked for when the refusal came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'a str,
    pub(crate) kind: Option<Kind>,
    pub(crate) namespace: &'a str,
}

const LONGEST: usize = 300;

impl Refusal {
    /// Reads a body that may also be plain text, from a proxy in between for example.
    pub(crate) fn read(code: u16, body: &[u8]) -> Self {
        let mut refusal: Self = serde_json::from_slice(body).unwrap_or_default();
        refusal.code = code;
        refusal
    }

    /// One that kube-rs has read already.
    pub(crate) fn said(code: u16, reason: String, message: String) -> Self {
        Self { code, reason, message, details: None }
    }

    /// Fields that other managers hold, if that is the refusal.
    pub(crate) fn field_conflicts(&self) -> Vec<FieldConflict> {
        self.causes().filter(|cause| cause.reason == "FieldManagerConflict").map(conflict).collect()
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// What it means.
    pub(crate) fn kind(&self, asked: Asked<'_>) -> ErrorKind {
        let conflicts = self.field_conflicts();
        if !conflicts.is_empty() {
            return ErrorKind::Contested(conflicts);
        }
        if self.message.contains("admission webhook") && self.code < 500 {
            return ErrorKind::Admission(self.words(asked));
        }
        match self.code {
            401 => ErrorKind::Unauthorized,
            403 => self.forbidden(asked),
            404 => self.not_found(asked),
            409 if self.reason == "AlreadyExists" => ErrorKind::AlreadyExists,
            409 => ErrorKind::Changed,
            413 => ErrorKind::TooLarge,
            422 if self.message.contains("provided port is already allocated") => {
                ErrorKind::NodePortTaken { port: self.port(), by: None }
            }
            // How a PATCH says that the UID it was meant for is another's.
            422 if self.causes().any(|cause| cause.field == "metadata.uid") => ErrorKind::Changed,
            400 | 422 => ErrorKind::Invalid(self.words(asked)),
            429 | 503 | 504 => ErrorKind::Busy { retry_after: self.retry_after() },
            _ if self.message.contains("request is too large") => ErrorKind::TooLarge,
            _ if self.message.contains("field not declared in schema") => ErrorKind::Invalid(self.words(asked)),
            // Only the server knows what it lacks.
            501 if !self.message.is_empty() => ErrorKind::Server { code: 501, reason: self.words(asked) },
            code => ErrorKind::Server { code, reason: self.reason.clone() },
        }
    }

    /// "status unknown for quota" is said until the quota's controller has counted for the first time.
    fn forbidden(&self, asked: Asked<'_>) -> ErrorKind {
        let message = &self.message;
        if self.causes().any(|cause| cause.reason == "NamespaceTerminating") {
            ErrorKind::NamespaceTerminating(asked.namespace.to_owned())
        } else if let Some(at) = message.find("exceeded quota").or_else(|| message.find("status unknown for quota")) {
            ErrorKind::Quota(shorten(message.get(at..).unwrap_or_default()))
        } else if let Some(at) = message.find("violates PodSecurity") {
            ErrorKind::PodSecurity(shorten(message.get(at..).unwrap_or_default()))
        } else if message.contains("cannot") && message.contains("resource")
            || message.contains("attempting to grant RBAC permissions not currently held")
            || message.is_empty()
        {
            ErrorKind::Forbidden { verb: asked.verb.to_owned(), resource: asked.resource.to_owned() }
        } else {
            ErrorKind::Admission(self.words(asked))
        }
    }

    fn not_found(&self, asked: Asked<'_>) -> ErrorKind {
        match (&self.details, asked.kind) {
            (Some(details), _) if details.kind == "namespaces" => ErrorKind::NamespaceMissing(details.name.clone()),
            // The server has no such path at all.
            (None, Some(kind)) => ErrorKind::KindMissing(kind),
            (Some(details), Some(kind)) if details.name.is_empty() => ErrorKind::KindMissing(kind),
            _ => ErrorKind::NotFound,
        }
    }

    /// The server's words; for Secrets, only which fields: it quotes values.
    fn words(&self, asked: Asked<'_>) -> String {
        if asked.kind == Some(Kind::Secret) {
            let fields: Vec<&str> =
                self.causes().map(|cause| cause.field.as_str()).filter(|field| !field.is_empty()).collect();
            return if fields.is_empty() {
                self.reason.clone()
            } else {
                format!("{} ({})", self.reason, fields.join(", "))
            };
        }
        let causes: Vec<String> = self
            .causes()
            .filter(|cause| !cause.field.is_empty())
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        if causes.is_empty() { shorten(&self.message) } else { shorten(&causes.join("; ")) }
    }

    fn port(&self) -> Option<u16> {
        let (_, after) = self.message.split_once("Invalid value: ")?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    fn causes(&self) -> impl Iterator<Item = &Cause> {
        self.details.iter().flat_map(|details| &details.causes)
    }
}

/// `conflict with "kube-controller-manager" with subresource "scale" using apps/v1`.
fn conflict(cause: &Cause) -> FieldConflict {
    let quoted_after = |marker: &str| {
        let (_, rest) = cause.message.split_once(marker)?;
        let (quoted, _) = rest.split_once('"')?;
        Some(quoted.to_owned())
    };
    FieldConflict {
        manager: quoted_after("conflict with \"").unwrap_or_else(|| "somebody".to_owned()),
        subresource: quoted_after("with subresource \""),
        field: cause.field.clone(),
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind_of(code: u16, body: &serde_json::Value, kind: Kind) -> ErrorKind {
        let asked = Asked { verb: "patch", resource: kind.plural(), kind: Some(kind), namespace: "media" };
        Refusal::read(code, body.to_string().as_bytes()).kind(asked)
    }

    #[test]
    fn refusals_are_told_apart() {
        let status = |reason: &str, message: &str| json!({ "kind": "Status", "reason": reason, "message": message });
        let forbidden = "services \"x\" is forbidden: User \"u\" cannot patch resource \"services\" in API group \"\"";
        let granting = "roles.rbac.authorization.k8s.io \"x\" is forbidden: user \"u\" (groups=[\"g\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}";
        let quota = "services \"x\" is forbidden: exceeded quota: q, requested: services=1, used: services=1";
        let taken = "Service \"x\" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated";
        let webhook = "admission webhook \"v.example.org\" denied the request: no";
        for (code, body, expected) in [
            (401, status("Unauthorized", "Unauthorized"), ErrorKind::Unauthorized),
            (
                403,
                status("Forbidden", forbidden),
                ErrorKind::Forbidden { verb: "patch".into(), resource: "services".into() },
            ),
            (
                403,
                status("Forbidden", granting),
                ErrorKind::Forbidden { verb: "patch".into(), resource: "services".into() },
            ),
            (403, status("Forbidden", quota), ErrorKind::Quota(quota[quota.find("exceeded").unwrap()..].into())),
            (422, status("Invalid", taken), ErrorKind::NodePortTaken { port: Some(30000), by: None }),
            (400, status("BadRequest", webhook), ErrorKind::Admission(webhook.into())),
            (409, status("Conflict", "the object has been modified"), ErrorKind::Changed),
            (409, status("AlreadyExists", "exists"), ErrorKind::AlreadyExists),
            (
                404,
                json!({ "reason": "NotFound", "details": { "kind": "namespaces", "name": "media" } }),
                ErrorKind::NamespaceMissing("media".into()),
            ),
            (404, json!({ "reason": "NotFound", "details": { "kind": "services", "name": "x" } }), ErrorKind::NotFound),
            (404, json!("404 page not found"), ErrorKind::KindMissing(Kind::Service)),
            (
                403,
                json!({ "message": "m", "details": { "causes": [{ "reason": "NamespaceTerminating" }] } }),
                ErrorKind::NamespaceTerminating("media".into()),
            ),
            (
                429,
                json!({ "details": { "retryAfterSeconds": 3 } }),
                ErrorKind::Busy { retry_after: Some(Duration::from_secs(3)) },
            ),
            (
                501,
                status("NotImplemented", "list of jobs (batch/v1) is not served here"),
                ErrorKind::Server { code: 501, reason: "list of jobs (batch/v1) is not served here".into() },
            ),
            (502, json!("<html>"), ErrorKind::Server { code: 502, reason: String::new() }),
        ] {
            assert_eq!(kind_of(code, &body, Kind::Service), expected, "{body}");
        }
    }

    #[test]
    fn conflicts_name_their_manager() {
        let body = json!({ "reason": "Conflict", "details": { "causes": [
            { "reason": "FieldManagerConflict", "field": ".spec.replicas",
              "message": "conflict with \"kube-controller-manager\" with subresource \"scale\" using apps/v1" },
            { "reason": "FieldManagerConflict", "field": ".data.a", "message": "conflict with \"kubectl-edit\" using v1" },
        ] } });
        let ErrorKind::Contested(conflicts) = kind_of(409, &body, Kind::Deployment) else { panic!() };
        assert_eq!(conflicts[0].to_string(), ".spec.replicas by kube-controller-manager (scale)");
        assert_eq!(conflicts[1].to_string(), ".data.a by kubectl-edit");
    }

    #[test]
    fn words_about_secrets_name_fields_only() {
        let body = json!({ "reason": "Invalid", "message": "Invalid value: \"hunter2\"", "details": { "causes": [
            { "reason": "FieldValueInvalid", "field": "data", "message": "Invalid value: \"hunter2\"" },
        ] } });
        assert_eq!(kind_of(422, &body, Kind::Secret), ErrorKind::Invalid("Invalid (data)".into()));
    }
}
