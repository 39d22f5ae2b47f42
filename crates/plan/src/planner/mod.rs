//! The planner proper: unit by unit, what differs and what may be done about it now.

mod bridge;
mod live;
mod prune;
mod wiring;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fleet::{ClusterName, Fleet};
use jiff::Timestamp;
use manifest::{Desired, Manifest, ObjectRef, Part, PendingReason, Unit, UnitId, parallel};

use crate::{
    BlastRadius, Blocked, BlockedBy, Change, ClusterView, Difference, Field, Forecast, Known, NamespaceState, Observed,
    Plan, Policy, Record, Step,
};

/// Everything that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// What it renders to. Secrets carry keyed hashes instead of bytes.
    pub desired: &'a Desired,
    /// Units that can't be rendered yet because an address is missing: they have not left the file.
    pub pending: &'a BTreeMap<UnitId, PendingReason>,
    /// Objects whose content is not known in this run: they are neither changed nor pruned.
    pub held: &'a BTreeSet<ObjectRef>,
    /// What is.
    pub observed: &'a Observed,
    /// What was remembered: the record of each plane that can be read.
    pub record: &'a Record,
    /// What is allowed.
    pub policy: &'a Policy,
    /// The time.
    pub now: Timestamp,
}

/// Says what differs, what may be done now, and what waits. What is to come says [`forecast`](crate::forecast): only who
/// reads a plan wants to know, and it takes as long as all the plans that follow.
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let mut draft = Draft::new(inputs);
    draft.compare();
    for unit in inputs.desired.units.values() {
        draft.unit(unit);
    }
    for (unit, why) in inputs.pending {
        draft.pending(unit, why);
    }
    draft.take_turns();
    draft.attach();
    draft.prune();
    draft.debts();
    draft.undrain_strays();
    draft.finish()
}

/// A plan in the making.
struct Draft<'a> {
    inputs: &'a Inputs<'a>,
    /// How objects differ that are there.
    differences: HashMap<&'a ObjectRef, Vec<Field>>,
    changes: Vec<Change>,
    steps: Vec<Step>,
    blocked: Vec<Blocked>,
    /// Bridges that are to be replaced or removed, once it is their turn.
    waiting: Vec<bridge::Candidate<'a>>,
    /// Clusters in which something of a plane is still to be applied: nothing is pruned there.
    unfinished: BTreeSet<(fleet::Plane, ClusterName)>,
    /// Clusters that were reported as out of reach or without namespace.
    reported: BTreeSet<ClusterName>,
}

/// How a unit differs, sorted by what may be done about it.
struct Delta {
    changed: Vec<(ObjectRef, Difference)>,
    /// Applied at once.
    carry: Vec<ObjectRef>,
    /// Applied with the unit's turn.
    roll: Vec<ObjectRef>,
    /// Of `roll`, those that are there already: changing them touches what is live.
    touches_live: bool,
}

impl<'a> Draft<'a> {
    fn new(inputs: &'a Inputs<'a>) -> Self {
        Self {
            inputs,
            differences: HashMap::new(),
            changes: Vec::new(),
            steps: Vec::new(),
            blocked: Vec::new(),
            waiting: Vec::new(),
            unfinished: BTreeSet::new(),
            reported: BTreeSet::new(),
        }
    }

    fn view(&self, cluster: &ClusterName) -> Option<&'a ClusterView> {
        self.inputs.observed.clusters.get(cluster).and_then(Known::value)
    }

    fn block(&mut self, unit: &UnitId, cluster: &ClusterName, by: BlockedBy) {
        self.unfinished.insert((unit.plane(), cluster.clone()));
        self.blocked.push(Blocked { unit: unit.clone(), cluster: cluster.clone(), by });
    }

    /// Compares what is with what should be, on all cores: of a plan that changes nothing this is nearly all.
    fn compare(&mut self) {
        let there = |manifest: &'a Manifest| {
            let live = self.view(&manifest.object.cluster)?.objects.get(&manifest.object)?;
            Some((manifest, live))
        };
        let pairs: Vec<_> = self.inputs.desired.manifests().filter_map(|(_, manifest)| there(manifest)).collect();
        let fields = parallel::map(&pairs, |(manifest, live)| live.body.lacks(&manifest.body));
        self.differences = pairs.into_iter().map(|(manifest, _)| &manifest.object).zip(fields).collect();
    }

    fn unit(&mut self, unit: &'a Unit) {
        let Some(first) = unit.manifests.first() else { return };
        let cluster = &first.object.cluster;
        let policy = self.inputs.policy;
        if !policy.has_plane(unit.id.plane()) || !policy.has_cluster(cluster) {
            return;
        }
        let Some(view) = self.reachable(&unit.id, cluster) else { return };
        let delta = self.delta(unit, cluster, view);
        let outdated: Vec<String> = unit
            .pods
            .iter()
            .filter_map(|name| view.pods.get(name))
            .filter(|pod| pod.roll.as_deref() != Some(unit.roll.as_str()))
            .map(|pod| pod.name.clone())
            .collect();
        if delta.changed.is_empty() && outdated.is_empty() {
            return;
        }
        let gated = delta.touches_live || !outdated.is_empty();
        self.unfinished.insert((unit.id.plane(), cluster.clone()));
        self.changes.push(Change {
            unit: unit.id.clone(),
            cluster: cluster.clone(),
            objects: delta.changed,
            outdated_pods: outdated.clone(),
            radius: radius(&unit.id, gated),
            live: self.live(cluster, &unit.id),
        });
        match &unit.id {
            UnitId::Slot(shard, slot) if gated => {
                self.apply(&unit.id, cluster, delta.carry);
                self.replace_slot(&unit.id, (shard, *slot), cluster, view, delta.roll, &outdated);
            }
            UnitId::Bridge(..) | UnitId::Recorder(..) if gated => {
                self.apply(&unit.id, cluster, delta.carry);
                self.waiting.push(bridge::Candidate::replace(unit, cluster, view, delta.roll));
            }
            _ => {
                let mut objects = delta.carry;
                objects.extend(delta.roll);
                objects.sort();
                self.apply(&unit.id, cluster, objects);
            }
        }
    }

    /// The cluster's view, or a reason for people why there is none.
    fn reachable(&mut self, unit: &UnitId, cluster: &ClusterName) -> Option<&'a ClusterView> {
        let known = self.inputs.observed.clusters.get(cluster)?;
        let Some(view) = known.value() else {
            let why = known.unknown().map_or_else(|| "it is not there".to_owned(), ToString::to_string);
            self.unfinished.insert((unit.plane(), cluster.clone()));
            if self.reported.insert(cluster.clone()) {
                self.block(unit, cluster, BlockedBy::Unreachable { why });
            }
            return None;
        };
        if view.namespace == NamespaceState::Absent && self.reported.insert(cluster.clone()) {
            let namespace = self.inputs.fleet.clusters.get(cluster).map_or_else(String::new, |c| c.namespace.clone());
            self.block(unit, cluster, BlockedBy::NoNamespace { namespace });
        }
        Some(view)
    }

    fn delta(&mut self, unit: &Unit, cluster: &ClusterName, view: &ClusterView) -> Delta {
        let mut delta = Delta { changed: Vec::new(), carry: Vec::new(), roll: Vec::new(), touches_live: false };
        for manifest in &unit.manifests {
            let kind = manifest.object.kind;
            if self.inputs.held.contains(&manifest.object) {
                continue;
            }
            if view.missing_kinds.contains(&kind) {
                self.block(&unit.id, cluster, BlockedBy::KindMissing { kind });
                continue;
            }
            if let Some(why) = view.unreadable_kinds.get(&kind) {
                self.block(&unit.id, cluster, BlockedBy::Unreadable { kind, why: why.clone() });
                continue;
            }
            let live = view.objects.get(&manifest.object);
            let difference = match live {
                None => Difference::Create,
                Some(live) if live.deleting => {
                    let why = format!("{} is being deleted", manifest.object);
                    self.block(&unit.id, cluster, BlockedBy::Settling { why });
                    continue;
                }
                Some(_) => {
                    let fields = self.differences.remove(&manifest.object).unwrap_or_default();
                    if fields.is_empty() {
                        continue;
                    }
                    Difference::Update { fields }
                }
            };
            match manifest.part {
                Part::Carry => delta.carry.push(manifest.object.clone()),
                Part::Roll => {
                    delta.touches_live |= live.is_some();
                    delta.roll.push(manifest.object.clone());
                }
            }
            delta.changed.push((manifest.object.clone(), difference));
        }
        delta
    }

    fn apply(&mut self, unit: &UnitId, cluster: &ClusterName, objects: Vec<ObjectRef>) {
        if !objects.is_empty() {
            self.steps.push(Step::Apply { unit: unit.clone(), cluster: cluster.clone(), objects });
        }
    }

    fn pending(&mut self, unit: &UnitId, why: &PendingReason) {
        let UnitId::Wiring(cluster, ..) = unit else { return };
        if self.inputs.policy.has_plane(unit.plane()) && self.inputs.policy.has_cluster(cluster) {
            let cluster = cluster.clone();
            self.block(unit, &cluster, BlockedBy::Endpoint { why: why.to_string() });
        }
    }

    fn finish(mut self) -> Plan {
        // Stable order: what others need comes first, then by unit.
        self.steps.sort_by_key(|step| match step {
            Step::Bury(_) => 0,
            Step::Apply { .. } => 1,
            Step::Drain { .. } | Step::Undrain { .. } | Step::Attach { .. } | Step::Detach { .. } => 2,
            Step::DeletePod { .. } => 3,
            Step::Prune { .. } => 4,
            Step::Forget { .. } => 5,
        });
        Plan { changes: self.changes, steps: self.steps, blocked: self.blocked, forecast: Forecast::default() }
    }
}

const fn radius(unit: &UnitId, gated: bool) -> BlastRadius {
    if !gated {
        return BlastRadius::None;
    }
    match unit {
        UnitId::Base(..) | UnitId::Shard(_) | UnitId::Wiring(..) | UnitId::Pool(_) => BlastRadius::None,
        UnitId::Web(..) | UnitId::Haproxy => BlastRadius::Reconnect,
        UnitId::Bridge(..) | UnitId::Recorder(..) => BlastRadius::BridgeDrain,
        UnitId::Slot(..) => BlastRadius::ShardRestart,
    }
}
