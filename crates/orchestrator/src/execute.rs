//! Executes a plan's steps: clusters at the same time and apart from each other, each step re-checked, never chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{ApplyMode, Before, Cluster, ClusterError, ErrorKind, Fence, SecretMap, Shelf};
use fleet::{ClusterName, Fleet, Plane};
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use jitsi_api::jvb::{self, MucClient};
use jitsi_api::{ApiError, Cause};
use manifest::{Desired, Kind, Manifest, Names, ObjectRef, UnitId, labels};
use plan::{ClusterView, Drain, Given, Inventory, Known, Observed, Owned, Patience, Plan, Step};
use tokio_util::sync::CancellationToken;

use crate::report::{Event, Failure};

/// How long a pod may take to end when disruption is allowed.
const BRIEF: Duration = Duration::from_secs(10);

/// A bridge's REST interface.
pub(crate) const JVB_PORT: u16 = 8080;

/// How long a daemon may take to answer.
pub(crate) const DAEMON_DEADLINE: Duration = Duration::from_secs(5);

/// Everything that execution needs.
pub(crate) struct Execution<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) desired: &'a Desired,
    pub(crate) observed: &'a Observed,
    pub(crate) shelves: &'a BTreeMap<ClusterName, BTreeMap<Plane, Shelf>>,
    pub(crate) clusters: &'a BTreeMap<ClusterName, Cluster>,
    /// What the writes of a plane have to go by.
    pub(crate) fences: &'a BTreeMap<Plane, Fence>,
    pub(crate) secrets: &'a SecretMap,
    pub(crate) servers: &'a (dyn Fn(&ClusterName, &fleet::ShardName, fleet::Slot) -> (String, u16) + Sync),
    /// Objects that were refused in this run for a reason that time does not heal.
    pub(crate) refused: &'a BTreeMap<ObjectRef, Failure>,
    pub(crate) tell: &'a (dyn Fn(Event) + Sync),
    /// Once it is cancelled, no object and no step is begun any more; what is on its way is waited for and written down.
    pub(crate) stop: &'a CancellationToken,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Executed {
    pub(crate) written: usize,
    pub(crate) deleted: usize,
    /// What was written, and in which version it is there now.
    pub(crate) versions: Vec<(ObjectRef, String)>,
    /// Inventories that were written, with their versions.
    pub(crate) books: Vec<(ObjectRef, String)>,
    /// What was deleted, by UID.
    pub(crate) gone: Vec<(ObjectRef, String)>,
    /// Pods that were changed, with their versions.
    pub(crate) marked: Vec<(String, String)>,
    /// Pods that were deleted, by UID.
    pub(crate) ended: Vec<(String, String)>,
    pub(crate) failures: Vec<Failure>,
    /// Objects that were refused for a reason that time does not heal, and how.
    pub(crate) refused: BTreeMap<ObjectRef, Failure>,
    /// Bridges that were un-drained.
    pub(crate) undrained: BTreeSet<UnitId>,
}

impl Executed {
    pub(crate) fn add(&mut self, other: Self) {
        self.written += other.written;
        self.deleted += other.deleted;
        self.versions.extend(other.versions);
        self.books.extend(other.books);
        self.gone.extend(other.gone);
        self.marked.extend(other.marked);
        self.ended.extend(other.ended);
        self.failures.extend(other.failures);
        self.refused.extend(other.refused);
        self.undrained.extend(other.undrained);
    }
}

/// Executes all steps of a plan that touch clusters.
pub(crate) async fn execute(execution: &Execution<'_>, plan: &Plan) -> Executed {
    let mut by_cluster: BTreeMap<&ClusterName, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        if let Some(cluster) = step.cluster() {
            by_cluster.entry(cluster).or_default().push(step);
        }
    }
    let tasks = by_cluster.into_iter().filter_map(|(name, steps)| {
        let cluster = execution.clusters.get(name)?;
        let view = execution.observed.clusters.get(name).and_then(Known::value)?;
        Some(async move {
            let shelves = execution.shelves.get(name).cloned().unwrap_or_default();
            let mut site = Site { execution, cluster, view, shelves, done: Executed::default() };
            site.execute(&steps).await;
            site.done
        })
    });
    let mut executed = Executed::default();
    for done in join_all(tasks).await {
        executed.add(done);
    }
    executed
}

/// An object to apply, with its unit.
type Wanted<'a> = (&'a UnitId, &'a Manifest);

/// Objects that are on their way to a cluster or stand ready: more than it takes at once, far fewer than a large fleet
/// has, since each is held as text.
const PREPARED: usize = 32;

/// One cluster's part of an execution.
struct Site<'a> {
    execution: &'a Execution<'a>,
    cluster: &'a Cluster,
    view: &'a ClusterView,
    shelves: BTreeMap<Plane, Shelf>,
    done: Executed,
}

impl<'a> Site<'a> {
    async fn execute(&mut self, steps: &[&Step]) {
        if self.execution.stop.is_cancelled() {
            return;
        }
        let mut inventories = self.view.inventories.clone();
        let applies = self.intend(steps, &mut inventories);
        // What we are about to create is written down first: a crash leaves nothing behind that nobody knows of. And
        // whoever plans by what was true before somebody else's turn learns it here, before anything is done.
        let planes: BTreeSet<Plane> = steps.iter().filter_map(|step| step.plane()).collect();
        if !self.shelve(&planes, &inventories).await {
            return;
        }
        self.apply(&applies, &mut inventories).await;
        for step in steps {
            if self.execution.stop.is_cancelled() {
                break;
            }
            (self.execution.tell)(Event::Step { step: (*step).clone() });
            match step {
                Step::Bury(_) | Step::Apply { .. } => {}
                Step::Drain { pod, drain, .. } => self.drain(pod, drain).await,
                Step::Undrain { pool, index, pod } => {
                    self.done.undrained.insert(UnitId::Bridge(pool.clone(), *index));
                    self.undrain(pod).await;
                }
                Step::Attach { pool, index, pod, shard, slot, replace } => {
                    let nickname = Names(&self.execution.fleet.name).bridge_nickname(&pod.cluster, pool, *index);
                    if let Some(pool) = self.execution.fleet.data.pool(pool) {
                        let login = data_plane::xmpp_login(self.execution.fleet, pool);
                        self.attach(pod, shard, *slot, *replace, nickname, login).await;
                    }
                }
                Step::Detach { pod, shard, slot, .. } => self.detach(pod, &format!("{shard}-{slot}")).await,
                Step::DeletePod { unit, pod, patience } => {
                    let grace = match patience {
                        Patience::Graceful => None,
                        Patience::Brief => Some(BRIEF),
                    };
                    match self.of(unit.plane()).delete_pod(&pod.pod, &pod.uid, grace).await {
                        Ok(_) => {
                            self.done.deleted += 1;
                            self.done.ended.push((pod.pod.clone(), pod.uid.clone()));
                        }
                        Err(error) => self.fail(&error, Some(unit), None),
                    }
                }
                Step::Prune { unit, object, uid, .. } => match self.of(unit.plane()).delete(object, uid, None).await {
                    Ok(_) => {
                        self.done.deleted += 1;
                        self.done.gone.push((object.clone(), uid.clone()));
                        forget(&mut inventories, unit, &Owned { kind: object.kind, name: object.name.clone() });
                    }
                    Err(error) => self.fail(&error, Some(unit), Some(object)),
                },
                Step::Forget { unit, objects, .. } => {
                    objects.iter().for_each(|object| forget(&mut inventories, unit, object));
                }
            }
        }
        self.shelve(&planes, &inventories).await;
    }

    /// The cluster as those see it who write for a plane.
    fn of(&self, plane: Plane) -> Cluster {
        behind(self.execution.fences, plane, self.cluster)
    }

    /// Writes into the inventories what is about to be applied, and says what that is.
    fn intend(&self, steps: &[&Step], inventories: &mut BTreeMap<Plane, Inventory>) -> Vec<Wanted<'a>> {
        let mut applies = Vec::new();
        let desired = self.execution.desired;
        for step in steps {
            let Step::Apply { unit, objects, .. } = step else { continue };
            let Some(wanted) = desired.unit(unit) else { continue };
            let inventory = inventories.entry(unit.plane()).or_default();
            let owned = inventory.units.entry(unit.clone()).or_default();
            for manifest in &wanted.manifests {
                let key = Owned { kind: manifest.object.kind, name: manifest.object.name.clone() };
                if let Some(live) = self.view.objects.get(&manifest.object) {
                    owned.entry(key.clone()).or_insert_with(|| Some(live.uid.clone()));
                }
                if objects.contains(&manifest.object) && !self.execution.refused.contains_key(&manifest.object) {
                    owned.entry(key).or_insert(None);
                    applies.push((&wanted.id, manifest));
                }
            }
            if owned.is_empty() {
                inventory.units.remove(unit);
            }
        }
        for plane in steps.iter().filter_map(|step| step.plane()) {
            if let Some(generation) = self.execution.fences.get(&plane).and_then(Fence::generation) {
                inventories.entry(plane).or_default().generation = generation;
            }
        }
        applies
    }

    async fn shelve(&mut self, planes: &BTreeSet<Plane>, inventories: &BTreeMap<Plane, Inventory>) -> bool {
        for (plane, inventory) in inventories.iter().filter(|(plane, _)| planes.contains(plane)) {
            let cluster = self.of(*plane);
            let shelf = self.shelves.entry(*plane).or_default();
            match cluster.write_inventory(&self.execution.fleet.name, *plane, shelf, inventory).await {
                Ok(stored) => {
                    let names = Names(&self.execution.fleet.name);
                    let before: BTreeMap<usize, &str> = shelf.versions().collect();
                    for (chunk, version) in stored.versions() {
                        if before.get(&chunk) != Some(&version) {
                            let book = self.cluster.object(Kind::ConfigMap, &names.inventory(*plane, chunk));
                            self.done.books.push((book, version.to_owned()));
                        }
                    }
                    *shelf = stored;
                }
                Err(error) => {
                    self.fail(&error, None, None);
                    return false;
                }
            }
        }
        true
    }

    /// What pods start from first, then the workloads; within each at the same time.
    async fn apply(&mut self, applies: &[Wanted<'a>], inventories: &mut BTreeMap<Plane, Inventory>) {
        let (workloads, basics): (Vec<_>, Vec<_>) = applies
            .iter()
            .copied()
            .partition(|(_, manifest)| matches!(manifest.object.kind, Kind::StatefulSet | Kind::Deployment));
        for wave in [basics, workloads] {
            let site = &*self;
            let applies = wave.iter().map(|(unit, manifest)| site.apply_one(unit, manifest));
            let results: Vec<_> = stream::iter(applies).buffered(PREPARED).collect().await;
            for ((unit, manifest), result) in wave.into_iter().zip(results) {
                match result {
                    Ok(None) => {}
                    Ok(Some((uid, version))) => {
                        self.done.written += 1;
                        self.done.versions.push((manifest.object.clone(), version));
                        let key = Owned { kind: manifest.object.kind, name: manifest.object.name.clone() };
                        let inventory = inventories.entry(unit.plane()).or_default();
                        inventory.units.entry(unit.clone()).or_default().insert(key, Some(uid));
                    }
                    Err(error) => {
                        // What changed under our hands is looked at again.
                        if error.is_transient() || error.kind == ErrorKind::Changed {
                            self.fail(&error, Some(unit), Some(&manifest.object));
                        } else {
                            let refusal = failure(&error, Some(unit), Some(&manifest.object));
                            (self.execution.tell)(Event::Failed(refusal.clone()));
                            self.done.refused.insert(manifest.object.clone(), refusal);
                        }
                    }
                }
            }
        }
    }

    /// Its UID and version; nothing where it was not begun.
    async fn apply_one(&self, unit: &UnitId, manifest: &Manifest) -> Result<Option<(String, String)>, ClusterError> {
        let (object, stop) = (&manifest.object, self.execution.stop);
        if stop.is_cancelled() {
            return Ok(None);
        }
        let body = self
            .execution
            .secrets
            .fill(manifest)
            .map_err(|key| self.cluster.about(object, ErrorKind::SecretMissing(key)))?;
        let before = self.view.objects.get(object).map_or(Before::Absent, |live| Before::Seen(live.version.clone()));
        let fence = self.execution.fences.get(&unit.plane()).map(|fence| fence.until(stop.clone()));
        let cluster = fence.map_or_else(|| self.cluster.clone(), |fence| self.cluster.fenced(fence));
        let mode = ApplyMode { dry_run: false, before };
        let applied = match cluster.apply(unit.plane(), &body, object, &mode).await {
            // It was still waiting for its turn.
            Err(error) if matches!(error.kind, ErrorKind::Fenced { .. }) && stop.is_cancelled() => return Ok(None),
            applied => applied?,
        };
        (self.execution.tell)(Event::Written {
            unit: unit.clone(),
            cluster: self.cluster.name().clone(),
            object: object.to_string(),
            warnings: applied.warnings,
            yielded: applied
                .yielded
                .iter()
                .map(|field| format!("{} (kept by {})", field.field, field.manager))
                .collect(),
        });
        Ok(Some((applied.uid, applied.version)))
    }

    /// The annotation first: whoever comes after us knows whose drain it is.
    async fn drain(&mut self, pod: &Given, drain: &Drain) {
        let text = serde_json::to_string(drain).unwrap_or_default();
        if let Err(error) = self.mark(pod, Some(&text)).await {
            return self.fail(&error, None, None);
        }
        self.tell_bridge(pod, "drain it", async |stream| jvb::set_drain(stream, true, DAEMON_DEADLINE).await).await;
    }

    async fn undrain(&mut self, pod: &Given) {
        let told = self
            .tell_bridge(pod, "take back its drain", async |stream| {
                jvb::set_drain(stream, false, DAEMON_DEADLINE).await
            })
            .await;
        if told && let Err(error) = self.mark(pod, None).await {
            self.fail(&error, None, None);
        }
    }

    /// Writes at a pod what drain it is under, or none.
    async fn mark(&mut self, pod: &Given, drain: Option<&str>) -> Result<(), ClusterError> {
        let cluster = self.of(Plane::Data);
        let version = cluster.annotate_pod(Plane::Data, &pod.pod, &pod.uid, labels::DRAIN, drain).await?;
        self.done.marked.push((pod.pod.clone(), version));
        Ok(())
    }

    async fn attach(
        &mut self,
        pod: &Given,
        shard: &fleet::ShardName,
        slot: fleet::Slot,
        replace: bool,
        nickname: String,
        login: data_plane::Login,
    ) {
        let id = format!("{shard}-{slot}");
        let (hostname, port) = (self.execution.servers)(&pod.cluster, shard, slot);
        let Some(password) = self.jvb_password() else {
            let object = self.cluster.object(Kind::Secret, &Names(&self.execution.fleet.name).passwords());
            let error = self.cluster.about(&object, ErrorKind::SecretMissing("JVB_AUTH_PASSWORD".to_owned()));
            return self.fail(&error, None, None);
        };
        let fleet = self.execution.fleet;
        if replace {
            self.detach(pod, &id).await;
        }
        let client = MucClient {
            id,
            hostname,
            port,
            domain: fleet.domains.auth.clone(),
            username: login.user,
            password,
            muc_jids: vec![login.brewery],
            muc_nickname: nickname,
            verify_certificate: false,
        };
        self.tell_bridge(pod, "attach it", async |stream| jvb::add_muc_client(stream, &client, DAEMON_DEADLINE).await)
            .await;
    }

    async fn detach(&mut self, pod: &Given, id: &str) {
        self.tell_bridge(pod, "detach it", async |stream| {
            match jvb::remove_muc_client(stream, id, DAEMON_DEADLINE).await {
                // It knows no such client any more.
                Err(ApiError { cause: Cause::Status { status: 400, .. }, .. }) => Ok(()),
                told => told,
            }
        })
        .await;
    }

    fn jvb_password(&self) -> Option<jitsi_api::Password> {
        let name = "JVB_AUTH_PASSWORD".parse().ok()?;
        let value = self.execution.secrets.get(&manifest::SecretRef::Made(name))?;
        String::from_utf8(value.expose().to_vec()).ok().map(jitsi_api::Password::new)
    }

    async fn tell_bridge<T, E: std::fmt::Display>(
        &mut self,
        pod: &Given,
        what: &str,
        request: impl AsyncFnOnce(cluster::ByteStream) -> Result<T, E>,
    ) -> bool {
        let stream = match self.cluster.port_forward(&pod.pod, JVB_PORT).await {
            Ok(stream) => stream,
            Err(error) => {
                self.fail(&error, None, None);
                return false;
            }
        };
        if let Err(error) = self.of(Plane::Data).may_change(DAEMON_DEADLINE) {
            self.fail(&error, None, None);
            return false;
        }
        match request(stream).await {
            Ok(_) => true,
            Err(error) => {
                self.done.failures.push(Failure {
                    cluster: pod.cluster.clone(),
                    unit: None,
                    object: Some(format!("pod {}", pod.pod)),
                    message: format!("cluster {}: cannot {what}: pod {}: {error}", pod.cluster, pod.pod),
                    detail: None,
                    hint: None,
                });
                false
            }
        }
    }

    fn fail(&mut self, error: &ClusterError, unit: Option<&UnitId>, object: Option<&ObjectRef>) {
        let failure = failure(error, unit, object);
        (self.execution.tell)(Event::Failed(failure.clone()));
        self.done.failures.push(failure);
    }
}

fn forget(inventories: &mut BTreeMap<Plane, Inventory>, unit: &UnitId, object: &Owned) {
    if let Some(inventory) = inventories.get_mut(&unit.plane())
        && let Some(owned) = inventory.units.get_mut(unit)
    {
        owned.remove(object);
        if owned.is_empty() {
            inventory.units.remove(unit);
        }
    }
}

/// A cluster as those see it who write for a plane.
pub(crate) fn behind(fences: &BTreeMap<Plane, Fence>, plane: Plane, cluster: &Cluster) -> Cluster {
    fences.get(&plane).map_or_else(|| cluster.clone(), |fence| cluster.fenced(fence.clone()))
}

/// A cluster's error as it is reported.
pub(crate) fn failure(error: &ClusterError, unit: Option<&UnitId>, object: Option<&ObjectRef>) -> Failure {
    let object = object.or(error.object.as_deref());
    Failure {
        cluster: error.cluster.clone(),
        unit: unit.cloned(),
        object: object.map(ToString::to_string),
        message: error.to_string(),
        detail: None,
        hint: error.hint(),
    }
}
