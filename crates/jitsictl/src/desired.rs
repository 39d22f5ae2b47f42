//! What a fleet file is rendered to when nobody is asked.

use fleet::{Fleet, ShardName, Slot, XmppExpose};
use manifest::{Allocations, Desired, Endpoint, Surroundings, Target};

use crate::cli::EndpointArg;

/// Renders both planes with fresh numbers; endpoints that are not given are pending.
#[must_use]
pub fn rendered(fleet: &Fleet, endpoints: &[EndpointArg]) -> Desired {
    let allocations = Allocations::default().extended(fleet);
    let mut surroundings = Surroundings::default();
    for given in endpoints {
        let shard = fleet.renames.shards.get(&given.shard).unwrap_or(&given.shard);
        let slots = surroundings.endpoints.entry(shard.clone()).or_default();
        slots.insert(given.slot, Endpoint::Known(given.target.clone()));
    }
    let mut units = control_plane::render(fleet, &allocations);
    units.extend(data_plane::render(fleet, &allocations, &surroundings));
    Desired::new(units)
}

/// The fleet as it is rendered once every address is known.
pub(crate) fn everything(fleet: &Fleet) -> Desired {
    let slots = fleet.control.shards.keys().flat_map(|shard| Slot::ALL.map(|slot| (shard.clone(), slot)));
    let endpoints: Vec<EndpointArg> =
        slots.map(|(shard, slot)| EndpointArg { target: target(fleet, &shard, slot), shard, slot }).collect();
    rendered(fleet, &endpoints)
}

/// An address of the kind that the slot will have. A load balancer may turn out to be either: addresses take more.
fn target(fleet: &Fleet, shard: &ShardName, slot: Slot) -> Target {
    let some_ip = || Target::Ips { ips: vec![std::net::Ipv4Addr::new(192, 0, 2, 1).into()], port: 5222 };
    let XmppExpose::External(targets) = &fleet.control.xmpp else { return some_ip() };
    let given = targets.get(shard).and_then(|target| match slot {
        Slot::A => Some(&target.a),
        Slot::B => target.b.as_ref(),
    });
    match given {
        Some((host, port)) if host.parse::<std::net::IpAddr>().is_err() => {
            Target::Host { host: host.clone(), port: *port }
        }
        _ => some_ip(),
    }
}
