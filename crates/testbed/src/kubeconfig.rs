//! Kubeconfig files.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Context, Result};

/// How a context of a kubeconfig logs in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token.
    Token(String),
    /// A token that the server no longer takes: it answers 401, as it does to one that has expired.
    Expired,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::Expired => "Expired",
        })
    }
}

impl Credential {
    pub(crate) fn token(&self) -> &str {
        match self {
            Self::Token(token) => token,
            Self::Expired => "this-token-has-expired",
        }
    }
}

/// One context: a name, the server behind it and who logs in.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The name of the context.
    pub context: &'a str,
    /// `https://127.0.0.1:PORT`.
    pub server: &'a str,
    /// The certificate that the server shows, as a file.
    pub ca: &'a Path,
    /// Who logs in.
    pub credential: Credential,
}

/// Writes a kubeconfig (as JSON, which is YAML) with these contexts; the first is the current one.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, entries: &[Entry<'_>]) -> Result<()> {
    // Written beside and renamed: a reader in another process never sees half a file.
    let beside = path.with_extension("new");
    std::fs::write(&beside, to_json(entries).to_string()).context(|| format!("cannot write {}", beside.display()))?;
    std::fs::rename(&beside, path).context(|| format!("cannot write {}", path.display()))
}

pub(crate) fn to_json(entries: &[Entry<'_>]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": entries.first().map_or("", |entry| entry.context),
        "clusters": entries.iter().map(|entry| json!({
            "name": entry.context,
            "cluster": { "server": entry.server, "certificate-authority": entry.ca },
        })).collect::<Vec<_>>(),
        "users": entries.iter().map(|entry| json!({
            "name": entry.context,
            "user": { "token": entry.credential.token() },
        })).collect::<Vec<_>>(),
        "contexts": entries.iter().map(|entry| json!({
            "name": entry.context,
            "context": { "cluster": entry.context, "user": entry.context },
        })).collect::<Vec<_>>(),
    })
}
