//! The life of one pod: a place, its containers, its status, its end.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value as Json, json};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    container::{File, Sources, Surroundings, Unready},
    daemon::{Command, Daemon, Instance, Life, Start},
    node,
    state::{ClusterState, PodKey, Shared},
    status::{self, ContainerReport, Last},
    vessel::Vessel,
};

/// Between two attempts to remove a pod whose containers have ended.
const REMOVE: Duration = Duration::from_millis(500);
/// How long a binding may take to be seen.
const BINDING: Duration = Duration::from_secs(2);

pub(crate) struct PodTask {
    shared: Arc<Shared>,
    key: PodKey,
    uid: String,
    pods: watch::Receiver<Arc<Pod>>,
    writes: Arc<Semaphore>,
    commands: mpsc::UnboundedReceiver<Command>,
    instance: Arc<Instance>,
    vessels: Vec<Vessel>,
    reported: Json,
    /// Whether it is ready, and since when that is so.
    ready: (bool, Timestamp),
}

impl PodTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        key: PodKey,
        uid: String,
        pods: watch::Receiver<Arc<Pod>>,
        writes: Arc<Semaphore>,
    ) -> Self {
        let (sender, commands) = mpsc::unbounded_channel();
        let instance = Arc::new(Instance::new(uid.clone(), sender));
        let ready = (false, shared.clock.now());
        Self { shared, key, uid, pods, writes, commands, instance, vessels: Vec::new(), reported: Json::Null, ready }
    }

    fn cluster(&self) -> Option<&ClusterState> {
        self.shared.cluster(self.key.cluster)
    }

    fn api(&self) -> Option<Api<Pod>> {
        self.cluster().map(|cluster| Api::namespaced(cluster.client.clone(), &self.key.namespace))
    }

    /// Until the pod is gone.
    pub(crate) async fn run(mut self) {
        while !self.gone() {
            let pod = Arc::clone(&self.pods.borrow_and_update());
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            match node {
                Some(node) if self.is_lost(&node) => self.wait_for_machine(&node).await,
                _ if pod.metadata.deletion_timestamp.is_some() => self.end(&pod).await,
                Some(node) => self.turn(&pod, &node).await,
                None => self.schedule(&pod).await,
            }
        }
        self.shut_down();
    }

    fn is_lost(&self, node: &str) -> bool {
        self.cluster().is_some_and(|cluster| node::machines(cluster).lost(node))
    }

    /// Nothing runs, nothing is reported, until the machine is back or the pod is given up.
    async fn wait_for_machine(&mut self, node: &str) {
        let Some(mut changed) = self.cluster().map(|cluster| cluster.machines_changed.listen()) else { return };
        for one in &mut self.vessels {
            one.lose();
            self.instance.put(&one.spec.name, None);
        }
        self.shared.remove_instance(&self.key, &self.uid);
        while self.is_lost(node) && !self.gone() {
            tokio::select! {
                biased;
                _ = self.pods.changed() => {}
                () = changed.changed() => {}
            }
        }
        // Others have written meanwhile that it is not ready.
        self.reported = Json::Null;
        if !self.vessels.is_empty() {
            self.shared.put_instance(self.key.clone(), Arc::clone(&self.instance));
        }
    }

    fn gone(&self) -> bool {
        self.pods.has_changed().is_err()
    }

    fn shut_down(&mut self) {
        self.stop_daemons();
        self.shared.remove_instance(&self.key, &self.uid);
        if let Some(cluster) = self.cluster() {
            cluster.places.lock().unwrap_or_else(PoisonError::into_inner).release(&self.uid);
        }
    }

    fn stop_daemons(&mut self) {
        for one in &mut self.vessels {
            if let Some(daemon) = one.daemon.take() {
                daemon.stop();
            }
            self.instance.put(&one.spec.name, None);
        }
        self.shared.network.bump();
    }

    /// Waits for a change of the pod, at most so long.
    async fn pause(&mut self, at_most: Duration) {
        tokio::select! {
            biased;
            _ = self.pods.changed() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    async fn schedule(&mut self, pod: &Arc<Pod>) {
        let (Some(cluster), Some(api)) = (self.cluster(), self.api()) else { return };
        let nodes = cluster.nodes.all();
        let taken = cluster.places.lock().unwrap_or_else(PoisonError::into_inner).take(&self.uid, pod, &nodes);
        match taken {
            Ok(node) => {
                let body = json!({
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": { "name": self.key.name, "namespace": self.key.namespace, "uid": self.uid },
                    "target": { "apiVersion": "v1", "kind": "Node", "name": node },
                });
                let permit = self.writes.acquire().await;
                let parameters = PostParams::default();
                let bound: Result<Json, _> =
                    api.create_subresource("binding", &self.key.name, &parameters, &body).await;
                drop(permit);
                if let Err(error) = bound {
                    tracing::debug!(%error, pod = self.key.name, "cannot bind");
                    cluster.places.lock().unwrap_or_else(PoisonError::into_inner).release(&self.uid);
                }
                self.pause(BINDING).await;
            }
            Err(why) => {
                self.report(&status::unschedulable(&why)).await;
                if let Some(cluster) = self.cluster() {
                    node::provide(&self.shared, cluster, pod).await;
                }
                self.pause(self.shared.timing.container_retry).await;
            }
        }
    }

    /// Starts what should run, tells, and waits for something to happen.
    async fn turn(&mut self, pod: &Arc<Pod>, node: &str) {
        if self.vessels.is_empty() {
            self.vessels = pod.spec.iter().flat_map(|spec| &spec.containers).map(Vessel::new).collect();
            if let Some(cluster) = self.cluster() {
                cluster.places.lock().unwrap_or_else(PoisonError::into_inner).adopt(&self.uid, pod, node);
            }
            self.shared.put_instance(self.key.clone(), Arc::clone(&self.instance));
        }
        let known = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let told = self.reported.pointer("/podIP").and_then(Json::as_str).map(str::to_owned);
        let Some(ip) = known.or(told).or_else(|| Some(self.cluster()?.next_pod_ip())) else { return };
        for index in 0..self.vessels.len() {
            self.create(pod, index, Surroundings { node, pod_ip: &ip });
            self.launch(index);
        }
        let ready = self.vessels.iter().all(Vessel::is_ready);
        if ready != self.ready.0 {
            self.ready = (ready, self.shared.clock.now());
        }
        let reports: Vec<ContainerReport<'_>> = self.vessels.iter().map(Vessel::report).collect();
        let status = status::bound(&ip, pod, &reports, self.ready.1);
        if status::is_silenced(pod) {
            // Written by who took the machine for lost, maybe after it was back: a kubelet sets that right.
            self.reported = Json::Null;
        }
        let written = self.report(&status).await;

        let next = self.vessels.iter().filter_map(Vessel::next).min();
        let retry = (!written).then(|| Instant::now() + self.shared.timing.container_retry);
        self.wait(pod, [next, retry].into_iter().flatten().min()).await;
    }

    async fn wait(&mut self, pod: &Arc<Pod>, next: Option<Instant>) {
        let exits: Vec<_> =
            self.vessels.iter().filter_map(|one| one.daemon.as_ref()).map(|it| it.exit.clone()).collect();
        let exited = async {
            if exits.is_empty() {
                std::future::pending::<()>().await;
            }
            futures::future::select_all(exits.iter().map(|exit| Box::pin(exit.cancelled()))).await;
        };
        let follows = self.vessels.iter().filter_map(|one| one.daemon.as_ref()).any(|daemon| daemon.follows_files());
        let mut config_maps = self.shared.cluster(self.key.cluster).map(|cluster| cluster.config_maps.signal.listen());
        let files = async {
            match &mut config_maps {
                Some(changes) if follows => changes.changed().await,
                _ => std::future::pending().await,
            }
        };
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let mut machines = self.shared.cluster(self.key.cluster).map(|cluster| cluster.machines_changed.listen());
        let machine = async {
            match &mut machines {
                Some(changes) => changes.changed().await,
                None => std::future::pending().await,
            }
        };
        // A change that came before this one listened is found by looking once more.
        if follows {
            self.refresh(pod);
        }
        tokio::select! {
            biased;
            _ = self.pods.changed() => {}
            () = machine => {}
            command = self.commands.recv() => match command {
                Some(Command::Crash) => self.crash(pod),
                Some(Command::OutOfMemory) => self.out_of_memory(),
                None => {}
            },
            () = exited => self.exited(),
            () = files => {
                tokio::time::sleep(self.shared.timing.volume_refresh).await;
                self.refresh(pod);
            }
            () = due => {}
        }
    }

    /// Creates a container that does not run, if it can be.
    fn create(&mut self, pod: &Arc<Pod>, index: usize, around: Surroundings<'_>) {
        let Some(cluster) = self.shared.cluster(self.key.cluster) else { return };
        let timing = &self.shared.timing;
        let Some(one) = self.vessels.get_mut(index) else { return };
        if one.since.is_some() || Instant::now() < one.not_before {
            return;
        }
        one.not_before = Instant::now() + timing.container_retry;
        let name = one.spec.image.clone().unwrap_or_default();
        if self.shared.faults(|faults| faults.bad_tags.contains(&one.image.tag)) {
            one.waiting = Unready {
                reason: "ImagePullBackOff",
                message: format!("Back-off pulling image \"{name}\": {name}: not found"),
            };
            return;
        }
        let there = self.shared.image_there(self.key.cluster, around.node, &name);
        if there > Instant::now() {
            one.waiting = Unready { reason: "ContainerCreating", message: String::new() };
            one.not_before = there;
            return;
        }
        let sources = Sources { config_maps: &cluster.config_maps, secrets: &cluster.secrets };
        let resolved =
            sources.files(pod, &one.spec).and_then(|files| Ok((files, sources.env(pod, &one.spec, around)?)));
        match resolved {
            Ok((files, env)) => {
                one.frozen = files.iter().filter(|file| file.frozen).cloned().collect();
                one.files = files;
                one.env = env;
                one.begin(self.shared.clock.now(), timing);
            }
            Err(why) => one.waiting = why,
        }
    }

    /// Starts the daemon of a container when its time has come.
    fn launch(&mut self, index: usize) {
        let Some(one) = self.vessels.get_mut(index).filter(|one| one.due()) else { return };
        let log = self.instance.log(&one.spec.name);
        let start = Start {
            shared: Arc::clone(&self.shared),
            key: self.key.clone(),
            image: one.image.clone(),
            env: one.env.clone(),
            files: std::mem::take(&mut one.files),
            log: log.clone(),
            liveness: one.liveness(self.shared.timing.probe_second),
            life: Life::within(&self.shared.stop),
            exit: CancellationToken::new(),
        };
        match Daemon::start(&start) {
            Ok(daemon) => {
                let daemon = Arc::new(daemon);
                one.daemon = Some(Arc::clone(&daemon));
                self.instance.put(&one.spec.name, Some(daemon));
            }
            Err(why) => {
                log.say(why.clone());
                start.life.stop.cancel();
                self.instance.put(&one.spec.name, None);
                one.end(Last { code: 1, reason: "Error", message: why }, &self.shared.timing);
            }
        }
        self.shared.network.bump();
    }

    /// The files of a container as they are mounted now.
    fn files(&self, pod: &Pod, one: &Vessel) -> Option<Vec<File>> {
        let cluster = self.cluster()?;
        let sources = Sources { config_maps: &cluster.config_maps, secrets: &cluster.secrets };
        // What vanished stays mounted as it was.
        let now = sources.files(pod, &one.spec).ok()?;
        let live = now.into_iter().filter(|file| !file.frozen);
        Some(one.frozen.iter().cloned().chain(live).collect())
    }

    fn refresh(&self, pod: &Pod) {
        for one in &self.vessels {
            let Some(daemon) = one.daemon.as_ref().filter(|daemon| daemon.follows_files()) else { continue };
            if let Some(files) = self.files(pod, one) {
                daemon.files_changed(&files);
            }
        }
    }

    /// Daemons die and are started again by the supervisor in their container: nothing of it shows in the pod.
    fn crash(&mut self, pod: &Pod) {
        for index in 0..self.vessels.len() {
            let files = self.vessels.get(index).and_then(|one| self.files(pod, one)).unwrap_or_default();
            let Some(one) = self.vessels.get_mut(index) else { continue };
            let Some(daemon) = one.daemon.take() else { continue };
            daemon.kill();
            self.instance.put(&one.spec.name, None);
            one.files = files;
            one.begin_again(&self.shared.timing);
            self.launch(index);
        }
        self.shared.network.bump();
    }

    /// A container dies with all that is in it.
    fn out_of_memory(&mut self) {
        for one in self.vessels.iter_mut().filter(|one| one.since.is_some()) {
            self.instance.put(&one.spec.name, None);
            if let Some(daemon) = &one.daemon {
                daemon.kill();
            }
            one.end(Last { code: 137, reason: "OOMKilled", message: String::new() }, &self.shared.timing);
        }
        self.shared.network.bump();
    }

    /// A daemon that ends by itself ends its container.
    fn exited(&mut self) {
        for one in &mut self.vessels {
            if one.daemon.as_ref().is_some_and(|daemon| daemon.exit.is_cancelled()) {
                self.instance.put(&one.spec.name, None);
                one.end(Last { code: 1, reason: "Error", message: "exited".to_owned() }, &self.shared.timing);
            }
        }
        self.shared.network.bump();
    }

    /// Terminating: a preStop hook waits for people, as long as it may; then SIGTERM, and the daemons leave at once.
    async fn end(&mut self, pod: &Arc<Pod>) {
        let noticed = Instant::now();
        let Some(mut machines) = self.cluster().map(|cluster| cluster.machines_changed.listen()) else { return };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let hooked: Vec<Arc<Daemon>> = self
            .vessels
            .iter()
            .filter(|one| one.spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some()))
            .filter_map(|one| one.daemon.clone())
            .collect();
        for daemon in &hooked {
            daemon.begin_to_end();
        }
        let waits = |daemon: &Arc<Daemon>| !daemon.exit.is_cancelled() && daemon.waits_for_people();
        let mut left = Duration::MAX;
        while !self.gone() {
            let now = Arc::clone(&self.pods.borrow_and_update());
            let grace = now.metadata.deletion_grace_period_seconds.and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
            left = Duration::from_secs(grace).saturating_sub(noticed.elapsed());
            if left.is_zero() || !hooked.iter().any(waits) {
                break;
            }
            tokio::select! {
                biased;
                _ = self.pods.changed() => {}
                () = machines.changed() => if self.is_lost(&node) {
                    return;
                },
                () = tokio::time::sleep(self.shared.timing.hook.min(left)) => {}
            }
        }
        if self.vessels.iter().any(|one| one.daemon.is_some()) {
            self.stop_daemons();
            tokio::time::sleep(self.shared.timing.termination.min(left)).await;
        }
        self.shut_down();
        while !self.gone() && !self.is_lost(&node) {
            self.remove().await;
            self.pause(REMOVE).await;
        }
    }

    async fn remove(&self) {
        let Some(api) = self.api() else { return };
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(self.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        let permit = self.writes.acquire().await;
        let removed = api.delete(&self.key.name, &parameters).await;
        drop(permit);
        if let Err(error) = removed {
            tracing::debug!(%error, pod = self.key.name, "cannot remove");
        }
    }

    /// Writes the status when it differs from the one written last. Says whether the API server has it.
    async fn report(&mut self, status: &Json) -> bool {
        if *status == self.reported {
            return true;
        }
        let Some(api) = self.api() else { return true };
        // The UID keeps this from landing on a successor of the same name.
        let patch = Patch::Merge(json!({ "metadata": { "uid": self.uid }, "status": status }));
        let permit = self.writes.acquire().await;
        let written = api.patch_status(&self.key.name, &PatchParams::default(), &patch).await;
        drop(permit);
        match written {
            Ok(_) => {
                self.reported = status.clone();
                true
            }
            Err(error) => {
                tracing::debug!(%error, pod = self.key.name, "cannot report");
                false
            }
        }
    }
}
