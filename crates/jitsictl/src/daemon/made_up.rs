//! States for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::Lifetime;
use fleet::{Index, Plane, Slot};
use jiff::Timestamp;
use manifest::{Endpoint, Kind, PendingReason, Target, UnitId};
use orchestrator::daemon::{
    ClusterState, Counters, EndpointState, Fighting, Intake, IntentState, Link, PlaneState, Refused, RoundEnd, State,
};
use orchestrator::report::{ControlStatus, Missing, PoolStatus, Proof, ProxyStatus, ServerStatus, ShardStatus, Status};
use plan::{Blocked, BlockedBy, Live};

const FLEET: &str = "\
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters: { hq: { context: hq }, fra: { context: fra } }
control: { cluster: hq, shards: { alpha: {} }, xmpp: { expose: load_balancer } }
data: { pools: { eu: { cluster: fra } } }
";

pub(super) fn time() -> Timestamp {
    "2026-01-01T10:00:00Z".parse().unwrap()
}

fn earlier(seconds: i64) -> Timestamp {
    time() - jiff::SignedDuration::from_secs(seconds)
}

pub(super) fn intake() -> Intake {
    let loaded = fleet::load::load_text("fleet.yaml", FLEET, std::path::Path::new("/"), &BTreeMap::new()).unwrap();
    Intake { loaded: Arc::new(loaded), handover: None, refused: None }
}

fn target() -> Target {
    Target::Ips { ips: vec!["198.51.100.7".parse().unwrap()], port: 5222 }
}

fn cluster(state: Link, why: Option<&str>) -> ClusterState {
    let as_of = (state == Link::Live).then(|| earlier(2));
    let credentials =
        Some(Lifetime { begins: Some(earlier(86_400)), ends: time() + jiff::SignedDuration::from_hours(24) });
    ClusterState { state, since: earlier(3600), why: why.map(str::to_owned), as_of, objects: 20, credentials }
}

/// A fleet with nothing to complain about.
pub(super) fn good() -> State {
    let live = Some(Live { conferences: 118, participants: 704 });
    let (fra, hq) = ("fra".parse().unwrap(), "hq".parse::<fleet::ClusterName>().unwrap());
    let shard = ShardStatus {
        shard: "alpha".parse().unwrap(),
        slot: Slot::A,
        release: "stable-11146-2".into(),
        prosody: true,
        jicofo: true,
        web: (2, 2),
        bridges: (3, 3),
        live,
        endpoint: Some(Endpoint::Known(target())),
    };
    let pool = PoolStatus {
        pool: "eu".parse().unwrap(),
        cluster: fra,
        bridges: (3, 3),
        recorders: (0, 0),
        stress: Some(0.25),
        draining: 0,
    };
    let server = |slot| ServerStatus { shard: "alpha".parse().unwrap(), slot, up: true, weight: 100 };
    let proxy =
        ProxyStatus { pod: "meet-haproxy-0".into(), servers: vec![server(Slot::A), server(Slot::B)], why: None };
    let endpoint = |slot| EndpointState {
        shard: "alpha".parse().unwrap(),
        slot,
        endpoint: Endpoint::Known(target()),
        since: earlier(7200),
    };
    State {
        fleet: "meet".into(),
        started: earlier(86_400),
        as_of: earlier(1),
        intent: IntentState { hash: "abc".into(), since: earlier(86_400), refused: None },
        planes: [Plane::Control, Plane::Data].map(|plane| (plane, PlaneState::Leading { since: earlier(3600) })).into(),
        clusters: ["hq", "fra"].map(|name| (name.parse().unwrap(), cluster(Link::Live, None))).into(),
        status: Some(Status {
            fleet: "meet".into(),
            url: "https://meet.example.org".into(),
            as_of: earlier(1),
            live,
            control: ControlStatus { cluster: hq, shards: vec![shard], haproxy: (2, 2), proxies: vec![proxy] },
            pools: vec![pool],
            unreachable: BTreeMap::new(),
            generations: BTreeMap::from([(Plane::Control, 118)]),
            tombstones: Vec::new(),
            proof: Proof::default(),
        }),
        endpoints: vec![endpoint(Slot::A), endpoint(Slot::B)],
        steps: 0,
        blocked: Vec::new(),
        failures: Vec::new(),
        fighting: Vec::new(),
    }
}

/// A fleet with one trouble of each kind.
pub(super) fn bad() -> State {
    let mut state = good();
    let fra: fleet::ClusterName = "fra".parse().unwrap();
    state.clusters.insert(fra.clone(), cluster(Link::Lost, Some("connect timed out after 5 s")));
    if let Some(cluster) = state.clusters.get_mut(&fra) {
        cluster.credentials = Some(Lifetime { begins: Some(earlier(86_400)), ends: time() });
    }
    let why = "the Lease can't be renewed: no answer".to_owned();
    state.planes.insert(Plane::Data, PlaneState::Frozen { why: why.clone(), since: earlier(30) });
    state.intent.refused = Some(Refused { since: earlier(60), problems: vec!["unknown key `shardz`".into()] });
    state.endpoints[0].endpoint = Endpoint::Stale { last: target(), why: PendingReason::NoService };
    state.fighting.push(Fighting {
        cluster: fra.clone(),
        object: "Service media/meet-jvb-eu-0".into(),
        managers: vec!["argocd".into()],
        repairs: 5,
        until: earlier(-600),
    });
    state.blocked.push(Blocked {
        unit: UnitId::Bridge("eu".parse().unwrap(), Index(0)),
        cluster: fra.clone(),
        by: BlockedBy::Unreachable { why },
    });
    if let Some(status) = &mut state.status {
        status.pools[0].bridges.0 = 2;
        status.proof.missing.push(Missing {
            pool: "eu".parse().unwrap(),
            index: Index(0),
            cluster: fra,
            shard: "alpha".parse().unwrap(),
            slot: Slot::A,
            why: "its pod is not there yet".into(),
            hint: None,
        });
    }
    state
}

pub(super) fn counters() -> Counters {
    let (fra, hq) = ("fra".parse::<fleet::ClusterName>().unwrap(), "hq".parse::<fleet::ClusterName>().unwrap());
    let requests = [(&hq, "patch", 200, 40), (&fra, "watch", 0, 2), (&fra, "patch", 503, 3), (&fra, "get", 404, 1)];
    Counters {
        rounds: BTreeMap::from([(RoundEnd::Nothing, 7), (RoundEnd::Acted, 3)]),
        durations: [1, 2, 3, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1],
        spent: 12_345_678,
        repaired: BTreeMap::from([((fra.clone(), Kind::Service), 4)]),
        requests: requests.map(|(cluster, verb, code, n)| ((cluster.clone(), verb.to_owned(), code), n)).into(),
    }
}
