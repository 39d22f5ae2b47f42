//! `cluster forget`: the way out when a cluster will not come back.

use fleet::load::Loaded;
use fleet::{ClusterName, Plane};

use crate::connect::usage;
use crate::execute::failure;
use crate::{Fatal, Options, Session};

/// Forgets a cluster: its pin and the debts there. What is still in it is left to its keepers.
///
/// # Errors
/// When the records can't be read or written, or debts are left and `abandon` was not given.
pub async fn forget(
    loaded: &Loaded,
    options: &Options,
    name: &ClusterName,
    abandon: bool,
) -> Result<Vec<String>, Fatal> {
    let homes = [(Plane::Control, &loaded.fleet.control.cluster), (Plane::Data, &loaded.fleet.data.home)];
    if homes.iter().any(|(_, home)| *home == name) {
        return Err(Fatal::Usage(vec![usage(
            name,
            format!("cluster {name} is the home of a plane"),
            "point control.cluster or data.home elsewhere first".to_owned(),
        )]));
    }
    let mut forgotten = Vec::new();
    for (plane, home) in homes {
        let session = Session::open_one(loaded, options, home).await?;
        let Some(cluster) = session.clusters.get(home) else { continue };
        let fail = |error: &cluster::ClusterError| Fatal::Nothing(vec![failure(error, None, None)]);
        let Some((mut record, version)) =
            cluster.read_record(&loaded.fleet.name, plane).await.map_err(|error| fail(&error))?
        else {
            continue;
        };
        let debts: Vec<String> = record
            .tombstones
            .iter()
            .filter(|stone| stone.cluster == *name)
            .flat_map(|stone| stone.units.iter().map(ToString::to_string))
            .collect();
        if !debts.is_empty() && !abandon {
            return Err(Fatal::Usage(vec![usage(
                name,
                format!("cluster {name} still holds {}", debts.join(", ")),
                "bring it back and apply, or pass --abandon to leave them to its keepers".to_owned(),
            )]));
        }
        let pinned = record.pins.remove(name).is_some();
        record.tombstones.retain(|stone| stone.cluster != *name);
        if pinned || !debts.is_empty() {
            cluster
                .write_record(&loaded.fleet.name, plane, &record, Some(&version))
                .await
                .map_err(|error| fail(&error))?;
            forgotten.push(format!("{plane} plane: pin of {name}"));
            forgotten.extend(debts.into_iter().map(|debt| format!("{plane} plane: {debt}")));
        }
    }
    Ok(forgotten)
}
