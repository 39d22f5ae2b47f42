//! What a run does again and again leads nowhere: it is done ever more slowly.

use std::collections::BTreeMap;

use fleet::{ShardName, Slot};
use manifest::ObjectRef;
use plan::Step;

/// So often something is done at full speed. More than once is usual: what is learnt on the way, such as a port that
/// was given out, changes what was applied before.
const AT_ONCE: u32 = 2;

/// What a step does, whatever else is done along with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Apply(ObjectRef),
    Drain(String),
    Undrain(String),
    Attach(String, ShardName, Slot),
    Detach(String, ShardName, Slot),
    DeletePod(String),
    Prune(String),
}

/// Notices that steps are taken again which were taken before, though all of them worked: somebody changes back what is
/// written, or what is read is not what is there.
#[derive(Debug, Default)]
pub(crate) struct InVain(BTreeMap<Deed, u32>);

impl InVain {
    /// Counts these steps; says whether there is none among them that has not been taken often already.
    pub(crate) fn again(&mut self, steps: &[Step]) -> bool {
        let mut again = true;
        for deed in steps.iter().flat_map(deeds) {
            let times = self.0.entry(deed).or_default();
            again &= *times >= AT_ONCE;
            *times += 1;
        }
        again
    }
}

fn deeds(step: &Step) -> Vec<Deed> {
    match step {
        // Into our own books.
        Step::Bury(_) | Step::Forget { .. } => Vec::new(),
        Step::Apply { objects, .. } => objects.iter().cloned().map(Deed::Apply).collect(),
        Step::Drain { pod, .. } => vec![Deed::Drain(pod.uid.clone())],
        Step::Undrain { pod, .. } => vec![Deed::Undrain(pod.uid.clone())],
        Step::Attach { pod, shard, slot, .. } => vec![Deed::Attach(pod.uid.clone(), shard.clone(), *slot)],
        Step::Detach { pod, shard, slot, .. } => vec![Deed::Detach(pod.uid.clone(), shard.clone(), *slot)],
        Step::DeletePod { pod, .. } => vec![Deed::DeletePod(pod.uid.clone())],
        Step::Prune { uid, .. } => vec![Deed::Prune(uid.clone())],
    }
}

#[cfg(test)]
mod tests {
    use fleet::ClusterName;
    use manifest::{Kind, UnitId};

    use super::*;

    fn apply(names: &[&str]) -> Step {
        let cluster: ClusterName = "hq".parse().unwrap();
        let object = |name: &&str| ObjectRef {
            cluster: cluster.clone(),
            kind: Kind::Service,
            namespace: "jitsi".to_owned(),
            name: (*name).to_owned(),
        };
        Step::Apply { unit: UnitId::Haproxy, cluster: cluster.clone(), objects: names.iter().map(object).collect() }
    }

    #[test]
    fn what_is_done_a_third_time_leads_nowhere() {
        let mut in_vain = InVain::default();
        assert!(!in_vain.again(&[apply(&["a", "b"])]));
        assert!(!in_vain.again(&[apply(&["a"])]));
        assert!(in_vain.again(&[apply(&["a"])]));
        assert!(!in_vain.again(&[apply(&["a", "b"])]), "one of them is rather new");
        assert!(in_vain.again(&[apply(&["b"]), apply(&["a"])]), "whatever they are done along with");
        assert!(!in_vain.again(&[apply(&["a", "c"])]));
    }
}
