//! Not doing the same in vain: objects that were refused, clusters where nothing works, and those who change back what
//! we write.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fleet::ClusterName;
use jiff::Timestamp;
use manifest::ObjectRef;
use tokio::time::Instant;

use crate::report::Failure;

use super::Fighting;

/// So many repairs of one object …
const TIMES: usize = 5;
/// … within this time are a fight.
const WITHIN: Duration = Duration::from_secs(120);
/// What is fought over is left alone for so long.
const REST: Duration = Duration::from_secs(600);
/// The first and the longest wait after something did not work.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What is left alone for a while, and why.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    repairs: BTreeMap<ObjectRef, VecDeque<Instant>>,
    fights: BTreeMap<ObjectRef, (Instant, Fighting)>,
    refused: BTreeMap<ObjectRef, (Wait, Failure)>,
    clusters: BTreeMap<ClusterName, Wait>,
}

/// A wait that doubles each time.
#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Instant,
    long: Duration,
}

impl Wait {
    fn after(last: Option<Self>, now: Instant) -> Self {
        let long = last.map_or(WAITS.0, |last| (last.long * 2).min(WAITS.1));
        Self { until: now + long, long }
    }
}

impl Guard {
    /// An object was put right. Says so if somebody fights over it.
    pub(crate) fn repaired(
        &mut self,
        object: &ObjectRef,
        managers: &[String],
        now: Instant,
        time: Timestamp,
    ) -> Option<Fighting> {
        self.refused.remove(object);
        let times = self.repairs.entry(object.clone()).or_default();
        times.push_back(now);
        while times.front().is_some_and(|first| now.duration_since(*first) > WITHIN) {
            times.pop_front();
        }
        if times.len() < TIMES {
            return None;
        }
        let fighting = Fighting {
            cluster: object.cluster.clone(),
            object: object.to_string(),
            managers: managers.to_vec(),
            repairs: times.len(),
            until: time + REST,
        };
        times.clear();
        self.fights.insert(object.clone(), (now + REST, fighting.clone()));
        Some(fighting)
    }

    /// An object was refused for a reason that time alone does not heal: it is tried again, ever more rarely.
    pub(crate) fn refused(&mut self, object: ObjectRef, failure: Failure, now: Instant) {
        let last = self.refused.get(&object).map(|(wait, _)| *wait);
        self.refused.insert(object, (Wait::after(last, now), failure));
    }

    /// What was done in a cluster led to nothing, or to something.
    pub(crate) fn acted(&mut self, cluster: &ClusterName, in_vain: bool, now: Instant) {
        if in_vain {
            let last = self.clusters.get(cluster).copied();
            self.clusters.insert(cluster.clone(), Wait::after(last, now));
        } else {
            self.clusters.remove(cluster);
        }
    }

    /// A cluster is well again.
    pub(crate) fn recovered(&mut self, cluster: &ClusterName) {
        self.clusters.remove(cluster);
    }

    /// Objects that are left alone now, and why.
    pub(crate) fn left_alone(&self, now: Instant) -> BTreeMap<ObjectRef, Failure> {
        let fights = self.fights.iter().filter(|(_, (until, _))| *until > now).map(|(object, (_, fighting))| {
            let message = format!(
                "cluster {}: {} is changed back again and again by {}",
                fighting.cluster,
                fighting.object,
                fighting.managers.join(", ")
            );
            (object.clone(), Failure { message, ..about(object) })
        });
        let refused = self.refused.iter().filter(|(_, (wait, _))| wait.until > now);
        fights.chain(refused.map(|(object, (_, failure))| (object.clone(), failure.clone()))).collect()
    }

    /// Whether a cluster is to be left alone now.
    pub(crate) fn rests(&self, cluster: &ClusterName, now: Instant) -> bool {
        self.clusters.get(cluster).is_some_and(|wait| wait.until > now)
    }

    /// When the next of all these waits ends.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let fights = self.fights.values().map(|(until, _)| *until);
        let refused = self.refused.values().map(|(wait, _)| wait.until);
        let clusters = self.clusters.values().map(|wait| wait.until);
        fights.chain(refused).chain(clusters).filter(|until| *until > now).min()
    }

    /// Fights that go on.
    pub(crate) fn fights(&self, now: Instant) -> Vec<Fighting> {
        self.fights.values().filter(|(until, _)| *until > now).map(|(_, fighting)| fighting.clone()).collect()
    }

    /// Refusals that stand.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = &Failure> {
        self.refused.values().map(|(_, failure)| failure)
    }

    /// Another intent: what was refused may be right now.
    pub(crate) fn begin_anew(&mut self) {
        self.refused.clear();
        self.clusters.clear();
    }

    /// Forgets what is as it should be.
    pub(crate) fn keep_only(&mut self, differs: impl Fn(&ObjectRef) -> bool) {
        self.refused.retain(|object, _| differs(object));
    }
}

fn about(object: &ObjectRef) -> Failure {
    Failure {
        cluster: object.cluster.clone(),
        unit: None,
        object: Some(object.to_string()),
        message: String::new(),
        detail: None,
        hint: Some("stop that controller, or take the object out of its hands; it is tried again later".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use manifest::Kind;

    use super::*;

    fn object() -> ObjectRef {
        ObjectRef { cluster: "fra".parse().unwrap(), kind: Kind::Service, namespace: "n".into(), name: "meet-x".into() }
    }

    fn time() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn five_repairs_in_two_minutes_are_a_fight_and_five_in_an_hour_are_not() {
        let (mut guard, begun) = (Guard::default(), Instant::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        for n in 0..20 {
            assert_eq!(guard.repaired(&object(), &[], at(n * 60), time()), None);
        }
        let mut found = None;
        for n in 0..5 {
            assert_eq!(found, None, "{n}");
            found = guard.repaired(&object(), &["argocd".to_owned()], at(3600 + n * 10), time());
        }
        let fighting = found.unwrap();
        assert_eq!((fighting.repairs, fighting.managers.as_slice()), (5, &["argocd".to_owned()][..]));
        let alone = guard.left_alone(at(3700));
        assert!(alone[&object()].message.contains("by argocd"), "{alone:?}");
        assert_eq!(guard.next(at(3700)), Some(at(3640 + 600)));
        assert!(guard.left_alone(at(3640 + 601)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_work_is_tried_ever_more_rarely() {
        let (mut guard, mut now) = (Guard::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..11 {
            guard.refused(object(), about(&object()), now);
            guard.acted(&object().cluster, true, now);
            assert!(guard.rests(&object().cluster, now));
            let next = guard.next(now).unwrap();
            waits.push((next - now).as_secs());
            now = next;
            assert!(guard.left_alone(now).is_empty() && !guard.rests(&object().cluster, now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        guard.acted(&object().cluster, false, now);
        guard.begin_anew();
        assert_eq!(guard.next(now), None);
    }
}
