//! What an API server can do at most: the same objects as bare server-side-apply PATCHes, with no client logic.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::TypeMeta,
    discovery::Discovery,
};
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::Cluster;

use xtask::shell::{Failure, Result};

const AT_ONCE: usize = 16;

pub(crate) struct Limit {
    pub(crate) objects: usize,
    pub(crate) took: Duration,
}

/// What `jitsictl render -o json` writes.
#[derive(Deserialize)]
struct Rendering {
    objects: Vec<Rendered>,
}

#[derive(Deserialize)]
struct Rendered {
    object: Value,
}

/// Applies all objects of a rendering. The namespaces are made before the clock starts.
pub(crate) async fn bare_patches(cluster: &Cluster, rendering: &str) -> Result<Limit> {
    let rendering: Rendering =
        serde_json::from_str(rendering).map_err(Failure::because("cannot read what `jitsictl render` wrote"))?;
    let documents: Vec<Value> = rendering.objects.into_iter().map(|rendered| rendered.object).collect();
    let client = cluster.client();
    let kinds = Discovery::new(client.clone()).run_aggregated().await.map_err(Failure::new)?;
    let parameters = PatchParams::apply("bench").force();

    let mut namespaces: Vec<&str> = documents.iter().filter_map(|one| text(one, "/metadata/namespace")).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for name in namespaces {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
        api.patch(name, &parameters, &Patch::Apply(body)).await.map_err(Failure::new)?;
    }

    let mut requests = Vec::new();
    for document in &documents {
        let field = |pointer: &str| text(document, pointer).unwrap_or_default().to_owned();
        let types = TypeMeta { api_version: field("/apiVersion"), kind: field("/kind") };
        let (resource, _) = kinds.resolve_typemeta(&types).ok_or_else(|| {
            Failure::new(format!("the API server does not know {} {}", types.api_version, types.kind))
        })?;
        let api: Api<DynamicObject> = match text(document, "/metadata/namespace") {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        requests.push((api, field("/metadata/name"), document));
    }
    let begun = Instant::now();
    let parameters = &parameters;
    stream::iter(requests)
        .map(|(api, name, document)| async move {
            let applied = api.patch(&name, parameters, &Patch::Apply(document)).await;
            applied.map(drop).map_err(|error| Failure::new(format!("a bare PATCH of {name} failed: {error}")))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(Limit { objects: documents.len(), took: begun.elapsed() })
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}
