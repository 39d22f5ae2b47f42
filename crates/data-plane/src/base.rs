//! What all pods of the data plane in a cluster share: copies of the passwords and of the user's secret values.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, EnvName, EnvValue, Fleet, Plane, Pool, Workload};
use manifest::{Names, SecretRef, Unit, UnitBuilder, UnitId};

use crate::place::{self, Distance};

/// The password with which bridges log in.
pub(crate) const JVB_PASSWORD: &str = "JVB_AUTH_PASSWORD";
/// The password with which recorders log in.
pub(crate) const JIBRI_PASSWORD: &str = "JIBRI_XMPP_PASSWORD";
/// The password with which a recorder's browser logs in.
pub(crate) const RECORDER_PASSWORD: &str = "JIBRI_RECORDER_PASSWORD";

/// The base of each cluster that has pools and can't read the originals.
pub(crate) fn units(fleet: &Fleet) -> Vec<Unit> {
    let clusters: BTreeSet<&ClusterName> = fleet.data.pools.iter().map(|pool| &pool.cluster).collect();
    clusters.into_iter().filter_map(|cluster| unit(fleet, cluster)).collect()
}

/// The base of that cluster, where there is one.
fn id(fleet: &Fleet, cluster: &ClusterName) -> Option<UnitId> {
    let needed = place::distance(fleet, cluster) != Distance::SameNamespace
        && !(passwords(fleet, cluster).is_empty() && user_secrets(fleet, cluster).is_empty());
    needed.then(|| UnitId::Base(Plane::Data, cluster.clone()))
}

fn unit(fleet: &Fleet, cluster: &ClusterName) -> Option<Unit> {
    let names = Names(&fleet.name);
    let mut unit = UnitBuilder::new(fleet, id(fleet, cluster)?, cluster);
    for (name, source, keys) in [
        (names.passwords_copy(), names.passwords(), passwords(fleet, cluster)),
        (names.secrets_copy(), names.secrets(), user_secrets(fleet, cluster)),
    ] {
        if !keys.is_empty() {
            let copies = keys
                .into_iter()
                .map(|key| (key.to_owned(), SecretRef::CopyOf { secret: source.clone(), key: key.to_owned() }))
                .collect::<BTreeMap<_, _>>();
            unit.add_secret(name, copies);
        }
    }
    Some(unit.finish())
}

fn pools<'a>(fleet: &'a Fleet, cluster: &'a ClusterName) -> impl Iterator<Item = &'a Pool> {
    fleet.data.pools.iter().filter(move |pool| pool.cluster == *cluster)
}

fn passwords(fleet: &Fleet, cluster: &ClusterName) -> BTreeSet<&'static str> {
    let mut keys = BTreeSet::new();
    for pool in pools(fleet, cluster) {
        if pool.bridges.replicas.max() > 0 {
            keys.insert(JVB_PASSWORD);
        }
        if pool.recorders.replicas.max() > 0 {
            keys.extend([JIBRI_PASSWORD, RECORDER_PASSWORD]);
        }
    }
    keys
}

/// Only what bridges and recorders there read: a secret of the control plane never leaves its cluster.
fn user_secrets<'a>(fleet: &'a Fleet, cluster: &'a ClusterName) -> BTreeSet<&'a str> {
    pools(fleet, cluster)
        .flat_map(|pool| {
            [
                (pool.bridges.replicas.max(), &pool.bridges.workload),
                (pool.recorders.replicas.max(), &pool.recorders.workload),
            ]
        })
        .filter(|(most, _)| *most > 0)
        .flat_map(|(_, workload)| secret_names(workload))
        .map(EnvName::as_str)
        .filter(|name| ![JVB_PASSWORD, JIBRI_PASSWORD, RECORDER_PASSWORD].contains(name))
        .collect()
}

fn secret_names(workload: &Workload) -> impl Iterator<Item = &EnvName> {
    workload.env.iter().filter(|(_, value)| **value == EnvValue::Secret).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use fleet::Replicas;
    use manifest::testing;

    use super::*;

    fn keys(unit: &Unit) -> Vec<(&str, Vec<&str>)> {
        unit.manifests
            .iter()
            .map(|manifest| (manifest.object.name.as_str(), manifest.secrets.keys().map(String::as_str).collect()))
            .collect()
    }

    #[test]
    fn only_what_is_read_there_is_copied() {
        let mut fleet = testing::split();
        assert_eq!(keys(&units(&fleet)[0]), [("meet-passwords-copy", vec![JVB_PASSWORD])]);

        let pool = &mut fleet.data.pools[0];
        pool.recorders.replicas = Replicas::Range { min: 0, max: 2, idle: 1 };
        pool.recorders.workload.env.insert("SENTRY_DSN".parse().unwrap(), EnvValue::Secret);
        pool.bridges.workload.env.insert(JVB_PASSWORD.parse().unwrap(), EnvValue::Secret);
        let bases = units(&fleet);
        assert_eq!(
            keys(&bases[0]),
            [
                ("meet-passwords-copy", vec![RECORDER_PASSWORD, JIBRI_PASSWORD, JVB_PASSWORD]),
                ("meet-secrets-copy", vec!["SENTRY_DSN"]),
            ]
        );
        let copy = &bases[0].manifests[1].secrets["SENTRY_DSN"];
        assert_eq!(*copy, SecretRef::CopyOf { secret: "meet-secrets".into(), key: "SENTRY_DSN".into() });
        assert_eq!(testing::complaints(&bases[0]), Vec::<String>::new());
    }

    #[test]
    fn the_control_cluster_has_the_originals() {
        let mut fleet = testing::split();
        fleet.data.pools[0].cluster = testing::cluster("hq");
        assert_eq!(units(&fleet), []);
        assert_eq!(id(&fleet, &testing::cluster("hq")), None);
    }
}
