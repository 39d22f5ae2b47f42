//! What of a plan may begin now, that it begins, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fleet::{ClusterName, Plane};
use jiff::Timestamp;
use manifest::ObjectRef;
use plan::{Known, Observed, Step};
use tokio::time::Instant;

use crate::Session;
use crate::apply::Run;
use crate::report::Failure;
use crate::round::Round;

use super::super::share::{Done, Share, drifted};
use super::{Daemon, Working};

impl Daemon {
    /// The steps that may begin now: of planes that we lead, in clusters whose picture is current and that are not at
    /// work, without what is better left alone.
    pub(super) fn possible(
        &self,
        round: &Round,
        left_alone: &BTreeMap<ObjectRef, Failure>,
        busy: &BTreeSet<ClusterName>,
        now: Instant,
    ) -> Vec<Step> {
        let free = |cluster: &ClusterName| {
            let current = self.links.works(cluster).is_some_and(|up| up.cache.caught_up());
            current && !busy.contains(cluster) && !self.guard.rests(cluster, now)
        };
        let begins = |step: &&Step| match step {
            Step::Apply { objects, .. } => objects.iter().any(|object| !left_alone.contains_key(object)),
            _ => true,
        };
        let anew = |step: &&Step| {
            let told = step.cluster().and_then(|cluster| self.told.get(cluster));
            is_of_objects(step) || told.is_none_or(|told| is_newer(&round.observed, *told))
        };
        let steps: Vec<Step> = round
            .plan
            .steps
            .iter()
            .filter(|step| step.plane().is_none_or(|plane| self.leases.leads(plane)))
            .filter(|step| step.cluster().is_none_or(free))
            .filter(begins)
            .filter(anew)
            .cloned()
            .collect();
        // What is only written down is no work of its own.
        if steps.iter().all(|step| matches!(step, Step::Bury(_))) && !self.leases.leads_all(&round.policy.planes) {
            return Vec::new();
        }
        steps
    }

    /// Writes down what must survive us, and makes passwords if there are none. Whether steps may begin now.
    pub(super) async fn prepare(&self, run: &mut Run<'_>, round: &mut Round, steps: &[Step]) -> bool {
        let control = round.policy.has_plane(Plane::Control) && self.leases.leads(Plane::Control);
        if control && !round.secrets.lacking.is_empty() {
            run.failures.extend(std::mem::take(&mut round.secrets.lacking));
            return false;
        }
        if control && !round.secrets.lost.is_empty() {
            let lost = run.lost_passwords(round);
            run.failures.push(lost);
            return false;
        }
        if !steps.is_empty() && !run.remember(round, false).await {
            return false;
        }
        if control && round.secrets.to_make {
            run.make_secrets(round).await;
            // The next round renders with them.
            self.news.notify_one();
            return false;
        }
        true
    }

    /// Begins each cluster's share.
    pub(super) fn begin<'a>(
        &self,
        session: &Arc<Session<'a>>,
        round: Round,
        steps: Vec<Step>,
        left_alone: &BTreeMap<ObjectRef, Failure>,
        working: &mut Working<'a>,
        busy: &mut BTreeSet<ClusterName>,
    ) {
        let round = Arc::new(round);
        let mut shares: BTreeMap<ClusterName, Vec<Step>> = BTreeMap::new();
        for step in steps {
            if let Some(cluster) = step.cluster().cloned() {
                shares.entry(cluster).or_default().push(step);
            }
        }
        for (cluster, steps) in shares {
            let (session, round, teller) = (Arc::clone(session), Arc::clone(&round), Arc::clone(&self.teller));
            let (refused, fences) = (left_alone.clone(), self.leases.fences());
            busy.insert(cluster.clone());
            let told = steps.iter().any(|step| !is_of_objects(step));
            working.push(Box::pin(async move {
                let share =
                    Share { session: &session, round: &round, fences: &fences, refused: &refused, teller: &teller };
                let executed = share.execute(&cluster, steps).await;
                let drifted = drifted(&round, executed.versions.iter().map(|(object, _)| object).collect());
                Done { cluster, executed, drifted, told }
            }));
        }
    }

    /// A cluster's share is done.
    pub(super) fn settle(&mut self, done: Done, busy: &mut BTreeSet<ClusterName>, settled: bool) {
        let Done { cluster, executed, drifted, told } = done;
        busy.remove(&cluster);
        let (now, time) = (Instant::now(), self.options.place.clock.now());
        if told {
            self.told.insert(cluster.clone(), time);
        }
        let in_vain = executed.written + executed.deleted == 0 && !executed.failures.is_empty();
        self.guard.acted(&cluster, in_vain, now);
        if let Some(up) = self.links.up(&cluster) {
            for (object, version) in executed.versions.iter().chain(&executed.books) {
                up.cache.wrote(object, version);
            }
            for (object, uid) in &executed.gone {
                up.cache.deleted(object, uid);
            }
            executed.marked.iter().for_each(|(pod, version)| up.cache.wrote_pod(pod, version));
            executed.ended.iter().for_each(|(pod, uid)| up.cache.deleted_pod(pod, uid));
        }
        for (object, managers) in &drifted {
            if settled {
                self.teller.repaired(object);
            }
            if let Some(fighting) = self.guard.repaired(object, managers, now, time) {
                self.teller.fighting(fighting);
            }
        }
        for (object, failure) in executed.refused {
            self.guard.refused(object, failure, now);
        }
        self.news.notify_one();
    }
}

/// Whether a step changes nothing but objects: what came of it shows in the cache.
const fn is_of_objects(step: &Step) -> bool {
    match step {
        Step::Bury(_) | Step::Apply { .. } | Step::Prune { .. } | Step::Forget { .. } => true,
        Step::Drain { .. }
        | Step::Undrain { .. }
        | Step::Attach { .. }
        | Step::Detach { .. }
        | Step::DeletePod { .. } => false,
    }
}

/// Whether all that daemons said was asked after this.
fn is_newer(observed: &Observed, than: Timestamp) -> bool {
    fn newer<T>(known: &Known<T>, than: Timestamp) -> bool {
        !matches!(known, Known::Yes(seen) if seen.as_of <= than)
    }
    observed.slots.values().all(|known| newer(known, than))
        && observed.bridges.values().all(|known| newer(known, than))
        && observed.recorders.values().all(|known| newer(known, than))
}
