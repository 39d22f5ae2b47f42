//! Numbers that are given out once and never change: the ledger behind stable ports and server ids.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Fleet, ShardName, Slot, XmppExpose};
use serde::{Deserialize, Serialize};

/// What was given out so far. Part of the record, and an explicit input of rendering.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocations {
    /// Per shard that exists or once existed: its number is never given to another.
    pub shards: BTreeMap<ShardName, ShardAllocation>,
    /// Shards that left the file and are still there. Seen anew in each round, never remembered.
    #[serde(default, skip_serializing)]
    pub leaving: BTreeSet<ShardName>,
}

/// What a shard was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardAllocation {
    /// Counted from 0 over the life of the fleet.
    pub index: u16,
    /// The slot that serves.
    pub serving: Slot,
}

impl Allocations {
    /// Gives every shard of the fleet what it lacks; changes nothing that was given out before.
    #[must_use]
    pub fn extended(mut self, fleet: &Fleet) -> Self {
        let mut next = self.shards.values().map(|shard| shard.index + 1).max().unwrap_or(0);
        for name in fleet.control.shards.keys() {
            self.shards.entry(name.clone()).or_insert_with(|| {
                let index = next;
                next += 1;
                ShardAllocation { index, serving: Slot::A }
            });
        }
        self
    }

    /// The slot of the shard that serves: `a` until a rollout moved it.
    #[must_use]
    pub fn serving(&self, shard: &ShardName) -> Slot {
        self.shards.get(shard).map_or(Slot::A, |shard| shard.serving)
    }

    /// The `id` of the slot's server line in haproxy's configuration.
    #[must_use]
    pub fn server_id(&self, shard: &ShardName, slot: Slot) -> u16 {
        10 + 2 * self.index(shard) + slot.offset()
    }

    /// The node port of the slot's XMPP address, where those are exposed by node port.
    #[must_use]
    pub fn xmpp_node_port(&self, expose: &XmppExpose, shard: &ShardName, slot: Slot) -> Option<u16> {
        match expose {
            XmppExpose::NodePort { base, .. } => Some(base + 2 * self.index(shard) + slot.offset()),
            XmppExpose::ClusterIp | XmppExpose::LoadBalancer | XmppExpose::External(_) => None,
        }
    }

    fn index(&self, shard: &ShardName) -> u16 {
        self.shards.get(shard).map_or(0, |shard| shard.index)
    }
}
