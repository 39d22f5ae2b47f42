//! One recorder: a StatefulSet of one with a place for its recordings.

use std::collections::BTreeMap;

use fleet::{Component, Fleet, Index, Pool, RecorderStorage, Recorders, Storage};
use manifest::pod::{Env, Pod, Port, Volume};
use manifest::{Allocations, Kind, Metadata, Names, Surroundings, Unit, UnitBuilder, UnitId, labels, pod};
use serde_json::{Value as Json, json};

use crate::scripts::{self, Script};
use crate::{base, place, policies, servers};

const STORAGE: &str = "storage";
const STORAGE_PATH: &str = "/storage";

/// Renders a recorder.
pub(crate) fn unit(
    fleet: &Fleet,
    allocations: &Allocations,
    surroundings: &Surroundings,
    pool: &Pool,
    index: Index,
) -> Unit {
    let name = Names(&fleet.name).recorder(&pool.name, index);
    let recorders = &pool.recorders;
    let mut unit = UnitBuilder::new(fleet, UnitId::Recorder(pool.name.clone(), index), &pool.cluster);
    unit.release(&recorders.workload.image.release);
    unit.pod(format!("{name}-0"));

    let servers = servers::recorder_list(&servers::of_pool(fleet, allocations, surroundings, pool));
    let mut pod = Pod::new(BTreeMap::new(), place::secrets(fleet, &pool.cluster));
    pod.env = env(fleet, pool, index, servers);
    pod.ports = vec![Port::tcp(policies::RECORDER_API.0, policies::RECORDER_API.1)];
    // Chrome needs two gigabytes of it, and the image refuses to start with less.
    pod.volumes =
        vec![Volume::at("shm", json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "2Gi" } }), "/dev/shm")];
    pod.volumes.extend(recorders.storage.as_ref().map(storage));
    pod.volumes.push(scripts::volume(fleet, pool, Component::Jibri));
    pod.readiness = Some(json!({ "exec": { "command": health() }, "timeoutSeconds": 10 }));
    pod.liveness = Some(
        json!({ "exec": { "command": Script::JibriLiveness.command() }, "timeoutSeconds": 10, "periodSeconds": 15 }),
    );
    pod.pre_stop = Some(json!({ "exec": { "command": Script::JibriPrestop.command() } }));
    pod.grace_seconds = recorders.grace.as_secs();
    pod.affinity = Some(affinity(fleet));
    pod.carries_calls = true;

    let template = pod::template(fleet, &mut unit, &name, &recorders.workload, pod);
    let selector = labels::select_unit(&fleet.name, unit.id(), Component::Jibri);
    let mut spec = json!({
        "replicas": 1,
        "serviceName": name,
        // A recording is never cut by a new template.
        "updateStrategy": { "type": "OnDelete" },
        "podManagementPolicy": "Parallel",
        "selector": { "matchLabels": selector },
    });
    if let Some(RecorderStorage::Volume(volume)) = &recorders.storage {
        spec["volumeClaimTemplates"] = json!([claim(volume, &selector)]);
    }
    unit.add_workload(Kind::StatefulSet, name, Metadata::of(Component::Jibri), spec, template);
    unit.finish()
}

fn env(fleet: &Fleet, pool: &Pool, index: Index, servers: String) -> Vec<(&'static str, Env)> {
    let recorders = &pool.recorders;
    let user = &recorders.workload.env;
    let passwords = place::passwords(fleet, &pool.cluster);
    let text = |value: &str| Env::Text(value.to_owned());
    let password = |key: &str| Env::Secret { name: passwords.clone(), key: key.to_owned(), optional: false };
    let domains = &fleet.domains;
    let mut env = vec![
        ("POD_NAME", Env::Field("metadata.name")),
        ("DISPLAY", text(":0")),
        ("PUBLIC_URL", text(&fleet.url.to_string())),
        ("XMPP_SERVER", Env::Text(servers)),
        ("XMPP_DOMAIN", text(&domains.main)),
        ("XMPP_AUTH_DOMAIN", text(&domains.auth)),
        ("XMPP_MUC_DOMAIN", text(&domains.muc)),
        ("XMPP_INTERNAL_MUC_DOMAIN", text(&domains.internal_muc)),
        ("XMPP_HIDDEN_DOMAIN", text(&domains.hidden)),
        // The name that older images have for it.
        ("XMPP_RECORDER_DOMAIN", text(&domains.hidden)),
        (base::JIBRI_PASSWORD, password(base::JIBRI_PASSWORD)),
        (base::RECORDER_PASSWORD, password(base::RECORDER_PASSWORD)),
        ("JIBRI_INSTANCE_ID", text(&Names(&fleet.name).recorder_nickname(&pool.cluster, &pool.name, index))),
        // The hook gives up before the kubelet does.
        ("DRAIN_DEADLINE", text(&recorders.grace.as_secs().saturating_sub(30).to_string())),
    ];
    let mut defaults = vec![
        // A used browser is thrown away: the recorder reports EXPIRED and its liveness probe recycles it in place.
        ("JIBRI_SINGLE_USE_MODE", text("true")),
        ("JIBRI_RECORDING_DIR", Env::Text(format!("{STORAGE_PATH}/recordings"))),
    ];
    if fleet.monitoring.enabled {
        defaults.push(("JIBRI_ENABLE_PROMETHEUS", text("true")));
    }
    if let Some(script) = recorders.finalize_script() {
        defaults.push((Recorders::FINALIZE, text(&script.path)));
    }
    env.extend(defaults.into_iter().filter(|(name, _)| !user.contains_key(*name)));
    env
}

fn storage(storage: &RecorderStorage) -> Volume {
    match storage {
        RecorderStorage::Claim(claim) => Volume {
            name: STORAGE.into(),
            source: json!({ "persistentVolumeClaim": { "claimName": claim } }),
            // A folder each: recorders that share a claim would mix their logs.
            mounts: vec![json!({ "mountPath": STORAGE_PATH, "subPathExpr": "$(POD_NAME)" })],
        },
        RecorderStorage::Volume(_) => Volume::of_claim_template(STORAGE, STORAGE_PATH),
        RecorderStorage::EmptyDir { size } => {
            Volume::at(STORAGE, json!({ "emptyDir": { "sizeLimit": size } }), STORAGE_PATH)
        }
    }
}

fn claim(storage: &Storage, labels: &BTreeMap<String, String>) -> Json {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": storage.size } },
    });
    if let Some(class) = &storage.class {
        spec["storageClassName"] = class.as_str().into();
    }
    json!({ "metadata": { "name": STORAGE, "labels": labels }, "spec": spec })
}

fn affinity(fleet: &Fleet) -> Json {
    let apart = json!({
        "labelSelector": {
            "matchLabels": { labels::FLEET: fleet.name.as_str(), labels::NAME: Component::Jibri.as_str() },
        },
        "topologyKey": "kubernetes.io/hostname",
    });
    json!({
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": apart }],
        },
    })
}

fn health_url() -> String {
    format!("http://127.0.0.1:{}/jibri/api/v1.0/health", policies::RECORDER_API.1)
}

fn health() -> Json {
    json!(["curl", "-fsS", "-o", "/dev/null", "--max-time", "5", health_url()])
}

#[cfg(test)]
mod tests;
