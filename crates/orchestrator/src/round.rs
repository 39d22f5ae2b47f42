//! One round: look around, render, plan, and judge. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use cluster::Look;
use fleet::{ClusterName, Fleet, Plane, ShardName};
use manifest::{Allocations, Desired, Kind, ObjectRef, UnitId};
use plan::{
    Blocked, BlockedBy, Forecast, Generation, Inputs, Known, Learnt, Live, NamespaceState, Observed, Plan, Policy,
    Record, Removal, Tombstone, Witness,
};

use crate::desire::{Desire, desire};
use crate::look::{self, Asking, Senses};
use crate::proof::{self, Evidence};
use crate::report::{self, Debt, Proof, ServerStatus, Unhealthy};
use crate::secrets::{self, Secrets};
use crate::{Fatal, Session, left};

/// Each plane's record and its version, where its home answers.
pub(crate) type Records = BTreeMap<Plane, (Record, Option<String>)>;

/// What a round showed.
pub(crate) struct Round {
    pub(crate) observed: Observed,
    pub(crate) looks: BTreeMap<ClusterName, Look>,
    pub(crate) records: Records,
    /// What all readable records say together, but for their generations: each plane counts for itself.
    pub(crate) record: Record,
    pub(crate) desire: Desire,
    pub(crate) secrets: Secrets,
    pub(crate) policy: Policy,
    pub(crate) plan: Plan,
    pub(crate) proof: Proof,
    /// What the entrance's proxies say, by pod, where somebody wants to see it.
    pub(crate) proxies: BTreeMap<String, Known<Vec<ServerStatus>>>,
}

impl Round {
    /// Looks around, asking everybody, and plans.
    pub(crate) async fn look(session: &Session<'_>, policy: &Policy) -> Result<Self, Fatal> {
        Self::by(&Asking, session, policy).await
    }

    /// Looks around by these senses, and plans.
    pub(crate) async fn by<S: Senses>(senses: &S, session: &Session<'_>, policy: &Policy) -> Result<Self, Fatal> {
        let fleet = &session.loaded.fleet;
        let handover = session.options.handover.as_ref();
        let (mut observed, looks) = senses.clusters(session).await;
        let mut policy = Policy { planes: session.planes.clone(), ..policy.clone() };
        policy.witness = if handover.is_some() { Witness::Bridge } else { Witness::Jicofo };
        let (records, lost_homes) = records(session, &looks, &observed, &mut policy);
        let mut record = together(&records);
        let moved = left::moved(records.values().map(|(record, _)| record), &record.pins, &session.loaded);
        if !moved.is_empty() {
            return Err(Fatal::Usage(moved));
        }
        record.tombstones = debts(session, &records, &looks, &record);
        let existing =
            records.iter().filter(|(_, (record, _))| !record.pins.is_empty()).map(|(plane, _)| *plane).collect();
        session.check_pins(&record, &existing)?;
        record.allocations = match handover {
            Some(handover) => handover.allocations.clone(),
            None => record.allocations.extended(fleet),
        };
        record.allocations.leaving = leaving(session, &record.allocations, &observed);
        let mut desire = desire(fleet, &record.allocations, &observed, &policy, handover);
        let secrets = senses.secrets(session, &observed).await;
        desire.held.extend(secrets::stamp(fleet, &mut desire.desired, &secrets));
        desire.held.extend(secrets::fingerprint(&mut desire.desired, &secrets, &session.run_key));
        if policy.removal != Removal::None {
            // Everything goes: there is nothing that should be, and nothing to wait for.
            desire.desired = Desired::default();
            desire.pending.clear();
            desire.held.clear();
        }
        look::daemons(session, senses, &desire.desired, &record.allocations, &policy, &mut observed).await;
        let mut plan = plan::plan(&Inputs {
            fleet,
            desired: &desire.desired,
            pending: &desire.pending,
            held: &desire.held,
            observed: &observed,
            record: &record,
            policy: &policy,
            now: session.now(),
        });
        plan.blocked.extend(lost_homes);
        let proof = proof::judge(Evidence {
            fleet,
            allocations: &record.allocations,
            desired: &desire.desired,
            endpoints: &desire.endpoints,
            surroundings: &desire.surroundings,
            observed: &observed,
            witness: match policy.witness {
                Witness::Jicofo => report::Witness::Jicofo,
                Witness::Bridge => report::Witness::Bridges,
            },
            policy: &policy,
            unhealthy: unhealthy(&desire, &observed, &policy),
        });
        Ok(Self { observed, looks, records, record, desire, secrets, policy, plan, proof, proxies: BTreeMap::new() })
    }

    /// Asks the entrance's proxies too.
    pub(crate) async fn with_proxies<S: Senses>(mut self, senses: &S, session: &Session<'_>) -> Self {
        if self.policy.has_plane(Plane::Control) && session.options.handover.is_none() {
            self.proxies = look::proxies(session, senses, &self.observed).await;
        }
        self
    }

    /// What this round's plan comes to.
    pub(crate) fn forecast(&self, session: &Session<'_>) -> Forecast {
        let inputs = Inputs {
            fleet: &session.loaded.fleet,
            desired: &self.desire.desired,
            pending: &self.desire.pending,
            held: &self.desire.held,
            observed: &self.observed,
            record: &self.record,
            policy: &self.policy,
            now: session.now(),
        };
        plan::forecast(&inputs, &self.plan)
    }

    /// Takes up what it shows beside the rounds before.
    pub(crate) fn teach(&self, fleet: &Fleet, learnt: &mut Learnt) {
        learnt.saw(fleet, &self.record.allocations, &self.observed, self.policy.witness);
    }

    /// Who is on the fleet now, if every slot's jicofo says.
    pub(crate) fn live(&self) -> Option<Live> {
        if self.proof.witness == report::Witness::Bridges || self.proof.slots.iter().any(|slot| slot.why.is_some()) {
            return None;
        }
        Some(self.proof.slots.iter().fold(Live::default(), |sum, slot| Live {
            conferences: sum.conferences + slot.live.conferences,
            participants: sum.participants + slot.live.participants,
        }))
    }

    /// What is owed where the fleet was, one line a place.
    pub(crate) fn debts(&self) -> Vec<Debt> {
        left::debts(&self.record, &self.desire.desired, &self.observed)
    }

    /// Clusters whose namespace is not there, of those that this run applies.
    pub(crate) fn without_namespace(&self) -> BTreeSet<ClusterName> {
        let absent = |known: &Known<plan::ClusterView>| {
            known.value().is_some_and(|view| view.namespace == NamespaceState::Absent)
        };
        let used: BTreeSet<&ClusterName> =
            self.desire.desired.manifests().map(|(_, manifest)| &manifest.object.cluster).collect();
        let absent = self
            .observed
            .clusters
            .iter()
            .filter(|(name, known)| absent(known) && used.contains(name) && self.policy.has_cluster(name));
        absent.map(|(name, _)| name.clone()).collect()
    }
}

/// The records of the planes of this run. A plane whose home does not answer, or whose record can't be read, is
/// observed only: nobody can prove to be its one writer.
fn records(
    session: &Session<'_>,
    looks: &BTreeMap<ClusterName, Look>,
    observed: &Observed,
    policy: &mut Policy,
) -> (Records, Vec<Blocked>) {
    let mut records = BTreeMap::new();
    let mut lost = Vec::new();
    for plane in [Plane::Control, Plane::Data] {
        let home = session.home_name(plane);
        // What may not be read may well be there.
        let forbidden = || {
            let view = observed.clusters.get(home).and_then(Known::value)?;
            view.unreadable_kinds.get(&Kind::ConfigMap).cloned()
        };
        let why = match looks.get(home) {
            Some(look) => match look.unreadable_records.get(&plane).cloned().or_else(forbidden) {
                None => {
                    let found = look.records.get(&plane).cloned();
                    let (record, version) = found.map_or_else(|| (Record::default(), None), |(r, v)| (r, Some(v)));
                    records.insert(plane, (record, version));
                    continue;
                }
                Some(why) => format!("its record there can't be read: {why}"),
            },
            None => session.unreachable.get(home).cloned().unwrap_or_else(|| "it does not answer".to_owned()),
        };
        if policy.planes.remove(&plane) {
            lost.push(Blocked {
                unit: UnitId::Base(plane, home.clone()),
                cluster: home.clone(),
                by: BlockedBy::Unreachable { why: format!("home of the {plane} plane, which is left as it is: {why}") },
            });
        }
    }
    if policy.planes.is_empty() {
        // Empty means both; a cluster that does not exist means none.
        policy.clusters = BTreeSet::from_iter("none".parse());
    }
    (records, lost)
}

/// The highest generation that a plane's inventories carry: where a record was lost or its home has moved, higher than
/// what it says itself. They take nothing from somebody with a lower one.
pub(crate) fn last(observed: &Observed, plane: Plane) -> Generation {
    let views = observed.clusters.values().filter_map(Known::value);
    let inventories = views.filter_map(|view| view.inventories.get(&plane));
    inventories.map(|inventory| inventory.generation).max().unwrap_or_default()
}

/// Shards that are not in the file any more, and whose prosody and jicofo are still written down as ours.
fn leaving(session: &Session<'_>, allocations: &Allocations, observed: &Observed) -> BTreeSet<ShardName> {
    let fleet = &session.loaded.fleet;
    let view = observed.clusters.get(&fleet.control.cluster).and_then(Known::value);
    let owned = view.and_then(|view| view.inventories.get(&Plane::Control));
    let slots = owned.into_iter().flat_map(|inventory| inventory.units.keys()).filter_map(|unit| match unit {
        UnitId::Slot(shard, _) => Some(shard),
        _ => None,
    });
    slots
        .filter(|shard| !fleet.control.shards.contains_key(*shard) && allocations.shards.contains_key(*shard))
        .cloned()
        .collect()
}

/// What is owed by the records, those included that a plane has left where its home was before.
fn debts(
    session: &Session<'_>,
    records: &Records,
    looks: &BTreeMap<ClusterName, Look>,
    record: &Record,
) -> Vec<Tombstone> {
    let known = records.values().map(|(record, _)| record);
    let mut stones = left::stones(known, &record.pins, &session.loaded, session.now());
    for (name, look) in looks {
        let former = look.records.iter().filter(|(plane, _)| session.home_name(**plane) != name);
        former.flat_map(|(_, (record, _))| &record.tombstones).for_each(|stone| left::put(&mut stones, stone));
    }
    stones
}

/// The records as one: numbers as the control plane knows them, pins of both.
fn together(records: &Records) -> Record {
    let mut all = Record::default();
    for (record, _) in records.values() {
        all.pins.extend(record.pins.clone());
        if all.allocations == Allocations::default() {
            all.allocations = record.allocations.clone();
        }
        all.intent = all.intent.or_else(|| record.intent.clone());
    }
    all
}

/// Workloads and load balancers of this run that are not healthy yet.
fn unhealthy(desire: &Desire, observed: &Observed, policy: &Policy) -> Vec<Unhealthy> {
    let mut found = Vec::new();
    for (unit, manifest) in desire.desired.manifests() {
        let object: &ObjectRef = &manifest.object;
        if !policy.has_plane(unit.plane())
            || !policy.has_cluster(&object.cluster)
            || !matches!(object.kind, Kind::StatefulSet | Kind::Deployment)
        {
            continue;
        }
        let Some(view) = observed.clusters.get(&object.cluster).and_then(Known::value) else { continue };
        let label = unit.label();
        let named = view.pods.range(object.name.clone()..).take_while(|(name, _)| name.starts_with(&object.name));
        let pods = named.map(|(_, pod)| pod).filter(|pod| pod.labels.get(manifest::labels::UNIT) == Some(&label));
        let why = match view.objects.get(object) {
            None => "it is not there".to_owned(),
            Some(live) => match plan::health::health(live, pods) {
                health if health.is_healthy() => continue,
                health => health.to_string(),
            },
        };
        found.push(Unhealthy {
            cluster: object.cluster.clone(),
            unit: unit.to_string(),
            object: format!("{} {}", object.kind, object.name),
            why,
        });
    }
    found
}
