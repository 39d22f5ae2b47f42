//! The names of objects, in one place.

use fleet::{ClusterName, Component, FleetName, Index, Plane, PoolName, ShardName, Slot};

/// Makes the names of a fleet's objects.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a>(pub &'a FleetName);

impl Names<'_> {
    /// `<fleet>-<shard>-<slot>-<component>`: prosody, jicofo, web of a slot.
    #[must_use]
    pub fn of_slot(&self, shard: &ShardName, slot: Slot, component: Component) -> String {
        format!("{}-{shard}-{slot}-{component}", self.0)
    }

    /// `<fleet>-<component>`: what all pods of a component in a cluster share.
    #[must_use]
    pub fn component(&self, component: Component) -> String {
        format!("{}-{component}", self.0)
    }

    /// `<fleet>-<shard>`: what both slots share and nobody else refers to.
    #[must_use]
    pub fn shard(&self, shard: &ShardName) -> String {
        format!("{}-{shard}", self.0)
    }

    /// `<fleet>-<shard>-xmpp`: the Service that serves both slots.
    #[must_use]
    pub fn shard_xmpp(&self, shard: &ShardName) -> String {
        format!("{}-{shard}-xmpp", self.0)
    }

    /// `<fleet>-<shard>-<slot>-xmpp`: the wiring of a slot in a data cluster.
    #[must_use]
    pub fn wiring(&self, shard: &ShardName, slot: Slot) -> String {
        format!("{}-{shard}-{slot}-xmpp", self.0)
    }

    /// `<fleet>-jvb-<pool>-<index>`: a bridge's StatefulSet and media Service.
    #[must_use]
    pub fn bridge(&self, pool: &PoolName, index: Index) -> String {
        format!("{}-jvb-{pool}-{index}", self.0)
    }

    /// `<fleet>-jibri-<pool>-<index>`: a recorder's StatefulSet.
    #[must_use]
    pub fn recorder(&self, pool: &PoolName, index: Index) -> String {
        format!("{}-jibri-{pool}-{index}", self.0)
    }

    /// `<cluster>-<pod>`: a bridge's nickname and relay id. Equal names from two clusters would merge silently.
    #[must_use]
    pub fn bridge_nickname(&self, cluster: &ClusterName, pool: &PoolName, index: Index) -> String {
        format!("{cluster}-{}-0", self.bridge(pool, index))
    }

    /// `<cluster>-<pod>`: a recorder's id.
    #[must_use]
    pub fn recorder_nickname(&self, cluster: &ClusterName, pool: &PoolName, index: Index) -> String {
        format!("{cluster}-{}-0", self.recorder(pool, index))
    }

    /// `<fleet>-haproxy`.
    #[must_use]
    pub fn haproxy(&self) -> String {
        format!("{}-haproxy", self.0)
    }

    /// `<fleet>-haproxy-<replica>`: the Service by which its peers reach one replica.
    #[must_use]
    pub fn haproxy_peer(&self, replica: u16) -> String {
        format!("{}-haproxy-{replica}", self.0)
    }

    /// `<fleet>-<pool>-wiring`: the bridges' XMPP servers.
    #[must_use]
    pub fn pool_wiring(&self, pool: &PoolName) -> String {
        format!("{}-{pool}-wiring", self.0)
    }

    /// `<fleet>-jvb-<pool>`: begins the names of what the bridges of a pool share.
    #[must_use]
    pub fn pool_bridges(&self, pool: &PoolName) -> String {
        format!("{}-jvb-{pool}", self.0)
    }

    /// `<fleet>-<pool>-addresses`: what the bridges advertise.
    #[must_use]
    pub fn pool_addresses(&self, pool: &PoolName) -> String {
        format!("{}-{pool}-addresses", self.0)
    }

    /// `<fleet>-passwords`: made once, in the control cluster.
    #[must_use]
    pub fn passwords(&self) -> String {
        format!("{}-passwords", self.0)
    }

    /// `<fleet>-passwords-copy`: what bridges and recorders need, in a data cluster.
    #[must_use]
    pub fn passwords_copy(&self) -> String {
        format!("{}-passwords-copy", self.0)
    }

    /// `<fleet>-secrets`: the user's secret values, in the control cluster.
    #[must_use]
    pub fn secrets(&self) -> String {
        format!("{}-secrets", self.0)
    }

    /// `<fleet>-secrets-copy`: those that bridges and recorders read, in a data cluster.
    #[must_use]
    pub fn secrets_copy(&self) -> String {
        format!("{}-secrets-copy", self.0)
    }

    /// `<fleet>-<plane>`: the record (a ConfigMap) and the lease.
    #[must_use]
    pub fn record(&self, plane: Plane) -> String {
        format!("{}-{plane}", self.0)
    }

    /// `<fleet>-inventory-<plane>-<chunk>`: what we own in a cluster.
    #[must_use]
    pub fn inventory(&self, plane: Plane, chunk: usize) -> String {
        format!("{}-inventory-{plane}-{chunk}", self.0)
    }
}
