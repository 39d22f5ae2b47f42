//! A fleet and the world that it lives in, as the planner sees them.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Fleet, Index, PoolName, Slot};
use jiff::Timestamp;
use manifest::testing::{cluster, set_env, shard_name};
use manifest::{Allocations, Desired, Endpoint, Surroundings, Target};
use plan::effect::World;
use plan::{
    BridgeView, ClusterView, Given, Inputs, Known, NamespaceState, Plan, Policy, Record, Seen, SlotView, Source, Step,
    plan,
};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A fleet, the world that it lives in, and a clock.
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) world: World,
    pub(crate) policy: Policy,
    pub(crate) second: i64,
    /// Where every shard's XMPP server is reached.
    pub(crate) address: &'static str,
}

impl Stage {
    /// Clusters that answer and hold nothing yet.
    pub(crate) fn empty(fleet: Fleet) -> Self {
        let mut world = World::default();
        for name in fleet.clusters.keys() {
            let namespace = NamespaceState::Present { uid: "n".into(), enforce: None, terminating: false };
            let view = ClusterView { namespace, ..ClusterView::default() };
            world
                .observed
                .clusters
                .insert(name.clone(), Known::Yes(Seen { value: view, source: Source::ApiServer, as_of: at(0) }));
        }
        world.record = Record { allocations: Allocations::default().extended(&fleet), ..Record::default() };
        let mut stage = Self { fleet, world, policy: Policy::default(), second: 0, address: "198.51.100.7" };
        stage.start_jicofos();
        stage
    }

    /// A fleet that was applied and has converged.
    pub(crate) fn converged(fleet: Fleet) -> Self {
        let mut stage = Self::empty(fleet);
        stage.run();
        assert!(stage.plan().is_empty(), "{:#?}", stage.plan());
        stage
    }

    pub(crate) fn start_jicofos(&mut self) {
        self.world.record.allocations = self.world.record.allocations.clone().extended(&self.fleet);
        for shard in self.fleet.control.shards.keys() {
            let empty = Seen { value: SlotView::default(), source: Source::Jicofo, as_of: at(0) };
            self.world.observed.slots.entry((shard.clone(), Slot::A)).or_insert(Known::Yes(empty));
        }
    }

    pub(crate) fn desired(&self) -> Desired {
        let target = Endpoint::Known(Target::Ips { ips: vec![self.address.parse().unwrap()], port: 5222 });
        let endpoints = self
            .fleet
            .control
            .shards
            .keys()
            .map(|s| (s.clone(), BTreeMap::from([(Slot::A, target.clone())])))
            .collect();
        let nodes = self.fleet.data.pools.iter().map(|pool| (pool.name.clone(), Some(BTreeMap::new()))).collect();
        let surroundings = Surroundings { endpoints, nodes, load_balancers: BTreeMap::new() };
        let allocations = &self.world.record.allocations;
        let mut units = control_plane::render(&self.fleet, allocations);
        units.extend(data_plane::render(&self.fleet, allocations, &surroundings));
        let desired = Desired::new(units);
        let views = self.world.observed.clusters.values().filter_map(Known::value);
        let owned = views.flat_map(|view| view.inventories.values()).flat_map(|inventory| inventory.units.keys());
        let left: Vec<_> = owned.filter(|unit| !desired.units.contains_key(*unit)).collect();
        let leaving = data_plane::leaving(&self.fleet, &surroundings, &left);
        desired.with_leaving(leaving)
    }

    pub(crate) fn plan(&self) -> Plan {
        self.asked(plan)
    }

    pub(crate) fn forecast(&self) -> Vec<String> {
        self.asked(|inputs| plan::forecast(inputs, &plan(inputs))).lines
    }

    pub(crate) fn asked<T>(&self, ask: impl FnOnce(&Inputs<'_>) -> T) -> T {
        ask(&Inputs {
            fleet: &self.fleet,
            desired: &self.desired(),
            pending: &BTreeMap::new(),
            held: &BTreeSet::new(),
            observed: &self.world.observed,
            record: &self.world.record,
            policy: &self.policy,
            now: at(self.second),
        })
    }

    /// Takes all steps of a plan.
    pub(crate) fn advance(&mut self) -> Plan {
        let plan = self.plan();
        let desired = self.desired();
        for step in &plan.steps {
            self.second += 1;
            self.world.take(step, &self.fleet, &desired, at(self.second));
        }
        plan
    }

    /// Iterates until nothing is allowed any more.
    pub(crate) fn run(&mut self) -> Vec<Plan> {
        let mut plans = Vec::new();
        for _ in 0..200 {
            let plan = self.advance();
            if plan.steps.is_empty() {
                return plans;
            }
            plans.push(plan);
        }
        panic!("no fixed point after 200 plans; the last: {:#?}", plans.last());
    }

    pub(crate) fn view(&mut self, name: &str) -> &mut ClusterView {
        match self.world.observed.clusters.get_mut(&cluster(name)) {
            Some(Known::Yes(seen)) => &mut seen.value,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn people_on_bridge(&mut self, index: u16, endpoints: u64) {
        let nickname = format!("frankfurt-meet-jvb-eu-{index}-0");
        for known in self.world.observed.slots.values_mut() {
            let Known::Yes(seen) = known else { continue };
            seen.value.bridges.get_mut(&nickname).unwrap().endpoints = endpoints;
        }
    }

    pub(crate) fn people_on_bridge_of(&mut self, shard: &str, index: u16, endpoints: u64) {
        let Some(Known::Yes(seen)) = self.world.observed.slots.get_mut(&(shard_name(shard), Slot::A)) else { panic!() };
        seen.value.bridges.get_mut(&format!("frankfurt-meet-jvb-eu-{index}-0")).unwrap().endpoints = endpoints;
        self.bridge_says_people(index, endpoints);
    }

    /// How many people a bridge says are on it.
    pub(crate) fn bridge_says_people(&mut self, index: u16, endpoints: u64) {
        let said = self.world.observed.bridges.get_mut(&(cluster("frankfurt"), eu(), Index(index)));
        let Some(Known::Yes(seen)) = said else { panic!() };
        seen.value.endpoints = endpoints;
    }

    pub(crate) fn conferences(&mut self, shard: &str, conferences: u64) {
        let Some(Known::Yes(seen)) = self.world.observed.slots.get_mut(&(shard_name(shard), Slot::A)) else { panic!() };
        seen.value.conferences = conferences;
        seen.value.participants = conferences * 3;
    }

    /// What a bridge says of itself, and how many of its clients are connected.
    pub(crate) fn bridge_says(&mut self, index: u16, clients: &[&str], connected: u64, second: i64) {
        let value = BridgeView {
            endpoints: 0,
            conferences: 0,
            draining: false,
            clients: Some(clients.iter().map(|id| (*id).to_owned()).collect()),
            clients_configured: clients.len() as u64,
            clients_connected: connected,
            mucs_joined: connected,
        };
        let said = Known::Yes(Seen { value, source: Source::Daemon, as_of: at(second) });
        self.world.observed.bridges.insert((cluster("frankfurt"), eu(), Index(index)), said);
    }

    /// A jicofo that lists all bridges but this one.
    pub(crate) fn jicofo_misses(&mut self, index: u16, second: i64) {
        for known in self.world.observed.slots.values_mut() {
            let Known::Yes(seen) = known else { continue };
            seen.as_of = at(second);
            seen.value.bridges.remove(&format!("frankfurt-meet-jvb-eu-{index}-0"));
        }
    }

    /// All jicofos said the same again, asked then.
    pub(crate) fn jicofos_asked(&mut self, second: i64) {
        for known in self.world.observed.slots.values_mut() {
            let Known::Yes(seen) = known else { panic!("{known:?}") };
            seen.as_of = at(second);
        }
    }

    /// A bridge said the same again, asked then.
    pub(crate) fn bridge_asked(&mut self, index: u16, second: i64) {
        let said = self.world.observed.bridges.get_mut(&(cluster("frankfurt"), eu(), Index(index)));
        let Some(Known::Yes(seen)) = said else { panic!("{said:?}") };
        seen.as_of = at(second);
    }

    pub(crate) fn look(&mut self) {
        let (allocations, witness) = (&self.world.record.allocations, self.policy.witness);
        self.policy.learnt.saw(&self.fleet, allocations, &self.world.observed, witness);
    }

    pub(crate) fn change_bridges(&mut self) {
        set_env(&mut self.fleet.data.pools[0].bridges.workload, "VIDEOBRIDGE_MAX_MEMORY", "2g");
    }
}

pub(crate) fn eu() -> PoolName {
    "eu".parse().unwrap()
}

/// The step that a drained bridge was drained by.
pub(crate) fn drain_of(stage: &Stage, index: u16) -> Step {
    let view = stage.world.observed.clusters[&cluster("frankfurt")].value().unwrap();
    let pod = &view.pods[&format!("meet-jvb-eu-{index}-0")];
    let given = Given { cluster: cluster("frankfurt"), pod: pod.name.clone(), uid: pod.uid.clone() };
    Step::Drain { pool: eu(), index: Index(index), pod: given, drain: pod.drain.clone().unwrap() }
}

pub(crate) fn kinds(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match step {
            Step::Bury(_) => "bury".to_owned(),
            Step::Apply { unit, .. } => format!("apply {unit}"),
            Step::Drain { index, .. } => format!("drain {index}"),
            Step::Undrain { index, .. } => format!("undrain {index}"),
            Step::Attach { index, shard, .. } => format!("attach {index} to {shard}"),
            Step::Detach { index, shard, .. } => format!("detach {index} from {shard}"),
            Step::DeletePod { pod, .. } => format!("delete {}", pod.pod),
            Step::Prune { object, .. } => format!("prune {} {}", object.kind, object.name),
            Step::Forget { unit, objects, .. } => format!("forget {} of {unit}", objects.len()),
        })
        .collect()
}
