//! A program of a kubeconfig that yields credentials (`exec`): run as `kubectl` runs it, but never for longer than a limit,
//! and without anybody who could be asked something.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use kube::config::ExecConfig;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// What it may print. Credentials take a few kilobytes.
const LONGEST: u64 = 1 << 20;

/// What of its last words is told.
const LAST_WORDS: usize = 300;

/// What a program gave.
#[derive(Debug)]
pub(crate) struct Credential {
    /// What a request says of who sends it. Marked as secret.
    pub(crate) token: Option<HeaderValue>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) ends: Option<Timestamp>,
}

/// A client certificate, and its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) key: SecretString,
}

/// A program, and how it is run.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Program {
    command: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    install_hint: Option<String>,
    limit: Duration,
}

impl Program {
    /// As a kubeconfig says.
    pub(crate) fn of(exec: &ExecConfig, limit: Duration) -> Result<Self, String> {
        let Some(command) = exec.command.clone().filter(|command| !command.is_empty()) else {
            return Err("the kubeconfig names no credentials program".to_owned());
        };
        let given = |variable: &HashMap<String, String>| {
            Some((variable.get("name")?.clone(), variable.get("value").cloned().unwrap_or_default()))
        };
        let mut environment: Vec<(String, String)> = exec.env.iter().flatten().filter_map(given).collect();
        environment.push(("KUBERNETES_EXEC_INFO".to_owned(), info(exec)?.to_string()));
        Ok(Self {
            command,
            arguments: exec.args.clone().unwrap_or_default(),
            environment,
            install_hint: exec.install_hint.clone(),
            limit,
        })
    }

    /// Runs it. Dropping the future ends the program, and what it has started.
    ///
    /// # Errors
    /// In words, without what it printed to its standard output: that may be a credential.
    pub(crate) async fn run(&self) -> Result<Credential, String> {
        match tokio::time::timeout(self.limit, self.answer()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("`{}` did not end within {:?}", self.command, self.limit)),
        }
    }

    async fn answer(&self) -> Result<Credential, String> {
        let mut command = Command::new(&self.command);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A shell that waits for something is not the only one to end.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| self.cannot_start(&error))?;
        let mut group = Group::of(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (printed, last_words, status) = tokio::join!(printed(stdout), last_words(stderr), child.wait());
        group.0 = None;
        let status = status.map_err(|error| format!("`{}`: {error}", self.command))?;
        if !status.success() {
            let why = last_words.unwrap_or_else(|| "it printed no reason".to_owned());
            return Err(format!("`{}` ended with {status}: {why}", self.command));
        }
        let printed = printed.ok_or_else(|| format!("`{}` printed more than any credential has", self.command))?;
        read(&printed).map_err(|why| format!("`{}` {why}", self.command))
    }

    fn cannot_start(&self, error: &std::io::Error) -> String {
        let command = &self.command;
        match (&self.install_hint, error.kind()) {
            (None, std::io::ErrorKind::NotFound) => format!("`{command}` is not installed here"),
            (Some(hint), std::io::ErrorKind::NotFound) => {
                format!("`{command}` is not installed here; the kubeconfig says of it: {}", one_line(hint))
            }
            _ => format!("`{command}` can't be started: {error}"),
        }
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its arguments and variables may be secret.
        f.debug_struct("Program").field("command", &self.command).finish_non_exhaustive()
    }
}

/// What a program is told (`ExecCredential` with a `spec`): that nobody can be asked, whatever it would like
/// (`interactiveMode`). Many that would like to get by with what they remember.
fn info(exec: &ExecConfig) -> Result<Json, String> {
    let mut spec = json!({ "interactive": false });
    if exec.provide_cluster_info {
        let cluster = exec.cluster.as_ref().ok_or("the kubeconfig says of no cluster to tell the program about")?;
        spec["cluster"] = serde_json::to_value(cluster).map_err(|error| error.to_string())?;
    }
    let version = exec.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1");
    Ok(json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec }))
}

/// The processes that a program consists of; ended when this is dropped before they have.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Whoever has ended meanwhile need not be.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// What was printed, unless it is too much.
async fn printed(from: Option<impl AsyncRead + Unpin>) -> Option<Vec<u8>> {
    let (mut from, mut all) = (from?, Vec::new());
    (&mut from).take(LONGEST).read_to_end(&mut all).await.ok()?;
    let more = tokio::io::copy(&mut from, &mut tokio::io::sink()).await.unwrap_or_default();
    (more == 0).then_some(all)
}

/// The last line that says something.
async fn last_words(from: Option<impl AsyncRead + Unpin>) -> Option<String> {
    let (mut from, mut end, mut piece) = (from?, Vec::new(), [0; 4096]);
    while let Ok(length) = from.read(&mut piece).await {
        if length == 0 {
            break;
        }
        end.extend_from_slice(&piece[..length]);
        let surplus = end.len().saturating_sub(piece.len());
        end.drain(..surplus);
    }
    let text = String::from_utf8_lossy(&end);
    text.lines().map(one_line).rfind(|line| !line.is_empty())
}

/// Fit to stand in a message.
fn one_line(text: &str) -> String {
    let spaced = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    spaced.take(LAST_WORDS).collect()
}

/// Reads an `ExecCredential`: JSON, or YAML, which `kubectl` takes as well.
fn read(printed: &[u8]) -> Result<Credential, &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        status: Option<Status>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        expiration_timestamp: Option<String>,
        token: Option<String>,
        client_certificate_data: Option<String>,
        client_key_data: Option<String>,
    }

    let none = "printed no credential";
    let answer: Answer = serde_saphyr::from_slice(printed).map_err(|_| none)?;
    let status = answer.status.ok_or(none)?;
    let ends = status.expiration_timestamp.map(|text| text.parse()).transpose();
    let ends = ends.map_err(|_| "gave an expirationTimestamp that is no time")?;
    let token = status.token.filter(|token| !token.is_empty()).map(|token| bearer(&token)).transpose();
    let token = token.map_err(|_| "gave a token that no request can carry")?;
    let certificate = match (status.client_certificate_data, status.client_key_data) {
        (Some(pem), Some(key)) => Some(Certificate { pem, key: key.into() }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err("gave only one of a certificate and its key"),
    };
    if token.is_none() && certificate.is_none() {
        return Err(none);
    }
    Ok(Credential { token, certificate, ends })
}

/// The value of `Authorization`.
fn bearer(token: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
