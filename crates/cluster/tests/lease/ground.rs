//! Two clusters in memory, and the processes that write there.

use std::time::Duration;

use clock::Clock;
use cluster::{Cluster, LeaseKeeper, Limits, Logins, Options, Proxies, RunKey, Tallies};
use fleet::{FleetName, Plane};
use manifest::labels;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sandbox::fault::Faults;
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::time::sleep;

use super::world::World;

pub(super) const NAMESPACE: &str = "meet";
/// The home of the plane, and a cluster that it writes.
pub(super) const HOME: &str = "hq";
pub(super) const DATA: &str = "fra";

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn fleet() -> FleetName {
    "meet".parse().unwrap()
}

pub(super) struct Ground {
    pub(super) sandbox: Sandbox,
    pub(super) clock: Clock,
}

impl Ground {
    pub(super) async fn new() -> Self {
        let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
        let options = SandboxOptions {
            clusters: vec![HOME.to_owned(), DATA.to_owned()],
            timing: Timing::real(),
            clock: clock.clone(),
            seed: 1,
            custom_kinds: false,
        };
        let ground = Self { sandbox: Sandbox::start(options).await.unwrap(), clock };
        for name in [HOME, DATA] {
            ground.reach(name, &Faults::new(0)).create_namespace().await.unwrap();
        }
        ground
    }

    /// A connection, as a process has one.
    pub(super) fn reach(&self, name: &str, faults: &Faults) -> Cluster {
        let options = Options {
            user_agent: "jitsictl/test".to_owned(),
            limits: Limits::default(),
            proxies: Proxies::default(),
            run_key: RunKey::new(&mut StdRng::seed_from_u64(1)),
            tallies: Tallies::default(),
            logins: Logins::default(),
        };
        let client = self.sandbox.faulty_client(name, faults, "jitsictl/test").unwrap();
        Cluster::from_client(&name.parse().unwrap(), NAMESPACE, client, &options)
    }

    pub(super) fn process(&self, name: &'static str, seed: u64) -> Process {
        let (to_home, to_data) = (Faults::new(seed), Faults::new(seed + 1));
        let (home, data) = (self.reach(HOME, &to_home), self.reach(DATA, &to_data));
        let (world, clock) = (World::default(), self.clock.fork());
        let (keeper, task) = LeaseKeeper::apart(home.clone(), &fleet(), Plane::Data, name, clock.clone(), seed);
        tokio::spawn(world.stoppable(task));
        Process { name, to_home, to_data, home, data, clock, world, keeper }
    }
}

/// A process: everything that it does stops with its world.
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) to_home: Faults,
    pub(super) to_data: Faults,
    pub(super) home: Cluster,
    pub(super) data: Cluster,
    pub(super) clock: Clock,
    pub(super) world: World,
    pub(super) keeper: LeaseKeeper,
}

impl Process {
    pub(super) fn leads(&self) -> bool {
        self.keeper.fence().check(Duration::ZERO).is_ok()
    }

    pub(super) async fn leading(&self) {
        while !self.leads() {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

pub(super) fn it(value: &str) -> Json {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": value },
        "metadata": { "name": "it", "namespace": NAMESPACE, "labels": { labels::FLEET: "meet" } },
    })
}
