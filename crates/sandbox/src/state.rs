//! What all parts of the world share.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use clock::Clock;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Node, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Client, ResourceExt};
use tokio::{sync::broadcast, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    cache::Cache,
    daemon::Instance,
    media::{MediaCut, MediaPaths},
    network,
    node::Machines,
    scheduler::Places,
    signal::Signal,
    timing::Timing,
};

/// How many media cuts a slow reader may lag behind.
const CUTS: usize = 4096;

/// One pod of the world.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodKey {
    pub(crate) cluster: usize,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl PodKey {
    pub(crate) fn of(cluster: usize, pod: &Pod) -> Self {
        Self { cluster, namespace: pod.namespace().unwrap_or_default(), name: pod.name_any() }
    }
}

/// One cluster: its API server, and what is known from it.
pub(crate) struct ClusterState {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) load_balancer_base: Ipv4Addr,
    /// The machines, and which of them are lost.
    pub(crate) machines: Mutex<Machines>,
    /// Told when a machine is lost or comes back.
    pub(crate) machines_changed: Signal,
    /// Whether a pod that fits nowhere gets a machine made for it.
    pub(crate) elastic: bool,
    /// The port that nodes announce for their kubelets.
    pub(crate) kubelet_port: u16,
    /// Through which Services media reaches the pods.
    pub(crate) media: Mutex<MediaPaths>,
    pub(crate) pods: Arc<Cache<Pod>>,
    pub(crate) services: Arc<Cache<Service>>,
    pub(crate) slices: Arc<Cache<EndpointSlice>>,
    pub(crate) config_maps: Arc<Cache<ConfigMap>>,
    pub(crate) secrets: Arc<Cache<Secret>>,
    pub(crate) nodes: Arc<Cache<Node>>,
    pub(crate) places: Mutex<Places>,
    pod_ips: AtomicU32,
    index: usize,
}

impl ClusterState {
    pub(crate) fn new(
        index: usize,
        name: String,
        client: Client,
        load_balancer_base: Ipv4Addr,
        (elastic, kubelet_port): (bool, u16),
        network: &Signal,
    ) -> Self {
        Self {
            client,
            load_balancer_base,
            machines: Mutex::new(Machines::new(index, &name, load_balancer_base)),
            machines_changed: Signal::default(),
            elastic,
            kubelet_port,
            media: Mutex::default(),
            pods: Arc::new(Cache::new(network::pod_keys)),
            services: Arc::new(Cache::new(network::service_keys).telling(network)),
            slices: Arc::new(Cache::new(network::slice_keys).telling(network)),
            config_maps: Arc::new(Cache::new(|_| Vec::new())),
            secrets: Arc::new(Cache::new(|_| Vec::new())),
            nodes: Arc::new(Cache::new(|_| Vec::new())),
            places: Mutex::default(),
            pod_ips: AtomicU32::new(1),
            index,
            name,
        }
    }

    /// An address that no pod of this cluster has.
    pub(crate) fn next_pod_ip(&self) -> String {
        loop {
            let number = self.pod_ips.fetch_add(1, Ordering::Relaxed);
            let (high, low) = ((number >> 8) & 0xff, number & 0xff);
            let ip = format!("10.{}.{high}.{low}", 128 + self.index);
            if low != 0 && low != 255 && self.pods.indexed(&network::address_key(&ip)).is_empty() {
                return ip;
            }
        }
    }
}

/// What tests made to fail.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Image tags that cannot be pulled.
    pub(crate) bad_tags: BTreeSet<String>,
    /// Clusters, by index, whose load balancers stay pending.
    pub(crate) held_balancers: BTreeSet<usize>,
}

/// The world.
pub(crate) struct Shared {
    pub(crate) clusters: Vec<ClusterState>,
    pub(crate) timing: Timing,
    /// The time of day in this world.
    pub(crate) clock: Clock,
    /// Told when a name, an address or a daemon may lead elsewhere.
    pub(crate) network: Signal,
    /// Host names of the world outside, and their addresses.
    pub(crate) names: Mutex<BTreeMap<String, Vec<String>>>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) stop: CancellationToken,
    instances: RwLock<BTreeMap<PodKey, Arc<Instance>>>,
    /// When an image is, or will be, on a node: by cluster, node and image.
    images: Mutex<BTreeMap<(usize, String, String), Instant>>,
    cuts: broadcast::Sender<MediaCut>,
}

impl Shared {
    pub(crate) fn new(clusters: Vec<ClusterState>, timing: Timing, clock: Clock, network: Signal) -> Self {
        Self {
            clusters,
            timing,
            clock,
            network,
            names: Mutex::default(),
            faults: Mutex::default(),
            stop: CancellationToken::new(),
            instances: RwLock::default(),
            images: Mutex::default(),
            cuts: broadcast::Sender::new(CUTS),
        }
    }

    /// Lets all daemons go, at the end: they hold the world that holds them.
    pub(crate) fn forget_instances(&self) {
        self.instances.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Media flows that kube-proxy drops from now on.
    pub(crate) fn media_cuts(&self) -> broadcast::Receiver<MediaCut> {
        self.cuts.subscribe()
    }

    pub(crate) fn tell_media_cut(&self, cut: MediaCut) {
        // Nobody listens when no callers are played.
        let _ = self.cuts.send(cut);
    }

    /// When an image is on a node; the first who asks begins to pull it.
    pub(crate) fn image_there(&self, cluster: usize, node: &str, image: &str) -> Instant {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let pulled = || Instant::now() + self.timing.image_pull;
        *images.entry((cluster, node.to_owned(), image.to_owned())).or_insert_with(pulled)
    }

    /// Daemons that run in pods, by pod.
    pub(crate) fn instances(&self) -> Vec<(PodKey, Arc<Instance>)> {
        let instances = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        instances.iter().map(|(key, instance)| (key.clone(), Arc::clone(instance))).collect()
    }

    pub(crate) fn cluster(&self, index: usize) -> Option<&ClusterState> {
        self.clusters.get(index)
    }

    /// What runs in a pod.
    pub(crate) fn instance(&self, key: &PodKey) -> Option<Arc<Instance>> {
        self.instances.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn put_instance(&self, key: PodKey, instance: Arc<Instance>) {
        self.instances.write().unwrap_or_else(PoisonError::into_inner).insert(key, instance);
        self.network.bump();
    }

    /// Removes what runs in a pod, unless another pod of that name already took its place.
    pub(crate) fn remove_instance(&self, key: &PodKey, uid: &str) {
        {
            let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
            if instances.get(key).is_some_and(|instance| instance.uid == uid) {
                instances.remove(key);
            }
        }
        self.network.bump();
    }

    pub(crate) fn faults<T>(&self, with: impl FnOnce(&mut Faults) -> T) -> T {
        with(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
