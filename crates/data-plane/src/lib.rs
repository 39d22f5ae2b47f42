//! The data plane's renderer: jvb and jibri, and what they need to find the shards.
//!
//! ```text
//! (Fleet, Allocations, Surroundings) ──render──► base, wiring, pools, bridges, recorders
//!                                    ──pending─► wirings that wait for an address
//! ```
//!
//! Pure: whatever only a cluster can tell comes in as [`Surroundings`]. What is not known is never rendered as
//! empty: a wiring without an address is left to [`pending`], and an address list that nobody could read is named in
//! [`Unit::keeps`].

mod addresses;
mod base;
mod bridge;
mod media;
mod place;
mod policies;
mod pool;
mod recorder;
mod scripts;
mod servers;
mod websocket;
mod wiring;

use fleet::{ClusterName, Fleet, Index, Pool, ShardName, Slot};
use manifest::pod::Recipe;
use manifest::{Allocations, PendingReason, Surroundings, Unit, UnitId, parallel};

pub use servers::Login;

/// Renders all units of the data plane, in the order of applying.
#[must_use]
pub fn render(fleet: &Fleet, allocations: &Allocations, surroundings: &Surroundings) -> Vec<Unit> {
    let mut units = base::units(fleet);
    units.extend(wiring::units(fleet, allocations, surroundings));
    let pools: Vec<&Pool> = fleet.data.pools.iter().collect();
    let shared = parallel::map(&pools, |pool| pool::unit(fleet, allocations, surroundings, pool));
    let seats: Vec<Seat<'_>> = pools.iter().zip(&shared).flat_map(|(pool, (_, recipe))| seats(pool, recipe)).collect();
    let single = parallel::map(&seats, |seat| match seat {
        Seat::Bridge(pool, recipe, index) => bridge::unit(fleet, pool, recipe, *index),
        Seat::Recorder(pool, index) => recorder::unit(fleet, allocations, surroundings, pool, *index),
    });
    units.extend(shared.into_iter().map(|(unit, _)| unit));
    units.extend(single);
    units
}

/// A unit of a pool that is one of many.
enum Seat<'a> {
    Bridge(&'a Pool, &'a Recipe, Index),
    Recorder(&'a Pool, Index),
}

fn seats<'a>(pool: &'a Pool, recipe: &'a Option<Recipe>) -> impl Iterator<Item = Seat<'a>> {
    let indices = |replicas: fleet::Replicas| (0..replicas.initial()).map(Index);
    let bridges = recipe
        .iter()
        .flat_map(move |recipe| indices(pool.bridges.replicas).map(move |index| Seat::Bridge(pool, recipe, index)));
    let recorders = indices(pool.recorders.replicas).map(|index| Seat::Recorder(pool, index));
    bridges.chain(recorders)
}

/// The wirings that should be there, but whose address is not known yet. They did not leave the file: what is in the
/// data cluster under their name stays.
#[must_use]
pub fn pending(fleet: &Fleet, allocations: &Allocations, surroundings: &Surroundings) -> Vec<(UnitId, PendingReason)> {
    wiring::pending(fleet, allocations, surroundings)
}

/// Of units that left the file and are still there, those that have to follow what they lead to until they go: the
/// wirings of bridges that people are still on.
#[must_use]
pub fn leaving(fleet: &Fleet, surroundings: &Surroundings, units: &[&UnitId]) -> Vec<Unit> {
    let wirings = units.iter().filter_map(|unit| match unit {
        UnitId::Wiring(cluster, shard, slot) => wiring::known(fleet, surroundings, cluster, shard, *slot),
        _ => None,
    });
    wirings.collect()
}

/// The host name and port under which bridges of a cluster reach a slot's prosody: what their configuration says, and
/// what a running bridge is told when a slot appears.
#[must_use]
pub fn xmpp_address(
    fleet: &Fleet,
    surroundings: &Surroundings,
    cluster: &ClusterName,
    shard: &ShardName,
    slot: Slot,
) -> (String, u16) {
    let server = servers::server(fleet, surroundings, cluster, shard, slot);
    (server.host, server.port)
}

/// As whom the bridges of a pool log in, and where jicofo meets them: what their configuration says, and what a running
/// bridge is told when a slot appears.
#[must_use]
pub fn xmpp_login(fleet: &Fleet, pool: &Pool) -> Login {
    servers::login(fleet, pool)
}

/// Whether a bridge that runs on that node finds nothing to advertise, and waits until there is something.
#[must_use]
pub fn lacks_address(fleet: &Fleet, surroundings: &Surroundings, pool: &Pool, index: Index, node: &str) -> bool {
    addresses::are_lacking(fleet, surroundings, pool, index, node)
}

#[cfg(test)]
mod tests;
