//! The life of one pod: a place, its containers, its status, its end.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
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
    daemon::{Command, Daemon, Image, Instance, Start},
    state::{ClusterState, PodKey, Shared},
    status::{self, ContainerReport, Doing},
};

/// How often a daemon that may not end yet is looked at.
const ENDING: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: u32 = 8;

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
}

/// A container as the agent sees it.
struct Vessel {
    spec: Container,
    daemon: Option<Arc<Daemon>>,
    env: BTreeMap<String, String>,
    frozen: Vec<File>,
    waiting: Unready,
    last_words: Option<String>,
    restarts: u32,
    started: Option<Timestamp>,
    not_before: Instant,
}

impl Vessel {
    fn new(spec: &Container) -> Self {
        Self {
            spec: spec.clone(),
            daemon: None,
            env: BTreeMap::new(),
            frozen: Vec::new(),
            waiting: Unready { reason: "ContainerCreating", message: String::new() },
            last_words: None,
            restarts: 0,
            started: None,
            not_before: Instant::now(),
        }
    }

    fn report(&self) -> ContainerReport<'_> {
        ContainerReport {
            name: &self.spec.name,
            image: self.spec.image.as_deref().unwrap_or_default(),
            doing: match (&self.daemon, self.started) {
                (Some(_), Some(since)) => Doing::Running { since },
                _ => Doing::Waiting { reason: self.waiting.reason, message: &self.waiting.message },
            },
            last_words: self.last_words.as_deref(),
            restarts: self.restarts,
        }
    }
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
        Self { shared, key, uid, pods, writes, commands, instance, vessels: Vec::new(), reported: Json::Null }
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
            if pod.metadata.deletion_timestamp.is_some() {
                self.end(&pod).await;
                break;
            }
            match pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
                None => self.schedule(&pod).await,
                Some(node) => self.turn(&pod, &node).await,
            }
        }
        self.shut_down();
    }

    fn gone(&self) -> bool {
        self.pods.has_changed().is_err()
    }

    fn shut_down(&mut self) {
        for container in &mut self.vessels {
            if let Some(daemon) = container.daemon.take() {
                daemon.stop();
            }
            self.instance.put(&container.spec.name, None);
        }
        self.shared.remove_instance(&self.key, &self.uid);
        if let Some(cluster) = self.cluster() {
            cluster.places.lock().unwrap_or_else(PoisonError::into_inner).release(&self.uid);
        }
    }

    /// Waits for a change of the pod, at most so long.
    async fn pause(&mut self, at_most: Duration) {
        tokio::select! {
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
                self.pause(Duration::from_secs(2)).await;
            }
            Err(why) => {
                self.report(&status::unschedulable(&why)).await;
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
            self.start(pod, index, Surroundings { node, pod_ip: &ip });
        }
        let reports: Vec<ContainerReport<'_>> = self.vessels.iter().map(Vessel::report).collect();
        let status = status::bound(&ip, pod, &reports);
        let written = self.report(&status).await;

        let retry = self.vessels.iter().filter(|one| one.daemon.is_none()).map(|one| one.not_before).min();
        let retry = if written { retry } else { Some(Instant::now() + self.shared.timing.container_retry) };
        self.wait(pod, retry).await;
    }

    async fn wait(&mut self, pod: &Arc<Pod>, retry: Option<Instant>) {
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
            match retry {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // A change that came before this one listened is found by looking once more.
        if follows {
            self.refresh(pod);
        }
        tokio::select! {
            _ = self.pods.changed() => {}
            command = self.commands.recv() => match command {
                Some(Command::Crash) => self.crash(pod),
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

    fn start(&mut self, pod: &Arc<Pod>, index: usize, around: Surroundings<'_>) {
        let Some(cluster) = self.shared.cluster(self.key.cluster) else { return };
        let backoff = self.shared.timing.container_retry;
        let Some(one) = self.vessels.get_mut(index) else { return };
        if one.daemon.is_some() || Instant::now() < one.not_before {
            return;
        }
        one.not_before = Instant::now() + backoff;
        let image = Image::parse(one.spec.image.as_deref().unwrap_or_default());
        if self.shared.faults(|faults| faults.bad_tags.contains(&image.tag)) {
            let name = one.spec.image.as_deref().unwrap_or_default();
            one.waiting = Unready {
                reason: "ImagePullBackOff",
                message: format!("Back-off pulling image \"{name}\": {name}: not found"),
            };
            return;
        }
        let sources = Sources { config_maps: &cluster.config_maps, secrets: &cluster.secrets };
        let resolved =
            sources.files(pod, &one.spec).and_then(|files| Ok((files, sources.env(pod, &one.spec, around)?)));
        let (files, env) = match resolved {
            Ok(resolved) => resolved,
            Err(why) => {
                one.waiting = why;
                return;
            }
        };
        one.frozen = files.iter().filter(|file| file.frozen).cloned().collect();
        one.env = env;
        match launch(&self.shared, &self.key, &self.instance, one, image, files) {
            Ok(()) => {}
            Err(why) => {
                one.restarts += 1;
                one.not_before = Instant::now() + backoff * one.restarts.min(LONGEST_BACKOFF);
                one.waiting = Unready {
                    reason: "CrashLoopBackOff",
                    message: format!("back-off restarting failed container {}: {why}", one.spec.name),
                };
                one.last_words = Some(why);
            }
        }
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
            daemon.stop();
            let image = Image::parse(one.spec.image.as_deref().unwrap_or_default());
            let since = one.started;
            match launch(&self.shared, &self.key, &self.instance, one, image, files) {
                Ok(()) => one.started = since,
                Err(why) => one.last_words = Some(why),
            }
        }
        self.shared.network.bump();
    }

    /// A daemon that ends by itself ends its container.
    fn exited(&mut self) {
        for one in &mut self.vessels {
            if one.daemon.as_ref().is_some_and(|daemon| daemon.exit.is_cancelled())
                && let Some(daemon) = one.daemon.take()
            {
                daemon.stop();
                self.instance.put(&one.spec.name, None);
                one.restarts += 1;
                one.last_words = Some("exited".to_owned());
                one.waiting = Unready { reason: "CrashLoopBackOff", message: "back-off restarting container".into() };
                one.not_before = Instant::now() + self.shared.timing.container_retry;
            }
        }
    }

    /// Terminating: a preStop hook waits for people, as long as it may.
    async fn end(&mut self, pod: &Arc<Pod>) {
        let hooked: Vec<Arc<Daemon>> = self
            .vessels
            .iter()
            .filter(|one| one.spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some()))
            .filter_map(|one| one.daemon.clone())
            .collect();
        for daemon in &hooked {
            daemon.begin_to_end();
        }
        while hooked.iter().any(|daemon| daemon.waits_for_people()) && !self.gone() {
            let now = Arc::clone(&self.pods.borrow_and_update());
            let deadline = now.metadata.deletion_timestamp.as_ref().or(pod.metadata.deletion_timestamp.as_ref());
            if deadline.is_none_or(|deadline| Timestamp::now() >= deadline.0) {
                break;
            }
            self.pause(ENDING).await;
        }
        self.shut_down();
        while !self.gone() {
            self.remove().await;
            self.pause(Duration::from_millis(500)).await;
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

/// Starts the daemon of a container in the environment that the container has.
fn launch(
    shared: &Arc<Shared>,
    key: &PodKey,
    instance: &Arc<Instance>,
    one: &mut Vessel,
    image: Image,
    files: Vec<File>,
) -> Result<(), String> {
    let log = instance.log(&one.spec.name);
    let start = Start {
        shared: Arc::clone(shared),
        key: key.clone(),
        image,
        env: one.env.clone(),
        files,
        log: log.clone(),
        stop: shared.stop.child_token(),
        exit: CancellationToken::new(),
    };
    match Daemon::start(&start) {
        Ok(daemon) => {
            one.started = Some(daemon.started);
            let daemon = Arc::new(daemon);
            one.daemon = Some(Arc::clone(&daemon));
            instance.put(&one.spec.name, Some(daemon));
            shared.network.bump();
            Ok(())
        }
        Err(why) => {
            log.say(why.clone());
            start.stop.cancel();
            instance.put(&one.spec.name, None);
            Err(why)
        }
    }
}
