//! `status`: one screen about everything, and nothing that was not seen just now.

use std::collections::BTreeMap;

use fleet::load::Loaded;
use fleet::{Component, Fleet, Plane, Pool, ShardName};
use jiff::Timestamp;
use manifest::{Names, UnitId};
use plan::{ClusterView, Known, Live, PodPhase};

use crate::look::Asking;
use crate::report::{ControlStatus, PoolStatus, ProxyStatus, ServerStatus, ShardStatus, Status};
use crate::round::Round;
use crate::{Fatal, Options, Session};

/// Looks at the fleet.
///
/// # Errors
/// When no cluster can be asked.
pub async fn status(loaded: &Loaded, options: &Options) -> Result<Status, Fatal> {
    let session = Session::open(loaded, options, &|_| {}).await?;
    let as_of = session.now();
    let round = Round::look(&session, &options.policy).await?.with_proxies(&Asking, &session).await;
    Ok(screen(&session, &round, as_of))
}

/// What a round showed, on one screen.
pub(crate) fn screen(session: &Session<'_>, round: &Round, as_of: Timestamp) -> Status {
    let fleet = &session.loaded.fleet;
    let mut unreachable: BTreeMap<_, _> = session.unreachable.clone();
    for (name, known) in &round.observed.clusters {
        if let Some(why) = known.unknown() {
            unreachable.insert(name.clone(), why.to_string());
        }
    }
    let generations: BTreeMap<Plane, u64> =
        round.records.iter().map(|(plane, (record, _))| (*plane, record.generation.0)).collect();
    let tombstones = round
        .debts()
        .into_iter()
        .flat_map(|debt| debt.units.into_iter().map(move |unit| format!("{unit} in {}", debt.cluster)))
        .collect();
    Status {
        fleet: fleet.name.to_string(),
        url: fleet.url.to_string(),
        as_of,
        live: round.live(),
        control: control(fleet, round),
        pools: fleet.data.pools.iter().map(|pool| pool_status(fleet, round, pool)).collect(),
        unreachable,
        generations,
        tombstones,
        proof: round.proof.clone(),
    }
}

fn control(fleet: &Fleet, round: &Round) -> ControlStatus {
    let view = round.observed.clusters.get(&fleet.control.cluster).and_then(Known::value);
    let haproxy = UnitId::Haproxy.label();
    ControlStatus {
        cluster: fleet.control.cluster.clone(),
        shards: fleet.control.shards.keys().map(|shard| shard_status(fleet, round, view, shard)).collect(),
        haproxy: (ready(view, &haproxy), usize::from(fleet.control.haproxy.replicas)),
        proxies: round.proxies.iter().map(|(pod, known)| proxy_status(pod, known)).collect(),
    }
}

fn proxy_status(pod: &str, known: &Known<Vec<ServerStatus>>) -> ProxyStatus {
    ProxyStatus {
        pod: pod.to_owned(),
        servers: known.value().cloned().unwrap_or_default(),
        why: known.unknown().map(ToString::to_string),
    }
}

fn shard_status(fleet: &Fleet, round: &Round, view: Option<&ClusterView>, shard: &ShardName) -> ShardStatus {
    let slot = round.record.allocations.serving(shard);
    let names = Names(&fleet.name);
    let is_ready = |component| {
        let pod = format!("{}-0", names.of_slot(shard, slot, component));
        view.and_then(|view| view.pods.get(&pod)).is_some_and(|pod| pod.phase == PodPhase::Ready)
    };
    let config = fleet.control.shards.get(shard);
    let proof = round.proof.slots.iter().find(|proof| proof.shard == *shard && proof.slot == slot);
    let web = UnitId::Web(shard.clone(), slot).label();
    ShardStatus {
        shard: shard.clone(),
        slot,
        release: config.map(|config| config.jicofo.image.release.to_string()).unwrap_or_default(),
        prosody: is_ready(Component::Prosody),
        jicofo: is_ready(Component::Jicofo),
        web: (ready(view, &web), config.map_or(0, |config| usize::from(config.web.replicas))),
        bridges: proof.map_or((0, 0), |proof| (proof.joined, proof.expected)),
        live: proof.filter(|proof| proof.why.is_none()).map(|proof| Live { ..proof.live }),
        endpoint: round.desire.endpoints.get(shard).and_then(|slots| slots.get(&slot)).cloned(),
    }
}

fn pool_status(fleet: &Fleet, round: &Round, pool: &Pool) -> PoolStatus {
    let names = Names(&fleet.name);
    let view = round.observed.clusters.get(&pool.cluster).and_then(Known::value);
    let asked =
        round.proof.slots.iter().filter(|slot| pool.shards.contains(&slot.shard)).all(|slot| slot.why.is_none());
    let mut bridges = (0, 0);
    let mut recorders = (0, 0);
    let mut stresses = Vec::new();
    let mut draining = 0;
    for unit in round.desire.desired.units.keys() {
        match unit {
            UnitId::Bridge(name, index) if *name == pool.name => {
                bridges.1 += 1;
                let missing =
                    round.proof.missing.iter().any(|missing| missing.pool == *name && missing.index == *index);
                bridges.0 += usize::from(asked && !missing);
                let nickname = names.bridge_nickname(&pool.cluster, name, *index);
                let seen: Vec<_> =
                    round.observed.slots.values().filter_map(|known| known.value()?.bridges.get(&nickname)).collect();
                if let Some(first) = seen.first() {
                    stresses.push(first.stress);
                }
                draining += usize::from(seen.iter().any(|occupant| occupant.draining));
            }
            UnitId::Recorder(name, _) if *name == pool.name => {
                recorders.1 += 1;
                recorders.0 += ready(view, &unit.label());
            }
            _ => {}
        }
    }
    let stress = (!stresses.is_empty()).then(|| stresses.iter().sum::<f64>() / stresses.len() as f64);
    PoolStatus { pool: pool.name.clone(), cluster: pool.cluster.clone(), bridges, recorders, stress, draining }
}

fn ready(view: Option<&ClusterView>, unit: &str) -> usize {
    let pods = view.into_iter().flat_map(|view| view.pods.values());
    pods.filter(|pod| pod.labels.get(manifest::labels::UNIT).is_some_and(|label| label == unit))
        .filter(|pod| pod.phase == PodPhase::Ready)
        .count()
}
