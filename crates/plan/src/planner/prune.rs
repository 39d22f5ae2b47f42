//! What left the file: gone when it is safe, and only if it is provably ours.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, Plane, ShardName, Slot};
use manifest::{Kind, Manifest, Names, ObjectRef, Scope, UnitId};

use super::Draft;
use super::bridge::Candidate;
use super::live::Presence;
use crate::{
    BlastRadius, BlockedBy, Change, ClusterView, Difference, Known, LiveObject, NamespaceState, Owned, Removal, Step,
    Tombstone, owed,
};

impl<'a> Draft<'a> {
    pub(super) fn prune(&mut self) {
        for (cluster, known) in &self.inputs.observed.clusters {
            let Some(view) = known.value() else { continue };
            if !self.inputs.policy.has_cluster(cluster) || view.namespace == NamespaceState::Absent {
                continue;
            }
            for (plane, inventory) in &view.inventories {
                if self.inputs.policy.has_plane(*plane) {
                    self.prune_plane(cluster, *plane, view, &inventory.units);
                }
            }
        }
        self.take_turns_of_leavers();
    }

    fn prune_plane(
        &mut self,
        cluster: &'a ClusterName,
        plane: Plane,
        view: &'a ClusterView,
        owned: &'a BTreeMap<UnitId, BTreeMap<Owned, Option<String>>>,
    ) {
        let desired: BTreeSet<&ObjectRef> = self
            .inputs
            .desired
            .manifests()
            .map(|(_, manifest)| &manifest.object)
            .filter(|object| object.cluster == *cluster)
            .collect();
        let keeps: BTreeSet<&ObjectRef> = self.inputs.desired.units.values().flat_map(|unit| &unit.keeps).collect();
        let rendered = self.inputs.desired.units.keys().any(|unit| unit.plane() == plane);
        let mut left: BTreeMap<&UnitId, Vec<Step>> = BTreeMap::new();
        for (unit, objects) in owned {
            if self.inputs.pending.contains_key(unit) {
                continue;
            }
            for (object, uid) in objects {
                let Some(step) = self.prune_object(cluster, unit, object, uid.as_deref(), view) else { continue };
                let Step::Prune { object, .. } = &step else { continue };
                if !desired.contains(object) && !keeps.contains(object) && !self.inputs.held.contains(object) {
                    left.entry(unit).or_default().push(step);
                }
            }
        }
        self.forget(cluster, view, owned, |object| desired.contains(object) || keeps.contains(object));
        if left.is_empty() {
            return;
        }
        if !rendered && self.inputs.policy.removal == Removal::None {
            if let Some(unit) = left.keys().next() {
                self.block(unit, cluster, BlockedBy::EmptyRender);
            }
            return;
        }
        // Never after a partial apply: what replaces these may not be there yet.
        let partial = self.unfinished.contains(&(plane, cluster.clone()));
        for (unit, prunes) in left {
            let blocked = self.blocked.len();
            self.leaver(cluster, view, unit, prunes, partial);
            if self.blocked.len() > blocked {
                self.follow(cluster, view, unit);
            }
        }
    }

    /// Keeps what can't go yet as it should be until then: who still needs it must not lose it before.
    fn follow(&mut self, cluster: &ClusterName, view: &ClusterView, unit: &UnitId) {
        let stays = self.inputs.policy.removal == Removal::None;
        let Some(kept) = self.inputs.desired.leaving.get(unit).filter(|_| stays) else { return };
        let differs = |manifest: &&Manifest| {
            let live = view.objects.get(&manifest.object);
            live.is_none_or(|live| !live.deleting && !live.body.lacks(&manifest.body).is_empty())
        };
        let here = kept.manifests.iter().filter(|manifest| manifest.object.cluster == *cluster);
        let objects = here.filter(differs).map(|manifest| manifest.object.clone()).collect();
        self.apply(unit, cluster, objects);
    }

    /// Strikes what is not there any more. What has no UID yet may still be on its way, sent by somebody who has died since;
    /// where everything goes, what is left of a bridge would hold up its shard for ever.
    fn forget(
        &mut self,
        cluster: &ClusterName,
        view: &ClusterView,
        owned: &BTreeMap<UnitId, BTreeMap<Owned, Option<String>>>,
        wanted: impl Fn(&ObjectRef) -> bool,
    ) {
        let Some(there) = self.inputs.fleet.clusters.get(cluster) else { return };
        for (unit, objects) in owned.iter().filter(|(unit, _)| !self.inputs.pending.contains_key(*unit)) {
            let is_gone = |owned: &Owned| {
                let (kind, name) = (owned.kind, owned.name.clone());
                let object = ObjectRef { cluster: cluster.clone(), kind, namespace: there.namespace.clone(), name };
                let listed = kind.scope() == Scope::Namespaced && !view.unreadable_kinds.contains_key(&kind);
                let kept = wanted(&object) || self.inputs.held.contains(&object);
                listed && !kept && !view.objects.contains_key(&object)
            };
            let goes = self.inputs.policy.removal != Removal::None;
            let known = objects.iter().filter(|(_, uid)| goes || uid.is_some()).map(|(owned, _)| owned);
            let gone: Vec<Owned> = known.filter(|owned| is_gone(owned)).cloned().collect();
            if !gone.is_empty() {
                self.steps.push(Step::Forget { unit: unit.clone(), cluster: cluster.clone(), objects: gone });
            }
        }
    }

    /// The step that deletes an object of an inventory, if it is there, ours and deletable.
    fn prune_object(
        &self,
        cluster: &ClusterName,
        unit: &UnitId,
        owned: &Owned,
        uid: Option<&str>,
        view: &ClusterView,
    ) -> Option<Step> {
        let namespace = match owned.kind.scope() {
            Scope::Namespaced => self.inputs.fleet.clusters.get(cluster)?.namespace.clone(),
            Scope::Cluster => String::new(),
        };
        if owned.kind == Kind::Namespace || self.keeps_passwords(cluster, unit.plane(), &owned.name) {
            return None;
        }
        let object = ObjectRef { cluster: cluster.clone(), kind: owned.kind, namespace, name: owned.name.clone() };
        let live = view.objects.get(&object)?;
        // No UID was written down if we were stopped between intent and act: then the field manager has to prove it.
        let ours = match uid {
            Some(uid) => live.uid == uid,
            None => live.managers.contains(&format!("jitsictl/{}", unit.plane())),
        };
        (ours && !live.deleting).then(|| Step::Prune {
            unit: unit.clone(),
            object,
            uid: live.uid.clone(),
            version: live.version.clone(),
        })
    }

    fn leaver(
        &mut self,
        cluster: &'a ClusterName,
        view: &'a ClusterView,
        unit: &UnitId,
        mut prunes: Vec<Step>,
        partial: bool,
    ) {
        let stays = self.is_desired(cluster, unit);
        let objects = prunes
            .iter()
            .filter_map(|step| match step {
                Step::Prune { object, .. } => Some((object.clone(), Difference::Delete)),
                _ => None,
            })
            .collect();
        if stays {
            // A ConfigMap of an older content goes when no pod starts from it any more: no news for people.
            prunes.retain(|step| referenced(view, step).is_empty());
            if !partial {
                self.steps.extend(prunes);
            }
            return;
        }
        let radius = match unit {
            UnitId::Bridge(..) | UnitId::Recorder(..) => BlastRadius::BridgeDrain,
            UnitId::Slot(..) => BlastRadius::ShardRestart,
            _ => BlastRadius::None,
        };
        let live = self.live(cluster, unit);
        self.changes.push(Change {
            unit: unit.clone(),
            cluster: cluster.clone(),
            objects,
            outdated_pods: Vec::new(),
            radius,
            live,
        });
        self.bury(cluster, unit);
        if partial {
            let why = "the rest of this cluster is applied first".to_owned();
            return self.block(unit, cluster, BlockedBy::Settling { why });
        }
        match unit {
            UnitId::Bridge(pool, index) => {
                let pod = format!("{}-0", Names(&self.inputs.fleet.name).bridge(pool, *index));
                self.waiting.push(Candidate::remove(unit.clone(), cluster, view, pod, prunes));
            }
            UnitId::Recorder(pool, index) => {
                let pod = format!("{}-0", Names(&self.inputs.fleet.name).recorder(pool, *index));
                self.waiting.push(Candidate::remove(unit.clone(), cluster, view, pod, prunes));
            }
            UnitId::Slot(..) if self.is_not_replaced(cluster) => {
                let why = "the control plane is made in its new place first".to_owned();
                self.block(unit, cluster, BlockedBy::Settling { why });
            }
            UnitId::Slot(..) if self.bridges_are_left() => {
                let why = "bridges and recorders go first".to_owned();
                self.block(unit, cluster, BlockedBy::Settling { why });
            }
            UnitId::Slot(shard, slot) => {
                let pods: Vec<String> = slot_pods(view, shard, *slot);
                match self.presence_in_slot(cluster, (shard, *slot), view, &pods) {
                    Presence::Nobody => self.steps.extend(prunes),
                    Presence::Somebody(live) => self.block(unit, cluster, BlockedBy::Participants(live)),
                    Presence::Unknown(why) => self.block(unit, cluster, BlockedBy::NoEvidence { why }),
                }
            }
            // Where the data plane goes, from everywhere or from this cluster, the shard may stay.
            UnitId::Wiring(..) if !has_media(view) => self.steps.extend(prunes),
            UnitId::Wiring(_, shard, slot) if self.inputs.fleet.control.shards.contains_key(shard) => {
                match self.part_from_staying(cluster, view, (shard, *slot)) {
                    Some(by) => self.block(unit, cluster, by),
                    None => self.steps.extend(prunes),
                }
            }
            UnitId::Shard(shard) => self.after_slots(unit, cluster, prunes, |other, _| other == shard),
            UnitId::Web(shard, slot) | UnitId::Wiring(_, shard, slot) => {
                self.after_slots(unit, cluster, prunes, |other, which| other == shard && which == *slot);
            }
            // Whoever is on a call came in through it, and comes back that way.
            UnitId::Haproxy if self.inputs.policy.removal == Removal::None => {
                self.after_slots(unit, cluster, prunes, |_, _| true);
            }
            UnitId::Haproxy => self.steps.extend(prunes),
            UnitId::Pool(_) | UnitId::Base(..) => {
                let pods: BTreeSet<String> = prunes.iter().flat_map(|step| referenced(view, step)).collect();
                if pods.is_empty() {
                    self.steps.extend(prunes);
                } else {
                    self.block(unit, cluster, BlockedBy::Referenced { pods });
                }
            }
        }
    }

    /// Whether a unit is wanted in that cluster. One of the same name may be wanted elsewhere.
    pub(super) fn is_desired(&self, cluster: &ClusterName, unit: &UnitId) -> bool {
        let wanted = self.inputs.desired.units.get(unit);
        wanted.is_some_and(|unit| unit.manifests.iter().any(|manifest| manifest.object.cluster == *cluster))
    }

    /// Whether the control plane has left this cluster for one in which something of it is still to be applied.
    fn is_not_replaced(&self, cluster: &ClusterName) -> bool {
        let home = &self.inputs.fleet.control.cluster;
        let replaced = self.inputs.policy.removal != Removal::None || cluster == home;
        !replaced && (self.view(home).is_none() || self.unfinished.contains(&(Plane::Control, home.clone())))
    }

    /// Whether an object holds passwords that stay: unless told otherwise they do, but for those that a plane leaves behind
    /// while the control cluster has them.
    fn keeps_passwords(&self, cluster: &ClusterName, plane: Plane, name: &str) -> bool {
        let (fleet, names) = (self.inputs.fleet, Names(&self.inputs.fleet.name));
        if name != names.passwords() && name != names.passwords_copy() {
            return false;
        }
        let left_behind = || {
            let stored = |view: &ClusterView| {
                view.objects.keys().any(|object| object.kind == Kind::Secret && object.name == names.passwords())
            };
            !fleet.has_plane_in(plane, cluster) && self.view(&fleet.control.cluster).is_some_and(stored)
        };
        match self.inputs.policy.removal {
            Removal::None => !left_behind(),
            Removal::KeepSecrets => true,
            Removal::Everything => false,
        }
    }

    /// Whether the whole fleet goes and bridges or recorders of it are still there: jicofo is needed to see them empty.
    fn bridges_are_left(&self) -> bool {
        let inputs = self.inputs;
        inputs.policy.removal != Removal::None
            && inputs.policy.has_plane(Plane::Data)
            && inputs.observed.clusters.values().filter_map(Known::value).any(has_media)
    }

    /// What belongs to a slot goes after its prosody and jicofo have gone.
    fn after_slots(
        &mut self,
        unit: &UnitId,
        cluster: &ClusterName,
        prunes: Vec<Step>,
        belongs: impl Fn(&ShardName, Slot) -> bool,
    ) {
        if self.inputs.policy.allow_disruption {
            return self.after_clients(unit, cluster, prunes);
        }
        let control = match unit.plane() {
            Plane::Control => cluster,
            Plane::Data => &self.inputs.fleet.control.cluster,
        };
        let Some(view) = self.view(control) else {
            let why = format!("{control} can't be asked whether the shard is still there");
            return self.block(unit, cluster, BlockedBy::NoEvidence { why });
        };
        let owned = view.inventories.get(&Plane::Control).into_iter().flat_map(|inventory| inventory.units.keys());
        let alive = owned
            .filter_map(|unit| match unit {
                UnitId::Slot(shard, slot) => Some((shard, *slot)),
                _ => None,
            })
            .any(|(shard, slot)| belongs(shard, slot) && !slot_pods(view, shard, slot).is_empty());
        if alive {
            let why = "prosody and jicofo of the shard go first".to_owned();
            self.block(unit, cluster, BlockedBy::Settling { why });
        } else {
            self.after_clients(unit, cluster, prunes);
        }
    }

    fn after_clients(&mut self, unit: &UnitId, cluster: &ClusterName, prunes: Vec<Step>) {
        match self.parts(unit) {
            Some(by) => self.block(unit, cluster, by),
            None => self.steps.extend(prunes),
        }
    }

    /// Writes down what left the file, before it goes.
    fn bury(&mut self, cluster: &ClusterName, unit: &UnitId) {
        if self.inputs.policy.removal != Removal::None {
            return;
        }
        let buried =
            self.inputs.record.tombstones.iter().any(|stone| stone.cluster == *cluster && stone.units.contains(unit));
        let Some(at) = self.inputs.fleet.clusters.get(cluster) else { return };
        if !buried {
            self.steps.push(Step::Bury(Tombstone {
                cluster: cluster.clone(),
                access: at.access.clone(),
                namespace: at.namespace.clone(),
                units: BTreeSet::from([unit.clone()]),
                since: self.inputs.now,
            }));
        }
    }

    /// What is owed where nobody can look: it stays a debt, whatever else is done.
    pub(super) fn debts(&mut self) {
        for debt in owed(self.inputs.record, self.inputs.desired, self.inputs.observed) {
            let Some(why) = debt.why else { continue };
            let cluster = &debt.stone.cluster;
            if !self.inputs.policy.has_cluster(cluster) || self.reported.contains(cluster) {
                continue;
            }
            for unit in debt.units.into_iter().filter(|unit| self.inputs.policy.has_plane(unit.plane())) {
                self.block(unit, cluster, BlockedBy::Owed { why: why.clone() });
            }
        }
    }

    fn take_turns_of_leavers(&mut self) {
        // Candidates for replacement were dealt with before; what they blocked or did stays as it is.
        let leavers: Vec<Candidate<'a>> =
            std::mem::take(&mut self.waiting).into_iter().filter(Candidate::is_removal).collect();
        self.waiting = leavers;
        self.take_turns();
    }
}

/// Whether bridges or recorders are left in a cluster.
fn has_media(view: &ClusterView) -> bool {
    let owned = view.inventories.get(&Plane::Data);
    owned.is_some_and(|inventory| {
        inventory.units.keys().any(|unit| matches!(unit, UnitId::Bridge(..) | UnitId::Recorder(..)))
    })
}

fn slot_pods(view: &ClusterView, shard: &ShardName, slot: Slot) -> Vec<String> {
    let label = UnitId::Slot(shard.clone(), slot).label();
    view.pods
        .values()
        .filter(|pod| pod.labels.get(manifest::labels::UNIT) == Some(&label))
        .map(|pod| pod.name.clone())
        .collect()
}

/// Pods that refer to the object that a step would delete, and workloads whose next pod would.
fn referenced(view: &ClusterView, step: &Step) -> BTreeSet<String> {
    let Step::Prune { object, .. } = step else { return BTreeSet::new() };
    let pods = view.pods.values().filter(|pod| pod.references.contains(&(object.kind, object.name.clone())));
    let mut found: BTreeSet<String> = pods.map(|pod| pod.name.clone()).collect();
    if matches!(object.kind, Kind::ConfigMap | Kind::Secret) {
        let mentions = |live: &&LiveObject| live.object.kind.has_pods() && live.body.template_mentions(&object.name);
        found.extend(view.objects.values().filter(mentions).map(|live| live.object.name.clone()));
    }
    found
}
