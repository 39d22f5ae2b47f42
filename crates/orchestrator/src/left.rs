//! What was accepted once and has left the file since: where it may still be, and what is owed there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fleet::load::Loaded;
use fleet::{Access, ClusterName, Fleet, Plane};
use jiff::Timestamp;
use manifest::{Desired, UnitId};
use plan::{Intent, Observed, Pin, Record, Tombstone, owed};

use crate::report::{Debt, usage};
use crate::{Failure, Options};

/// An intent that was accepted, where it is another than this one.
fn accepted(intent: &Intent, loaded: &Loaded) -> Option<Fleet> {
    if intent.hash == manifest::short_hash(&loaded.intent_text) {
        return None;
    }
    let base = loaded.source.parent().unwrap_or(Path::new("."));
    match fleet::load::load_text("the record's intent", &intent.text, base, &BTreeMap::new()) {
        Ok(accepted) => Some(accepted.fleet),
        Err(report) => {
            let problem = report.problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
            tracing::warn!(%problem, "what was accepted last can't be read: what has left the file since is not known");
            None
        }
    }
}

/// All that is owed by these records: what they say, and what leaves with this file. Where the fleet never was, it has
/// left nothing: a cluster is pinned before anything is written there.
pub(crate) fn stones<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    pins: &BTreeMap<ClusterName, Pin>,
    loaded: &Loaded,
    now: Timestamp,
) -> Vec<Tombstone> {
    let mut stones = Vec::new();
    for record in records {
        record.tombstones.iter().for_each(|stone| put(&mut stones, stone));
        let Some(before) = record.intent.as_ref().and_then(|intent| accepted(intent, loaded)) else { continue };
        for plane in [Plane::Control, Plane::Data] {
            let been = before.clusters.iter().filter(|(name, _)| before.has_plane_in(plane, name));
            for (name, at) in been.filter(|(name, at)| pins.contains_key(*name) && has_left(loaded, plane, name, at)) {
                let units = BTreeSet::from([UnitId::Base(plane, name.clone())]);
                let (access, namespace) = (at.access.clone(), at.namespace.clone());
                put(&mut stones, &Tombstone { cluster: name.clone(), access, namespace, units, since: now });
            }
        }
    }
    stones
}

/// Adds a debt that is not among these yet.
pub(crate) fn put(stones: &mut Vec<Tombstone>, stone: &Tombstone) {
    if !stones.iter().any(|known| is_same(known, stone)) {
        stones.push(stone.clone());
    }
}

/// Whether two debts are one, whoever wrote it down first.
pub(crate) fn is_same(one: &Tombstone, other: &Tombstone) -> bool {
    one.cluster == other.cluster && one.namespace == other.namespace && one.units == other.units
}

/// A place that only got another name has not left.
fn has_left(loaded: &Loaded, plane: Plane, name: &ClusterName, at: &fleet::Cluster) -> bool {
    let fleet = &loaded.fleet;
    let is_it = |other: &fleet::Cluster| other.access == at.access && other.namespace == at.namespace;
    let renamed =
        fleet.clusters.iter().any(|(other, now)| other != name && is_it(now) && fleet.has_plane_in(plane, other));
    !fleet.has_plane_in(plane, name) && !renamed
}

/// Clusters whose namespace is another in this file: what is in the old one would be lost sight of, and its bridges would
/// have the names of the new ones.
pub(crate) fn moved<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    pins: &BTreeMap<ClusterName, Pin>,
    loaded: &Loaded,
) -> Vec<Failure> {
    let mut problems: BTreeMap<ClusterName, Failure> = BTreeMap::new();
    for record in records {
        let Some(before) = record.intent.as_ref().and_then(|intent| accepted(intent, loaded)) else { continue };
        for (name, at) in before.clusters.iter().filter(|(name, _)| pins.contains_key(*name)) {
            let used = before.has_plane_in(Plane::Control, name) || before.has_plane_in(Plane::Data, name);
            let Some(now) = loaded.fleet.clusters.get(name) else { continue };
            if used && now.namespace != at.namespace {
                let (was, is) = (&at.namespace, &now.namespace);
                let message = format!("cluster {name}: the fleet is in namespace {was} there, the file says {is}");
                let hint = format!(
                    "give namespace {is} a cluster of its own in the file, under another name, and leave {name} out: what is in \
                     {was} goes when it is safe; if it is gone already, run `jitsictl cluster forget {name} --abandon`"
                );
                problems.insert(name.clone(), usage(name, message, hint));
            }
        }
    }
    problems.into_values().collect()
}

/// Where a run has business because of these debts.
pub(crate) fn places(
    stones: &[Tombstone],
    fleet: &Fleet,
    planes: &BTreeSet<Plane>,
    options: &Options,
) -> BTreeMap<ClusterName, fleet::Cluster> {
    let of_run = |plane: Plane| planes.contains(&plane) && (plane == Plane::Data || options.handover.is_none());
    let stones = stones.iter().filter(|stone| stone.units.iter().any(|unit| of_run(unit.plane())));
    let stones = stones.filter(|stone| options.policy.has_cluster(&stone.cluster));
    let place = |stone: &Tombstone| {
        let former = || fleet::Cluster {
            access: stone.access.clone(),
            namespace: stone.namespace.clone(),
            region: None,
            uid: None,
        };
        (stone.cluster.clone(), fleet.clusters.get(&stone.cluster).cloned().unwrap_or_else(former))
    };
    stones.map(place).collect()
}

/// The fleet with clusters that are not in its file any more, so that they have a name and a namespace.
pub(crate) fn widened<'a>(loaded: &Cow<'a, Loaded>, places: &BTreeMap<ClusterName, fleet::Cluster>) -> Cow<'a, Loaded> {
    let mut loaded = loaded.clone();
    for (name, place) in places {
        if !loaded.fleet.clusters.contains_key(name) {
            loaded.to_mut().fleet.clusters.insert(name.clone(), place.clone());
        }
    }
    loaded
}

/// What is owed, as it is reported: one line a place.
pub(crate) fn debts(record: &Record, desired: &Desired, observed: &Observed) -> Vec<Debt> {
    let mut debts: Vec<Debt> = Vec::new();
    for debt in owed(record, desired, observed) {
        let (stone, units) = (debt.stone, debt.units.into_iter().cloned());
        match debts.iter_mut().find(|known| known.cluster == stone.cluster && known.namespace == stone.namespace) {
            Some(known) => {
                known.units.extend(units);
                known.since = known.since.min(stone.since);
            }
            None => debts.push(Debt {
                cluster: stone.cluster.clone(),
                context: match &stone.access {
                    Access::Context { context, .. } => context.clone(),
                    Access::InCluster => "in-cluster".to_owned(),
                },
                namespace: stone.namespace.clone(),
                uid: record.pins.get(&stone.cluster).map(|pin| pin.uid.clone()),
                units: units.collect(),
                since: stone.since,
                why: debt.why,
            }),
        }
    }
    debts
}
