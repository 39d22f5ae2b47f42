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
use manifest::{Allocations, PendingReason, Surroundings, Unit, UnitId, parallel};

/// Renders all units of the data plane, in the order of applying.
#[must_use]
pub fn render(fleet: &Fleet, allocations: &Allocations, surroundings: &Surroundings) -> Vec<Unit> {
    let mut units = base::units(fleet);
    units.extend(wiring::units(fleet, allocations, surroundings));
    let seats: Vec<(&Pool, Seat)> =
        fleet.data.pools.iter().flat_map(|pool| seats(pool).map(move |seat| (pool, seat))).collect();
    units.extend(parallel::map(&seats, |(pool, seat)| match seat {
        Seat::Pool => pool::unit(fleet, allocations, surroundings, pool),
        Seat::Bridge(index) => bridge::unit(fleet, pool, *index),
        Seat::Recorder(index) => recorder::unit(fleet, allocations, surroundings, pool, *index),
    }));
    units
}

/// A unit of a pool.
enum Seat {
    Pool,
    Bridge(Index),
    Recorder(Index),
}

fn seats(pool: &Pool) -> impl Iterator<Item = Seat> {
    let bridges = (0..pool.bridges.replicas.initial()).map(|index| Seat::Bridge(Index(index)));
    let recorders = (0..pool.recorders.replicas.initial()).map(|index| Seat::Recorder(Index(index)));
    std::iter::once(Seat::Pool).chain(bridges).chain(recorders)
}

/// The wirings that should be there, but whose address is not known yet. They did not leave the file: what is in the
/// data cluster under their name stays.
#[must_use]
pub fn pending(fleet: &Fleet, allocations: &Allocations, surroundings: &Surroundings) -> Vec<(UnitId, PendingReason)> {
    wiring::pending(fleet, allocations, surroundings)
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

#[cfg(test)]
mod tests;
