//! What the API server's audit log says about requests.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::error::{Context, Result};

/// A place in a cluster's audit log: entries after it belong to what happened since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditMark(pub(crate) u64);

/// One request, as the API server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// get, list, watch, create, update, patch, delete, …
    pub verb: String,
    /// The path with its query.
    pub uri: String,
    /// Who asked.
    pub user: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// What was asked for; nothing for `/version` and the like.
    pub object: Option<ObjectRef>,
    /// The status of the response; 0 when the server could not tell.
    pub code: u16,
    /// When the server was done with it.
    pub at: Timestamp,
    /// `ResponseStarted` for a watch that goes on, else `ResponseComplete`.
    pub stage: String,
}

/// The object of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// Plural, as in the path.
    pub resource: String,
    /// Empty for requests outside of a namespace.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// Empty for core kinds.
    pub api_group: String,
    /// `status`, `portforward`, …
    pub subresource: String,
}

impl AuditEntry {
    /// Does this request change something, if it is allowed to?
    ///
    /// Dry runs do not, and neither does a port-forward, although it is a `create`.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let changes = matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
        let dry = self.uri.split_once('?').is_some_and(|(_, query)| query.split('&').any(|pair| pair == "dryRun=All"));
        changes && !dry && !self.is_question()
    }

    /// Kubernetes asks some questions by a `create`.
    fn is_question(&self) -> bool {
        self.object.as_ref().is_some_and(|object| {
            matches!(object.api_group.as_str(), "authorization.k8s.io" | "authentication.k8s.io")
                || matches!(object.subresource.as_str(), "portforward" | "exec" | "attach" | "proxy")
        })
    }
}

impl std::fmt::Display for AuditEntry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {} → {} ({}, {})", self.verb, self.uri, self.code, self.user, self.user_agent)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    stage: String,
    stage_timestamp: Timestamp,
    #[serde(default)]
    user: User,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl From<Line> for AuditEntry {
    fn from(line: Line) -> Self {
        Self {
            verb: line.verb,
            uri: line.request_uri,
            user: line.user.username,
            user_agent: line.user_agent,
            object: line.object_ref,
            code: line.response_status.map_or(0, |status| status.code),
            at: line.stage_timestamp,
            stage: line.stage,
        }
    }
}

/// The whole lines after a mark; a line that is still being written is left for the next call.
pub(crate) fn read_since(log: &Path, mark: AuditMark) -> Result<Vec<AuditEntry>> {
    let what = || format!("cannot read {}", log.display());
    let mut file = File::open(log).context(what)?;
    file.seek(SeekFrom::Start(mark.0)).context(what)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).context(what)?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Vec<AuditEntry> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
        .map(AuditEntry::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = r#"{"kind":"Event","level":"Metadata","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/meet/configmaps/a?fieldManager=jitsictl%2Fcontrol&force=true","verb":"patch","user":{"username":"admin","groups":["system:masters"]},"userAgent":"jitsictl/0.1.0","objectRef":{"resource":"configmaps","namespace":"meet","name":"a","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"stageTimestamp":"2026-01-02T03:04:05.678901Z"}"#;

    fn one(line: &str) -> AuditEntry {
        parse(format!("{line}\n").as_bytes()).remove(0)
    }

    #[test]
    fn a_line_becomes_an_entry() {
        let entry = one(PATCH);
        assert_eq!((entry.verb.as_str(), entry.code, entry.user.as_str()), ("patch", 201, "admin"));
        assert_eq!(entry.user_agent, "jitsictl/0.1.0");
        let object = entry.object.clone().unwrap();
        assert_eq!(
            (object.resource.as_str(), object.namespace.as_str(), object.name.as_str()),
            ("configmaps", "meet", "a")
        );
        assert!(entry.is_write());
    }

    #[test]
    fn what_only_asks_is_no_write() {
        assert!(!one(&PATCH.replace("force=true", "dryRun=All")).is_write());
        assert!(!one(&PATCH.replace(r#""patch""#, r#""list""#)).is_write());
        let forward = PATCH
            .replace(r#""patch""#, r#""create""#)
            .replace(r#""name":"a""#, r#""name":"a","subresource":"portforward""#);
        assert!(!one(&forward).is_write());
        let review =
            PATCH.replace(r#""patch""#, r#""create""#).replace(r#""name":"a""#, r#""apiGroup":"authorization.k8s.io""#);
        assert!(!one(&review).is_write());
    }

    #[test]
    fn half_a_line_is_left_for_later() {
        assert_eq!(parse(format!("{PATCH}\n{}", &PATCH[..40]).as_bytes()).len(), 1);
    }
}
