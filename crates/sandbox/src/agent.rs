//! The node agent of one cluster: a task for each pod, which ends with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{
    cache::Change,
    pod::PodTask,
    state::{PodKey, Shared},
};

/// How many writes to one API server are under way at once.
const WRITES: usize = 16;

/// Follows the cluster's pods, for ever.
pub(crate) async fn run(shared: Arc<Shared>, cluster: usize, mut changes: mpsc::UnboundedReceiver<Change<Pod>>) {
    let writes = Arc::new(Semaphore::new(WRITES));
    // Dropping a sender tells its task that the pod is gone.
    let mut tasks: BTreeMap<String, watch::Sender<Arc<Pod>>> = BTreeMap::new();
    let mut holders: BTreeMap<PodKey, String> = BTreeMap::new();
    let Some(state) = shared.cluster(cluster) else { return };
    while let Some(change) = changes.recv().await {
        match change {
            Change::Applied(pod) => {
                let Some(uid) = pod.uid() else { continue };
                if let Some(task) = tasks.get(&uid) {
                    task.send_replace(pod);
                    continue;
                }
                if finished(&pod) {
                    continue;
                }
                if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
                    let mut places = state.places.lock().unwrap_or_else(PoisonError::into_inner);
                    places.adopt(&uid, &pod, &node);
                }
                let key = PodKey::of(cluster, &pod);
                // A pod that was replaced while the watch was broken never had an event of its own.
                if let Some(before) = holders.insert(key.clone(), uid.clone()) {
                    tasks.remove(&before);
                }
                let (sender, receiver) = watch::channel(pod);
                tasks.insert(uid.clone(), sender);
                let task = PodTask::new(Arc::clone(&shared), key, uid, receiver, Arc::clone(&writes));
                let stop = shared.stop.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = task.run() => {}
                    }
                });
            }
            Change::Deleted(pod) => {
                let uid = pod.uid().unwrap_or_default();
                tasks.remove(&uid);
                let key = PodKey::of(cluster, &pod);
                if holders.get(&key) == Some(&uid) {
                    holders.remove(&key);
                }
            }
        }
    }
}

fn finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
