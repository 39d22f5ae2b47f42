//! Who else writes our fields, and what we do about it.

use std::collections::BTreeSet;

use crate::FieldConflict;

/// What to do about another field manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// A person's hand, or a tool that does what a person says now: the fleet file wins.
    Force,
    /// A controller that owns such fields by design: it wins.
    Yield,
    /// Somebody who will write them again: nobody wins, people have to decide.
    Stop,
}

/// What to do about a set of conflicts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// Apply again: without these fields, and with force if it says so.
    Again {
        /// Left to their controllers.
        yielded: Vec<FieldConflict>,
        /// Taken from people.
        forced: Vec<FieldConflict>,
    },
    /// Give up, because of these.
    Stop(Vec<FieldConflict>),
}

/// Decides. `manager` is our own name.
pub(crate) fn resolve(conflicts: Vec<FieldConflict>, manager: &str) -> Resolution {
    let (mut yielded, mut forced, mut contested) = (Vec::new(), BTreeSet::new(), Vec::new());
    for conflict in conflicts {
        match answer(&conflict, manager) {
            Answer::Force => {
                forced.insert(conflict);
            }
            Answer::Yield => yielded.push(conflict),
            Answer::Stop => contested.push(conflict),
        }
    }
    if contested.is_empty() {
        Resolution::Again { yielded, forced: forced.into_iter().collect() }
    } else {
        Resolution::Stop(contested)
    }
}

/// Programs by which people change objects; a browser is a dashboard, `node-fetch` is Lens.
const PEOPLE: [&str; 14] = [
    "kubectl",
    "oc",
    "helm",
    "k9s",
    "lens",
    "openlens",
    "freelens",
    "node-fetch",
    "Mozilla",
    "dashboard",
    "headlamp",
    "rancher",
    "octant",
    "before-first-apply",
];

/// Controllers whose fields we never set against them.
const CONTROLLERS: [&str; 15] = [
    "kube-controller-manager",
    "cloud-controller-manager",
    "kube-scheduler",
    "kubelet",
    "horizontal-pod-autoscaler",
    "vpa-",
    "keda",
    "cluster-autoscaler",
    "karpenter",
    "cert-manager",
    "istio",
    "pilot-discovery",
    "linkerd",
    "external-dns",
    "aws-load-balancer-controller",
];

fn answer(conflict: &FieldConflict, manager: &str) -> Answer {
    let other = conflict.manager.as_str();
    // What we POSTed or PUT ourselves counts as another manager of our name.
    if other == manager {
        return Answer::Force;
    }
    let lower = other.to_ascii_lowercase();
    let by_hand = |name: &&str| {
        let rest = lower.strip_prefix(&name.to_ascii_lowercase());
        rest.is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric()))
    };
    if PEOPLE.iter().any(by_hand) || lower.ends_with("-dashboard") {
        return Answer::Force;
    }
    let by_design = conflict.subresource.as_deref() == Some("scale")
        || CONTROLLERS.iter().any(|prefix| other.starts_with(prefix))
        || other.contains("-injector");
    if by_design { Answer::Yield } else { Answer::Stop }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(manager: &str, subresource: Option<&str>) -> FieldConflict {
        FieldConflict {
            manager: manager.into(),
            subresource: subresource.map(Into::into),
            field: ".spec.replicas".into(),
        }
    }

    #[test]
    fn people_are_overruled_and_controllers_are_not() {
        for (manager, subresource, expected) in [
            ("kubectl-edit", None, Answer::Force),
            ("kubectl", Some("scale"), Answer::Force),
            ("some-autoscaler", Some("scale"), Answer::Yield),
            ("kubectl-client-side-apply", None, Answer::Force),
            ("helm", None, Answer::Force),
            ("Helm", None, Answer::Force),
            ("helm-controller", None, Answer::Force),
            ("k9s", None, Answer::Force),
            ("Mozilla", None, Answer::Force),
            ("kubernetes-dashboard", None, Answer::Force),
            ("jitsictl/control", None, Answer::Force),
            ("jitsictl/data", None, Answer::Stop),
            ("kube-controller-manager", Some("scale"), Answer::Yield),
            ("vpa-updater", None, Answer::Yield),
            ("keda-operator", None, Answer::Yield),
            ("sidecar-injector", None, Answer::Yield),
            ("argocd-controller", None, Answer::Stop),
            ("octopus", None, Answer::Stop),
            ("somebody", None, Answer::Stop),
        ] {
            assert_eq!(answer(&by(manager, subresource), "jitsictl/control"), expected, "{manager}");
        }
    }

    #[test]
    fn one_stranger_stops_all() {
        let both = vec![by("kubectl-edit", None), by("argocd-controller", None)];
        assert_eq!(resolve(both, "jitsictl/control"), Resolution::Stop(vec![by("argocd-controller", None)]));
        let fine = vec![by("kubectl-edit", None), by("vpa-updater", None)];
        assert_eq!(
            resolve(fine, "jitsictl/control"),
            Resolution::Again { yielded: vec![by("vpa-updater", None)], forced: vec![by("kubectl-edit", None)] }
        );
    }
}
