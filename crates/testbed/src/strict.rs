//! Asks an API server what it thinks of objects, without creating them.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    client::Body,
    core::{ApiResource, Request},
    discovery::{Discovery, Scope},
};
use serde_json::{Value, json};

/// How many objects are asked about at the same time.
const AT_ONCE: usize = 8;

/// What the API server said about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `Kind namespace/name`.
    pub object: String,
    /// Why it would not take the object; an unknown or misspelt field is a reason.
    pub refused: Option<String>,
    /// What it warned of, Pod Security above all.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Neither refused nor warned of.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.refused.is_none() && self.warnings.is_empty()
    }
}

/// Server-side apply of each object with `dryRun=All` and `fieldValidation=Strict`.
///
/// A dry run needs the namespaces to exist, so those that the objects name are created.
pub(crate) async fn dry_run(client: &Client, objects: &[Value]) -> kube::Result<Vec<Verdict>> {
    let namespaces: BTreeSet<&str> = objects.iter().filter_map(|object| text(object, "/metadata/namespace")).collect();
    for name in namespaces {
        let api: Api<Namespace> = Api::all(client.clone());
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        api.patch(name, &PatchParams::apply("testbed"), &Patch::Apply(body)).await?;
    }
    let kinds = Discovery::new(client.clone()).run_aggregated().await?;
    stream::iter(objects).map(|object| ask(client, &kinds, object)).buffered(AT_ONCE).try_collect().await
}

async fn ask(client: &Client, kinds: &Discovery, object: &Value) -> kube::Result<Verdict> {
    let (kind, name) = (text(object, "/kind").unwrap_or("?"), text(object, "/metadata/name").unwrap_or("?"));
    let namespace = text(object, "/metadata/namespace");
    let label = namespace.map_or_else(|| format!("{kind} {name}"), |namespace| format!("{kind} {namespace}/{name}"));
    let refused = |why: String| Verdict { object: label.clone(), refused: Some(why), warnings: Vec::new() };
    let Some((resource, scope)) = resource(kinds, object) else {
        return Ok(refused("the API server does not know this kind".to_owned()));
    };
    if (scope == Scope::Namespaced) != namespace.is_some() {
        return Ok(refused(format!("its kind is {scope:?}, its namespace is {namespace:?}")));
    }

    let mut parameters = PatchParams::apply("testbed-strict").force().validation_strict();
    parameters.dry_run = true;
    let path = <DynamicObject as kube::Resource>::url_path(&resource, namespace);
    let request =
        Request::new(path).patch(name, &parameters, &Patch::Apply(object)).map_err(kube::Error::BuildRequest)?;
    let response = client.send(request.map(Body::from)).await?;
    let warnings = response.headers().get_all("warning").iter().filter_map(|value| value.to_str().ok()).map(warning);
    let warnings = warnings.collect();
    let status = response.status();
    let refused = if status.is_success() {
        None
    } else {
        let body = response.into_body().collect_bytes().await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        Some(text(&answer, "/message").map_or_else(|| status.to_string(), str::to_owned))
    };
    Ok(Verdict { object: label, refused, warnings })
}

fn resource(kinds: &Discovery, object: &Value) -> Option<(ApiResource, Scope)> {
    let types = kube::core::TypeMeta {
        api_version: text(object, "/apiVersion")?.to_owned(),
        kind: text(object, "/kind")?.to_owned(),
    };
    let (resource, capabilities) = kinds.resolve_typemeta(&types)?;
    Some((resource, capabilities.scope))
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// The text of a `299 - "…"` header.
fn warning(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, rest)| rest);
    text.strip_suffix('"').unwrap_or(text).replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_lose_their_wrapping() {
        assert_eq!(
            warning(r#"299 - "would violate PodSecurity \"restricted:latest\"""#),
            r#"would violate PodSecurity "restricted:latest""#
        );
        assert_eq!(warning("odd"), "odd");
    }
}
