//! `cluster forget`: the way out when a cluster will not come back, or was rebuilt.

use std::collections::BTreeSet;

use cluster::Cluster;
use fleet::load::Loaded;
use fleet::{ClusterName, Plane};
use manifest::UnitId;
use plan::Record;

use crate::execute::failure;
use crate::report::usage;
use crate::{Fatal, Options, Session, left};

/// A plane's record, where it lives, and its version.
struct Book {
    plane: Plane,
    home: Cluster,
    record: Record,
    version: String,
}

/// Forgets a cluster: its pin and the debts there. What is still in it is left to its keepers.
///
/// # Errors
/// When the records can't be read or written, debts are left and `abandon` was not given, or a plane has its record in that
/// cluster, which is the one that it was.
pub async fn forget(
    loaded: &Loaded,
    options: &Options,
    name: &ClusterName,
    abandon: bool,
) -> Result<Vec<String>, Fatal> {
    let mut books = Vec::new();
    for (plane, home) in [(Plane::Control, &loaded.fleet.control.cluster), (Plane::Data, &loaded.fleet.data.home)] {
        let Some(book) = open(loaded, options, plane, home).await? else { continue };
        if home == name && !is_another(&book, name).await? {
            return Err(Fatal::Usage(vec![usage(
                name,
                format!("cluster {name} is the home of the {plane} plane, and its record is there"),
                "point control.cluster or data.home elsewhere first".to_owned(),
            )]));
        }
        books.push(book);
    }
    let debts = debts(loaded, options, &books, name);
    if !debts.is_empty() && !abandon {
        let debts: Vec<String> = debts.iter().map(ToString::to_string).collect();
        return Err(Fatal::Usage(vec![usage(
            name,
            format!("cluster {name} still holds {}", debts.join(", ")),
            "bring it back and apply, or pass --abandon to leave them to its keepers".to_owned(),
        )]));
    }
    let mut forgotten = Vec::new();
    for Book { plane, home, record, version } in books {
        let mut new = record.clone();
        if new.pins.remove(name).is_some() {
            forgotten.push(format!("{plane} plane: pin of {name}"));
        }
        new.tombstones.retain(|stone| stone.cluster != *name);
        if new != record {
            home.write_record(&loaded.fleet.name, plane, &new, Some(&version)).await.map_err(nothing)?;
        }
    }
    forgotten.extend(debts.iter().map(|unit| format!("{} plane: {unit}", unit.plane())));
    Ok(forgotten)
}

/// What is owed in a cluster: what the records say, and what leaves with this file.
fn debts(loaded: &Loaded, options: &Options, books: &[Book], name: &ClusterName) -> BTreeSet<UnitId> {
    let records = || books.iter().map(|book| &book.record);
    let pins = records().flat_map(|record| record.pins.clone()).collect();
    let stones = left::stones(records(), &pins, loaded, options.place.clock.now());
    stones.into_iter().filter(|stone| stone.cluster == *name).flat_map(|stone| stone.units).collect()
}

/// A plane's record; none in a home that was rebuilt.
async fn open(loaded: &Loaded, options: &Options, plane: Plane, home: &ClusterName) -> Result<Option<Book>, Fatal> {
    let mut session = Session::open_one(loaded, options, home).await?;
    let Some(home) = session.clusters.remove(home) else { return Ok(None) };
    let read = home.read_record(&loaded.fleet.name, plane).await.map_err(nothing)?;
    Ok(read.map(|(record, version)| Book { plane, home, record, version }))
}

/// Whether a home is another cluster than its own record says: the record came there from a backup.
async fn is_another(book: &Book, name: &ClusterName) -> Result<bool, Fatal> {
    let Some(pin) = book.record.pins.get(name) else { return Ok(false) };
    let identity = book.home.identity().await.map_err(nothing)?;
    Ok(pin.agrees(&identity) == Some(false))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
fn nothing(error: cluster::ClusterError) -> Fatal {
    Fatal::Nothing(vec![failure(&error, None, None)])
}
