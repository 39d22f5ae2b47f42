//! Where a data cluster stands in relation to the control cluster.

use fleet::{ClusterName, Fleet};
use manifest::Names;

/// How far a data cluster is from the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    /// The same namespace of the same cluster: the control plane's own objects are at hand.
    SameNamespace,
    /// The same cluster: its Services can be reached by name, its Secrets can't be read.
    SameCluster,
    /// Another cluster.
    Apart,
}

/// How far that cluster is from the control plane of the fleet.
pub(crate) fn distance(fleet: &Fleet, cluster: &ClusterName) -> Distance {
    let control = &fleet.control.cluster;
    if cluster == control {
        return Distance::SameNamespace;
    }
    match (fleet.clusters.get(cluster), fleet.clusters.get(control)) {
        (Some(here), Some(there)) if here.is_same_cluster(there) => {
            if here.namespace == there.namespace {
                Distance::SameNamespace
            } else {
                Distance::SameCluster
            }
        }
        _ => Distance::Apart,
    }
}

/// The namespace of that cluster.
pub(crate) fn namespace(fleet: &Fleet, cluster: &ClusterName) -> String {
    fleet.clusters.get(cluster).map_or_else(|| fleet.name.to_string(), |cluster| cluster.namespace.clone())
}

/// The Secret with the passwords between components, as pods of that cluster can read it.
pub(crate) fn passwords(fleet: &Fleet, cluster: &ClusterName) -> String {
    match distance(fleet, cluster) {
        Distance::SameNamespace => Names(&fleet.name).passwords(),
        Distance::SameCluster | Distance::Apart => Names(&fleet.name).passwords_copy(),
    }
}

/// The Secret with the user's secret values, as pods of that cluster can read it.
pub(crate) fn secrets(fleet: &Fleet, cluster: &ClusterName) -> String {
    match distance(fleet, cluster) {
        Distance::SameNamespace => Names(&fleet.name).secrets(),
        Distance::SameCluster | Distance::Apart => Names(&fleet.name).secrets_copy(),
    }
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;

    #[test]
    fn one_cluster_can_have_two_names() {
        let mut fleet = testing::split();
        let (hq, frankfurt) = (testing::cluster("hq"), testing::cluster("frankfurt"));
        assert_eq!(distance(&fleet, &hq), Distance::SameNamespace);
        assert_eq!(distance(&fleet, &frankfurt), Distance::Apart);
        assert_eq!(passwords(&fleet, &frankfurt), "meet-passwords-copy");

        let access = fleet.clusters[&hq].access.clone();
        fleet.clusters.get_mut(&frankfurt).unwrap().access = access;
        assert_eq!(distance(&fleet, &frankfurt), Distance::SameCluster);
        assert_eq!(passwords(&fleet, &frankfurt), "meet-passwords-copy");

        fleet.clusters.get_mut(&frankfurt).unwrap().namespace = "meet".into();
        assert_eq!(distance(&fleet, &frankfurt), Distance::SameNamespace);
        assert_eq!(secrets(&fleet, &frankfurt), "meet-secrets");
    }

    #[test]
    fn uids_tell_clusters_apart_where_the_file_pins_them() {
        let mut fleet = testing::split();
        for (name, uid) in [("hq", "1"), ("frankfurt", "1")] {
            fleet.clusters.get_mut(&testing::cluster(name)).unwrap().uid = Some(uid.into());
        }
        assert_eq!(distance(&fleet, &testing::cluster("frankfurt")), Distance::SameCluster);
    }
}
