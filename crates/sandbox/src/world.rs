//! The world: all clusters with what plays in them, and the hooks by which a test changes its course.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Weak},
    time::Duration,
};

use clock::Clock;
use jiff::Timestamp;
use kube::{Api, Client};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    agent, balancer,
    daemon::{Command, Instance, Load},
    error::SandboxError,
    kubelet::Kubelet,
    media, node,
    signal::Signal,
    state::{ClusterState, PodKey, Shared},
    timing::Timing,
};

/// How one cluster is reached. Any API server will do.
#[derive(Debug, Clone)]
pub struct ClusterAccess {
    /// Its name: the first part of the names of its nodes.
    pub name: String,
    /// The way to its API server, and from there to its kubelets.
    pub door: Door,
    /// The address of the first Service of type LoadBalancer; the next ones follow.
    pub load_balancer_base: Ipv4Addr,
}

/// The way to an API server, and from there to the kubelets.
#[derive(Clone)]
pub enum Door {
    /// A server of its own, with all rights: its kubelet listens on loopback, with TLS.
    Network(Box<kube::Config>),
    /// A server in this process, which calls the kubelet without any network. Such a cluster gets more nodes when pods
    /// fit on none that it has.
    Memory(Client),
}

// A client cannot be printed, and a configuration may hold secrets.
impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Network(_) => "Network(..)",
            Self::Memory(_) => "Memory(..)",
        })
    }
}

/// What is known of the daemons of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonInfo {
    /// The pod's UID.
    pub pod_uid: String,
    /// When its youngest daemon was started.
    pub started_at: Timestamp,
    /// How often daemons were started in this pod.
    pub starts: u32,
}

/// Counts people, whoever holds the world.
#[derive(Clone)]
pub struct Census(Weak<Shared>);

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Census(..)")
    }
}

impl Census {
    /// How many people are on the bridge, or how many recordings run in the recorder, of this pod right now.
    #[must_use]
    pub fn people_on(&self, cluster: &str, namespace: &str, pod: &str) -> u64 {
        self.instance(cluster, namespace, pod).map_or(0, |instance| instance.people())
    }

    /// How many conferences the jicofo of this pod has right now that began at least so long ago.
    #[must_use]
    pub fn conferences_of(&self, cluster: &str, namespace: &str, pod: &str, since: Duration) -> u64 {
        let focus = self.instance(cluster, namespace, pod).and_then(|instance| instance.focus());
        focus.map_or(0, |(jicofo, _)| jicofo.lasting(since))
    }

    fn instance(&self, cluster: &str, namespace: &str, pod: &str) -> Option<Arc<Instance>> {
        let shared = self.0.upgrade()?;
        let index = shared.clusters.iter().position(|state| state.name == cluster)?;
        shared.instance(&PodKey { cluster: index, namespace: namespace.to_owned(), name: pod.to_owned() })
    }
}

/// The port on which kubelets listen in reality.
const KUBELET: u16 = 10250;

/// Node agents, load balancers and daemons of all clusters. Ends when dropped.
pub struct World {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("clusters", &self.names()).finish_non_exhaustive()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl World {
    /// Starts to play in these clusters, and returns when their nodes are ready.
    ///
    /// # Errors
    /// When an API server does not take the nodes, or there is no port to listen on.
    pub async fn start(clusters: Vec<ClusterAccess>) -> Result<Self, SandboxError> {
        Self::start_with(clusters, Timing::default(), Clock::machine()).await
    }

    /// Like [`World::start`], at another pace and by another clock.
    ///
    /// # Errors
    /// As there.
    pub async fn start_with(clusters: Vec<ClusterAccess>, timing: Timing, clock: Clock) -> Result<Self, SandboxError> {
        let network = Signal::default();
        let mut states = Vec::new();
        let mut kubelets = Vec::new();
        for (index, access) in clusters.into_iter().enumerate() {
            let (client, kubelet) = match access.door {
                Door::Memory(client) => (client, None),
                Door::Network(config) => {
                    let client = Client::try_from(*config).map_err(|source| SandboxError::Api {
                        cluster: access.name.clone(),
                        what: "make a client".to_owned(),
                        source: Box::new(source),
                    })?;
                    (client, Some(Kubelet::bind(&access.name).await?))
                }
            };
            let elastic = kubelet.is_none();
            let port = kubelet.as_ref().map_or(KUBELET, |kubelet| kubelet.port);
            kubelets.push(kubelet);
            let base = access.load_balancer_base;
            states.push(ClusterState::new(index, access.name, client, base, (elastic, port), &network));
        }
        let shared = Arc::new(Shared::new(states, timing, clock, network));
        let mut world = Self { shared, tasks: JoinSet::new() };
        for (index, kubelet) in kubelets.into_iter().enumerate() {
            world.populate(index, kubelet).await?;
        }
        Ok(world)
    }

    async fn populate(&mut self, index: usize, kubelet: Option<Kubelet>) -> Result<(), SandboxError> {
        let shared = &self.shared;
        node::create(shared, index).await?;
        let Some(cluster) = shared.cluster(index) else { return Ok(()) };
        let (sender, changes) = mpsc::unbounded_channel();
        let (slices, slice_changes) = mpsc::unbounded_channel();
        let client = || cluster.client.clone();
        self.tasks.spawn(node::keep(Arc::clone(shared), index));
        if let Some(kubelet) = kubelet {
            self.tasks.spawn(kubelet.serve(Arc::clone(shared), index));
        }
        self.tasks.spawn(Arc::clone(&cluster.nodes).follow(Api::all(client()), None));
        self.tasks.spawn(Arc::clone(&cluster.services).follow(Api::all(client()), None));
        self.tasks.spawn(Arc::clone(&cluster.slices).follow(Api::all(client()), Some(slices)));
        self.tasks.spawn(Arc::clone(&cluster.config_maps).follow(Api::all(client()), None));
        self.tasks.spawn(Arc::clone(&cluster.secrets).follow(Api::all(client()), None));
        self.tasks.spawn(Arc::clone(&cluster.pods).follow(Api::all(client()), Some(sender)));
        self.tasks.spawn(agent::run(Arc::clone(shared), index, changes));
        self.tasks.spawn(media::run(Arc::clone(shared), index, slice_changes));
        self.tasks.spawn(balancer::run(Arc::clone(shared), index));
        Ok(())
    }

    /// A world in which nothing plays but what is put there.
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: JoinSet::new() }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends everything that plays, and waits for it. The API servers keep what they have.
    pub async fn stop(mut self) {
        self.end().await;
    }

    pub(crate) async fn end(&mut self) {
        self.shared.stop.cancel();
        self.tasks.shutdown().await;
        self.shared.forget_instances();
    }

    fn names(&self) -> Vec<&str> {
        self.shared.clusters.iter().map(|cluster| cluster.name.as_str()).collect()
    }

    fn index(&self, cluster: &str) -> Result<usize, SandboxError> {
        let found = self.shared.clusters.iter().position(|state| state.name == cluster);
        found.ok_or_else(|| SandboxError::NoSuchCluster { name: cluster.to_owned(), known: self.names().join(", ") })
    }

    fn instance(&self, cluster: &str, namespace: &str, pod: &str) -> Result<Arc<Instance>, SandboxError> {
        let index = self.index(cluster)?;
        let key = PodKey { cluster: index, namespace: namespace.to_owned(), name: pod.to_owned() };
        let nobody = || SandboxError::NoSuchDaemon { cluster: cluster.to_owned(), pod: format!("{namespace}/{pod}") };
        let instance = self.shared.instance(&key).ok_or_else(nobody)?;
        if instance.daemons().is_empty() { Err(nobody()) } else { Ok(instance) }
    }

    /// Gives a load balancer other addresses; what is no IP is a host name. None at all makes it pending.
    ///
    /// # Errors
    /// When the cluster is unknown, or its API server refuses.
    pub async fn set_load_balancer_address(
        &self,
        cluster: &str,
        namespace: &str,
        service: &str,
        addresses: Vec<String>,
    ) -> Result<(), SandboxError> {
        let index = self.index(cluster)?;
        let Some(state) = self.shared.cluster(index) else { return Ok(()) };
        balancer::publish(state, namespace, service, None, &addresses).await.map_err(|source| SandboxError::Api {
            cluster: cluster.to_owned(),
            what: format!("publish the addresses of Service {namespace}/{service}"),
            source: Box::new(source),
        })
    }

    /// While held, new load balancers of a cluster stay pending.
    ///
    /// # Errors
    /// When the cluster is unknown.
    pub fn hold_load_balancers(&self, cluster: &str, hold: bool) -> Result<(), SandboxError> {
        let index = self.index(cluster)?;
        self.shared.faults(|faults| {
            if hold { faults.held_balancers.insert(index) } else { faults.held_balancers.remove(&index) }
        });
        self.shared.network.bump();
        Ok(())
    }

    /// While set, no container starts from an image with this tag.
    pub fn fail_image(&self, tag: &str, fail: bool) {
        self.shared.faults(
            |faults| {
                if fail { faults.bad_tags.insert(tag.to_owned()) } else { faults.bad_tags.remove(tag) }
            },
        );
    }

    /// What a host name of the world outside resolves to; nothing means "no such host".
    pub fn set_host(&self, name: &str, addresses: Vec<String>) {
        let mut names = self.shared.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.insert(name.to_owned(), addresses);
        drop(names);
        self.shared.network.bump();
    }

    /// Puts people into a jicofo, a bridge or a recorder: only what that daemon itself then reports changes.
    ///
    /// # Errors
    /// When no daemon that can have people runs in that pod.
    pub fn set_load(
        &self,
        cluster: &str,
        namespace: &str,
        pod: &str,
        conferences: u64,
        participants: u64,
    ) -> Result<(), SandboxError> {
        if self.instance(cluster, namespace, pod)?.set_load(Load { conferences, participants }) {
            return Ok(());
        }
        Err(SandboxError::NoSuchDaemon { cluster: cluster.to_owned(), pod: format!("{namespace}/{pod}") })
    }

    /// Lets the daemon of a pod crash. The supervisor in its container starts it again at once: the pod shows nothing,
    /// but what the daemon was told at run time is gone.
    ///
    /// # Errors
    /// When no daemon runs in that pod.
    pub fn crash(&self, cluster: &str, namespace: &str, pod: &str) -> Result<(), SandboxError> {
        // The task that listens lives as long as the pod.
        let _ = self.instance(cluster, namespace, pod)?.commands.send(Command::Crash);
        Ok(())
    }

    /// The kernel kills the containers of a pod for want of memory; the node starts them again.
    ///
    /// # Errors
    /// When no daemon runs in that pod.
    pub fn out_of_memory(&self, cluster: &str, namespace: &str, pod: &str) -> Result<(), SandboxError> {
        // As above.
        let _ = self.instance(cluster, namespace, pod)?.commands.send(Command::OutOfMemory);
        Ok(())
    }

    /// A machine goes down: its daemons are gone, its node falls silent.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn lose_node(&self, cluster: &str, node: &str) -> Result<(), SandboxError> {
        self.set_lost(cluster, node, true)
    }

    /// A machine comes back, and starts again what its node still has.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn restore_node(&self, cluster: &str, node: &str) -> Result<(), SandboxError> {
        self.set_lost(cluster, node, false)
    }

    /// All machines of a zone (by its label) go down.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn lose_zone(&self, cluster: &str, zone: &str) -> Result<Vec<String>, SandboxError> {
        let index = self.index(cluster)?;
        let nodes = self.shared.cluster(index).map(|state| node::machines(state).in_zone(zone)).unwrap_or_default();
        if nodes.is_empty() {
            return Err(SandboxError::NoSuchNode { cluster: cluster.to_owned(), node: format!("in zone {zone}") });
        }
        for node in &nodes {
            self.set_lost(cluster, node, true)?;
        }
        Ok(nodes)
    }

    fn set_lost(&self, cluster: &str, node: &str, lost: bool) -> Result<(), SandboxError> {
        let index = self.index(cluster)?;
        let Some(state) = self.shared.cluster(index) else { return Ok(()) };
        if !node::machines(state).set_lost(node, lost) {
            return Err(SandboxError::NoSuchNode { cluster: cluster.to_owned(), node: node.to_owned() });
        }
        state.machines_changed.bump();
        Ok(())
    }

    /// Who runs in a pod since when: equal before and after means that nothing was restarted.
    ///
    /// # Errors
    /// When no daemon runs in that pod.
    pub fn daemon(&self, cluster: &str, namespace: &str, pod: &str) -> Result<DaemonInfo, SandboxError> {
        let instance = self.instance(cluster, namespace, pod)?;
        let started_at = instance.daemons().iter().map(|daemon| daemon.started).max().unwrap_or_default();
        Ok(DaemonInfo { pod_uid: instance.uid.clone(), started_at, starts: instance.starts() })
    }

    /// Who is on which pod, for as long as the world is.
    #[must_use]
    pub fn census(&self) -> Census {
        Census(Arc::downgrade(&self.shared))
    }

    /// What the daemons of a pod said, oldest first: also why they cannot connect.
    ///
    /// # Errors
    /// When the cluster is unknown.
    pub fn log(&self, cluster: &str, namespace: &str, pod: &str) -> Result<Vec<String>, SandboxError> {
        let key = PodKey { cluster: self.index(cluster)?, namespace: namespace.to_owned(), name: pod.to_owned() };
        Ok(self.shared.instance(&key).map(|instance| instance.lines()).unwrap_or_default())
    }
}
