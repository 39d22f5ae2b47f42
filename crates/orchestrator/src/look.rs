//! Looking around: what clusters and Jitsi daemons say, each cluster apart from the others.

use std::collections::{BTreeMap, BTreeSet};

use clock::Clock;
use cluster::{Cluster, Look};
use fleet::{ClusterName, Fleet, Index, PoolName, ShardName, Slot};
use futures::future::join_all;
use jiff::Timestamp;
use jitsi_api::{jibri, jicofo, jvb};
use manifest::{Desired, Names, UnitId};
use plan::{
    BridgeView, Known, LivePod, Observed, Occupant, PodPhase, Reason, RecorderView, Seen, SlotView, Source, Witness,
};

use crate::execute::{DAEMON_DEADLINE, JVB_PORT};

const JICOFO_PORT: u16 = 8888;
const JIBRI_PORT: u16 = 2222;

/// Whom to ask, and by which clock.
pub(crate) struct Watch<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) clusters: &'a BTreeMap<ClusterName, Cluster>,
    pub(crate) clock: &'a Clock,
}

impl Watch<'_> {
    /// What each cluster's API server says: the views go into what was observed, the books stay in the looks.
    pub(crate) async fn clusters(
        &self,
        unreachable: &BTreeMap<ClusterName, String>,
    ) -> (Observed, BTreeMap<ClusterName, Look>) {
        let looks = join_all(self.clusters.iter().map(|(name, cluster)| async move {
            let asked = self.clock.now();
            (name, asked, cluster.look(&self.fleet.name).await)
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
        for (name, why) in unreachable {
            observed.clusters.insert(name.clone(), Known::Unknown { why: Reason(why.clone()) });
        }
        (observed, found)
    }

    /// What Jitsi's daemons say: every slot's jicofo, then those bridges and recorders about which a question is open.
    pub(crate) async fn daemons(
        &self,
        desired: &Desired,
        allocations: &manifest::Allocations,
        witness: Witness,
        observed: &mut Observed,
    ) {
        let Self { fleet, clusters, clock } = *self;
        if witness == Witness::Jicofo {
            let home = &fleet.control.cluster;
            let answered = observed.clusters.get(home).is_some_and(|known| known.value().is_some());
            let control = clusters.get(home).filter(|_| answered);
            let answers = join_all(slots(fleet, allocations, observed).into_iter().map(|(shard, slot)| {
                let pod = format!("{}-0", Names(&fleet.name).of_slot(&shard, slot, fleet::Component::Jicofo));
                let live = pod_in(observed, home, &pod).cloned();
                async move {
                    let known = ask_jicofo(control, &pod, live.as_ref(), clock.now()).await;
                    ((shard, slot), known)
                }
            }))
            .await;
            observed.slots.extend(answers);
        }
        let bridges = open_bridges(fleet, desired, witness, observed);
        let answers = join_all(bridges.into_iter().map(|(pool, index, cluster, pod)| async move {
            let known = ask_bridge(clusters.get(&cluster), &pod, clock.now()).await;
            ((pool, index), known)
        }));
        let recorders = open_recorders(fleet, desired, observed);
        let recorder_answers = join_all(recorders.into_iter().map(|(pool, index, cluster, pod)| async move {
            let known = ask_recorder(clusters.get(&cluster), &pod, clock.now()).await;
            ((pool, index), known)
        }));
        let (bridges, recorders) = futures::join!(answers, recorder_answers);
        observed.bridges.extend(bridges);
        observed.recorders.extend(recorders);
    }
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

fn pod_in<'o>(observed: &'o Observed, cluster: &ClusterName, pod: &str) -> Option<&'o LivePod> {
    observed.clusters.get(cluster)?.value()?.pods.get(pod)
}

fn runs(pod: &LivePod) -> bool {
    matches!(pod.phase, PodPhase::Running | PodPhase::Ready | PodPhase::Terminating)
}

async fn ask_jicofo(control: Option<&Cluster>, pod: &str, live: Option<&LivePod>, asked: Timestamp) -> Known<SlotView> {
    let Some(control) = control else {
        return unknown("the control cluster can't be reached");
    };
    match live.map(|pod| &pod.phase) {
        // The API server listed all pods: this is no gap in our knowledge.
        None => return Known::Absent { as_of: asked },
        Some(PodPhase::Waiting(why)) => return unknown(format!("pod {pod} does not run: {why}")),
        Some(PodPhase::Ended) => return unknown(format!("pod {pod} has ended")),
        Some(PodPhase::Ready | PodPhase::Running | PodPhase::Terminating) => {}
    }
    let stream = match control.port_forward(pod, JICOFO_PORT).await {
        Ok(stream) => stream,
        Err(error) => return unknown(error.to_string()),
    };
    match jicofo::debug(stream, DAEMON_DEADLINE).await {
        Ok(debug) => {
            let value = SlotView {
                conferences: debug.conferences,
                participants: debug.participants,
                bridges: debug.bridges.into_iter().map(|(nickname, bridge)| (nickname, occupant(bridge))).collect(),
                recorders: None,
            };
            Known::Yes(Seen { value, source: Source::Jicofo, as_of: asked })
        }
        Err(error) => unknown(format!("pod {pod}: {error}")),
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

type Place<K> = (PoolName, K, ClusterName, String);

/// Bridges that run and about which jicofo leaves a question open: not listed somewhere, outdated, or drained by us.
fn open_bridges(fleet: &Fleet, desired: &Desired, witness: Witness, observed: &Observed) -> Vec<Place<Index>> {
    let names = Names(&fleet.name);
    let mut open = Vec::new();
    for (cluster, known) in &observed.clusters {
        let Some(view) = known.value() else { continue };
        let owned = view.inventories.values().flat_map(|inventory| inventory.units.keys());
        let units: BTreeSet<&UnitId> = owned.chain(desired.units.keys()).collect();
        for unit in units {
            let UnitId::Bridge(pool, index) = unit else { continue };
            let name = format!("{}-0", names.bridge(pool, *index));
            let Some(pod) = view.pods.get(&name).filter(|pod| runs(pod)) else { continue };
            let wanted = desired.units.get(unit);
            let outdated = wanted.is_none_or(|unit| pod.roll.as_deref() != Some(unit.roll.as_str()));
            let nickname = names.bridge_nickname(cluster, pool, *index);
            let serves = fleet.data.pool(pool).map(|pool| pool.shards.clone()).unwrap_or_default();
            let unlisted = observed.slots.iter().any(|((shard, _), known)| {
                serves.contains(shard) && known.value().is_some_and(|view| !view.bridges.contains_key(&nickname))
            });
            if witness == Witness::Bridge || outdated || unlisted || pod.drain.is_some() {
                open.push((pool.clone(), *index, cluster.clone(), name));
            }
        }
    }
    open
}

/// Recorders that run and are outdated or left the file.
fn open_recorders(fleet: &Fleet, desired: &Desired, observed: &Observed) -> Vec<Place<Index>> {
    let names = Names(&fleet.name);
    let mut open = Vec::new();
    for (cluster, known) in &observed.clusters {
        let Some(view) = known.value() else { continue };
        for unit in view.inventories.values().flat_map(|inventory| inventory.units.keys()) {
            let UnitId::Recorder(pool, index) = unit else { continue };
            let name = format!("{}-0", names.recorder(pool, *index));
            let Some(pod) = view.pods.get(&name).filter(|pod| runs(pod)) else { continue };
            let wanted = desired.units.get(unit);
            if wanted.is_none_or(|unit| pod.roll.as_deref() != Some(unit.roll.as_str())) {
                open.push((pool.clone(), *index, cluster.clone(), name));
            }
        }
    }
    open
}

async fn ask_bridge(cluster: Option<&Cluster>, pod: &str, asked: Timestamp) -> Known<BridgeView> {
    let Some(cluster) = cluster else { return unknown("its cluster can't be reached") };
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

async fn ask_recorder(cluster: Option<&Cluster>, pod: &str, asked: Timestamp) -> Known<RecorderView> {
    let Some(cluster) = cluster else { return unknown("its cluster can't be reached") };
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

fn unknown<T>(why: impl Into<String>) -> Known<T> {
    Known::Unknown { why: Reason(why.into()) }
}
