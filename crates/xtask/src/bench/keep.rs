//! The daemon: what it costs while nothing happens, and how soon it puts right what does. Three real clusters with
//! stand-in nodes, one daemon for both planes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    pin::pin,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
    core::GroupVersionKind,
};
use sandbox::{ClusterAccess, Door, World};
use serde_json::json;
use testbed::{AuditEntry, Options, Testbed};

use super::{
    process,
    table::{self, Table},
};
use crate::shell::{Failure, Result};

const CLUSTERS: [&str; 3] = ["hq", "fra", "sin"];
const SHARDS: usize = 4;
/// Of each of the two data clusters.
const BRIDGES: usize = 20;
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// How often an object is changed by hand, and how often an address moves.
const DRIFTS: usize = 150;
const MOVES: usize = 50;
/// The same object is changed no more often.
const SAME: Duration = Duration::from_secs(130);
const PART_OF: &str = "app.kubernetes.io/part-of";
/// No repair takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

fn fleet() -> String {
    let mut text = String::from(
        "fleet: kept\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters:\n  hq: { context: hq }\n  \
         fra: { context: fra }\n  sin: { context: sin }\ncontrol:\n  cluster: hq\n  xmpp: { expose: load_balancer }\n  \
         shards:\n",
    );
    for shard in 0..SHARDS {
        let _ = writeln!(text, "    s{shard}: {{}}");
    }
    text.push_str("data:\n  pools:\n");
    for cluster in ["fra", "sin"] {
        let _ = writeln!(
            text,
            "    {cluster}: {{ cluster: {cluster}, bridges: {{ replicas: {BRIDGES}, base_port: 30000 }} }}"
        );
    }
    text
}

pub(super) async fn measure(jitsictl: &Path, folder: &Path) -> Result<Table<3>> {
    let path = folder.join("kept.yaml");
    std::fs::write(&path, fleet()).map_err(Failure::because("cannot write a fleet"))?;
    let testbed = Testbed::start(&CLUSTERS, Options::default()).await?;
    let access = testbed.clusters().iter().zip(testbed::LOAD_BALANCERS);
    let access = access.map(|(cluster, load_balancer_base)| ClusterAccess {
        name: cluster.name().to_owned(),
        door: Door::Network(Box::new(cluster.config().clone())),
        load_balancer_base,
    });
    let world = World::start(access.collect()).await.map_err(Failure::new)?;
    let command = |words: &[&str]| {
        let mut command = Command::new(jitsictl);
        command.args(words).arg("--fleet").arg(&path).env("KUBECONFIG", testbed.kubeconfig());
        command
    };
    let objects = {
        let rendered = tokio::task::block_in_place(|| process::run(&mut command(&["render", "-o", "json"])))?;
        rendered.output.matches("\"kind\"").count()
    };
    tokio::task::block_in_place(|| process::run(&mut command(&["apply", "--create-namespaces", "--timeout", "5m"])))?;

    let mut daemon = command(&["daemon", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    let daemon = tokio::task::block_in_place(|| Daemon::start(&mut daemon))?;
    let bench = Bench { testbed: &testbed, world: &world };
    let mut table = Table::new(["daemon of both planes, 3 clusters", "measured", "goal"]);
    table.row(["started to ready".to_owned(), table::time(daemon.ready), String::new()]);
    let idle = bench.idle().await?;
    let minutes = IDLE.as_secs() / 60;
    table.row([
        format!("requests about objects in {minutes} min of nothing"),
        idle.others.len().to_string(),
        "0".to_owned(),
    ]);
    table.row([format!("all requests in it: {}", idle.summary()), idle.all.to_string(), String::new()]);
    let drift = bench.drift().await?;
    table.row([format!("drift to repair, p50 of {DRIFTS}"), table::time(drift.at(50)), String::new()]);
    table.row([format!("drift to repair, p99 of {DRIFTS}"), table::time(drift.at(99)), "100 ms".to_owned()]);
    let moved = bench.moves().await?;
    table.row([format!("address to EndpointSlice, p50 of {MOVES}"), table::time(moved.at(50)), String::new()]);
    table.row([format!("address to EndpointSlice, p99 of {MOVES}"), table::time(moved.at(99)), "250 ms".to_owned()]);
    let (now, peak) = daemon.memory()?;
    table.row([format!("memory, {objects} kinds of things rendered"), format!("{now:.1} MB"), "40 MB".to_owned()]);
    table.row(["memory at its peak".to_owned(), format!("{peak:.1} MB"), String::new()]);
    drop(daemon);
    world.stop().await;
    Ok(table)
}

/// The process that is measured; it ends with this value.
struct Daemon {
    child: Child,
    ready: Duration,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    fn start(command: &mut Command) -> Result<Self> {
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut daemon =
            Self { child: child.map_err(Failure::because("cannot run the daemon"))?, ready: Duration::ZERO };
        let mut lines = daemon.child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines());
        let listening = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "listening").then(|| line["address"].as_str().map(str::to_owned))?
        };
        let address = lines.find_map(|line| listening(&line.ok()?));
        let address = address.ok_or_else(|| Failure::new("the daemon ended before it listened"))?;
        // Nobody reads on, and a full pipe would hold it up.
        std::thread::spawn(move || lines.for_each(drop));
        while !is_ready(&address) {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::new("the daemon does not get ready"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon.ready = begun.elapsed();
        Ok(daemon)
    }

    /// In megabytes: now, and at its peak.
    fn memory(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.map_err(Failure::because("cannot read the daemon's memory"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() * 1024.0 / 1e6
        };
        Ok((of("VmRSS:"), of("VmHWM:")))
    }
}

fn is_ready(address: &str) -> bool {
    let asked = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: daemon\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    asked().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Kinds of which all objects, or most, may be changed without anybody on them noticing.
fn drifting() -> [ApiResource; 5] {
    [
        ("", "v1", "Service", "services"),
        ("", "v1", "ConfigMap", "configmaps"),
        ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
        ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
        ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ]
    .map(|(group, version, kind, plural)| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    })
}

/// What jitsictl keeps for itself.
fn is_book(name: &str) -> bool {
    ["kept-control", "kept-data"].contains(&name)
}

struct Bench<'a> {
    testbed: &'a Testbed,
    world: &'a World,
}

impl Bench<'_> {
    /// What is asked while nothing happens.
    async fn idle(&self) -> Result<Idle> {
        // What the start brought about is over by then.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let mut marks = Vec::new();
        for cluster in self.testbed.clusters() {
            marks.push((cluster, cluster.audit_mark().await?));
        }
        tokio::time::sleep(IDLE).await;
        let mut idle = Idle::default();
        for (cluster, mark) in marks {
            let seen = cluster.audit_since(mark).await?;
            seen.into_iter().filter(|entry| entry.user_agent.starts_with("jitsictl/")).for_each(|it| idle.count(it));
        }
        Ok(idle)
    }

    /// How long it takes from the moment at which a watch shows a change by hand until it shows it undone.
    async fn drift(&self) -> Result<Times> {
        let mut objects = Vec::new();
        for cluster in self.testbed.clusters() {
            for kind in drifting() {
                let api = Api::<DynamicObject>::namespaced_with(cluster.client().clone(), "kept", &kind);
                let ours = ListParams::default().labels("jitsictl.dev/fleet=kept");
                let list = api.list(&ours).await.map_err(Failure::because("cannot list what is kept"))?;
                // Bridges are drained before their Services change, and books are no part of the fleet.
                // What a controller makes of ours has our labels, too.
                let made = list.items.into_iter().filter(|object| object.owner_references().is_empty());
                let names = made.map(|object| object.name_any());
                let names = names.filter(|name| !["-jvb-", "-inventory-"].iter().any(|part| name.contains(part)));
                objects.extend(names.filter(|name| !is_book(name)).map(|name| (api.clone(), name)));
            }
        }
        let mut times = Times::default();
        for round in 0..DRIFTS {
            let (api, name) = &objects[round % objects.len()];
            // Each so rarely that nobody takes it for a fight.
            tokio::time::sleep(SAME / u32::try_from(objects.len()).unwrap_or(1)).await;
            let watch = watch(api, name).await?;
            let mut watch = pin!(watch);
            let change = json!({ "metadata": { "labels": { PART_OF: "somebody-elses" } } });
            let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
            patched.map_err(Failure::because("cannot change an object"))?;
            let part_of = |wanted: &'static str| {
                move |object: &DynamicObject| object.labels().get(PART_OF).is_some_and(|it| it == wanted)
            };
            let changed = seen(&mut watch, part_of("somebody-elses")).await?;
            let repaired = seen(&mut watch, part_of("kept")).await?;
            times.0.push(repaired - changed);
        }
        Ok(times)
    }

    /// How long it takes from the moment at which a watch shows the new address of a load balancer until another shows
    /// it in the data cluster.
    async fn moves(&self) -> Result<Times> {
        let mut times = Times::default();
        let services = Api::<Service>::namespaced(self.testbed.cluster("hq")?.client().clone(), "kept");
        let slices = Api::<EndpointSlice>::namespaced(self.testbed.cluster("fra")?.client().clone(), "kept");
        for round in 0..MOVES {
            let service = format!("kept-s{}-xmpp", round % SHARDS);
            let slice = format!("kept-s{}-a-xmpp-4", round % SHARDS);
            let address = format!("203.0.113.{}", 100 + round);
            let (from, to) = (watch(&services, &service).await?, watch(&slices, &slice).await?);
            let (mut from, mut to) = (pin!(from), pin!(to));
            let moved = self.world.set_load_balancer_address("hq", "kept", &service, vec![address.clone()]);
            moved.await.map_err(Failure::new)?;
            let (moved, followed) = tokio::join!(
                seen(&mut from, |service: &Service| {
                    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
                    let mut ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
                    ingress.any(|ingress| ingress.ip.as_deref() == Some(&address))
                }),
                seen(&mut to, |slice: &EndpointSlice| {
                    slice.endpoints.iter().any(|endpoint| endpoint.addresses.contains(&address))
                })
            );
            times.0.push(followed?.saturating_duration_since(moved?));
        }
        Ok(times)
    }
}

/// Everything that happens to an object from now on.
async fn watch<K>(api: &Api<K>, name: &str) -> Result<impl Stream<Item = kube::Result<WatchEvent<K>>> + use<K>>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let cannot = |error| Failure::because("cannot watch")(error);
    let now = api.get(name).await.map_err(cannot)?;
    let version = now.meta().resource_version.clone().unwrap_or_default();
    let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
    api.watch(&parameters, &version).await.map_err(cannot)
}

/// When an object is seen that fits.
async fn seen<K>(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin),
    fits: impl Fn(&K) -> bool,
) -> Result<Instant> {
    let found = async {
        while let Some(event) = events.try_next().await.map_err(Failure::because("the watch broke"))? {
            if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event
                && fits(&object)
            {
                return Ok(Instant::now());
            }
        }
        Err(Failure::new("the watch ended"))
    };
    tokio::time::timeout(PATIENCE, found).await.map_err(|_| Failure::new("nothing was repaired"))?
}

#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// A percentile.
    fn at(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Requests while nothing happened.
#[derive(Default)]
struct Idle {
    all: usize,
    /// By verb and resource.
    kinds: BTreeMap<String, usize>,
    /// Those that are no watch, no Lease and no port-forward.
    others: Vec<String>,
}

impl Idle {
    fn count(&mut self, entry: AuditEntry) {
        let object = entry.object.clone().unwrap_or_default();
        let kind = match object.subresource.as_str() {
            "" => format!("{} {}", entry.verb, object.resource),
            subresource => format!("{} {}/{subresource}", entry.verb, object.resource),
        };
        self.all += 1;
        *self.kinds.entry(kind).or_default() += 1;
        if entry.verb != "watch" && object.resource != "leases" && object.subresource != "portforward" {
            self.others.push(entry.to_string());
        }
    }

    fn summary(&self) -> String {
        self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times = Times((1..=200).map(Duration::from_millis).collect());
        assert_eq!((times.at(50), times.at(99)), (Duration::from_millis(100), Duration::from_millis(198)));
        assert_eq!(Times::default().at(99), Duration::ZERO);
    }
}
