//! The few things that a human must know: judged from the state, told once each, and once more when they are over.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fleet::{ClusterName, Plane, ShardName, Slot};
use jiff::Timestamp;
use manifest::Endpoint;
use orchestrator::daemon::{Link, PlaneState, State};
use serde::Serialize;
use tokio::time::Instant;

/// So many lines of detail.
const DETAILS: usize = 8;

/// Something that a human must know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Matter {
    ClusterLost(ClusterName),
    PlaneFrozen(Plane),
    BridgesMissing,
    EndpointStale(ShardName, Slot),
    CredentialsEnding(ClusterName),
    Fighting(ClusterName, String),
    IntentRefused,
}

impl Matter {
    /// How long it must be so before anybody is told.
    const fn patience(&self) -> Duration {
        Duration::from_secs(match self {
            Self::ClusterLost(_) | Self::PlaneFrozen(_) | Self::EndpointStale(..) | Self::CredentialsEnding(_) => 60,
            Self::BridgesMissing => 300,
            Self::Fighting(..) | Self::IntentRefused => 0,
        })
    }

    /// How long it must be over before anybody is told: what comes and goes is told as one. A fight rests for ten
    /// minutes and may then go on.
    const fn calm(&self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Fighting(..)) { 900 } else { 60 })
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::ClusterLost(_) => "cluster_lost",
            Self::PlaneFrozen(_) => "plane_frozen",
            Self::BridgesMissing => "bridges_missing",
            Self::EndpointStale(..) => "endpoint_stale",
            Self::CredentialsEnding(_) => "credentials_ending",
            Self::Fighting(..) => "fighting",
            Self::IntentRefused => "intent_refused",
        }
    }

    /// In words, while it is so and when it is over.
    fn summary(&self, standing: bool) -> String {
        match (self, standing) {
            (Self::ClusterLost(cluster), true) => format!("cluster {cluster} does not answer"),
            (Self::ClusterLost(cluster), false) => format!("cluster {cluster} answers again"),
            (Self::PlaneFrozen(plane), true) => format!("the {plane} plane is only observed: its home does not answer"),
            (Self::PlaneFrozen(plane), false) => format!("the {plane} plane is kept again"),
            (Self::BridgesMissing, true) => "bridges have not joined".to_owned(),
            (Self::BridgesMissing, false) => "all bridges have joined again".to_owned(),
            (Self::EndpointStale(shard, slot), true) => {
                format!("the XMPP address of {shard}/{slot} is no longer seen: the last one is kept")
            }
            (Self::EndpointStale(shard, slot), false) => format!("the XMPP address of {shard}/{slot} is seen again"),
            (Self::CredentialsEnding(cluster), true) => {
                format!(
                    "what opens cluster {cluster} will soon be refused: put a new token or certificate in its place"
                )
            }
            (Self::CredentialsEnding(cluster), false) => format!("cluster {cluster} was given new credentials"),
            (Self::Fighting(cluster, object), true) => {
                format!("somebody changes {object} in {cluster} back again and again: it is left alone for a while")
            }
            (Self::Fighting(cluster, object), false) => format!("{object} in {cluster} is looked after again"),
            (Self::IntentRefused, true) => "the fleet file makes no sense: the last good one stays in force".to_owned(),
            (Self::IntentRefused, false) => "the fleet file makes sense again".to_owned(),
        }
    }
}

impl fmt::Display for Matter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ClusterLost(cluster) | Self::CredentialsEnding(cluster) => write!(f, "/{cluster}"),
            Self::PlaneFrozen(plane) => write!(f, "/{plane}"),
            Self::EndpointStale(shard, slot) => write!(f, "/{shard}/{slot}"),
            Self::Fighting(cluster, object) => write!(f, "/{cluster}/{object}"),
            Self::BridgesMissing | Self::IntentRefused => Ok(()),
        }
    }
}

/// Whether something began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Turn {
    Raised,
    Cleared,
}

/// What is told to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Alert {
    /// The fleet.
    pub(super) fleet: String,
    /// What it is about, for programs.
    pub(super) event: &'static str,
    /// Whether it began or ended.
    pub(super) state: Turn,
    /// What it is about, exactly: the same when it ends.
    pub(super) key: String,
    /// In words.
    pub(super) summary: String,
    /// What explains it.
    pub(super) detail: Vec<String>,
    /// Since when it is so.
    pub(super) since: Timestamp,
    /// When this was said.
    pub(super) at: Timestamp,
}

struct Standing {
    begun: (Instant, Timestamp),
    told: bool,
    /// Since when it is over.
    over: Option<Instant>,
    detail: Vec<String>,
}

/// Remembers what stands and what was told.
#[derive(Default)]
pub(super) struct Watchman(BTreeMap<Matter, Standing>);

impl Watchman {
    /// What is to be told now. A daemon that only follows tells nothing: the one that leads does.
    pub(super) fn look(&mut self, state: &State, now: Instant, time: Timestamp) -> Vec<Alert> {
        let follows = |plane: &PlaneState| matches!(plane, PlaneState::Following { .. });
        if !state.planes.is_empty() && state.planes.values().all(follows) {
            self.0.clear();
            return Vec::new();
        }
        let mut matters = matters(state, time);
        for (matter, standing) in &mut self.0 {
            match matters.remove(matter) {
                Some(detail) => (standing.detail, standing.over) = (detail, None),
                None => _ = standing.over.get_or_insert(now),
            }
        }
        self.0.extend(
            matters
                .into_iter()
                .map(|(matter, detail)| (matter, Standing { begun: (now, time), told: false, over: None, detail })),
        );
        let mut alerts = Vec::new();
        self.0.retain(|matter, standing| {
            let turn = match standing.over {
                None if !standing.told && now - standing.begun.0 >= matter.patience() => Turn::Raised,
                Some(over) if standing.told && now - over >= matter.calm() => Turn::Cleared,
                // What nobody heard of ends unheard.
                Some(_) => return standing.told,
                None => return true,
            };
            standing.told = true;
            alerts.push(Alert {
                fleet: state.fleet.clone(),
                event: matter.name(),
                state: turn,
                key: matter.to_string(),
                summary: matter.summary(turn == Turn::Raised),
                detail: if turn == Turn::Raised { standing.detail.clone() } else { Vec::new() },
                since: standing.begun.1,
                at: time,
            });
            turn == Turn::Raised
        });
        alerts
    }

    /// When something is to be told if nothing changes until then.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.0.iter().filter_map(|(matter, standing)| match standing.over {
            Some(over) => Some(over + matter.calm()),
            None => (!standing.told).then(|| standing.begun.0 + matter.patience()),
        });
        due.min()
    }
}

/// What a human must know, with what explains it.
fn matters(state: &State, time: Timestamp) -> BTreeMap<Matter, Vec<String>> {
    let mut all = BTreeMap::new();
    for (cluster, is) in state.clusters.iter().filter(|(_, is)| is.state == Link::Lost) {
        all.insert(Matter::ClusterLost(cluster.clone()), is.why.iter().cloned().collect());
    }
    for (cluster, is) in &state.clusters {
        if let Some(life) = is.credentials.filter(|life| time >= life.critical_from()) {
            all.insert(Matter::CredentialsEnding(cluster.clone()), vec![format!("they end at {}", life.ends)]);
        }
    }
    for (plane, is) in &state.planes {
        if let PlaneState::Frozen { why, .. } = is {
            all.insert(Matter::PlaneFrozen(*plane), vec![why.clone()]);
        }
    }
    let missing = state.status.as_ref().map_or(&[][..], |status| &status.proof.missing);
    if !missing.is_empty() {
        let line = |bridge: &orchestrator::report::Missing| {
            let orchestrator::report::Missing { pool, index, cluster, why, .. } = bridge;
            format!("bridge {pool}/{index} of {cluster}: {why}")
        };
        let mut lines: Vec<String> = missing.iter().map(line).collect();
        lines.dedup();
        all.insert(Matter::BridgesMissing, some(lines));
    }
    for slot in &state.endpoints {
        if let Endpoint::Stale { why, .. } = &slot.endpoint {
            all.insert(Matter::EndpointStale(slot.shard.clone(), slot.slot), vec![why.to_string()]);
        }
    }
    for fight in &state.fighting {
        let others = format!("changed by {}", fight.managers.join(", "));
        all.insert(Matter::Fighting(fight.cluster.clone(), fight.object.clone()), vec![others]);
    }
    if let Some(refused) = &state.intent.refused {
        all.insert(Matter::IntentRefused, some(refused.problems.clone()));
    }
    all
}

fn some(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > DETAILS {
        let more = lines.len() - (DETAILS - 1);
        lines.truncate(DETAILS - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use orchestrator::daemon::Refused;

    use super::*;
    use crate::daemon::made_up;

    struct Site {
        watchman: Watchman,
        state: State,
        begun: Instant,
    }

    impl Site {
        fn new() -> Self {
            Self { watchman: Watchman::default(), state: made_up::good(), begun: Instant::now() }
        }

        /// What is told at that second, shortly.
        fn at(&mut self, second: u64) -> Vec<(&'static str, Turn)> {
            let (now, time) = (self.begun + Duration::from_secs(second), made_up::time());
            self.watchman.look(&self.state, now, time).into_iter().map(|alert| (alert.event, alert.state)).collect()
        }

        fn link(&mut self, link: Link) {
            self.state.clusters.get_mut(&"fra".parse::<ClusterName>().unwrap()).unwrap().state = link;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_once_and_its_end_too() {
        let mut site = Site::new();
        assert_eq!((site.at(0), site.watchman.next()), (vec![], None));
        site.link(Link::Lost);
        assert_eq!(site.at(10), []);
        assert_eq!(site.watchman.next(), Some(site.begun + Duration::from_secs(70)));
        assert_eq!(site.at(69), []);
        assert_eq!(site.at(70), [("cluster_lost", Turn::Raised)]);
        assert_eq!((site.at(700), site.watchman.next()), (vec![], None));
        // It comes and goes: that is no end.
        site.link(Link::Live);
        assert_eq!(site.at(710), []);
        site.link(Link::Lost);
        assert_eq!(site.at(720), []);
        site.link(Link::Live);
        assert_eq!(site.at(800), []);
        assert_eq!(site.at(860), [("cluster_lost", Turn::Cleared)]);
        assert_eq!((site.at(2000), site.watchman.next()), (vec![], None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_short_is_not_told() {
        let mut site = Site::new();
        site.link(Link::Lost);
        assert_eq!(site.at(0), []);
        site.link(Link::Live);
        assert_eq!((site.at(30), site.watchman.next()), (vec![], None));
        site.link(Link::Lost);
        assert_eq!(site.at(80), [], "it began anew");
    }

    #[tokio::test(start_paused = true)]
    async fn every_matter_is_told_in_words() {
        let mut site = Site::new();
        site.state = made_up::bad();
        let mut told = String::new();
        for second in [0, 300] {
            let alerts = site.watchman.look(&site.state, site.begun + Duration::from_secs(second), made_up::time());
            for Alert { key, summary, detail, .. } in alerts {
                told += &format!("{second} s, {key}: {summary} ({})\n", detail.join(", "));
            }
        }
        insta::assert_snapshot!(told);
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_follows_tells_nothing_and_who_comes_to_lead_does() {
        let mut site = Site::new();
        let since = made_up::time();
        site.state.intent.refused = Some(Refused { since, problems: vec!["no".into(); 20] });
        let planes = site.state.planes.clone();
        for plane in site.state.planes.values_mut() {
            *plane = PlaneState::Following { holder: "other".into(), since };
        }
        assert_eq!(site.at(100), []);
        site.state.planes = planes;
        assert_eq!(site.at(200), [("intent_refused", Turn::Raised)]);
    }

    #[test]
    fn a_long_list_is_cut() {
        let cut = some((0..20).map(|n| n.to_string()).collect());
        assert_eq!((cut.len(), cut.last().unwrap().as_str()), (8, "and 13 more"));
    }
}
