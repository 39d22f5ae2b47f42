//! One cluster's share of a plan: doing it, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use cluster::Fence;
use fleet::{ClusterName, Plane};
use manifest::{ObjectRef, labels};
use plan::{Known, Plan, Step};

use crate::Session;
use crate::execute::{Executed, Execution, execute};
use crate::report::{Event, Failure};
use crate::round::Round;

use super::tell::Teller;

/// What one cluster's share of a plan has come to.
pub(crate) struct Done {
    pub(crate) cluster: ClusterName,
    pub(crate) executed: Executed,
    /// Objects that were not as we had left them, and who else writes them.
    pub(crate) drifted: BTreeMap<ObjectRef, Vec<String>>,
    /// Whether something else than objects was changed.
    pub(crate) told: bool,
}

/// One cluster's share of a plan, and what it takes to do it.
pub(crate) struct Share<'s, 'a> {
    pub(crate) session: &'s Session<'a>,
    pub(crate) round: &'s Round,
    pub(crate) fences: &'s BTreeMap<Plane, Fence>,
    pub(crate) refused: &'s BTreeMap<ObjectRef, Failure>,
    pub(crate) teller: &'s Teller,
}

impl Share<'_, '_> {
    pub(crate) async fn execute(&self, name: &ClusterName, steps: Vec<Step>) -> Executed {
        let Self { session, round, fences, refused, teller } = *self;
        let fleet = &session.loaded.fleet;
        let shelves = round.looks.get(name).map(|look| (name.clone(), look.shelves.clone())).into_iter().collect();
        let servers = |cluster: &ClusterName, shard: &fleet::ShardName, slot: fleet::Slot| {
            data_plane::xmpp_address(fleet, &round.desire.surroundings, cluster, shard, slot)
        };
        let tell = |event: Event| teller.event(event);
        let execution = Execution {
            fleet,
            desired: &round.desire.desired,
            observed: &round.observed,
            shelves: &shelves,
            clusters: &session.clusters,
            fences,
            secrets: &round.secrets.values,
            servers: &servers,
            refused,
            tell: &tell,
            stop: &session.options.stop,
        };
        execute(&execution, &Plan { steps, ..round.plan.clone() }).await
    }
}

/// Of these objects, which were written just now, those that were not as we had left them: gone, or changed since they
/// were written as they are wanted now. The rest is wanted otherwise than before, as what leads to an address that has
/// moved: that is nobody's fault, however often it happens.
pub(crate) fn drifted(round: &Round, written: BTreeSet<&ObjectRef>) -> BTreeMap<ObjectRef, Vec<String>> {
    let manifests = round.desire.desired.manifests().map(|(_, manifest)| manifest);
    let manifests = manifests.filter(|manifest| written.contains(&manifest.object));
    let drifted = manifests.filter_map(|manifest| {
        let view = round.observed.clusters.get(&manifest.object.cluster).and_then(Known::value);
        let Some(live) = view.and_then(|view| view.objects.get(&manifest.object)) else {
            return Some((manifest.object.clone(), Vec::new()));
        };
        let wanted = manifest.body.json();
        let wanted = wanted["metadata"]["annotations"][labels::INTENT].as_str();
        let as_left = live.annotation(labels::INTENT).is_some_and(|left| Some(left) != wanted);
        let others = live.managers.iter().filter(|manager| !manager.starts_with("jitsictl/"));
        (!as_left).then(|| (manifest.object.clone(), others.cloned().collect()))
    });
    drifted.collect()
}
