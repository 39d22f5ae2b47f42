//! The chart's values: each of its shards has bridges of its own, so each becomes a shard and a pool.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Draft, Imported};
use crate::diagnostic::Report;
use crate::{schema, source};

/// Keys of a component that are taken over as they are, and their names here.
const TAKEN: [(&str, &str); 6] = [
    ("resources", "resources"),
    ("nodeSelector", "node_selector"),
    ("tolerations", "tolerations"),
    ("affinity", "affinity"),
    ("podAnnotations", "annotations"),
    ("replicaCount", ""),
];

/// Makes a fleet file of the chart's values; `name` is for messages.
///
/// # Errors
/// What is wrong with the file.
pub fn values_yaml(name: &str, text: &str) -> Result<Imported, Report> {
    let lines = source::Text::new(name, text);
    let tree = source::parse(text, &lines).map_err(|problem| Report::new(vec![problem]))?;
    let values = schema::free(&tree);
    let mut draft = Draft::new();
    draft.variables(&texts(&values["global"]["env"]));
    let secrets = texts(&values["global"]["secretEnvs"]);
    draft.variables(&secrets.into_iter().filter(|(_, value)| !value.is_empty()).collect());
    for (theirs, ours) in [
        ("domain", "main"),
        ("authDomain", "auth"),
        ("mucDomain", "muc"),
        ("internalMucDomain", "internal_muc"),
        ("guestDomain", "guest"),
    ] {
        if let Some(domain) = values["global"]["xmpp"][theirs].as_str() {
            draft.put("domains", ours, json!(domain));
        }
    }
    for component in ["prosody", "jicofo", "web", "haproxy"] {
        let workload = workload(&mut draft, component, &values[component]);
        if !workload.is_empty() {
            draft.put("control", component, Json::Object(workload));
        }
    }
    draft.put("control", "cluster", json!("main"));
    ingress(&mut draft, &values["haproxy"]["ingress"]);
    let bridges = bridges(&mut draft, &values["jvb"]);
    let empty = Map::new();
    let shards = values["global"]["shards"].as_object().unwrap_or(&empty);
    let (mut names, mut pools) = (Map::new(), Map::new());
    for (name, shard) in shards {
        let mut bridges = bridges.clone();
        bridges.insert(
            "base_port".into(),
            shard.get("jvbBasePort").filter(|p| p.is_u64()).cloned().unwrap_or(json!(30_000)),
        );
        pools.insert(name.clone(), json!({ "cluster": "main", "shards": [name], "bridges": bridges }));
        names.insert(name.clone(), json!({}));
        for key in ["xmppServer", "prosodyNodePorts", "jvbWebsocketBasePorts"].iter().filter(|key| said(&shard[**key]))
        {
            draft.drop(
                format!("global.shards.{name}.{key}"),
                "addresses and ports between components follow from control.xmpp",
            );
        }
    }
    if names.is_empty() {
        names.insert("alpha".into(), json!({}));
        pools.insert("main".into(), json!({ "cluster": "main", "bridges": bridges }));
    }
    draft.put("control", "shards", Json::Object(names));
    draft.put("data", "pools", Json::Object(pools));
    Ok(draft.finish())
}

/// Whether anything is said under a key.
fn said(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(map) => map.values().any(said),
        _ => true,
    }
}

fn texts(map: &Json) -> BTreeMap<String, String> {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    };
    map.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn workload(draft: &mut Draft, component: &str, values: &Json) -> Map<String, Json> {
    let mut workload = Map::new();
    for (theirs, ours) in TAKEN.iter().filter(|(_, ours)| !ours.is_empty()) {
        if said(&values[*theirs]) {
            workload.insert((*ours).to_owned(), values[*theirs].clone());
        }
    }
    let files: Vec<Json> = values["extraFiles"].as_array().into_iter().flatten().filter_map(file).collect();
    if !files.is_empty() {
        workload.insert("files".into(), json!(files));
    }
    if let Some(tag) = values["image"]["tag"].as_str().filter(|tag| !tag.is_empty()) {
        if component == "haproxy" {
            workload.insert("image".into(), json!(format!("haproxy:{tag}")));
        } else {
            draft.release(&format!("{component}.image.tag"), tag);
        }
    }
    let known = [
        "enabled",
        "image",
        "extraFiles",
        "allowedEnv",
        "autoscaling",
        "terminationGracePeriodSeconds",
        "ingress",
        "udp",
        "websocket",
        "service",
    ];
    for (key, value) in values.as_object().into_iter().flatten() {
        let taken = known.contains(&key.as_str()) || TAKEN.iter().any(|(theirs, _)| theirs == key);
        if !taken && said(value) && value["enabled"] != json!(false) {
            draft.drop(format!("{component}.{key}"), "it has no counterpart here");
        }
    }
    workload
}

fn file(values: &Json) -> Option<Json> {
    let mut file = json!({ "path": values["mountPath"].as_str()?, "text": values["content"].as_str()? });
    if let Some(mode) = values["mode"].as_u64() {
        // `0400` was read as a number; its digits are the octal ones.
        file["mode"] = json!(format!("{mode:04}"));
    }
    Some(file)
}

fn ingress(draft: &mut Draft, values: &Json) {
    if values["enabled"] != json!(true) {
        return;
    }
    let mut ingress = Map::new();
    for (key, value) in [
        ("class", &values["className"]),
        ("annotations", &values["annotations"]),
        ("tls_secret", &values["tls"][0]["secretName"]),
    ] {
        if said(value) {
            ingress.insert(key.to_owned(), value.clone());
        }
    }
    draft.put("control", "ingress", Json::Object(ingress));
}

fn bridges(draft: &mut Draft, values: &Json) -> Map<String, Json> {
    let mut bridges = workload(draft, "jvb", values);
    let scaling = &values["autoscaling"];
    let replicas = match (&scaling["enabled"], &scaling["minReplicas"], &scaling["maxReplicas"]) {
        (Json::Bool(true), min, max) if min.is_u64() && max.is_u64() => json!({ "min": min, "max": max }),
        _ => values.get("replicaCount").filter(|n| n.is_u64()).cloned().unwrap_or(json!(1)),
    };
    bridges.insert("replicas".into(), replicas);
    bridges.insert("expose".into(), json!("node_port"));
    if let Some(seconds) = values["terminationGracePeriodSeconds"].as_u64() {
        bridges.insert("grace".into(), json!(format!("{seconds}s")));
    }
    if values["websocket"]["ingress"]["enabled"] == json!(true) {
        draft.drop(
            "jvb.websocket",
            "colibri websockets left the images with stable-11146; the bridge channel now runs over the media port",
        );
    }
    bridges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_a_fleet() {
        let text = "global:\n  env: { PUBLIC_URL: https://m.example.org, ENABLE_LOBBY: 1, JVB_WS_DOMAIN: w }\n  secretEnvs: { JVB_AUTH_PASSWORD: hunter2 }\n  shards:\n    shard-0: { jvbBasePort: 30000 }\n    shard-1: { jvbBasePort: 31000, xmppServer: x }\nprosody:\n  extraFiles: [{ name: a.lua, mountPath: /prosody-plugins-custom/a.lua, mode: 0400, content: x }]\njvb: { autoscaling: { enabled: true, minReplicas: 1, maxReplicas: 10 }, image: { tag: stable-6173 } }\n";
        let imported = values_yaml("values.yaml", text).unwrap();
        assert!(!format!("{imported:?}").contains("hunter2"));
        let loaded =
            crate::load::load_text("fleet.yaml", &imported.fleet_yaml, std::path::Path::new("."), &BTreeMap::new());
        let fleet = loaded.unwrap_or_else(|report| panic!("{report}\n{}", imported.fleet_yaml)).fleet;
        assert_eq!(fleet.control.shards.len(), 2);
        assert_eq!(fleet.data.pools[1].bridges.base_port, 31_000);
        assert_eq!(fleet.control.shards["shard-0"].prosody.workload.files[0].mode, 0o400);
        let dropped: Vec<&str> = imported.dropped.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(
            dropped,
            ["JVB_WS_DOMAIN", "JVB_AUTH_PASSWORD", "jvb.image.tag", "global.shards.shard-1.xmppServer"]
        );
    }
}
