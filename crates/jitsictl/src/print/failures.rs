//! What waits, what is missing and what failed, in words.

use fleet::ClusterName;
use manifest::{Endpoint, PendingReason, UnitId};
use orchestrator::Proof;
use orchestrator::report::{Debt, EndpointStatus, Missing, Unhealthy};
use plan::{Blocked, BlockedBy};

use super::words;
use crate::Notice;

/// Why something waits.
pub(super) fn reason(by: &BlockedBy) -> String {
    match by {
        BlockedBy::Participants(live) => format!("{} on it", words::live(live, ", ")),
        BlockedBy::NoEvidence { why } => format!("nobody can say whether people are on it: {why}"),
        BlockedBy::Turn { unit } => format!("{unit} comes first: one at a time"),
        BlockedBy::Unreachable { why } => format!("its cluster can't be reached: {why}"),
        BlockedBy::Owed { why } => {
            format!("it left the file, and its cluster can't be asked whether it is gone: {why}")
        }
        BlockedBy::Unreadable { kind, why } => format!("its {kind} objects can't be read: {why}"),
        BlockedBy::Endpoint { why } => format!("the address that it leads to is not known: {why}"),
        BlockedBy::NoNamespace { namespace } => format!("there is no namespace {namespace}"),
        BlockedBy::KindMissing { kind } => format!("the cluster knows no {kind}: its CRD is not installed"),
        BlockedBy::Referenced { pods } => format!("{} still read it", words::row(pods)),
        BlockedBy::Settling { why } => why.clone(),
        BlockedBy::EmptyRender => {
            "the fleet file renders to nothing: that is no ground to remove everything".to_owned()
        }
    }
}

/// The way out, where there is one that a person takes.
fn way_out(by: &BlockedBy, cluster: &ClusterName) -> Option<String> {
    let hint = match by {
        BlockedBy::Participants(_) => {
            "run `jitsictl apply` again when they have left; --allow-disruption goes ahead at once"
        }
        BlockedBy::NoEvidence { .. } => "run again when it answers; --allow-disruption goes ahead without knowing",
        BlockedBy::NoNamespace { .. } => "create it, or run with --create-namespaces",
        BlockedBy::KindMissing { .. } => "install the CRD, or expose the fleet by ingress or service",
        BlockedBy::Owed { .. } => {
            let forget = format!("jitsictl cluster forget {cluster} --abandon");
            return Some(format!("run again when it answers; if it does not come back, run `{forget}`"));
        }
        BlockedBy::Unreachable { .. } => "run again when it answers; nothing there was changed",
        BlockedBy::Unreadable { .. } => "give the user of that context the right to list them",
        BlockedBy::Turn { .. }
        | BlockedBy::Endpoint { .. }
        | BlockedBy::Referenced { .. }
        | BlockedBy::Settling { .. }
        | BlockedBy::EmptyRender => return None,
    };
    Some(hint.to_owned())
}

/// What waits at the end of a run: equal reasons of one cluster together.
pub(crate) fn blocked(blocked: &[Blocked]) -> Vec<Notice> {
    grouped(blocked)
        .into_iter()
        .map(|group| Notice {
            message: format!("{}: {} {}: {}", group.cluster, group.names(), group.verb(), reason(group.by)),
            detail: None,
            hint: way_out(group.by, group.cluster),
        })
        .collect()
}

/// Units of one cluster that wait for the same.
pub(super) struct Group<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) by: &'a BlockedBy,
    units: Vec<&'a UnitId>,
}

impl Group<'_> {
    /// Their names in a row.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> = self.units.iter().map(ToString::to_string).collect();
        some(&names, 4)
    }

    const fn verb(&self) -> &'static str {
        if self.units.len() == 1 { "waits" } else { "wait" }
    }
}

/// What waits, equal reasons of one cluster together.
pub(super) fn grouped(blocked: &[Blocked]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for Blocked { unit, cluster, by } in blocked {
        match groups.iter_mut().find(|group| group.cluster == cluster && group.by == by) {
            Some(group) => group.units.push(unit),
            None => groups.push(Group { cluster, by, units: vec![unit] }),
        }
    }
    groups
}

/// The first few of many names.
pub(super) fn some(names: &[String], few: usize) -> String {
    match names.len() {
        n if n > few + 1 => format!("{} and {} more", names[..few].join(", "), n - few),
        _ => words::row(names),
    }
}

/// What left the file and has not gone: where, and how that place is known.
pub(crate) fn debt(debt: &Debt) -> String {
    let units: Vec<String> = debt.units.iter().map(ToString::to_string).collect();
    let uid = debt.uid.as_ref().map(|uid| format!(", UID {uid}")).unwrap_or_default();
    let place = format!("context {}, namespace {}{uid}", debt.context, debt.namespace);
    let why = debt.why.as_ref().map(|why| format!("; it can't be asked: {why}")).unwrap_or_default();
    format!("{} ({place}): {}{why}", debt.cluster, some(&units, 4))
}

/// A bridge that jicofo does not list, or a workload that is not healthy.
pub(crate) fn missing(missing: &[Missing], unhealthy: &[Unhealthy]) -> Vec<Notice> {
    let missing = missing.iter().map(|one| Notice {
        message: format!("bridge {}/{} has not joined {}/{}", one.pool, one.index, one.shard, one.slot),
        detail: Some(one.why.clone()),
        hint: one.hint.clone(),
    });
    let unhealthy = unhealthy.iter().map(|one| Notice {
        message: format!("{}: {} is not healthy", one.cluster, one.object),
        detail: Some(one.why.clone()),
        hint: None,
    });
    unhealthy.chain(missing).collect()
}

/// Addresses that are not known, or not any more, or not yet everywhere.
pub(crate) fn endpoints(endpoints: &[EndpointStatus]) -> Vec<Notice> {
    let unknown = endpoints.iter().filter_map(|status| {
        let hint = match &status.endpoint {
            Endpoint::Known(_) => return None,
            Endpoint::Pending { why: PendingReason::Allocating } => {
                "ask the load balancer's provider, or expose XMPP in another way (control.xmpp.expose)"
            }
            Endpoint::Pending { why: PendingReason::NoService | PendingReason::NodePort(_) } => {
                "apply the control plane first"
            }
            Endpoint::Pending { why: PendingReason::Forbidden(_) } => {
                "give the user of that context the right to read it"
            }
            Endpoint::Pending { why: PendingReason::Unreachable(_) } => "run again when it answers",
            Endpoint::Stale { .. } => "bridges keep the last one: run again when the address is back",
            Endpoint::Moving { .. } => "run again: the wiring of some data cluster still has the old one",
        };
        Some(Notice::new(status.to_string(), hint.to_owned()))
    });
    unknown.collect()
}

/// Bridges that are where they should not be, and such as somebody else keeps from their work.
pub(crate) fn strangers(proof: &Proof) -> Vec<Notice> {
    let foreign = proof.slots.iter().filter(|slot| !slot.foreign.is_empty()).map(|slot| Notice {
        message: format!("bridges that are not of this fleet have joined {}/{}", slot.shard, slot.slot),
        detail: Some(words::row(&slot.foreign)),
        hint: Some("jicofo puts people on them too: stop them, or take them to another brewery or password".into()),
    });
    let drained = proof.drained.iter().map(|one| Notice {
        message: format!("{}: bridge {}/{} is drained, and not by us", one.cluster, one.pool, one.index),
        detail: Some("it takes no new conferences".to_owned()),
        hint: Some("whoever drained it takes that back with POST /colibri/drain/disable on its port 8080".to_owned()),
    });
    foreign.chain(drained).collect()
}

#[cfg(test)]
mod tests {
    use fleet::Index;
    use orchestrator::report::{Drained, SlotProof};
    use plan::Live;

    use super::*;

    #[test]
    fn a_bridge_of_somebody_else_and_one_that_somebody_else_drained_are_named() {
        let slot = SlotProof {
            shard: "alpha".parse().unwrap(),
            slot: fleet::Slot::A,
            joined: 1,
            expected: 1,
            foreign: vec!["bridge-of-somebody".into()],
            live: Live::default(),
            why: None,
        };
        let (pool, cluster) = ("eu".parse().unwrap(), "frankfurt".parse().unwrap());
        let drained = vec![Drained { pool, index: Index(3), cluster }];
        let proof = Proof { slots: vec![slot], drained, ..Proof::default() };
        assert!(!proof.holds());
        let told = strangers(&proof);
        assert_eq!(told[0].detail.as_deref(), Some("bridge-of-somebody"));
        assert_eq!(told[1].message, "frankfurt: bridge eu/3 is drained, and not by us");
    }

    #[test]
    fn equal_reasons_are_told_once() {
        let on_it = BlockedBy::Participants(Live { conferences: 2, participants: 9 });
        let wait = |index, by: &BlockedBy| Blocked {
            unit: UnitId::Bridge("eu".parse().unwrap(), Index(index)),
            cluster: "frankfurt".parse().unwrap(),
            by: by.clone(),
        };
        let turn = BlockedBy::Turn { unit: UnitId::Bridge("eu".parse().unwrap(), Index(0)) };
        let mut all = vec![wait(0, &on_it)];
        all.extend((1..8).map(|index| wait(index, &turn)));
        let messages: Vec<String> = blocked(&all).into_iter().map(|notice| notice.message).collect();
        assert_eq!(
            messages,
            [
                "frankfurt: bridge eu/0 waits: 2 conferences, 9 participants on it",
                "frankfurt: bridge eu/1, bridge eu/2, bridge eu/3, bridge eu/4 and 3 more wait: bridge eu/0 comes \
                 first: one at a time",
            ]
        );
    }
}
