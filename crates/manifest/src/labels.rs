//! Labels and annotations that are ours.

use std::collections::BTreeMap;

use fleet::{Component, FleetName, PoolName, ShardName, Slot};
use serde_json::{Map, Value as Json};

use crate::UnitId;

/// What the keys of our own begin with.
pub const PREFIX: &str = "jitsictl.dev/";
/// The fleet's name.
pub const FLEET: &str = "jitsictl.dev/fleet";
/// `control` or `data`.
pub const PLANE: &str = "jitsictl.dev/plane";
/// The unit's label.
pub const UNIT: &str = "jitsictl.dev/unit";
/// The shard's name.
pub const SHARD: &str = "jitsictl.dev/shard";
/// `a` or `b`.
pub const SLOT: &str = "jitsictl.dev/slot";
/// The pool's name.
pub const POOL: &str = "jitsictl.dev/pool";
/// Annotation: hash of what we send.
pub const INTENT: &str = "jitsictl.dev/intent";
/// Annotation of pods: hash of what replaces the unit. A pod that carries another one is outdated.
pub const ROLL: &str = "jitsictl.dev/roll";
/// Annotation of pods: the drain that we asked for, as JSON.
pub const DRAIN: &str = "jitsictl.dev/drain";
/// The recommended name label: the component.
pub const NAME: &str = "app.kubernetes.io/name";
/// The recommended label for the whole: the fleet.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// The recommended label for the manager.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Our name as manager.
pub const MANAGER: &str = "jitsictl";

/// Labels of a unit's objects. `app.kubernetes.io/instance` is never among them: Argo CD prunes by it.
#[must_use]
pub fn of_unit(fleet: &FleetName, unit: &UnitId) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        (FLEET, fleet.to_string()),
        (PLANE, unit.plane().to_string()),
        (UNIT, unit.label()),
        (PART_OF, fleet.to_string()),
        (MANAGED_BY, MANAGER.to_owned()),
    ]);
    match unit {
        UnitId::Shard(shard) => {
            labels.insert(SHARD, shard.to_string());
        }
        UnitId::Slot(shard, slot) | UnitId::Web(shard, slot) | UnitId::Wiring(_, shard, slot) => {
            labels.insert(SHARD, shard.to_string());
            labels.insert(SLOT, slot.to_string());
        }
        UnitId::Pool(pool) | UnitId::Bridge(pool, _) | UnitId::Recorder(pool, _) => {
            labels.insert(POOL, pool.to_string());
        }
        UnitId::Base(..) | UnitId::Haproxy => {}
    }
    labels
}

/// Labels of a component's objects and pods within a unit.
#[must_use]
pub fn of_component(fleet: &FleetName, unit: &UnitId, component: Component) -> BTreeMap<&'static str, String> {
    let mut labels = of_unit(fleet, unit);
    labels.insert(NAME, component.to_string());
    labels
}

/// Selects the pods of a component in a slot.
#[must_use]
pub fn select_slot(fleet: &FleetName, shard: &ShardName, slot: Slot, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (FLEET.to_owned(), fleet.to_string()),
        (SHARD.to_owned(), shard.to_string()),
        (SLOT.to_owned(), slot.to_string()),
        (NAME.to_owned(), component.to_string()),
    ])
}

/// Selects the pods of a component in both slots of a shard.
#[must_use]
pub fn select_shard(fleet: &FleetName, shard: &ShardName, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (FLEET.to_owned(), fleet.to_string()),
        (SHARD.to_owned(), shard.to_string()),
        (NAME.to_owned(), component.to_string()),
    ])
}

/// Selects the pods of a component in a pool.
#[must_use]
pub fn select_pool(fleet: &FleetName, pool: &PoolName, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (FLEET.to_owned(), fleet.to_string()),
        (POOL.to_owned(), pool.to_string()),
        (NAME.to_owned(), component.to_string()),
    ])
}

/// Selects the pods of one unit's component.
#[must_use]
pub fn select_unit(fleet: &FleetName, unit: &UnitId, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (FLEET.to_owned(), fleet.to_string()),
        (UNIT.to_owned(), unit.label()),
        (NAME.to_owned(), component.to_string()),
    ])
}

/// A label map as JSON.
#[must_use]
pub fn json<K: AsRef<str>>(labels: &BTreeMap<K, String>) -> Json {
    let fields = labels.iter().map(|(key, value)| (key.as_ref().to_owned(), Json::from(value.as_str())));
    Json::Object(fields.collect::<Map<_, _>>())
}
