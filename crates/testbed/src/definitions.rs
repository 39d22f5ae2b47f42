//! The kinds of others that our fleets may use: the Gateway API's and the Prometheus operator's.
//!
//! Their definitions are read from the Go modules that `tests/tools/crds` pins; nothing of them is copied here.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Context, Error, Result};

const FILES: &[(&str, &str)] = &[
    ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_gateways.yaml"),
    ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
    (PROMETHEUS, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"),
    (PROMETHEUS, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
];

const PROMETHEUS: &str = "github.com/prometheus-operator/prometheus-operator";

/// Reads all definitions; Go downloads the modules when they are not in its cache. Blocks.
pub(crate) fn read(tools: &Path) -> Result<Vec<Value>> {
    FILES
        .iter()
        .map(|(module, file)| {
            let path = module_folder(&tools.join("crds"), module)?.join(file);
            let text = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
            serde_saphyr::from_str(&text).map_err(|error| Error::Definition { path, why: error.to_string() })
        })
        .collect()
}

/// Installs them all, and returns when the API server knows them.
pub(crate) async fn install(client: &Client, definitions: &[Value]) -> kube::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut installed = Vec::new();
    for definition in definitions {
        let name = definition.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let parameters = PatchParams::apply("testbed").force();
        installed.push(api.patch(name, &parameters, &Patch::Apply(definition)).await?.name_any());
    }
    for name in installed {
        while !is_established(&api.get(&name).await?) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}

fn module_folder(folder: &Path, module: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: PathBuf,
    }
    let output = Command::new("go")
        .current_dir(folder)
        .args(["mod", "download", "-json", module])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::NoGo { source })?;
    serde_json::from_slice::<Downloaded>(&output.stdout).map(|downloaded| downloaded.dir).map_err(|_| Error::Build {
        tools: folder.to_owned(),
        status: output.status,
        tail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
