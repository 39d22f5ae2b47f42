//! What the bridges and recorders of a pool share. All of it reaches them without replacing them.

use fleet::{Component, Fleet, Pool};
use manifest::pod::Recipe;
use manifest::{Allocations, Kind, Metadata, Names, Part, Surroundings, Unit, UnitBuilder, UnitId};
use serde_json::json;

use crate::{addresses, bridge, policies, scripts, servers, websocket};

/// The key of the bridges' XMPP servers; jvb includes a file of this name last.
const WIRING_FILE: &str = "custom-jvb.conf";

/// Renders what a pool shares, and what its bridges have in common, if it has any.
pub(crate) fn unit(
    fleet: &Fleet,
    allocations: &Allocations,
    surroundings: &Surroundings,
    pool: &Pool,
) -> (Unit, Option<Recipe>) {
    let mut unit = UnitBuilder::new(fleet, UnitId::Pool(pool.name.clone()), &pool.cluster);
    let has_bridges = pool.bridges.replicas.max() > 0;
    let recipe = has_bridges.then(|| bridge::recipe(fleet, pool, &mut unit));
    if has_bridges {
        let servers = servers::of_bridges(fleet, allocations, surroundings, pool);
        let config = servers::bridge_config(fleet, pool, &servers);
        let name = Names(&fleet.name).pool_wiring(&pool.name);
        let content = json!({ "data": { WIRING_FILE: config } });
        unit.add(Kind::ConfigMap, name, Part::Carry, Metadata::default(), content);
        scripts::add(&mut unit, fleet, pool, Component::Jvb);
        addresses::add(&mut unit, fleet, surroundings, pool);
        policies::bridges(&mut unit, fleet, pool);
        websocket::add(&mut unit, fleet, pool);
    }
    if pool.recorders.replicas.max() > 0 {
        scripts::add(&mut unit, fleet, pool, Component::Jibri);
        policies::recorders(&mut unit, fleet, pool);
    }
    (unit.finish(), recipe)
}

#[cfg(test)]
mod tests {
    use fleet::Replicas;
    use manifest::testing;

    use super::*;

    fn rendered(fleet: &Fleet) -> Unit {
        let allocations = Allocations::default().extended(fleet);
        unit(fleet, &allocations, &Surroundings::default(), &fleet.data.pools[0]).0
    }

    #[test]
    fn all_of_it_is_carried() {
        let unit = rendered(&testing::split());
        assert!(unit.manifests.iter().all(|manifest| manifest.part == Part::Carry));
        let kept: Vec<&str> = unit.keeps.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(kept, ["meet-eu-addresses"]);
        assert_eq!(testing::complaints(&unit), Vec::<String>::new());
    }

    #[test]
    fn a_pool_of_recorders_has_nothing_of_bridges() {
        let mut fleet = testing::split();
        fleet.data.pools[0].bridges.replicas = Replicas::Fixed(0);
        fleet.data.pools[0].recorders.replicas = Replicas::Fixed(1);
        let unit = rendered(&fleet);
        assert_eq!(unit.manifests.len(), 3);
        assert!(unit.manifests.iter().all(|manifest| manifest.object.name.contains("jibri")), "{:?}", unit.manifests);
    }
}
