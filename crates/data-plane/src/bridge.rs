//! One bridge: a StatefulSet of one with a port of its own.
//!
//! Nothing in its template depends on which shards there are or where they are: those stand in mounted ConfigMaps, so
//! that a new shard never makes a bridge look outdated.

use std::collections::BTreeMap;

use fleet::{BridgeExpose, Component, Era, Fleet, Index, Pool};
use manifest::pod::{Env, Pod, Port, Recipe, Volume};
use manifest::{Kind, Metadata, Names, Unit, UnitBuilder, UnitId, labels, quantity};
use serde_json::{Value as Json, json};

use crate::scripts::{self, Script};
use crate::{addresses, base, media, place, policies, websocket};

/// What the bridges of a pool have in common; their custom files become a ConfigMap of the pool's.
pub(crate) fn recipe(fleet: &Fleet, pool: &Pool, shared: &mut UnitBuilder) -> Recipe {
    let workload = &pool.bridges.workload;
    let mut pod = Pod::new(BTreeMap::new(), place::secrets(fleet, &pool.cluster));
    // Every bridge has the same variables and as many ports as the first.
    pod.env = env(fleet, pool, Index(0));
    pod.ports = ports(pool, Index(0));
    pod.command = Some(Script::JvbStart.command());
    pod.volumes = volumes(fleet, pool);
    pod.volumes.push(scripts::volume(fleet, pool, Component::Jvb));
    pod.readiness = Some(json!({ "exec": { "command": health() }, "timeoutSeconds": 10 }));
    pod.pre_stop = Some(json!({ "exec": { "command": Script::JvbPrestop.command() } }));
    pod.grace_seconds = pool.bridges.grace.as_secs();
    pod.host_network = pool.bridges.expose == BridgeExpose::HostNetwork;
    pod.affinity = Some(media::affinity(fleet, pool));
    pod.carries_calls = true;
    // jvb reads one file of this name: the start script puts the user's before ours.
    pod.moved_files = BTreeMap::from([("/config/custom-jvb.conf", "/etc/jitsictl/custom/custom-jvb.conf")]);
    Recipe::new(fleet, shared, &Names(&fleet.name).pool_bridges(&pool.name), workload, pod)
}

/// Renders a bridge.
pub(crate) fn unit(fleet: &Fleet, pool: &Pool, recipe: &Recipe, index: Index) -> Unit {
    let name = Names(&fleet.name).bridge(&pool.name, index);
    let workload = &pool.bridges.workload;
    let mut unit = UnitBuilder::new(fleet, UnitId::Bridge(pool.name.clone(), index), &pool.cluster);
    unit.release(&workload.image.release);
    unit.pod(format!("{name}-0"));
    media::service(&mut unit, fleet, pool, index);

    let template = recipe.template(fleet, unit.id(), workload, &env(fleet, pool, index), &ports(pool, index));
    let selector = labels::select_unit(&fleet.name, unit.id(), Component::Jvb);
    let spec = json!({
        "replicas": 1,
        "serviceName": name,
        // Only the planner replaces a bridge, when nobody is on it.
        "updateStrategy": { "type": "OnDelete" },
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
    });
    unit.add_workload(Kind::StatefulSet, name, Metadata::of(Component::Jvb), spec, template);
    unit.finish()
}

fn env(fleet: &Fleet, pool: &Pool, index: Index) -> Vec<(&'static str, Env)> {
    let text = |value: &str| Env::Text(value.to_owned());
    let bridges = &pool.bridges;
    let nickname = Names(&fleet.name).bridge_nickname(&pool.cluster, &pool.name, index);
    let password = Env::Secret {
        name: place::passwords(fleet, &pool.cluster),
        key: base::JVB_PASSWORD.to_owned(),
        optional: false,
    };
    let mut env = vec![
        ("POD_NAME", Env::Field("metadata.name")),
        ("NODE_NAME", Env::Field("spec.nodeName")),
        ("JVB_PORT", text(&bridges.port(index.0).to_string())),
        ("JVB_COLIBRI_PORT", text(&policies::BRIDGE_REST.1.to_string())),
        ("COLIBRI_REST_ENABLED", text("1")),
        ("JVB_DISABLE_XMPP", text("1")),
        (base::JVB_PASSWORD, password),
        ("JVB_MUC_NICKNAME", text(&nickname)),
        ("JVB_OCTO_RELAY_ID", text(&nickname)),
    ];
    if let Some(region) = fleet.clusters.get(&pool.cluster).and_then(|cluster| cluster.region.as_deref()) {
        env.push(("JVB_OCTO_REGION", text(region)));
    }
    if let Some(websocket) = &bridges.websocket {
        env.extend(websocket::env(websocket, &nickname));
    }
    env.extend(script_env(fleet, pool, index));
    env.extend(defaults(pool).into_iter().filter(|(name, _)| !bridges.workload.env.contains_key(*name)));
    env
}

/// What the start and stop scripts go by.
fn script_env(fleet: &Fleet, pool: &Pool, index: Index) -> Vec<(&'static str, Env)> {
    let bridges = &pool.bridges;
    let mut env = Vec::new();
    if bridges.expose == BridgeExpose::LoadBalancer {
        // The address belongs to the bridge's own balancer, not to its node.
        env.push(("ADDRESS_KEY", Env::Text(Names(&fleet.name).bridge(&pool.name, index))));
    }
    let fallback = addresses::fallback(bridges);
    if !fallback.is_empty() {
        env.push(("ADVERTISE_FALLBACK", Env::Text(fallback)));
    }
    // The hook gives up before the kubelet does, so that the bridge still gets a clean SIGTERM.
    let deadline = bridges.grace.as_secs().saturating_sub(30);
    env.push(("DRAIN_DEADLINE", Env::Text(deadline.to_string())));
    env
}

/// What we set where the user doesn't.
fn defaults(pool: &Pool) -> Vec<(&'static str, Env)> {
    let bridges = &pool.bridges;
    let workload = &bridges.workload;
    let mut defaults = Vec::new();
    if !workload.env.contains_key("JVB_STUN_SERVERS") {
        // Otherwise the image asks a third party for the bridge's address, and announces a port that is not open.
        defaults.push(("JVB_DISABLE_STUN", Env::Text("1".into())));
    }
    if !addresses::are_private(bridges) {
        defaults.push(("JVB_ADVERTISE_PRIVATE_CANDIDATES", Env::Text("0".into())));
    }
    if let Some(heap) = workload.resources.limits.get("memory").and_then(|limit| quantity::heap_for(limit)) {
        defaults.push(("VIDEOBRIDGE_MAX_MEMORY", Env::Text(heap)));
    }
    if workload.image.era == Era::Legacy && bridges.websocket.is_none() {
        // On by default in that era, with an address that nobody routes; data channels do the same job.
        defaults.push(("ENABLE_COLIBRI_WEBSOCKET", Env::Text("0".into())));
    }
    defaults
}

fn ports(pool: &Pool, index: Index) -> Vec<Port> {
    let mut ports = vec![media::port(pool, index)];
    // On the node's network a declared port is taken from the node, and this one listens on loopback only.
    if pool.bridges.expose != BridgeExpose::HostNetwork {
        ports.push(Port::tcp(policies::BRIDGE_REST.0, policies::BRIDGE_REST.1));
    }
    if pool.bridges.websocket.is_some() {
        ports.push(websocket::port());
    }
    ports
}

fn volumes(fleet: &Fleet, pool: &Pool) -> Vec<Volume> {
    let names = Names(&fleet.name);
    let directory = |name: &str, config_map: String, optional: bool, path: &str| {
        let mut source = json!({ "configMap": { "name": config_map } });
        if optional {
            source["configMap"]["optional"] = true.into();
        }
        Volume { name: name.to_owned(), source, mounts: vec![json!({ "mountPath": path, "readOnly": true })] }
    };
    vec![
        // Without a limit: a pod that outgrows one is evicted, with all who are on it.
        Volume::at("config", json!({ "emptyDir": {} }), "/config"),
        directory("wiring", names.pool_wiring(&pool.name), false, "/etc/jitsictl/wiring"),
        // Not there before somebody could read the nodes; the start script waits for its line anyway.
        directory("addresses", names.pool_addresses(&pool.name), true, "/etc/jitsictl/addresses"),
    ]
}

/// From inside, so that the interface needs no way in.
fn health() -> Json {
    let url = format!("http://127.0.0.1:{}/about/health", policies::BRIDGE_REST.1);
    json!(["curl", "-fsS", "-o", "/dev/null", "--max-time", "5", url])
}

#[cfg(test)]
mod tests;
