//! docker-compose's `.env`: one host becomes one cluster with one shard and one bridge on the host's port.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::json;

use super::{Draft, Imported};
use crate::diagnostic::Report;
use crate::{env_file, source};

/// Makes a fleet file of a docker-compose `.env`; `name` is for messages.
///
/// # Errors
/// What is wrong with the file.
pub fn dotenv(name: &str, text: &str) -> Result<Imported, Report> {
    let parsed = env_file::parse(&source::Text::new(name, text), text, &BTreeMap::new());
    if !parsed.problems.is_empty() {
        return Err(Report::new(parsed.problems));
    }
    let variables: BTreeMap<String, String> =
        parsed.variables.into_iter().filter(|v| !v.value.is_empty()).map(|v| (v.name, v.value)).collect();
    let mut draft = Draft::new();
    let port = variables.get("JVB_PORT").and_then(|port| port.parse::<u16>().ok()).unwrap_or(10_000);
    let mut bridges = json!({ "replicas": 1, "expose": "host_port", "base_port": port });
    let listed = variables.get("JVB_ADVERTISE_IPS").or(variables.get("DOCKER_HOST_ADDRESS"));
    let addresses =
        listed.into_iter().flat_map(|list| list.split(',')).map(|one| one.split('#').next().unwrap_or(one).trim());
    let fixed: Vec<_> =
        addresses.filter_map(|one| one.parse::<IpAddr>().ok()).map(|ip| json!({ "static": ip })).collect();
    if !fixed.is_empty() {
        bridges["advertise"] = json!(fixed);
    }
    let rest = variables
        .into_iter()
        .filter(|(name, _)| !matches!(name.as_str(), "JVB_PORT" | "JVB_ADVERTISE_IPS" | "DOCKER_HOST_ADDRESS"));
    draft.variables(&rest.collect());
    draft.put("control", "cluster", json!("main"));
    draft.put("control", "shards", json!({ "alpha": {} }));
    draft.put("data", "pools", json!({ "main": { "cluster": "main", "bridges": bridges } }));
    Ok(draft.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_env_file_becomes_a_fleet() {
        let text = "CONFIG=~/.x\nPUBLIC_URL=https://call.example.org\nENABLE_LOBBY=1\nJVB_ADVERTISE_IPS=203.0.113.7\nJVB_PORT=10001\nJVB_AUTH_PASSWORD=a\nJWT_APP_SECRET=hunter2\nHTTP_PORT=8000\n";
        let imported = dotenv(".env", text).unwrap();
        assert!(!format!("{imported:?}").contains("hunter2"));
        let loaded =
            crate::load::load_text("fleet.yaml", &imported.fleet_yaml, std::path::Path::new("."), &BTreeMap::new());
        let fleet = loaded.unwrap_or_else(|report| panic!("{report}\n{}", imported.fleet_yaml)).fleet;
        assert_eq!(fleet.url.host(), "call.example.org");
        assert_eq!(fleet.data.pools[0].bridges.base_port, 10_001);
        let dropped: Vec<&str> = imported.dropped.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(dropped, ["CONFIG", "HTTP_PORT", "JVB_AUTH_PASSWORD", "the value of JWT_APP_SECRET"]);
    }

    #[test]
    fn variables_are_those_of_the_release_that_is_named() {
        let text = "JITSI_IMAGE_VERSION=stable-10978\nENABLE_COLIBRI_WEBSOCKET=1\nENABLE_SCTP=1\nJVB_WS_DOMAIN=w\n";
        let imported = dotenv(".env", text).unwrap();
        assert!(imported.fleet_yaml.contains("release: stable-10978\n"), "{}", imported.fleet_yaml);
        assert!(imported.fleet_yaml.contains("ENABLE_COLIBRI_WEBSOCKET: "), "{}", imported.fleet_yaml);
        let websocket = ("JVB_WS_DOMAIN".to_owned(), "set `bridges.websocket.host` of the pool".to_owned());
        assert_eq!(imported.dropped, [websocket]);
    }
}
