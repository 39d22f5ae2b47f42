//! The proof that signalling sees media: each serving slot's jicofo lists exactly the expected bridges as
//! operational, with the right version and region. What is missing is explained.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Advertise, BridgeExpose, Fleet, Index, Pool, ShardName, Slot};
use manifest::{Allocations, Desired, Endpoint, Kind, Names, Surroundings, UnitId};
use plan::{BridgeView, ClusterView, Known, Live, LivePod, Observed, Occupant, PodPhase, Policy};

use crate::report::{Drained, EndpointStatus, Missing, Proof, SlotProof, Unhealthy, Witness};
use crate::wire::Balanced;

/// Everything that a proof is made from.
pub(crate) struct Evidence<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) allocations: &'a Allocations,
    pub(crate) desired: &'a Desired,
    pub(crate) endpoints: &'a BTreeMap<ShardName, BTreeMap<Slot, Endpoint>>,
    /// What was rendered with: whether bridges know what to advertise.
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) observed: &'a Observed,
    pub(crate) witness: Witness,
    /// What this run is about: bridges of other clusters are neither missed nor foreign.
    pub(crate) policy: &'a Policy,
    /// Workloads that are not healthy, found by the caller in the objects' status.
    pub(crate) unhealthy: Vec<Unhealthy>,
}

/// Judges the evidence.
pub(crate) fn judge(evidence: Evidence<'_>) -> Proof {
    let mut proof = Proof { witness: evidence.witness, unhealthy: evidence.unhealthy.clone(), ..Proof::default() };
    for (shard, slots) in evidence.endpoints {
        for (slot, endpoint) in slots {
            proof.endpoints.push(EndpointStatus { shard: shard.clone(), slot: *slot, endpoint: endpoint.clone() });
        }
    }
    let usual = evidence.usual_versions();
    for shard in evidence.fleet.control.shards.keys() {
        let slot = evidence.allocations.serving(shard);
        evidence.judge_slot(shard, slot, &usual, &mut proof);
    }
    proof.drained = evidence.drained();
    proof
}

/// By image: the version that most of its bridges report.
type Usual<'a> = BTreeMap<&'a str, &'a str>;

/// What is wrong, and the next thing to do about it.
type Complaint = (String, Option<String>);

impl Evidence<'_> {
    fn judge_slot(&self, shard: &ShardName, slot: Slot, usual: &Usual<'_>, proof: &mut Proof) {
        let names = Names(&self.fleet.name);
        let view = self.observed.slots.get(&(shard.clone(), slot));
        let listed = view.and_then(Known::value);
        let mut known = BTreeSet::new();
        let mut expected = 0;
        let mut joined = 0;
        for (pool, index) in self.seats(shard) {
            let nickname = names.bridge_nickname(&pool.cluster, &pool.name, index);
            known.insert(nickname.clone());
            if !self.policy.has_cluster(&pool.cluster) {
                continue;
            }
            expected += 1;
            let complaint = match self.witness {
                Witness::Jicofo => listed.and_then(|view| match view.bridges.get(&nickname) {
                    Some(occupant) => self.judge_occupant(pool, index, occupant, usual),
                    None => Some(self.explain(pool, index, shard, slot)),
                }),
                Witness::Bridges => self.judge_by_itself(pool, index, shard, slot),
            };
            match complaint {
                None => joined += usize::from(listed.is_some() || self.witness == Witness::Bridges),
                Some((why, hint)) => proof.missing.push(Missing {
                    pool: pool.name.clone(),
                    index,
                    cluster: pool.cluster.clone(),
                    shard: shard.clone(),
                    slot,
                    why,
                    hint,
                }),
            }
        }
        known.extend(self.leaving());
        let foreign = listed.into_iter().flat_map(|view| view.bridges.keys()).filter(|name| !known.contains(*name));
        let why = match (self.witness, view) {
            (Witness::Bridges, _) | (_, Some(Known::Yes(_))) => None,
            (_, Some(Known::Unknown { why })) => Some(why.to_string()),
            (_, Some(Known::Absent { .. }) | None) => Some("its jicofo is not there".to_owned()),
        };
        proof.slots.push(SlotProof {
            shard: shard.clone(),
            slot,
            joined,
            expected,
            foreign: foreign.cloned().collect(),
            live: listed.map_or(Live::default(), |view| Live {
                conferences: view.conferences,
                participants: view.participants,
            }),
            why,
        });
    }

    /// Nicknames of bridges that are written down as ours, in the file or not: what left it stays until it is empty.
    fn leaving(&self) -> impl Iterator<Item = String> {
        let views = self.observed.clusters.iter().filter_map(|(name, known)| Some((name, known.value()?)));
        views.flat_map(move |(cluster, view)| {
            let units = view.inventories.values().flat_map(|inventory| inventory.units.keys());
            units.filter_map(move |unit| match unit {
                UnitId::Bridge(pool, index) => Some(Names(&self.fleet.name).bridge_nickname(cluster, pool, *index)),
                _ => None,
            })
        })
    }

    /// Bridges that say that they are drained, without a word of ours on their pods.
    fn drained(&self) -> Vec<Drained> {
        let bridges = self.desired.units.keys().filter_map(|unit| match unit {
            UnitId::Bridge(pool, index) => Some((self.fleet.data.pool(pool)?, *index)),
            _ => None,
        });
        let by_others = |(pool, index): &(&Pool, Index)| {
            let place = (pool.cluster.clone(), pool.name.clone(), *index);
            let own = self.observed.bridges.get(&place).and_then(Known::value);
            let stays = |pod: &LivePod| pod.drain.is_none() && pod.phase != PodPhase::Terminating;
            self.policy.has_cluster(&pool.cluster)
                && own.is_some_and(|view| view.draining)
                && self.pod(pool, *index).is_some_and(stays)
        };
        let drained = bridges.filter(by_others);
        let named =
            |(pool, index): (&Pool, Index)| Drained { pool: pool.name.clone(), index, cluster: pool.cluster.clone() };
        drained.map(named).collect()
    }

    /// The bridges that should be in a shard's brewery.
    fn seats(&self, shard: &ShardName) -> impl Iterator<Item = (&Pool, Index)> {
        self.desired.units.keys().filter_map(move |unit| match unit {
            UnitId::Bridge(pool, index) => {
                let pool = self.fleet.data.pool(pool)?;
                pool.shards.contains(shard).then_some((pool, *index))
            }
            _ => None,
        })
    }

    fn view(&self, pool: &Pool) -> Option<&ClusterView> {
        self.observed.clusters.get(&pool.cluster).and_then(Known::value)
    }

    fn pod(&self, pool: &Pool, index: Index) -> Option<&LivePod> {
        self.view(pool)?.pods.get(&format!("{}-0", Names(&self.fleet.name).bridge(&pool.name, index)))
    }

    fn judge_occupant(&self, pool: &Pool, index: Index, occupant: &Occupant, usual: &Usual<'_>) -> Option<Complaint> {
        if !occupant.operational {
            return Some(("jicofo lists it, but not as operational".to_owned(), None));
        }
        let nickname = Names(&self.fleet.name).bridge_nickname(&pool.cluster, &pool.name, index);
        if let Some(relay) = occupant.relay_id.as_deref()
            && relay != nickname
        {
            let hint = "look for another bridge of the same nickname: jicofo takes both for one".to_owned();
            return Some((format!("it reports relay id {relay}, expected {nickname}"), Some(hint)));
        }
        let region = self.fleet.clusters.get(&pool.cluster).and_then(|cluster| cluster.region.as_deref());
        if let (Some(is), Some(wanted)) = (occupant.region.as_deref(), region)
            && is != wanted
        {
            return Some((format!("it reports region {is}, expected {wanted}"), None));
        }
        // What a tag's jvb calls itself is not written in the tag; but bridges of one image are of one version.
        // One whose pod still runs the old template is the plan's business.
        let unit = self.desired.units.get(&UnitId::Bridge(pool.name.clone(), index))?;
        if self.pod(pool, index).is_none_or(|pod| pod.roll.as_deref() != Some(unit.roll.as_str())) {
            return None;
        }
        let version = occupant.version.as_deref()?;
        let usual = *usual.get(pool.bridges.workload.image.reference.as_str())?;
        (version != usual)
            .then(|| (format!("it runs version {version}, the other bridges of its image run {usual}"), None))
    }

    /// Of the bridges whose pods run their image as it is now.
    fn usual_versions(&self) -> Usual<'_> {
        let names = Names(&self.fleet.name);
        let slots = self.observed.slots.values().filter_map(Known::value);
        let said: BTreeMap<&str, &str> = slots
            .flat_map(|view| &view.bridges)
            .filter_map(|(nickname, bridge)| Some((nickname.as_str(), bridge.version.as_deref()?)))
            .collect();
        let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for unit in self.desired.units.values() {
            let UnitId::Bridge(name, index) = &unit.id else { continue };
            let Some(pool) = self.fleet.data.pool(name) else { continue };
            let nickname = names.bridge_nickname(&pool.cluster, name, *index);
            let Some(version) = said.get(nickname.as_str()) else { continue };
            if self.pod(pool, *index).is_some_and(|pod| pod.roll.as_deref() == Some(unit.roll.as_str())) {
                let image = pool.bridges.workload.image.reference.as_str();
                *counts.entry(image).or_default().entry(version).or_default() += 1;
            }
        }
        let most = counts.into_iter().filter_map(|(image, counts)| {
            let (version, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
            Some((image, version))
        });
        most.collect()
    }

    /// A bridge says which clients it has and how many of them joined, not which: so all of them have to.
    fn judge_by_itself(&self, pool: &Pool, index: Index, shard: &ShardName, slot: Slot) -> Option<Complaint> {
        match self.observed.bridges.get(&(pool.cluster.clone(), pool.name.clone(), index)) {
            Some(Known::Yes(seen)) => {
                let BridgeView { clients, clients_configured: configured, mucs_joined: joined, .. } = &seen.value;
                let id = format!("{shard}-{slot}");
                if clients.as_ref().is_some_and(|clients| !clients.contains(&id)) {
                    return Some((format!("it has no XMPP client for {id} yet"), None));
                }
                let hint = "ask the control plane's keepers for a new handover file if addresses or passwords changed";
                (joined < configured).then(|| {
                    (format!("it says that it joined {joined} of {configured} breweries"), Some(hint.to_owned()))
                })
            }
            Some(Known::Unknown { why }) => Some((why.to_string(), None)),
            Some(Known::Absent { .. }) | None => {
                Some(self.explain_pod(pool, index).unwrap_or_else(|| ("it could not be asked".to_owned(), None)))
            }
        }
    }

    fn explain_pod(&self, pool: &Pool, index: Index) -> Option<Complaint> {
        let Some(view) = self.view(pool) else {
            let known = self.observed.clusters.get(&pool.cluster);
            let why = known.and_then(Known::unknown).map_or_else(String::new, |why| format!(": {why}"));
            return Some((format!("cluster {} can't be reached{why}", pool.cluster), None));
        };
        let pod = view.pods.get(&format!("{}-0", Names(&self.fleet.name).bridge(&pool.name, index)));
        match pod.map(|pod| &pod.phase) {
            None => Some(("its pod is not there yet".to_owned(), None)),
            Some(PodPhase::Waiting(why)) => Some((format!("its pod does not run: {why}"), None)),
            Some(PodPhase::Terminating) => Some(("its pod is ending".to_owned(), None)),
            Some(PodPhase::Ended) => Some(("its pod has ended".to_owned(), None)),
            Some(PodPhase::Running) => self.explain_address(pool, index, pod?, view),
            Some(PodPhase::Ready) => None,
        }
    }

    /// Why a bridge has nothing to advertise, if that is what it waits for.
    fn explain_address(&self, pool: &Pool, index: Index, pod: &LivePod, view: &ClusterView) -> Option<Complaint> {
        let node = pod.node.as_deref()?;
        if !data_plane::lacks_address(self.fleet, self.surroundings, pool, index, node) {
            return None;
        }
        if pool.bridges.expose != BridgeExpose::LoadBalancer {
            let ways: Vec<String> = pool.bridges.advertise.iter().map(name_of).collect();
            let ways = if ways.is_empty() { "address to advertise".to_owned() } else { ways.join(" and no ") };
            let hint =
                "set bridges.advertise (internal_ip, an annotation, a map of nodes) or bridges.advertise_fallback";
            return Some((format!("it waits for its address: node {node} has no {ways}"), Some(hint.to_owned())));
        }
        let name = Names(&self.fleet.name).bridge(&pool.name, index);
        let service = view.objects.values().find(|live| live.object.kind == Kind::Service && live.object.name == name);
        let host = service.and_then(|live| live.body.read::<Balanced>()).and_then(|balanced| balanced.host());
        Some(match host {
            Some(host) => (
                format!(
                    "it waits for its address: its load balancer has the name {host}, and browsers need an address"
                ),
                Some("set bridges.advertise_fallback to an address of it, or expose bridges in another way".to_owned()),
            ),
            None => ("it waits for its address: its load balancer has none yet".to_owned(), None),
        })
    }

    /// Why a jicofo does not list a bridge, from the outside in.
    fn explain(&self, pool: &Pool, index: Index, shard: &ShardName, slot: Slot) -> Complaint {
        if let Some(explained) = self.explain_pod(pool, index) {
            return explained;
        }
        let remote = pool.cluster != self.fleet.control.cluster;
        if let (true, Some(Endpoint::Pending { why })) =
            (remote, self.endpoints.get(shard).and_then(|slots| slots.get(&slot)))
        {
            return (format!("the XMPP endpoint of {shard}-{slot} is pending: {why}"), None);
        }
        let names = Names(&self.fleet.name);
        let nickname = names.bridge_nickname(&pool.cluster, &pool.name, index);
        let own = self.observed.bridges.get(&(pool.cluster.clone(), pool.name.clone(), index));
        match own {
            Some(Known::Yes(seen)) => self.explain_by_itself(&seen.value, shard, slot, &nickname),
            Some(Known::Unknown { why }) => {
                (format!("jicofo of {shard}-{slot} does not list {nickname}, and it can't be asked: {why}"), None)
            }
            Some(Known::Absent { .. }) | None => (format!("jicofo of {shard}-{slot} does not list {nickname}"), None),
        }
    }

    fn explain_by_itself(&self, own: &BridgeView, shard: &ShardName, slot: Slot, nickname: &str) -> Complaint {
        let id = format!("{shard}-{slot}");
        if own.clients.as_ref().is_some_and(|clients| !clients.contains(&id)) {
            return (format!("it has no XMPP client for {id} yet"), None);
        }
        if own.clients_connected < own.clients_configured {
            let hint = format!(
                "its password may differ from the stored one, or {id} can't be reached from its cluster; see its log for `{id}`"
            );
            let (connected, configured) = (own.clients_connected, own.clients_configured);
            return (
                format!("its XMPP client for {id} is configured but not connected ({connected} of {configured} are)"),
                Some(hint),
            );
        }
        let hint = "look for another bridge of the same nickname, or for a brewery of another name".to_owned();
        (format!("it is connected, yet jicofo of {id} does not list {nickname}"), Some(hint))
    }
}

/// A way to find a node's address, as the file names it.
fn name_of(way: &Advertise) -> String {
    match way {
        Advertise::ExternalIp => "external_ip".to_owned(),
        Advertise::InternalIp => "internal_ip".to_owned(),
        Advertise::Annotation(name) => format!("annotation {name}"),
        Advertise::Map(_) => "entry in the map".to_owned(),
        Advertise::Static(_) => "static address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use manifest::{Body, ObjectRef};
    use plan::{LiveBody, LiveObject, Seen, SlotView, Source};
    use serde_json::json;

    use super::*;

    const FLEET: &str = "
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters: { hq: { context: hq }, fra: { context: fra } }
control: { cluster: hq, shards: { alpha: {} }, xmpp: { expose: load_balancer } }
data: { home: fra, pools: { eu: { cluster: fra, bridges: { replicas: 1, expose: node_port, base_port: 30120 } } } }
";

    fn known<T>(value: T) -> Known<T> {
        Known::Yes(Seen { value, source: Source::ApiServer, as_of: jiff::Timestamp::UNIX_EPOCH })
    }

    /// Why the one bridge, which runs on node n1 and is not ready, is missing.
    fn why(text: &str, service: &serde_json::Value) -> String {
        let fleet = fleet::load::load_text("fleet.yaml", text, Path::new("/"), &BTreeMap::new()).unwrap().fleet;
        let allocations = Allocations::default().extended(&fleet);
        let pool = fleet.data.pools[0].name.clone();
        let surroundings = Surroundings {
            nodes: BTreeMap::from([(pool.clone(), Some(BTreeMap::new()))]),
            load_balancers: BTreeMap::from([(pool, BTreeMap::new())]),
            ..Surroundings::default()
        };
        let pod = LivePod {
            name: "meet-jvb-eu-0-0".into(),
            uid: "u".into(),
            labels: BTreeMap::new(),
            roll: None,
            node: Some("n1".into()),
            phase: PodPhase::Running,
            references: BTreeSet::new(),
            drain: None,
        };
        let object = ObjectRef {
            cluster: "fra".parse().unwrap(),
            kind: Kind::Service,
            namespace: "meet".into(),
            name: "meet-jvb-eu-0".into(),
        };
        let live = LiveObject {
            object: object.clone(),
            uid: "u".into(),
            version: "1".into(),
            body: Arc::new(LiveBody::new(Kind::Service, Body::new(service))),
            managers: BTreeSet::new(),
            deleting: false,
        };
        let view = ClusterView {
            pods: BTreeMap::from([(pod.name.clone(), pod)]),
            objects: BTreeMap::from([(object, live)]),
            ..ClusterView::default()
        };
        let mut observed = Observed::default();
        observed.clusters.insert("fra".parse().unwrap(), known(view));
        observed.slots.insert(("alpha".parse().unwrap(), Slot::A), known(SlotView::default()));
        let proof = judge(Evidence {
            fleet: &fleet,
            allocations: &allocations,
            desired: &Desired::new(data_plane::render(&fleet, &allocations, &surroundings)),
            endpoints: &BTreeMap::new(),
            surroundings: &surroundings,
            observed: &observed,
            witness: Witness::Jicofo,
            policy: &Policy::default(),
            unhealthy: Vec::new(),
        });
        proof.missing[0].why.clone()
    }

    #[test]
    fn a_bridge_that_waits_for_its_address_says_so() {
        let nothing = json!({});
        assert_eq!(why(FLEET, &nothing), "it waits for its address: node n1 has no external_ip");
        let balanced = FLEET.replace("expose: node_port, base_port: 30120", "expose: load_balancer");
        assert_eq!(why(&balanced, &nothing), "it waits for its address: its load balancer has none yet");
        let named = json!({ "status": { "loadBalancer": { "ingress": [{ "hostname": "lb.example.org" }] } } });
        assert_eq!(
            why(&balanced, &named),
            "it waits for its address: its load balancer has the name lb.example.org, and browsers need an address"
        );
        let set = FLEET.replace("replicas: 1,", "replicas: 1, advertise_fallback: 203.0.113.1,");
        assert!(why(&set, &nothing).contains("does not list"), "{}", why(&set, &nothing));
    }
}
