//! Where something of a shard is rendered, and what it is called there.

use std::collections::BTreeMap;

use fleet::{Component, Fleet, Shard, ShardName, Slot};
use manifest::{Names, UnitBuilder, UnitId, labels};

/// Where something is rendered: a slot of a shard of a fleet.
pub(crate) struct Place<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) name: &'a ShardName,
    pub(crate) shard: &'a Shard,
    pub(crate) slot: Slot,
}

impl Place<'_> {
    /// The name of a component's object in this slot.
    pub(crate) fn object(&self, component: Component) -> String {
        Names(&self.fleet.name).of_slot(self.name, self.slot, component)
    }

    /// Selects the pods of a component in this slot.
    pub(crate) fn select(&self, component: Component) -> BTreeMap<String, String> {
        labels::select_slot(&self.fleet.name, self.name, self.slot, component)
    }

    /// The name under which a component's Service is found from anywhere in the control cluster. Complete, because
    /// nginx resolves it without search domains.
    pub(crate) fn host(&self, component: Component) -> String {
        let cluster = &self.fleet.control.cluster;
        let namespace = self.fleet.clusters.get(cluster).map_or(self.fleet.name.as_str(), |cluster| &cluster.namespace);
        format!("{}.{namespace}.svc.{}", self.object(component), self.fleet.cluster_domain)
    }

    /// Begins a unit of this slot.
    pub(crate) fn unit(&self, id: UnitId) -> UnitBuilder {
        UnitBuilder::new(self.fleet, id, &self.fleet.control.cluster)
    }
}
