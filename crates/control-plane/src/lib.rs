//! The control plane as manifests: prosody, jicofo, web and haproxy of every shard. Pure.
//!
//! ```text
//! base ── secrets, policies, monitors           shard ── XMPP Service, disruption budget
//! slot ── prosody + jicofo                      web   ── nginx of a slot
//! haproxy ── entrance, peers, exposure
//! ```
//!
//! A new component is one new module and one line in [`render`] or [`render_slot`].

mod base;
mod entrance;
mod env;
mod expose;
mod haproxy;
pub mod haproxy_cfg;
mod jicofo;
mod monitors;
mod objects;
mod place;
mod policies;
mod probes;
mod prosody;
mod shard;
mod slot;
mod web;

#[cfg(test)]
mod tests;

use fleet::{Fleet, Shard, ShardName, Slot};
use manifest::{Allocations, Unit, parallel};

/// Renders every unit of the control plane, each shard in its serving slot.
#[must_use]
pub fn render(fleet: &Fleet, allocations: &Allocations) -> Vec<Unit> {
    let mut units = vec![base::render(fleet)];
    let shards: Vec<(&ShardName, &Shard)> = fleet.control.shards.iter().collect();
    let rendered = parallel::map(&shards, |(name, shard)| {
        let [slot, web] = render_slot(fleet, name, shard, allocations.serving(name));
        [shard::render(fleet, allocations, name), slot, web]
    });
    units.extend(rendered.into_iter().flatten());
    units.push(haproxy::render(fleet, allocations));
    units
}

/// Renders what runs in one slot of a shard: prosody and jicofo, and the web servers.
#[must_use]
pub fn render_slot(fleet: &Fleet, name: &ShardName, shard: &Shard, slot: Slot) -> [Unit; 2] {
    let place = place::Place { fleet, name, shard, slot };
    [slot::render(&place), web::render(&place)]
}
