//! Debts: what left the file and may still be there.

use std::collections::BTreeSet;

use manifest::{Desired, Kind, UnitId};

use crate::{ClusterView, Known, Observed, Record, Tombstone};

/// What is still owed of a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debt<'a> {
    /// What was written down.
    pub stone: &'a Tombstone,
    /// Its units that are, or may be, still there.
    pub units: BTreeSet<&'a UnitId>,
    /// Why that can't be said, where it can't.
    pub why: Option<String>,
}

/// What is still owed: of what can be seen, that which is still written down as ours and not wanted again; of what can't,
/// everything.
#[must_use]
pub fn owed<'a>(record: &'a Record, desired: &Desired, observed: &Observed) -> Vec<Debt<'a>> {
    let debts = record.tombstones.iter().map(|stone| {
        let (units, why) = match books(observed, stone) {
            Ok(view) => {
                let is_owed = |unit: &&UnitId| is_owned(view, unit) && !is_wanted(desired, stone, unit);
                (stone.units.iter().filter(is_owed).collect(), None)
            }
            Err(why) => (stone.units.iter().collect(), Some(why)),
        };
        Debt { stone, units, why }
    });
    debts.filter(|debt| !debt.units.is_empty()).collect()
}

/// The cluster of a tombstone, if what is ours there can be read.
fn books<'o>(observed: &'o Observed, stone: &Tombstone) -> Result<&'o ClusterView, String> {
    let known = observed.clusters.get(&stone.cluster);
    let Some(view) = known.and_then(Known::value) else {
        let why = known.and_then(Known::unknown).map(ToString::to_string);
        return Err(why.unwrap_or_else(|| "it was not asked".to_owned()));
    };
    match view.unreadable_kinds.get(&Kind::ConfigMap) {
        Some(why) => Err(why.clone()),
        None => Ok(view),
    }
}

fn is_owned(view: &ClusterView, unit: &UnitId) -> bool {
    view.inventories.get(&unit.plane()).is_some_and(|inventory| inventory.units.contains_key(unit))
}

fn is_wanted(desired: &Desired, stone: &Tombstone, unit: &UnitId) -> bool {
    let wanted = desired.units.get(unit);
    wanted.is_some_and(|unit| unit.manifests.iter().any(|manifest| manifest.object.cluster == stone.cluster))
}
