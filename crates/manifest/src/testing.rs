//! Fleets for tests, built in code so that a renderer's test depends on no fleet file.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::{
    Access, Advertise, AdvertiseFallback, BridgeExpose, Bridges, Cluster, ClusterName, Component, Control, CustomFile,
    Daemon, Data, Domains, EnvValue, Era, Expose, FileSource, Fleet, Gateway, Haproxy, Image, Monitoring, OnDeadline,
    OnFailure, Pool, Prosody, PublicUrl, PullPolicy, Recorders, Release, Replicas, Resources, Rollout, SecretSource,
    Shard, ShardName, ShardStrategy, Storage, Web, Workload, XmppExpose,
};

/// The release that the fleets run.
pub const ROOTLESS: &str = "stable-11146-2";
/// A release of the older era.
pub const LEGACY: &str = "stable-11031";

/// A fleet named `meet`: control plane in `hq`, one shard `alpha`, one pool `eu` of two bridges in `frankfurt`.
#[must_use]
pub fn split() -> Fleet {
    fleet(ROOTLESS, &["alpha"])
}

/// The same with images of the older era.
#[must_use]
pub fn legacy() -> Fleet {
    fleet(LEGACY, &["alpha"])
}

/// Two shards and nearly everything that a control plane can be told: metrics, node ports, a gateway, internal users
/// on claims, secrets, files, limits.
#[must_use]
pub fn rich() -> Fleet {
    let mut fleet = fleet(ROOTLESS, &["alpha", "beta"]);
    let secret: fleet::EnvName = "JWT_APP_SECRET".parse().expect("a variable's name");
    fleet.monitoring.enabled = true;
    fleet.control.xmpp = XmppExpose::NodePort { base: 30_222, addresses: Vec::new() };
    fleet.control.xmpp_source_ranges = vec!["198.51.100.0/24".into()];
    fleet.control.expose =
        Expose::Gateway(Gateway { name: "public".into(), namespace: None, section: Some("https".into()) });
    fleet.pull_secrets = vec!["registry".into()];
    fleet.secrets.insert(secret.clone(), SecretSource::Missing { source: "env X".into() });
    for shard in fleet.control.shards.values_mut() {
        shard.prosody.workload.env.insert(secret.clone(), EnvValue::Secret);
        shard.prosody.storage = Some(Storage { size: "1Gi".into(), class: None });
        shard.prosody.users = Some("accounts".into());
        add_file(&mut shard.prosody.workload, "/prosody-plugins-custom/mod_greeting.lua", "-- hello");
        add_file(&mut shard.web.workload, "/config/custom-config.js", "config.x = 1;");
        shard.jicofo.resources.limits.insert("memory".into(), "2Gi".into());
    }
    fleet
}

/// `split` with these shards, all of that release.
#[must_use]
pub fn fleet(release: &str, shards: &[&str]) -> Fleet {
    let shards: BTreeMap<ShardName, Shard> =
        shards.iter().map(|name| (name.parse().expect("a shard's name"), shard(release))).collect();
    let pool = Pool {
        name: "eu".parse().expect("a pool's name"),
        cluster: cluster("frankfurt"),
        shards: shards.keys().cloned().collect(),
        bridges: Bridges {
            workload: workload(Component::Jvb, release),
            replicas: Replicas::Fixed(2),
            expose: BridgeExpose::NodePort,
            base_port: 30_000,
            advertise: vec![Advertise::ExternalIp],
            advertise_fallback: AdvertiseFallback::Wait,
            grace: Duration::from_secs(4 * 3600),
            scale: None,
            websocket: None,
        },
        recorders: Recorders {
            workload: workload(Component::Jibri, release),
            replicas: Replicas::Fixed(0),
            storage: None,
            grace: Duration::from_secs(4 * 3600),
        },
    };
    Fleet {
        name: "meet".parse().expect("a fleet's name"),
        url: PublicUrl::new("https://meet.example.org".parse().expect("a URL")).expect("a public URL"),
        cluster_domain: "cluster.local".into(),
        pull_policy: PullPolicy::IfNotPresent,
        pull_secrets: Vec::new(),
        clusters: BTreeMap::from([
            (cluster("hq"), place("hq", "meet", None)),
            (cluster("frankfurt"), place("fra", "jitsi-media", Some("eu-central"))),
        ]),
        secrets: BTreeMap::new(),
        domains: Domains::default(),
        control: Control {
            cluster: cluster("hq"),
            shards,
            xmpp: XmppExpose::LoadBalancer,
            xmpp_annotations: BTreeMap::new(),
            xmpp_source_ranges: Vec::new(),
            haproxy: Haproxy { workload: haproxy(), replicas: 2, snippet: None, regions: Vec::new() },
            expose: Expose::Internal,
        },
        data: Data { home: cluster("frankfurt"), pools: vec![pool] },
        rollout: Rollout {
            shards: ShardStrategy::Surge,
            order: vec![cluster("frankfurt")],
            skip: Vec::new(),
            max_draining_percent: 10,
            drain_deadline: Duration::from_secs(4 * 3600),
            on_deadline: OnDeadline::Wait,
            soak: Duration::from_secs(600),
            on_failure: OnFailure::Pause,
            window: None,
        },
        daemon: Daemon { listen: "127.0.0.1:9480".parse().expect("an address"), webhooks: Vec::new() },
        monitoring: Monitoring { enabled: false },
        network_policy: true,
        renames: fleet::Renames::default(),
    }
}

/// A shard of that release.
#[must_use]
pub fn shard(release: &str) -> Shard {
    Shard {
        prosody: Prosody { workload: workload(Component::Prosody, release), storage: None, users: None },
        jicofo: workload(Component::Jicofo, release),
        web: Web { workload: workload(Component::Web, release), replicas: 2 },
    }
}

/// A Jitsi component's workload of that release, with nothing set.
#[must_use]
pub fn workload(component: Component, release: &str) -> Workload {
    let release = Release(release.into());
    let era = match release.era() {
        fleet::release::TagEra::Known(era) => era,
        _ => Era::Rootless,
    };
    let reference = format!("{}/{component}:{release}", era.default_registry());
    bare(component, Image { reference, release, era })
}

fn haproxy() -> Workload {
    let image =
        Image { reference: "docker.io/library/haproxy:3.2".into(), release: Release("3.2".into()), era: Era::Rootless };
    bare(Component::Haproxy, image)
}

fn bare(component: Component, image: Image) -> Workload {
    Workload {
        component,
        image,
        env: BTreeMap::new(),
        files: Vec::new(),
        resources: Resources::default(),
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        affinity: None,
        topology_spread: None,
        priority_class: None,
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
        service_account: None,
        volumes: Vec::new(),
        sidecars: Vec::new(),
    }
}

/// Sets a variable in clear.
pub fn set_env(workload: &mut Workload, name: &str, value: &str) {
    workload.env.insert(name.parse().expect("a variable's name"), EnvValue::Plain(value.into()));
}

/// Mounts a text.
pub fn add_file(workload: &mut Workload, path: &str, text: &str) {
    let source = FileSource::Content(text.as_bytes().to_vec());
    workload.files.push(CustomFile { path: path.into(), source, mode: 0o444 });
}

/// A cluster's name.
#[must_use]
pub fn cluster(name: &str) -> ClusterName {
    name.parse().expect("a cluster's name")
}

/// A shard's name.
#[must_use]
pub fn shard_name(name: &str) -> ShardName {
    name.parse().expect("a shard's name")
}

fn place(context: &str, namespace: &str, region: Option<&str>) -> Cluster {
    Cluster {
        access: Access::Context { context: context.into(), kubeconfig: None },
        namespace: namespace.into(),
        region: region.map(Into::into),
        uid: None,
    }
}

/// What is wrong with an object by rules that every API server or our own conventions insist on; empty when all is
/// well. Renderers' tests run it over all they render.
#[must_use]
pub fn complaints(unit: &crate::Unit) -> Vec<String> {
    checks::of_unit(unit)
}

mod checks {
    use std::collections::BTreeSet;

    use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, networking::v1 as networking};
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::Value as Json;

    use crate::{Kind, Manifest, Unit, labels};

    pub(super) fn of_unit(unit: &Unit) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for manifest in &unit.manifests {
            let mut say = |what: String| found.push(format!("{} of {}: {what}", manifest.object, unit.id));
            if !seen.insert(&manifest.object) {
                say("rendered twice".into());
            }
            names(manifest, &mut say);
            let body = manifest.body.json();
            own_labels(unit, &body, &mut say);
            selectors(&body, &mut say);
            lists(&body, "", &mut say);
            schema(manifest.object.kind, &body, &mut say);
            if body.get("status").is_some() {
                say("has a status".into());
            }
        }
        found
    }

    /// What comes back from Kubernetes' own types must be what went in: no unknown field, no wrong type.
    fn schema(kind: Kind, body: &Json, say: &mut impl FnMut(String)) {
        let read = match kind {
            Kind::Namespace => through::<core::Namespace>(body),
            Kind::Secret => through::<core::Secret>(body),
            Kind::ConfigMap => through::<core::ConfigMap>(body),
            Kind::Service => through::<core::Service>(body),
            Kind::EndpointSlice => through::<k8s_openapi::api::discovery::v1::EndpointSlice>(body),
            Kind::NetworkPolicy => through::<networking::NetworkPolicy>(body),
            Kind::PodDisruptionBudget => through::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(body),
            Kind::StatefulSet => through::<apps::StatefulSet>(body),
            Kind::Deployment => through::<apps::Deployment>(body),
            Kind::Ingress => through::<networking::Ingress>(body),
            Kind::HttpRoute | Kind::PodMonitor => return,
        };
        match read {
            Ok(read) => difference(body, &read, "", say),
            Err(error) => say(format!("is no {kind}: {error}")),
        }
    }

    fn through<T: DeserializeOwned + Serialize>(body: &Json) -> serde_json::Result<Json> {
        serde_json::to_value(T::deserialize(body)?)
    }

    fn difference(sent: &Json, read: &Json, at: &str, say: &mut impl FnMut(String)) {
        match (sent, read) {
            (Json::Object(sent), Json::Object(read)) => {
                for (key, value) in sent {
                    match read.get(key) {
                        Some(read) => difference(value, read, &format!("{at}/{key}"), say),
                        None => say(format!("{at}/{key} is no field")),
                    }
                }
            }
            (Json::Array(sent), Json::Array(read)) if sent.len() == read.len() => {
                sent.iter().zip(read).for_each(|(sent, read)| difference(sent, read, at, say));
            }
            _ if sent == read => {}
            _ => say(format!("{at} is read as {read}, not {sent}")),
        }
    }

    fn names(manifest: &Manifest, say: &mut impl FnMut(String)) {
        let limit = match manifest.object.kind {
            // The pod's name and the controller's revision label must fit 63 characters.
            Kind::StatefulSet | Kind::Deployment => 52,
            Kind::Service => 63,
            _ => 253,
        };
        if manifest.object.name.len() > limit {
            say(format!("its name is longer than {limit} characters"));
        }
    }

    fn own_labels(unit: &Unit, body: &Json, say: &mut impl FnMut(String)) {
        let mut places = vec!["/metadata/labels"];
        if body.pointer("/spec/template").is_some() {
            places.push("/spec/template/metadata/labels");
        }
        for place in places {
            for (label, value) in [
                (labels::FLEET, None),
                (labels::PLANE, Some(unit.id.plane().to_string())),
                (labels::UNIT, Some(unit.id.label())),
                (labels::PART_OF, None),
                (labels::MANAGED_BY, Some(labels::MANAGER.to_owned())),
            ] {
                let found = body.pointer(place).and_then(|all| all.get(label)).and_then(Json::as_str);
                if found.is_none() || value.is_some_and(|value| found != Some(value.as_str())) {
                    say(format!("{place} has {label} = {found:?}"));
                }
            }
            if body.pointer(place).and_then(|all| all.get("app.kubernetes.io/instance")).is_some() {
                say("carries the instance label".into());
            }
        }
        let intent = body.pointer("/metadata/annotations").and_then(|all| all.get(labels::INTENT));
        if intent.is_none() {
            say("lacks its intent".into());
        }
    }

    fn selectors(body: &Json, say: &mut impl FnMut(String)) {
        let Some(template) = body.pointer("/spec/template") else { return };
        let selector = body.pointer("/spec/selector/matchLabels").and_then(Json::as_object);
        match selector {
            None => say("selects nothing".into()),
            Some(selector) => {
                for (label, value) in selector {
                    if template.pointer("/metadata/labels").and_then(|all| all.get(label)) != Some(value) {
                        say(format!("its selector's {label} is not on its pods"));
                    }
                }
            }
        }
        if template.pointer("/metadata/annotations").and_then(|all| all.get(labels::ROLL)).is_none() {
            say("its pods lack the roll hash".into());
        }
        let volumes: BTreeSet<&str> = ["/spec/template/spec/volumes", "/spec/volumeClaimTemplates"]
            .iter()
            .filter_map(|place| body.pointer(place).and_then(Json::as_array))
            .flatten()
            .filter_map(|volume| volume["name"].as_str().or_else(|| volume["metadata"]["name"].as_str()))
            .collect();
        for mount in template["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|container| container["volumeMounts"].as_array())
            .flatten()
        {
            if !mount["name"].as_str().is_some_and(|name| volumes.contains(name)) {
                say(format!("mounts {} that is no volume", mount["name"]));
            }
        }
    }

    /// Lists that server-side apply treats as maps, and by which keys.
    const MAPS: [(&str, &[&str]); 6] = [
        ("containers", &["name"]),
        ("env", &["name"]),
        ("volumes", &["name"]),
        ("volumeMounts", &["mountPath"]),
        ("imagePullSecrets", &["name"]),
        ("ports", &["containerPort", "port", "protocol"]),
    ];

    fn lists(value: &Json, at: &str, say: &mut impl FnMut(String)) {
        match value {
            Json::Object(fields) => {
                for (name, field) in fields {
                    let place = format!("{at}/{name}");
                    if let (Some((_, keys)), Json::Array(entries)) = (MAPS.iter().find(|(list, _)| list == name), field)
                    {
                        unique(entries, keys, &place, say);
                        if name == "ports" {
                            ports(entries, &place, say);
                        }
                    }
                    lists(field, &place, say);
                }
            }
            Json::Array(entries) => entries.iter().for_each(|entry| lists(entry, at, say)),
            _ => {}
        }
    }

    fn unique(entries: &[Json], keys: &[&str], place: &str, say: &mut impl FnMut(String)) {
        let mut seen = BTreeSet::new();
        for entry in entries {
            let key: Vec<String> = keys.iter().map(|key| entry[*key].to_string()).collect();
            if !seen.insert(key.clone()) {
                say(format!("{place} has two entries of {key:?}"));
            }
        }
    }

    fn ports(entries: &[Json], place: &str, say: &mut impl FnMut(String)) {
        for entry in entries {
            if entry["protocol"].as_str().is_none() {
                say(format!("{place} lacks a protocol"));
            }
            if entry["name"].as_str().is_some_and(|name| name.len() > 15) {
                say(format!("{place}: {} is longer than 15 characters", entry["name"]));
            }
        }
    }
}
