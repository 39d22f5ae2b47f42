//! The daemon: what it costs while nothing happens, and how soon it puts right what does. Three real clusters with
//! stand-in nodes, one daemon for both planes.

use std::{
    collections::BTreeMap,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, WatchEvent, WatchParams},
};
use sandbox::World;
use testbed::{AuditEntry, Testbed};

use super::{
    ground::{Ground, PART_OF, SHARDS, change, ours},
    table::{self, Table},
};
use xtask::shell::{Failure, Result};

/// How often an object is changed by hand, and how often an address moves.
const DRIFTS: usize = 150;
const MOVES: usize = 50;
/// The same object is changed no more often.
const SAME: Duration = Duration::from_secs(130);
/// No repair takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// `minutes`: how long nothing happens first.
pub(super) async fn measure(jitsictl: &Path, folder: &Path, minutes: u64) -> Result<Table<3>> {
    let ground = Ground::start(jitsictl, folder).await?;
    let daemon = ground.daemon()?;
    let bench = Bench { testbed: &ground.testbed, world: &ground.world };
    let mut table = Table::new(["daemon of both planes, 3 clusters", "measured", "goal"]);
    table.row(["started to ready".to_owned(), table::time(daemon.ready), String::new()]);
    let idle = bench.idle(Duration::from_secs(60 * minutes)).await?;
    table.row([
        format!("requests about objects in {minutes} min of nothing"),
        idle.others.len().to_string(),
        "0".to_owned(),
    ]);
    table.row([
        "most LISTs of one kind in one cluster in it".to_owned(),
        idle.lists.values().max().copied().unwrap_or_default().to_string(),
        "1 an hour".to_owned(),
    ]);
    table.row([format!("all requests in it: {}", idle.summary()), idle.all.to_string(), String::new()]);
    let drift = bench.drift().await.map_err(|failure| daemon.explained(failure))?;
    table.row([format!("drift to repair, p50 of {DRIFTS}"), table::time(drift.at(50)), String::new()]);
    table.row([format!("drift to repair, p99 of {DRIFTS}"), table::time(drift.at(99)), "100 ms".to_owned()]);
    let moved = bench.moves().await.map_err(|failure| daemon.explained(failure))?;
    table.row([format!("address to EndpointSlice, p50 of {MOVES}"), table::time(moved.at(50)), String::new()]);
    table.row([format!("address to EndpointSlice, p99 of {MOVES}"), table::time(moved.at(99)), "250 ms".to_owned()]);
    let (now, peak) = daemon.memory()?;
    let objects = daemon.objects()?;
    table.row([format!("memory, {objects} objects in sight"), format!("{now:.1} MB"), "40 MB".to_owned()]);
    table.row(["memory at its peak".to_owned(), format!("{peak:.1} MB"), String::new()]);
    drop(daemon);
    ground.world.stop().await;
    Ok(table)
}

struct Bench<'a> {
    testbed: &'a Testbed,
    world: &'a World,
}

impl Bench<'_> {
    /// What is asked while nothing happens.
    async fn idle(&self, time: Duration) -> Result<Idle> {
        // What the start brought about is over by then.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let mut marks = Vec::new();
        for cluster in self.testbed.clusters() {
            marks.push((cluster, cluster.audit_mark().await?));
        }
        tokio::time::sleep(time).await;
        let mut idle = Idle::default();
        for (cluster, mark) in marks {
            let seen = cluster.audit_since(mark).await?;
            let ours = seen.into_iter().filter(|entry| entry.user_agent.starts_with("jitsictl/"));
            ours.for_each(|entry| idle.count(cluster.name(), &entry));
        }
        Ok(idle)
    }

    /// How long it takes from the moment at which a watch shows a change by hand until it shows it undone.
    async fn drift(&self) -> Result<Times> {
        let objects = ours(self.testbed).await?;
        let mut times = Times::default();
        for round in 0..DRIFTS {
            let (api, name) = &objects[round % objects.len()];
            // Each so rarely that nobody takes it for a fight.
            tokio::time::sleep(SAME / u32::try_from(objects.len()).unwrap_or(1)).await;
            let watch = watch(api, name).await?;
            let mut watch = pin!(watch);
            change(api, name).await?;
            let part_of = |wanted: &'static str| {
                move |object: &DynamicObject| object.labels().get(PART_OF).is_some_and(|it| it == wanted)
            };
            let changed = seen(&mut watch, part_of("somebody-elses")).await?;
            let repaired = seen(&mut watch, part_of("kept")).await;
            let repaired =
                repaired.map_err(|failure| Failure::new(format!("{} {name}: {failure}", api.resource_url())))?;
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
    /// Lists, by cluster and resource.
    lists: BTreeMap<(String, String), usize>,
    /// What is no list, no watch, no Lease and no port-forward.
    others: Vec<String>,
}

impl Idle {
    fn count(&mut self, cluster: &str, entry: &AuditEntry) {
        let object = entry.object.clone().unwrap_or_default();
        let kind = match object.subresource.as_str() {
            "" => format!("{} {}", entry.verb, object.resource),
            subresource => format!("{} {}/{subresource}", entry.verb, object.resource),
        };
        self.all += 1;
        *self.kinds.entry(kind).or_default() += 1;
        if entry.verb == "list" {
            *self.lists.entry((cluster.to_owned(), object.resource)).or_default() += 1;
        } else if entry.verb != "watch" && object.resource != "leases" && object.subresource != "portforward" {
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
