//! The chart's values: each of its shards has bridges of its own, so each becomes a shard and a pool.

mod dropped;
mod expose;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::sheet::{Entry, Sheet};
use super::{Draft, Imported};
use crate::diagnostic::Report;
use crate::{Era, source};

/// What the chart's autoscaler does unless it is told otherwise.
const SCALED: (u16, u16) = (1, 10);

/// Makes a fleet file of the chart's values; `name` is for messages.
///
/// # Errors
/// What is wrong with the file.
pub fn values_yaml(name: &str, text: &str) -> Result<Imported, Report> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = source::Text::new(name, text);
    let tree = source::parse(text, &lines).map_err(|problem| Report::new(vec![problem]))?;
    let sheet = Sheet::new(&lines, &tree);
    let values = sheet.root();
    let mut draft = Draft::new();
    // What a variable means depends on the images that read it.
    for component in ["jvb", "prosody", "jicofo", "web"] {
        let image = values.at(component).at("image");
        if let Some(tag) = image.at("tag").text().filter(|_| workload::is_jitsis(component, &image)) {
            draft.release(&format!("{component}.image.tag"), &tag);
        }
    }
    let websocket = websocket(&mut draft, &values.at("jvb").at("websocket"));
    global(&mut draft, &values.at("global"), websocket.as_deref());
    control(&mut draft, &values);
    data(&mut draft, &values, websocket.as_deref());
    let problems = sheet.problems();
    if !problems.is_empty() {
        return Err(Report::new(problems));
    }
    for path in sheet.left() {
        let why = dropped::why(&path);
        draft.drop(path, why);
    }
    Ok(draft.finish())
}

fn global(draft: &mut Draft, global: &Entry<'_>, websocket: Option<&str>) {
    let texts = |entry: Entry<'_>| -> BTreeMap<String, String> {
        let each = entry.entries().into_iter();
        each.filter_map(|(name, value)| Some((name.to_owned(), value.text()?))).collect()
    };
    let mut env = texts(global.at("env"));
    if env.get("JVB_WS_DOMAIN").map(String::as_str) == websocket {
        // It is the host of the websockets.
        env.remove("JVB_WS_DOMAIN");
    }
    draft.variables(&env);
    for name in texts(global.at("secretEnvs")).keys() {
        draft.secret(name);
    }
    for (theirs, ours) in [
        ("domain", "main"),
        ("authDomain", "auth"),
        ("mucDomain", "muc"),
        ("internalMucDomain", "internal_muc"),
        ("guestDomain", "guest"),
    ] {
        if let Some(domain) = global.at("xmpp").at(theirs).text() {
            draft.put("domains", ours, json!(domain));
        }
    }
    if let Some(domain) = global.at("clusterDomain").text() {
        draft.set("cluster_domain", json!(domain));
    }
}

fn control(draft: &mut Draft, values: &Entry<'_>) {
    for component in ["prosody", "jicofo", "web", "haproxy"] {
        let entry = values.at(component);
        entry.at("enabled").usual("true");
        let mut workload = workload::workload(draft, component, &entry);
        let replicas = entry.at("replicaCount");
        if matches!(component, "web" | "haproxy") {
            if let Some(replicas) = replicas.number::<u16>() {
                workload.insert("replicas".into(), json!(replicas));
            }
        } else {
            replicas.usual("1");
        }
        if !workload.is_empty() {
            draft.put("control", component, Json::Object(workload));
        }
    }
    draft.put("control", "cluster", json!("main"));
    expose::entrance(draft, values);
    expose::xmpp(draft, &values.at("prosody").at("service"), &values.at("global").at("shards"));
}

fn data(draft: &mut Draft, values: &Entry<'_>, websocket: Option<&str>) {
    let bridges = bridges(draft, &values.at("jvb"), websocket);
    let (mut names, mut pools) = (Map::new(), Map::new());
    for (name, shard) in values.at("global").at("shards").entries() {
        let mut bridges = bridges.clone();
        let port = shard.at("jvbBasePort").number::<u16>();
        if port.is_some() {
            draft.keeps_ports = true;
        }
        bridges.insert("base_port".into(), json!(port.unwrap_or(30_000)));
        pools.insert(name.to_owned(), json!({ "cluster": "main", "shards": [name], "bridges": bridges }));
        names.insert(name.to_owned(), json!({}));
    }
    if names.is_empty() {
        names.insert("alpha".into(), json!({}));
        pools.insert("main".into(), json!({ "cluster": "main", "bridges": bridges }));
    }
    draft.put("control", "shards", Json::Object(names));
    draft.put("data", "pools", Json::Object(pools));
}

fn bridges(draft: &mut Draft, jvb: &Entry<'_>, websocket: Option<&str>) -> Map<String, Json> {
    jvb.at("enabled").usual("true");
    let mut bridges = workload::workload(draft, "jvb", jvb);
    let (scaling, fixed) = (jvb.at("autoscaling"), jvb.at("replicaCount").number::<u16>());
    let replicas = if scaling.at("enabled").flag(false) {
        let min = scaling.at("minReplicas").number::<u16>().unwrap_or(SCALED.0);
        json!({ "min": min, "max": scaling.at("maxReplicas").number::<u16>().unwrap_or(SCALED.1) })
    } else {
        scaling.take();
        json!(fixed.unwrap_or(1))
    };
    bridges.insert("replicas".into(), replicas);
    bridges.insert("expose".into(), json!("node_port"));
    if let Some(seconds) = jvb.at("terminationGracePeriodSeconds").number::<u64>() {
        bridges.insert("grace".into(), json!(format!("{seconds}s")));
    }
    if let Some(host) = websocket {
        bridges.insert("websocket".into(), json!({ "host": host }));
    }
    jvb.at("udp").at("service").at("enabled").usual("true");
    if !jvb.at("monitoring").at("enabled").flag(false) {
        jvb.at("monitoring").take();
    }
    bridges
}

/// The public host of the bridges' websockets, where their images have them.
fn websocket(draft: &mut Draft, websocket: &Entry<'_>) -> Option<String> {
    let (service, ingress) = (websocket.at("service"), websocket.at("ingress"));
    for (key, usual) in [("enabled", "true"), ("type", "ClusterIP")] {
        service.at(key).usual(usual);
    }
    service.at("ports").at("http").usual("9090");
    if !ingress.at("enabled").flag(false) {
        ingress.take();
        return None;
    }
    if draft.era() == Era::Rootless {
        let why = crate::env_lists::replaced(Era::Rootless, "JVB_WS_DOMAIN").unwrap_or_default();
        draft.drop(websocket.path(), why);
        websocket.take();
        return None;
    }
    ingress.at("hosts").items().first()?.text()
}
