//! Records what a real API server makes of the objects in a file of cases, for the tests of the crate `api-server`:
//! `cargo run -p testbed --example record_admission -- crates/api-server/src/admission/recorded`.
//!
//! `cases.json` holds, for each case, labels of its namespace and objects to be sent one after the other: the first
//! time by POST, and again by PUT. `answers.json` gets the codes, bodies and warnings.

use std::error::Error;

use kube::client::Body;
use serde_json::{Value, json};
use testbed::{Options, Sources, Testbed};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("say where the recorded answers are")?;
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(format!("{folder}/cases.json"))?)?;
    let bed = Testbed::start(&["recorded"], Options { audit: false, ..Options::default() }).await?;
    let cluster = bed.cluster("recorded")?;
    cluster.install_definitions(&Sources::of_this_machine()).await?;
    let client = cluster.client();
    let mut answers = serde_json::Map::new();
    for (index, case) in cases.iter().enumerate() {
        let namespace = format!("case-{index}");
        let home = json!({ "metadata": { "name": namespace, "labels": case["labels"] } });
        send(client, "POST", "/api/v1/namespaces", &home).await?;
        let mut said = Vec::new();
        for sent in case["send"].as_array().ok_or("a case sends nothing")? {
            let mut object = sent["object"].clone();
            let mut collection = sent["path"].as_str().ok_or("an object has no path")?.replace("NS", &namespace);
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if collection.contains("/namespaces/") {
                object["metadata"]["namespace"] = json!(namespace);
            }
            let mut method = "POST";
            if sent["update"] == json!(true) {
                method = "PUT";
                collection = format!("{collection}/{name}");
            } else if sent["keep"] != json!(true) {
                collection = format!("{collection}?dryRun=All");
            }
            said.push(send(client, method, &collection, &object).await?);
            if object["kind"] == "ResourceQuota" {
                // The controller counts first.
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
        let name = case["name"].as_str().unwrap_or_default().to_owned();
        answers.insert(name, said.into());
    }
    std::fs::write(format!("{folder}/answers.json"), serde_json::to_string(&Value::Object(answers))? + "\n")?;
    Ok(())
}

async fn send(client: &kube::Client, method: &str, path: &str, object: &Value) -> Result<Value, Box<dyn Error>> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(serde_json::to_vec(object)?))?;
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let warnings: Vec<Value> =
        response.headers().get_all("warning").iter().filter_map(|one| one.to_str().ok()).map(Value::from).collect();
    let body: Value = serde_json::from_slice(&response.into_body().collect_bytes().await?)?;
    Ok(json!({ "code": code, "body": body, "warnings": warnings }))
}
