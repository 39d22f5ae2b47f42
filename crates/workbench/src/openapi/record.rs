//! Plays requests that contend for fields, and records what a real server makes of each.

mod sequences;

use std::time::Duration;

use api_server::Kind;
use futures::future::try_join_all;
use serde_json::{Value, json};
use testbed::Cluster;

use xtask::shell::{Failure, Result};

/// `managedFields` counts in seconds, and controllers need a moment.
const BETWEEN_STEPS: Duration = Duration::from_millis(1500);

/// Requests about one object.
struct Sequence {
    kind: &'static Kind,
    name: &'static str,
    steps: Vec<Step>,
}

/// One request.
struct Step {
    verb: Verb,
    manager: &'static str,
    subresource: Option<&'static str>,
    body: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Apply,
    Force,
    Create,
    /// The body is merged into the live object, which is then sent whole.
    Update,
    Patch,
    JsonPatch,
}

impl Step {
    fn new(verb: Verb, manager: &'static str, body: Value) -> Self {
        Self { verb, manager, subresource: None, body }
    }

    fn of_status(mut self) -> Self {
        self.subresource = Some("status");
        self
    }
}

/// Plays all sequences, side by side.
pub(crate) async fn play(cluster: &Cluster) -> Result<Vec<Value>> {
    let sequences = sequences::all();
    let played = try_join_all(sequences.iter().map(|sequence| play_one(cluster, sequence))).await?;
    Ok(played.into_iter().flatten().collect())
}

async fn play_one(cluster: &Cluster, sequence: &Sequence) -> Result<Vec<Value>> {
    let Sequence { kind, name, .. } = sequence;
    let prefix = if kind.group.is_empty() { "/api" } else { "/apis" };
    let collection = format!("{prefix}/{}/namespaces/default/{}", kind.api_version(), kind.plural);
    let mut recorded = Vec::new();
    let mut previous = Value::Null;
    for step in &sequence.steps {
        tokio::time::sleep(BETWEEN_STEPS).await;
        let live = match send(cluster, "GET", &format!("{collection}/{name}"), "", &Value::Null).await? {
            (200, live) => live,
            _ => Value::Null,
        };
        let body = body(sequence, step, &live);
        let subresource = step.subresource.map(|name| format!("/{name}")).unwrap_or_default();
        let object = format!("{collection}/{name}{subresource}?fieldManager={}", step.manager);
        let (method, path, content) = match step.verb {
            Verb::Apply => ("PATCH", object, "application/apply-patch+yaml"),
            Verb::Force => ("PATCH", format!("{object}&force=true"), "application/apply-patch+yaml"),
            Verb::Create => ("POST", format!("{collection}?fieldManager={}", step.manager), "application/json"),
            Verb::Update => ("PUT", object, "application/json"),
            Verb::Patch => ("PATCH", object, "application/merge-patch+json"),
            Verb::JsonPatch => ("PATCH", object, "application/json-patch+json"),
        };
        let (code, answer) = send(cluster, method, &path, content, &body).await?;
        let verb = match step.verb {
            Verb::Apply | Verb::Force => "apply",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch | Verb::JsonPatch => "patch",
        };
        // Most objects are as the step before left them: what would stand there twice is left out.
        let live = if live == previous && !live.is_null() { json!("previous") } else { live };
        recorded.push(json!({
            "kind": [kind.api_version(), kind.name],
            "live": live,
            "verb": verb,
            "manager": step.manager,
            "force": step.verb == Verb::Force,
            "subresource": step.subresource,
            // What is updated is known from the answer.
            "body": if step.verb == Verb::Update { Value::Null } else { body },
            "code": code,
            "answer": answer,
        }));
        if code < 300 {
            previous = answer;
        }
    }
    Ok(recorded)
}

fn body(sequence: &Sequence, step: &Step, live: &Value) -> Value {
    let mut body = step.body.clone();
    match step.verb {
        Verb::Patch | Verb::JsonPatch => {}
        Verb::Update => {
            body = live.clone();
            overlay(&mut body, &step.body);
        }
        Verb::Apply | Verb::Force | Verb::Create => {
            overlay(
                &mut body,
                &json!({
                    "apiVersion": sequence.kind.api_version(),
                    "kind": sequence.kind.name,
                    "metadata": { "name": sequence.name, "namespace": "default" },
                }),
            );
        }
    }
    body
}

/// Sets what the other has; null takes away.
fn overlay(value: &mut Value, other: &Value) {
    match (value, other) {
        (Value::Object(fields), Value::Object(others)) => {
            for (name, other) in others {
                if other.is_null() {
                    fields.remove(name);
                } else {
                    overlay(fields.entry(name.as_str()).or_insert(Value::Null), other);
                }
            }
        }
        (value, other) => *value = other.clone(),
    }
}

async fn send(cluster: &Cluster, method: &str, path: &str, content: &str, body: &Value) -> Result<(u16, Value)> {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let mut request = http::Request::builder().method(method).uri(path);
    if !content.is_empty() {
        request = request.header("Content-Type", content);
    }
    let request = request.body(kube::client::Body::from(bytes)).map_err(Failure::because(path))?;
    let response = cluster.client().send(request).await.map_err(Failure::because(path))?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await.map_err(Failure::because(path))?;
    Ok((code, serde_json::from_slice(&bytes).map_err(Failure::because(path))?))
}
