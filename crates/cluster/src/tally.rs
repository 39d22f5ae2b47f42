//! How often what was asked of clusters, and what came: over all connections to them, one after the other or at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fleet::ClusterName;

/// Requests by cluster, verb and HTTP status. Copies are the same.
#[derive(Debug, Clone, Default)]
pub struct Tallies(Arc<Mutex<BTreeMap<ClusterName, Arc<Tally>>>>);

impl Tallies {
    pub(crate) fn of(&self, cluster: &ClusterName) -> Arc<Tally> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(cluster.clone()).or_default())
    }

    /// The requests so far, by RBAC's verb and HTTP status; 0: there was no answer. A stream to a pod is `connect`, and
    /// 101 where it was opened.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<(ClusterName, &'static str, u16), u64> {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(cluster, tally): (&ClusterName, &Arc<Tally>)| {
            let counts = tally.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let cluster = cluster.clone();
            counts.into_iter().map(move |((verb, code), times)| ((cluster.clone(), verb, code), times))
        };
        tallies.iter().flat_map(of).collect()
    }
}

/// Of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Tally {
    pub(crate) fn count(&self, verb: &'static str, code: u16) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((verb, code)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_the_same_cluster_are_counted_together() {
        let tallies = Tallies::default();
        let (fra, sin): (ClusterName, ClusterName) = ("fra".parse().unwrap(), "sin".parse().unwrap());
        for (cluster, verb, code) in [(&fra, "get", 200), (&fra, "get", 200), (&fra, "connect", 101), (&sin, "get", 0)]
        {
            tallies.of(cluster).count(verb, code);
        }
        let wanted = [((fra.clone(), "connect", 101), 1), ((fra, "get", 200), 2), ((sin, "get", 0), 1)];
        assert_eq!(tallies.clone().requests(), BTreeMap::from(wanted));
    }
}
