//! Looking around: what clusters and Jitsi daemons say, each cluster apart from the others.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Cluster, Look};
use fleet::{ClusterName, Fleet, Index, Plane, PoolName, ShardName, Slot};
use futures::future::join_all;
use jiff::Timestamp;
use jitsi_api::haproxy::Console;
use jitsi_api::jicofo::JicofoDebug;
use jitsi_api::{haproxy, jibri, jicofo, jvb};
use manifest::{Desired, Names, Part, Unit, UnitId, labels};
use plan::{
    BridgeView, ClusterView, Given, Known, LivePod, Observed, Occupant, PodPhase, Policy, Reason, RecorderView,
    Removal, Seen, SlotView, Source, Witness,
};

use crate::Session;
use crate::execute::{DAEMON_DEADLINE, JVB_PORT};
use crate::report::ServerStatus;
use crate::secrets::{self, Secrets};

pub(crate) const JICOFO_PORT: u16 = 8888;
const JIBRI_PORT: u16 = 2222;
/// The runtime socket.
const HAPROXY_PORT: u16 = 9999;

/// How a round sees the world: by asking, or by what it was told meanwhile.
pub(crate) trait Senses: Sync {
    /// What each cluster's API server says: the views go into what was observed, the books stay in the looks.
    fn clusters(&self, session: &Session<'_>) -> impl Future<Output = (Observed, BTreeMap<ClusterName, Look>)> + Send;

    /// The values of the fleet's secrets.
    fn secrets(&self, session: &Session<'_>, observed: &Observed) -> impl Future<Output = Secrets> + Send;

    /// What a slot's jicofo says.
    fn jicofo(&self, session: &Session<'_>, pod: &Given) -> impl Future<Output = Known<SlotView>> + Send;

    /// What a bridge says.
    fn bridge(&self, session: &Session<'_>, pod: &Given) -> impl Future<Output = Known<BridgeView>> + Send;

    /// What a recorder says.
    fn recorder(&self, session: &Session<'_>, pod: &Given) -> impl Future<Output = Known<RecorderView>> + Send;

    /// What a proxy of the entrance says of its servers.
    fn proxy(&self, session: &Session<'_>, pod: &Given) -> impl Future<Output = Known<Vec<ServerStatus>>> + Send;
}

/// Asks each time, all at once.
pub(crate) struct Asking;

impl Senses for Asking {
    async fn clusters(&self, session: &Session<'_>) -> (Observed, BTreeMap<ClusterName, Look>) {
        let looks = join_all(session.clusters.iter().map(|(name, cluster)| async move {
            let asked = session.now();
            (name, asked, cluster.look(&session.loaded.fleet.name).await)
        }));
        let mut observed = Observed::default();
        let mut found = BTreeMap::new();
        for (name, asked, look) in looks.await {
            let known = match look {
                Ok(mut look) => {
                    let view = std::mem::take(&mut look.view);
                    found.insert(name.clone(), look);
                    Known::Yes(Seen { value: view, source: Source::ApiServer, as_of: asked })
                }
                Err(error) => Known::Unknown { why: Reason(error.to_string()) },
            };
            observed.clusters.insert(name.clone(), known);
        }
        for (name, why) in &session.unreachable {
            observed.clusters.insert(name.clone(), Known::Unknown { why: Reason(why.clone()) });
        }
        (observed, found)
    }

    async fn secrets(&self, session: &Session<'_>, observed: &Observed) -> Secrets {
        let handover = session.options.handover.as_ref();
        let gathered = secrets::gather(&session.loaded.fleet, &session.clusters, observed, handover).await;
        // Values that can't be read are values that are kept.
        gathered.unwrap_or_else(|error| {
            tracing::warn!(%error, "secrets can't be read");
            Secrets::default()
        })
    }

    async fn jicofo(&self, session: &Session<'_>, pod: &Given) -> Known<SlotView> {
        match session.clusters.get(&pod.cluster) {
            Some(control) => ask_jicofo(control, &pod.pod, session.now()).await,
            None => unknown("the control cluster can't be reached"),
        }
    }

    async fn bridge(&self, session: &Session<'_>, pod: &Given) -> Known<BridgeView> {
        match session.clusters.get(&pod.cluster) {
            Some(cluster) => ask_bridge(cluster, &pod.pod, session.now()).await,
            None => unknown("its cluster can't be reached"),
        }
    }

    async fn recorder(&self, session: &Session<'_>, pod: &Given) -> Known<RecorderView> {
        match session.clusters.get(&pod.cluster) {
            Some(cluster) => ask_recorder(cluster, &pod.pod, session.now()).await,
            None => unknown("its cluster can't be reached"),
        }
    }

    async fn proxy(&self, session: &Session<'_>, pod: &Given) -> Known<Vec<ServerStatus>> {
        let Some(control) = session.clusters.get(&pod.cluster) else {
            return unknown("the control cluster can't be reached");
        };
        match open_console(control, &pod.pod).await {
            Ok(mut console) => ask_proxy(&mut console, &pod.pod, session.now()).await,
            Err(why) => unknown(why),
        }
    }
}

/// What the entrance's proxies say. Nothing is decided by it: people want to see it.
pub(crate) async fn proxies<S: Senses>(
    session: &Session<'_>,
    senses: &S,
    observed: &Observed,
) -> BTreeMap<String, Known<Vec<ServerStatus>>> {
    let home = &session.loaded.fleet.control.cluster;
    let label = UnitId::Haproxy.label();
    let view = observed.clusters.get(home).and_then(Known::value);
    let pods = view.into_iter().flat_map(|view| view.pods.values());
    let pods = pods.filter(|pod| runs(pod) && pod.labels.get(labels::UNIT) == Some(&label));
    let answers = pods.map(|pod| async move { (pod.name.clone(), senses.proxy(session, &given(home, pod)).await) });
    join_all(answers).await.into_iter().collect()
}

/// What Jitsi's daemons say: every slot's jicofo, then those bridges and recorders about which a question is open.
pub(crate) async fn daemons<S: Senses>(
    session: &Session<'_>,
    senses: &S,
    desired: &Desired,
    allocations: &manifest::Allocations,
    policy: &Policy,
    observed: &mut Observed,
) {
    let fleet = &session.loaded.fleet;
    if policy.witness == Witness::Jicofo {
        let home = &fleet.control.cluster;
        let view = observed.clusters.get(home).and_then(Known::value);
        let asked = session.now();
        let answers = join_all(slots(fleet, allocations, observed).into_iter().map(|(shard, slot)| async move {
            let pod = format!("{}-0", Names(&fleet.name).of_slot(&shard, slot, fleet::Component::Jicofo));
            let known = match view.map(|view| view.pods.get(&pod)) {
                None => unknown("the control cluster can't be reached"),
                // The API server listed all pods: this is no gap in our knowledge.
                Some(None) => Known::Absent { as_of: asked },
                Some(Some(live)) => match &live.phase {
                    PodPhase::Waiting(why) => unknown(format!("pod {pod} does not run: {why}")),
                    PodPhase::Ended => unknown(format!("pod {pod} has ended")),
                    PodPhase::Ready | PodPhase::Running | PodPhase::Terminating => {
                        senses.jicofo(session, &given(home, live)).await
                    }
                },
            };
            ((shard, slot), known)
        }))
        .await;
        observed.slots.extend(answers);
        let former = join_all(former_slots(fleet, observed).into_iter().map(|(shard, slot, pod)| async move {
            let known = senses.jicofo(session, &pod).await;
            ((pod.cluster, shard, slot), known)
        }))
        .await;
        observed.former.extend(former);
    }
    let bridges = open_bridges(fleet, desired, policy, observed);
    let answers = join_all(bridges.into_iter().map(|(pool, index, pod)| async move {
        let known = senses.bridge(session, &pod).await;
        ((pod.cluster, pool, index), known)
    }));
    let recorders = open_recorders(fleet, desired, observed);
    let recorder_answers = join_all(recorders.into_iter().map(|(pool, index, pod)| async move {
        let known = senses.recorder(session, &pod).await;
        ((pod.cluster, pool, index), known)
    }));
    let (bridges, recorders) = futures::join!(answers, recorder_answers);
    observed.bridges.extend(bridges);
    observed.recorders.extend(recorders);
}

/// The slots that serve, and those that left the file but are still there.
fn slots(fleet: &Fleet, allocations: &manifest::Allocations, observed: &Observed) -> BTreeSet<(ShardName, Slot)> {
    let mut slots: BTreeSet<(ShardName, Slot)> =
        fleet.control.shards.keys().map(|shard| (shard.clone(), allocations.serving(shard))).collect();
    if let Some(view) = observed.clusters.get(&fleet.control.cluster).and_then(Known::value) {
        let owned = view.inventories.values().flat_map(|inventory| inventory.units.keys());
        slots.extend(owned.filter_map(|unit| match unit {
            UnitId::Slot(shard, slot) => Some((shard.clone(), *slot)),
            _ => None,
        }));
    }
    slots
}

/// Slots whose jicofo still runs where the control plane has been: people may be on their calls.
fn former_slots(fleet: &Fleet, observed: &Observed) -> Vec<(ShardName, Slot, Given)> {
    let mut slots = Vec::new();
    for (cluster, known) in observed.clusters.iter().filter(|(name, _)| **name != fleet.control.cluster) {
        let Some(view) = known.value() else { continue };
        let owned = view.inventories.get(&Plane::Control).into_iter().flat_map(|inventory| inventory.units.keys());
        for unit in owned {
            let UnitId::Slot(shard, slot) = unit else { continue };
            let pod = format!("{}-0", Names(&fleet.name).of_slot(shard, *slot, fleet::Component::Jicofo));
            let running = view.pods.get(&pod).filter(|pod| runs(pod));
            slots.extend(running.map(|pod| (shard.clone(), *slot, given(cluster, pod))));
        }
    }
    slots
}

fn runs(pod: &LivePod) -> bool {
    matches!(pod.phase, PodPhase::Running | PodPhase::Ready | PodPhase::Terminating)
}

async fn ask_jicofo(control: &Cluster, pod: &str, asked: Timestamp) -> Known<SlotView> {
    let stream = match control.port_forward(pod, JICOFO_PORT).await {
        Ok(stream) => stream,
        Err(error) => return unknown(error.to_string()),
    };
    match jicofo::debug(stream, DAEMON_DEADLINE).await {
        Ok(debug) => Known::Yes(Seen { value: slot_view(debug), source: Source::Jicofo, as_of: asked }),
        Err(error) => unknown(format!("pod {pod}: {error}")),
    }
}

pub(crate) fn slot_view(debug: JicofoDebug) -> SlotView {
    SlotView {
        conferences: debug.conferences,
        participants: debug.participants,
        bridges: debug.bridges.into_iter().map(|(nickname, bridge)| (nickname, occupant(bridge))).collect(),
        recorders: None,
    }
}

fn occupant(bridge: jicofo::BridgeView) -> Occupant {
    Occupant {
        operational: bridge.operational && !bridge.shutting_down && !bridge.graceful_shutdown,
        draining: bridge.drain,
        version: bridge.version,
        region: bridge.region,
        relay_id: bridge.relay_id,
        endpoints: bridge.endpoints,
        stress: bridge.stress,
    }
}

type Place<K> = (PoolName, K, Given);

fn given(cluster: &ClusterName, pod: &LivePod) -> Given {
    Given { cluster: cluster.clone(), pod: pod.name.clone(), uid: pod.uid.clone() }
}

/// Bridges that run and about which jicofo leaves a question open: not listed somewhere, drained, or about to part from a
/// shard. One that is only to be replaced is asked from its drain on: until its people have left may take hours.
fn open_bridges(fleet: &Fleet, desired: &Desired, policy: &Policy, observed: &Observed) -> Vec<Place<Index>> {
    let names = Names(&fleet.name);
    let parting = is_parting(fleet, policy, observed);
    let mut open = Vec::new();
    for (cluster, known) in &observed.clusters {
        let Some(view) = known.value() else { continue };
        let owned = view.inventories.values().flat_map(|inventory| inventory.units.keys());
        let units: BTreeSet<&UnitId> = owned.chain(desired.units.keys()).collect();
        for unit in units {
            let UnitId::Bridge(pool, index) = unit else { continue };
            let name = format!("{}-0", names.bridge(pool, *index));
            let Some(pod) = view.pods.get(&name).filter(|pod| runs(pod)) else { continue };
            let nickname = names.bridge_nickname(cluster, pool, *index);
            let serves = fleet.data.pool(pool).map(|pool| pool.shards.clone()).unwrap_or_default();
            let unlisted = observed.slots.iter().any(|((shard, _), known)| {
                serves.contains(shard) && known.value().is_some_and(|view| !view.bridges.contains_key(&nickname))
            });
            let said = observed.slots.values().filter_map(Known::value).filter_map(|view| view.bridges.get(&nickname));
            let drained = said.into_iter().any(|occupant| occupant.draining);
            if policy.witness == Witness::Bridge || parting || drained || unlisted || pod.drain.is_some() {
                open.push((pool.clone(), *index, given(cluster, pod)));
            }
        }
    }
    open
}

/// A unit as it should be in that cluster. One of the same name may be wanted elsewhere.
fn wanted_there<'d>(desired: &'d Desired, unit: &UnitId, cluster: &ClusterName) -> Option<&'d Unit> {
    let unit = desired.units.get(unit)?;
    (unit.manifests.first()?.object.cluster == *cluster).then_some(unit)
}

/// Whether something of a shard is left whose prosody and jicofo are gone, or which no pool of a cluster serves any more:
/// bridges may still have clients for it.
fn is_parting(fleet: &Fleet, policy: &Policy, observed: &Observed) -> bool {
    let Some(control) = observed.clusters.get(&fleet.control.cluster).and_then(Known::value) else { return false };
    let runs = |shard: &ShardName| {
        let units = control.inventories.values().flat_map(|inventory| inventory.units.keys());
        let mut slots =
            units.filter(|unit| matches!(unit, UnitId::Slot(other, _) if other == shard)).map(UnitId::label);
        let pods = |slot: &String| control.pods.values().any(|pod| pod.labels.get(labels::UNIT) == Some(slot));
        slots.any(|slot| pods(&slot))
    };
    let gone =
        |shard: &ShardName| !fleet.control.shards.contains_key(shard) && (policy.allow_disruption || !runs(shard));
    let serves = |cluster: &ClusterName, shard: &ShardName| {
        fleet.data.pools.iter().any(|pool| pool.cluster == *cluster && pool.shards.contains(shard))
    };
    let parts = |unit: &UnitId| match unit {
        UnitId::Shard(shard) => gone(shard),
        UnitId::Wiring(cluster, shard, _) => {
            gone(shard) || (fleet.control.shards.contains_key(shard) && !serves(cluster, shard))
        }
        _ => false,
    };
    let inventories = observed.clusters.values().filter_map(Known::value).flat_map(|view| view.inventories.values());
    policy.removal == Removal::None && inventories.flat_map(|inventory| inventory.units.keys()).any(parts)
}

/// Recorders that run, and are outdated, made from something that was changed, or not in the file any more.
fn open_recorders(fleet: &Fleet, desired: &Desired, observed: &Observed) -> Vec<Place<Index>> {
    let names = Names(&fleet.name);
    let mut open = Vec::new();
    for (cluster, known) in &observed.clusters {
        let Some(view) = known.value() else { continue };
        for unit in view.inventories.values().flat_map(|inventory| inventory.units.keys()) {
            let UnitId::Recorder(pool, index) = unit else { continue };
            let name = format!("{}-0", names.recorder(pool, *index));
            let Some(pod) = view.pods.get(&name).filter(|pod| runs(pod)) else { continue };
            let right = wanted_there(desired, unit, cluster)
                .is_some_and(|wanted| pod.roll.as_deref() == Some(wanted.roll.as_str()) && !differs(view, wanted));
            if !right {
                open.push((pool.clone(), *index, given(cluster, pod)));
            }
        }
    }
    open
}

/// Whether something of a unit that waits for the unit's turn is there and otherwise than it should be.
fn differs(view: &ClusterView, wanted: &Unit) -> bool {
    let waiting = wanted.manifests.iter().filter(|manifest| manifest.part == Part::Roll);
    let mut lives = waiting.filter_map(|manifest| Some((manifest, view.objects.get(&manifest.object)?)));
    lives.any(|(manifest, live)| !live.body.lacks(&manifest.body).is_empty())
}

pub(crate) async fn ask_bridge(cluster: &Cluster, pod: &str, asked: Timestamp) -> Known<BridgeView> {
    let stats = match cluster.port_forward(pod, JVB_PORT).await {
        Ok(stream) => jvb::stats(stream, DAEMON_DEADLINE).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let stats = match stats {
        Ok(stats) => stats,
        Err(why) => return unknown(format!("pod {pod}: {why}")),
    };
    let clients = match cluster.port_forward(pod, JVB_PORT).await {
        Ok(stream) => jvb::muc_clients(stream, DAEMON_DEADLINE).await.ok(),
        Err(_) => None,
    };
    let value = BridgeView {
        endpoints: stats.local_endpoints,
        conferences: stats.conferences,
        draining: stats.drain,
        clients,
        clients_configured: stats.muc_clients_configured,
        clients_connected: stats.muc_clients_connected,
        mucs_joined: stats.mucs_joined,
    };
    Known::Yes(Seen { value, source: Source::Daemon, as_of: asked })
}

pub(crate) async fn open_console(control: &Cluster, pod: &str) -> Result<Console, String> {
    let stream = control.port_forward(pod, HAPROXY_PORT).await.map_err(|error| error.to_string())?;
    Console::open(stream, DAEMON_DEADLINE).await.map_err(|error| format!("pod {pod}: {error}"))
}

pub(crate) async fn ask_proxy(console: &mut Console, pod: &str, asked: Timestamp) -> Known<Vec<ServerStatus>> {
    match console.servers_state(DAEMON_DEADLINE).await {
        Ok(servers) => {
            let value = servers.iter().filter_map(server_status).collect();
            Known::Yes(Seen { value, source: Source::Daemon, as_of: asked })
        }
        Err(error) => unknown(format!("pod {pod}: {error}")),
    }
}

/// Servers are named `<shard>-<slot>`. Others are those of a custom configuration.
fn server_status(server: &haproxy::ServerState) -> Option<ServerStatus> {
    let (shard, slot) = server.name.rsplit_once('-')?;
    let slot = [Slot::A, Slot::B].into_iter().find(|known| known.to_string() == slot)?;
    Some(ServerStatus { shard: shard.parse().ok()?, slot, up: server.up, weight: server.weight })
}

pub(crate) async fn ask_recorder(cluster: &Cluster, pod: &str, asked: Timestamp) -> Known<RecorderView> {
    let health = match cluster.port_forward(pod, JIBRI_PORT).await {
        Ok(stream) => jibri::health(stream, DAEMON_DEADLINE).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match health {
        Ok(health) => {
            let value = RecorderView { busy: health.is_busy(), expired: health.is_expired() };
            Known::Yes(Seen { value, source: Source::Daemon, as_of: asked })
        }
        Err(why) => unknown(format!("pod {pod}: {why}")),
    }
}

pub(crate) fn unknown<T>(why: impl Into<String>) -> Known<T> {
    Known::Unknown { why: Reason(why.into()) }
}
