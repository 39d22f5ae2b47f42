//! Inventories: what a plane owns in a cluster, unit by unit, in ConfigMaps of at most 64 units each.
//!
//! A unit stays in the chunk that has it; a new one goes to the first chunk with room. So a change of one unit writes
//! one ConfigMap, and a plane of thousands of objects stays far from the size limit.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{FleetName, Plane};
use manifest::{Kind, Names, UnitId};
use plan::{Generation, Inventory, LiveObject, Owned};
use serde_json::{Map, Value as Json, json};

use crate::{Cluster, ClusterError, ErrorKind};

const UNITS: usize = 64;
const GENERATION: &str = "generation";

type Entry = BTreeMap<Owned, Option<String>>;

/// The inventory of a plane in a cluster as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    chunks: BTreeMap<usize, Chunk>,
    /// Entries that could not be read: kept as they are, never overwritten.
    unreadable: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Chunk {
    version: Option<String>,
    generation: Generation,
    units: BTreeMap<UnitId, Entry>,
    /// Keys of a later release: written back untouched.
    foreign: BTreeMap<String, String>,
}

impl Shelf {
    /// The chunks that are stored, by number, each with its version.
    pub fn versions(&self) -> impl Iterator<Item = (usize, &str)> {
        self.chunks.iter().filter_map(|(index, chunk)| Some((*index, chunk.version.as_deref()?)))
    }

    /// What it holds.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        let mut inventory = Inventory::default();
        for chunk in self.chunks.values() {
            inventory.generation = inventory.generation.max(chunk.generation);
            for (unit, entry) in &chunk.units {
                inventory.units.entry(unit.clone()).or_default().extend(entry.clone());
            }
        }
        inventory
    }

    /// Keys that could not be read, for a warning.
    #[must_use]
    pub const fn unreadable(&self) -> &BTreeSet<String> {
        &self.unreadable
    }

    pub(crate) fn put(&mut self, index: usize, object: &LiveObject) {
        let mut chunk = Chunk { version: Some(object.version.clone()), ..Chunk::default() };
        for (key, value) in object.body.json().get("data").and_then(Json::as_object).into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            if key == GENERATION {
                chunk.generation = Generation(text.parse().unwrap_or_default());
                continue;
            }
            match (unit_of(key), serde_json::from_str(text)) {
                (Some(unit), Ok(entry)) => {
                    chunk.units.insert(unit, entry);
                }
                _ => {
                    chunk.foreign.insert(key.clone(), text.to_owned());
                }
            }
        }
        self.remove(index);
        self.unreadable.extend(chunk.foreign.keys().cloned());
        self.chunks.insert(index, chunk);
    }

    /// Takes a chunk away; whether nothing is left.
    pub(crate) fn remove(&mut self, index: usize) -> bool {
        self.chunks.remove(&index);
        self.unreadable = self.chunks.values().flat_map(|chunk| chunk.foreign.keys().cloned()).collect();
        self.chunks.is_empty()
    }

    /// Which chunks change, and to what: all that are there if the generation has to be `told`. The first one goes before
    /// one that is new, which has no version of its own that could have changed.
    fn changes(&self, wanted: &Inventory, told: bool) -> BTreeMap<usize, Chunk> {
        let mut next = self.chunks.clone();
        let mut missing: BTreeSet<&UnitId> = wanted.units.keys().collect();
        for chunk in next.values_mut() {
            // A unit in two chunks is left in the first.
            chunk.units.retain(|unit, _| missing.remove(unit));
            for (unit, entry) in &mut chunk.units {
                if let Some(wanted) = wanted.units.get(unit) {
                    entry.clone_from(wanted);
                }
            }
        }
        for unit in missing {
            let index = (0..).find(|index| next.get(index).is_none_or(|chunk| chunk.units.len() < UNITS));
            let chunk = next.entry(index.unwrap_or_default()).or_default();
            chunk.units.insert(unit.clone(), wanted.units.get(unit).cloned().unwrap_or_default());
        }
        let first = next.keys().next().copied().filter(|_| next.len() > self.chunks.len());
        next.retain(|index, chunk| told || first == Some(*index) || self.chunks.get(index) != Some(chunk));
        for chunk in next.values_mut() {
            chunk.generation = wanted.generation;
        }
        next
    }
}

impl Chunk {
    fn content(&self) -> Json {
        let mut data: Map<String, Json> =
            self.foreign.iter().map(|(key, text)| (key.clone(), Json::String(text.clone()))).collect();
        data.insert(GENERATION.to_owned(), Json::String(self.generation.0.to_string()));
        for (unit, entry) in &self.units {
            let entry: Map<String, Json> =
                entry.iter().map(|(owned, uid)| (String::from(owned.clone()), json!(uid))).collect();
            data.insert(key_of(unit), Json::String(Json::Object(entry).to_string()));
        }
        json!({ "data": data })
    }
}

impl Cluster {
    /// Writes an inventory: only the chunks that change, each only if nobody changed it meanwhile. Returns what is
    /// stored now.
    ///
    /// Through a fenced handle, the first write of a leadership writes every chunk, whatever it holds: from then on every
    /// compare-and-swap that an earlier leader prepared fails, wherever the units stand that it was about.
    ///
    /// # Errors
    /// `Changed` when somebody else wrote meanwhile, or a later plan did. Chunks written before that stay written.
    pub async fn write_inventory(
        &self,
        fleet: &FleetName,
        plane: Plane,
        shelf: &Shelf,
        wanted: &Inventory,
    ) -> Result<Shelf, ClusterError> {
        let mut stored = shelf.clone();
        if stored.inventory().generation > wanted.generation {
            let object = self.object(Kind::ConfigMap, &Names(fleet).inventory(plane, 0));
            return Err(self.about(&object, ErrorKind::Changed));
        }
        let fence = self.1.as_ref().filter(|fence| fence.plane() == plane && fence.is_new_to(self.name()));
        for (index, mut chunk) in shelf.changes(wanted, fence.is_some()) {
            let name = Names(fleet).inventory(plane, index);
            let version = self.swap(fleet, plane, &name, chunk.content(), chunk.version.as_deref()).await?;
            chunk.version = Some(version);
            stored.chunks.insert(index, chunk);
        }
        if let Some(fence) = fence.filter(|_| !stored.chunks.is_empty()) {
            fence.entered(self.name());
        }
        Ok(stored)
    }
}

/// The plane and chunk of an inventory's name.
pub(crate) fn of_name(fleet: &FleetName, name: &str) -> Option<(Plane, usize)> {
    [Plane::Control, Plane::Data].into_iter().find_map(|plane| {
        let stem = Names(fleet).inventory(plane, 0);
        let index = name.strip_prefix(stem.strip_suffix('0')?)?.parse().ok()?;
        Some((plane, index))
    })
}

/// A unit as a ConfigMap's key: `bridge eu/0` is `bridge_eu.0`. Names of ours contain neither underscore nor dot.
fn key_of(unit: &UnitId) -> String {
    unit.to_string().replace([' ', '@'], "_").replace('/', ".")
}

fn unit_of(key: &str) -> Option<UnitId> {
    let text = key.replace('.', "/").replacen('_', " ", 1).replacen('_', "@", 1);
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use fleet::Index;
    use manifest::{Body, ObjectRef};
    use plan::LiveBody;

    use super::*;

    fn bridge(index: u16) -> UnitId {
        UnitId::Bridge("eu".parse().unwrap(), Index(index))
    }

    fn entry(name: &str, uid: Option<&str>) -> Entry {
        BTreeMap::from([(Owned { kind: Kind::Service, name: name.into() }, uid.map(Into::into))])
    }

    fn inventory(generation: u64, count: u16) -> Inventory {
        let units = (0..count).map(|index| (bridge(index), entry("x", None))).collect();
        Inventory { generation: Generation(generation), units }
    }

    /// As if written and listed again.
    fn stored(shelf: &Shelf, wanted: &Inventory) -> Shelf {
        let mut after = shelf.clone();
        for (index, chunk) in shelf.changes(wanted, false) {
            let object = ObjectRef {
                cluster: "hq".parse().unwrap(),
                kind: Kind::ConfigMap,
                namespace: "n".into(),
                name: format!("meet-inventory-data-{index}"),
            };
            let mut listed = Shelf::default();
            let live = LiveObject {
                object,
                uid: "u".into(),
                version: "1".into(),
                body: Arc::new(LiveBody::new(Kind::ConfigMap, Body::new(&chunk.content()))),
                managers: BTreeSet::new(),
                deleting: false,
            };
            listed.put(index, &live);
            after.unreadable.extend(listed.unreadable);
            after.chunks.extend(listed.chunks);
        }
        after
    }

    #[test]
    fn keys_read_back() {
        for text in ["base data@fra-1", "shard alpha", "slot alpha/a", "haproxy", "wiring alpha/b@fra", "bridge eu/0"] {
            let unit: UnitId = text.parse().unwrap();
            let key = key_of(&unit);
            assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)), "{key}");
            assert_eq!(unit_of(&key), Some(unit));
        }
        assert_eq!(of_name(&"meet".parse().unwrap(), "meet-inventory-data-12"), Some((Plane::Data, 12)));
        assert_eq!(of_name(&"meet".parse().unwrap(), "meet-inventory-data-x"), None);
    }

    #[test]
    fn only_what_changes_is_written() {
        let many = inventory(1, 130);
        let shelf = stored(&Shelf::default(), &many);
        assert_eq!(shelf.chunks.len(), 3);
        assert_eq!(shelf.inventory(), many);
        assert!(shelf.changes(&inventory(2, 130), false).is_empty(), "a new generation alone writes nothing");
        let told = shelf.changes(&inventory(2, 130), true);
        assert_eq!(told.keys().collect::<Vec<_>>(), [&0, &1, &2], "unless it is a new leader's");
        assert_eq!((told[&0].generation, told[&2].generation), (Generation(2), Generation(2)));
        let full = stored(&Shelf::default(), &inventory(1, 128));
        let begun = full.changes(&inventory(1, 129), false).into_keys();
        assert_eq!(begun.collect::<Vec<_>>(), [0, 2], "a new one is nobody's evidence: the first one goes before it");
        assert!(Shelf::default().changes(&inventory(2, 0), true).is_empty(), "where there is nothing, nothing is made");

        let mut one = many.clone();
        one.generation = Generation(2);
        one.units.insert(bridge(70), entry("x", Some("uid")));
        assert_eq!(shelf.changes(&one, false).into_keys().collect::<Vec<_>>(), [1]);
        let after = stored(&shelf, &one);
        assert_eq!(after.inventory(), one);

        let mut fewer = one;
        fewer.units.remove(&bridge(3));
        fewer.units.insert(bridge(200), entry("y", None));
        assert_eq!(
            after.changes(&fewer, false).into_keys().collect::<Vec<_>>(),
            [0],
            "the new one takes the free place"
        );
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let mut shelf = Shelf::default();
        let object = ObjectRef {
            cluster: "hq".parse().unwrap(),
            kind: Kind::ConfigMap,
            namespace: "n".into(),
            name: "meet-inventory-data-0".into(),
        };
        let body = json!({ "data": { "generation": "3", "jigasi_eu.0": "{}", "bridge_eu.0": "{\"Service/x\":null}" } });
        let live = LiveObject {
            object,
            uid: "u".into(),
            version: "1".into(),
            body: Arc::new(LiveBody::new(Kind::ConfigMap, Body::new(&body))),
            managers: BTreeSet::new(),
            deleting: false,
        };
        shelf.put(0, &live);
        assert_eq!(shelf.unreadable().iter().collect::<Vec<_>>(), ["jigasi_eu.0"]);
        let changes = shelf.changes(&Inventory { generation: Generation(4), units: BTreeMap::new() }, false);
        assert_eq!(changes[&0].content(), json!({ "data": { "generation": "4", "jigasi_eu.0": "{}" } }));
    }
}
