//! `cargo xtask openapi`: asks a real API server what types its kinds have, and writes them down for the in-memory one.

mod compact;
mod record;

use std::{path::Path, process::ExitCode};

use serde_json::{Value, json};
use testbed::{Cluster, Options, Sources, Testbed};

use xtask::shell::{self, Failure, Result};

/// Where the types go.
const TYPES: &str = "crates/api-server/src/schema/kubernetes.json";
/// Where the recorded requests go.
const RECORDED: &str = "crates/api-server/src/merge/recorded.json";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also play the requests against which server-side apply is tested, and record what the server makes of them
    #[arg(long)]
    record: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    crate::api_servers::ready()?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::because("cannot start a runtime"))?;
    runtime.block_on(ask(arguments))
}

async fn ask(arguments: &Arguments) -> Result<ExitCode> {
    let options = Options { audit: false, ..Options::default() };
    let testbed = Testbed::start(&["types"], options).await?;
    let cluster = testbed.cluster("types")?;
    cluster.install_definitions(&Sources::of_this_machine()).await?;

    let version = get(cluster, "/version").await?;
    let version = version["gitVersion"].as_str().unwrap_or("unknown");
    let mut definitions = serde_json::Map::new();
    for kind in api_server::kinds::KINDS {
        definitions.extend(of_group(cluster, kind).await?);
    }
    let types = compact::types(&definitions, &api_server::kinds::KINDS)?;
    write(TYPES, &lines(version, &types)?)?;
    if arguments.record {
        let recorded = record::play(cluster).await?;
        write(RECORDED, &sequences(version, &recorded)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All definitions of a kind's group. Those of a CRD are served some moments after it is established.
async fn of_group(cluster: &Cluster, kind: &api_server::Kind) -> Result<serde_json::Map<String, Value>> {
    let prefix = if kind.group.is_empty() { "api" } else { "apis" };
    let path = format!("/openapi/v3/{prefix}/{}", kind.api_version());
    for _ in 0..100 {
        if let Ok(mut document) = get(cluster, &path).await
            && let Value::Object(found) = document["components"]["schemas"].take()
            && compact::name_of(&found, kind).is_some()
        {
            return Ok(found);
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Err(Failure::new(format!("the server does not publish the type of {} at {path}", kind.name)))
}

async fn get(cluster: &Cluster, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(Vec::new()).map_err(Failure::because("cannot ask the server"))?;
    cluster.client().request(request).await.map_err(Failure::because(path))
}

/// One type a line: a new server version shows as a difference that can be read.
fn lines(version: &str, types: &compact::Types) -> Result<String> {
    let object = |entries: &serde_json::Map<String, Value>| {
        let lines = entries.iter().map(|(name, value)| format!("{}:{value}", json!(name)));
        format!("{{\n{}\n}}", lines.collect::<Vec<_>>().join(",\n"))
    };
    let (kinds, types) = (object(&types.kinds), object(&types.types));
    Ok(format!("{{\"server\":{},\n\"kinds\":{kinds},\n\"types\":{types}}}\n", json!(version)))
}

/// One step a line.
fn sequences(version: &str, steps: &[Value]) -> Result<String> {
    let steps: Vec<String> = steps.iter().map(Value::to_string).collect();
    Ok(format!("{{\"server\":{},\n\"steps\":[\n{}\n]}}\n", json!(version), steps.join(",\n")))
}

fn write(path: &str, text: &str) -> Result<()> {
    let path = shell::workspace().join(Path::new(path));
    std::fs::write(&path, text).map_err(Failure::because(&format!("cannot write {}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}
