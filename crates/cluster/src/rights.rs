//! What a plane has to be allowed in each cluster, no more: derived from the fleet, what it renders to, and the kinds of
//! requests that this crate sends. Pure; a test takes away every single verb and sees something break.
//!
//! | a cluster is, to a plane | it may there |
//! |---|---|
//! | one that it keeps | write what it renders; list and delete what it might have rendered before; books, pods, streams |
//! | the control cluster, to the data plane | read addresses, passwords and the record; ask jicofo |
//! | anything else | nothing |
//!
//! Streams are not limited to names: what left the file still has to be asked whether anybody is on it.

mod objects;

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Advertise, ClusterName, Fleet, Plane, SecretSource, XmppExpose};
use manifest::{Desired, Kind, Names, Scope};
use serde::Serialize;

pub use objects::{Account, Grant, Grants, grants};

/// What may be done, in RBAC's words and in the order in which people write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// One object.
    Get,
    /// All of a kind.
    List,
    /// Each change of a kind.
    Watch,
    /// A new object.
    Create,
    /// The whole of an object.
    Update,
    /// A part of an object.
    Patch,
    /// An object's end.
    Delete,
}

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The API group: one, `""` for the core group.
    pub api_groups: [&'static str; 1],
    /// Plurals, with their subresource.
    pub resources: Vec<&'static str>,
    /// Only these objects; empty: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// What may be done.
    pub verbs: Vec<Verb>,
}

/// What planes may do in one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// In the fleet's namespace there.
    pub namespaced: Vec<Rule>,
    /// In the whole cluster: things go on without it, as the second half says.
    pub optional: Vec<(Rule, &'static str)>,
}

impl Rights {
    /// Whether there is nothing to be allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaced.is_empty() && self.optional.is_empty()
    }
}

/// What is kept of a plane, whether the fleet file makes one now or not.
const fn kinds(plane: Plane) -> [Kind; 10] {
    let own = match plane {
        Plane::Control => Kind::Deployment,
        Plane::Data => Kind::EndpointSlice,
    };
    [
        Kind::Secret,
        Kind::ConfigMap,
        Kind::Service,
        own,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
        Kind::StatefulSet,
        Kind::Ingress,
        Kind::HttpRoute,
        Kind::PodMonitor,
    ]
}

/// What the data plane has to know of the control cluster: addresses, passwords and the record.
const OF_CONTROL: [Kind; 3] = [Kind::Secret, Kind::ConfigMap, Kind::Service];

/// Kinds that these planes have no business with in a cluster, as far as the fleet file goes. What stands in an inventory
/// from before is another thing.
#[must_use]
pub fn needless(fleet: &Fleet, planes: &BTreeSet<Plane>, cluster: &ClusterName) -> BTreeSet<Kind> {
    let kept = planes.iter().filter(|plane| keeps(fleet, **plane, cluster)).flat_map(|plane| kinds(*plane));
    let needed: BTreeSet<Kind> = kept.chain(OF_CONTROL).collect();
    let all = Kind::ALL.into_iter().filter(|kind| kind.scope() == Scope::Namespaced);
    all.filter(|kind| !needed.contains(kind)).collect()
}

fn home(fleet: &Fleet, plane: Plane) -> &ClusterName {
    match plane {
        Plane::Control => &fleet.control.cluster,
        Plane::Data => &fleet.data.home,
    }
}

/// Whether a plane has something in a cluster.
fn keeps(fleet: &Fleet, plane: Plane, cluster: &ClusterName) -> bool {
    let has_pools = || fleet.data.pools.iter().any(|pool| pool.cluster == *cluster);
    cluster == home(fleet, plane) || (plane == Plane::Data && has_pools())
}

/// Kinds with fields that can't be changed: they are read to say which one it was, and what to do.
const EXPLAINED: [Kind; 3] = [Kind::EndpointSlice, Kind::StatefulSet, Kind::Deployment];

/// What these planes need in a cluster, as one account.
#[must_use]
pub fn rights(fleet: &Fleet, desired: &Desired, planes: &BTreeSet<Plane>, cluster: &ClusterName) -> Rights {
    let mut draft = Draft { fleet, desired, cluster, allowed: BTreeMap::new() };
    for plane in planes {
        draft.plane(*plane);
    }
    let namespaced = draft.rules();
    let optional = if namespaced.is_empty() { Vec::new() } else { optional(fleet, planes, cluster) };
    Rights { namespaced, optional }
}

struct Draft<'a> {
    fleet: &'a Fleet,
    desired: &'a Desired,
    cluster: &'a ClusterName,
    /// By group, plural and names.
    allowed: BTreeMap<(&'static str, &'static str, Vec<String>), BTreeSet<Verb>>,
}

impl Draft<'_> {
    fn allow(&mut self, group: &'static str, plural: &'static str, verbs: &[Verb]) {
        self.allow_named(group, plural, Vec::new(), verbs);
    }

    fn allow_named(&mut self, group: &'static str, plural: &'static str, names: Vec<String>, verbs: &[Verb]) {
        self.allowed.entry((group, plural, names)).or_default().extend(verbs);
    }

    fn plane(&mut self, plane: Plane) {
        if keeps(self.fleet, plane, self.cluster) {
            self.keep(plane);
        }
        if self.cluster == home(self.fleet, plane) {
            self.lead(plane);
        }
        if plane == Plane::Data && *self.cluster == self.fleet.control.cluster {
            self.read_control();
        }
    }

    /// A cluster in which the plane has something, or had.
    fn keep(&mut self, plane: Plane) {
        use Verb::{Create, Delete, Get, List, Patch, Update, Watch};
        let rendered: BTreeSet<Kind> = self
            .desired
            .manifests()
            .filter(|(unit, manifest)| unit.plane() == plane && manifest.object.cluster == *self.cluster)
            .map(|(_, manifest)| manifest.object.kind)
            .collect();
        for kind in kinds(plane) {
            self.allow(kind.group(), kind.plural(), &[List, Watch, Delete]);
            if rendered.contains(&kind) {
                self.allow(kind.group(), kind.plural(), &[Create, Patch]);
                if EXPLAINED.contains(&kind) {
                    self.allow(kind.group(), kind.plural(), &[Get]);
                }
            }
        }
        // Inventories and the record.
        self.allow("", "configmaps", &[Get, Create, Update]);
        self.namespace();
        // What happens to an object is told on it; the same again is counted there.
        self.allow("", "events", &[Create, Patch]);
        self.allow("", "pods", &[List, Watch, Delete]);
        self.streams();
        let names = Names(&self.fleet.name);
        match plane {
            Plane::Control => self.read_secrets(),
            Plane::Data => {
                // A drain is written on its pod.
                self.allow("", "pods", &[Patch]);
                // Passwords that were lost are put back from here.
                self.allow_named("", "secrets", vec![names.passwords_copy()], &[Get]);
            }
        }
    }

    /// The home of the plane: who holds its Lease writes.
    fn lead(&mut self, plane: Plane) {
        let lease = Names(&self.fleet.name).record(plane);
        self.allow_named("coordination.k8s.io", "leases", vec![lease], &[Verb::Get, Verb::Update, Verb::Delete]);
        // A name that does not exist yet can't limit anything.
        self.allow("coordination.k8s.io", "leases", &[Verb::Create]);
    }

    /// What the data plane needs to know of the control cluster.
    fn read_control(&mut self) {
        for kind in OF_CONTROL {
            self.allow(kind.group(), kind.plural(), &[Verb::List, Verb::Watch]);
        }
        self.allow("", "pods", &[Verb::List, Verb::Watch]);
        self.namespace();
        self.read_secrets();
        self.streams();
    }

    fn namespace(&mut self) {
        let namespace = self.fleet.clusters.get(self.cluster).map(|cluster| cluster.namespace.clone());
        self.allow_named("", "namespaces", namespace.into_iter().collect(), &[Verb::Get]);
    }

    /// Up to Kubernetes 1.34 a stream needs `get`, since then also `create`.
    fn streams(&mut self) {
        self.allow("", "pods/portforward", &[Verb::Get, Verb::Create]);
    }

    /// The values themselves: what was made, what the user gave, and what the file refers to.
    fn read_secrets(&mut self) {
        let names = Names(&self.fleet.name);
        let existing = self.fleet.secrets.values().filter_map(|source| match source {
            SecretSource::Existing { secret, .. } => Some(secret.clone()),
            SecretSource::Value(_) | SecretSource::Missing { .. } => None,
        });
        let all: BTreeSet<String> = [names.passwords(), names.secrets()].into_iter().chain(existing).collect();
        self.allow_named("", "secrets", all.into_iter().collect(), &[Verb::Get]);
    }

    /// The same verbs on several resources of a group are one rule.
    fn rules(self) -> Vec<Rule> {
        let mut unnamed: BTreeMap<(&str, &str), BTreeSet<Verb>> = BTreeMap::new();
        for ((group, plural, names), verbs) in &self.allowed {
            if names.is_empty() {
                unnamed.insert((group, plural), verbs.clone());
            }
        }
        let mut rules: Vec<Rule> = Vec::new();
        for ((group, plural, resource_names), mut verbs) in self.allowed {
            if !resource_names.is_empty()
                && let Some(of_all) = unnamed.get(&(group, plural))
            {
                verbs.retain(|verb| !of_all.contains(verb));
            }
            if verbs.is_empty() {
                continue;
            }
            let rule = Rule {
                api_groups: [group],
                resources: vec![plural],
                resource_names,
                verbs: verbs.into_iter().collect(),
            };
            let same = |other: &&mut Rule| {
                other.api_groups == rule.api_groups
                    && other.resource_names == rule.resource_names
                    && other.verbs == rule.verbs
            };
            match rules.iter_mut().find(same) {
                Some(other) => other.resources.extend(rule.resources),
                None => rules.push(rule),
            }
        }
        rules
    }
}

/// What only a role of the whole cluster can allow.
fn optional(fleet: &Fleet, planes: &BTreeSet<Plane>, cluster: &ClusterName) -> Vec<(Rule, &'static str)> {
    let pools = fleet.data.pools.iter().filter(|pool| planes.contains(&Plane::Data) && pool.cluster == *cluster);
    let mut advertised = pools.flat_map(|pool| &pool.bridges.advertise);
    let advertises = advertised.any(|rule| !matches!(rule, Advertise::Map(_)));
    let answers = *cluster == fleet.control.cluster
        && matches!(&fleet.control.xmpp, XmppExpose::NodePort { addresses, .. } if addresses.is_empty());
    let namespace = fleet.clusters.get(cluster).map(|cluster| cluster.namespace.clone());
    let own = Rule {
        api_groups: [""],
        resources: vec!["namespaces"],
        resource_names: namespace.into_iter().collect(),
        verbs: vec![Verb::List, Verb::Watch],
    };
    let system = Rule {
        api_groups: [""],
        resources: vec!["namespaces"],
        resource_names: vec!["kube-system".to_owned()],
        verbs: vec![Verb::Get],
    };
    let mut rules = vec![
        (system, "the cluster is known again by the UID of the fleet's own namespace instead of kube-system's"),
        (own, "the daemon does not know what Pod Security enforces, and finds out by pods that don't start"),
    ];
    if advertises || answers {
        let without = if advertises {
            "bridges keep the addresses that they advertise; new nodes need `advertise: [{ map: … }]`"
        } else {
            "the shards' addresses have to stand in control.xmpp.node_port.addresses"
        };
        let rule = Rule {
            api_groups: [""],
            resources: vec!["nodes"],
            resource_names: Vec::new(),
            verbs: vec![Verb::List, Verb::Watch],
        };
        rules.push((rule, without));
    }
    rules
}

#[cfg(test)]
mod tests;
