//! The focus of a slot: the one witness of which bridges joined and how many people are in conferences. REST on port
//! 8888 of the pod's loopback.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::http::{Ask, Line, Stream};
use crate::{ApiError, Daemon, Version};

/// The room in which jicofo proves to itself that it works.
const HEALTH_ROOM: &str = "__jicofo-health-check-";

/// What one `/debug` tells of a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct JicofoDebug {
    /// Conferences it leads, without its own health check.
    pub conferences: u64,
    /// People in them.
    pub participants: u64,
    /// The bridges in its brewery, by nickname.
    pub bridges: BTreeMap<String, BridgeView>,
    /// The recorders in its brewery, by nickname, where this jicofo records.
    pub jibris: BTreeMap<String, JibriView>,
}

/// A bridge as this jicofo sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeView {
    /// Its full address in the brewery.
    pub jid: String,
    /// Its region, if it has one.
    pub region: Option<String>,
    /// Its relay id, if it relays.
    pub relay_id: Option<String>,
    /// Its version, unless it has not said yet.
    pub version: Option<String>,
    /// Its load by its own word: 1 is full.
    pub stress: f64,
    /// Whether it gets no new conferences while there are others.
    pub drain: bool,
    /// Whether it can be used at all.
    pub operational: bool,
    /// Whether jicofo's own checks of it pass.
    pub healthy: bool,
    /// Whether it is too loaded for more.
    pub overloaded: bool,
    /// Whether it refuses new conferences for good.
    pub graceful_shutdown: bool,
    /// Whether it leaves.
    pub shutting_down: bool,
    /// People this jicofo put on it.
    pub endpoints: u64,
}

/// A recorder as this jicofo sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JibriView {
    /// Its full address in the brewery.
    pub jid: String,
    /// Whether it can take a recording now, if jicofo says.
    pub available: Option<bool>,
}

#[derive(Deserialize)]
struct RawDebug {
    /// What each entry holds differs between releases: a count, or an object with one.
    focus_manager: BTreeMap<String, serde_json::Value>,
    bridge_selector: RawSelector,
    #[serde(default)]
    jibri_detector: serde_json::Value,
}

#[derive(Deserialize)]
struct RawSelector {
    #[serde(default)]
    bridge: BTreeMap<String, RawBridge>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawBridge {
    operational: bool,
    drain: bool,
    #[serde(default)]
    graceful_shutdown: bool,
    #[serde(default)]
    shutting_down: bool,
    #[serde(default)]
    healthy: Option<bool>,
    #[serde(default)]
    overloaded: bool,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    relay_id: Option<String>,
    #[serde(default)]
    version: Option<String>,
    stress: f64,
    endpoints: u64,
}

/// Counters of `/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stats {
    /// Conferences, breakout rooms and its own health check included.
    pub conferences: u64,
    /// People in them.
    pub participants: u64,
    /// What it says about its bridges.
    pub bridge_selector: SelectorStats,
}

/// What jicofo counts of bridges.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SelectorStats {
    /// All in the brewery.
    pub bridge_count: u64,
    /// Those that can be used; drained ones count too.
    pub operational_bridge_count: u64,
    /// Bridges that went away with people on them.
    #[serde(default)]
    pub lost_bridges: u64,
}

/// All bridges, recorders and conferences of the slot in one answer.
///
/// # Errors
/// When jicofo does not answer as expected.
pub async fn debug(stream: impl Stream, deadline: Duration) -> Result<JicofoDebug, ApiError> {
    let raw: RawDebug = Ask::get(Daemon::Jicofo, "/debug", deadline).read(stream).await?;
    Ok(raw.into())
}

/// The same on a connection that stays.
///
/// # Errors
/// When jicofo does not answer as expected; the connection is of no use then.
pub async fn debug_on(line: &mut Line, deadline: Duration) -> Result<JicofoDebug, ApiError> {
    let raw: RawDebug = Ask::get(Daemon::Jicofo, "/debug", deadline).read_on(line).await?;
    Ok(raw.into())
}

/// Counters.
///
/// # Errors
/// When jicofo does not answer as expected.
pub async fn stats(stream: impl Stream, deadline: Duration) -> Result<Stats, ApiError> {
    Ask::get(Daemon::Jicofo, "/stats", deadline).read(stream).await
}

/// What it is: the one question it answers without any bridge.
///
/// # Errors
/// When jicofo does not answer as expected.
pub async fn version(stream: impl Stream, deadline: Duration) -> Result<Version, ApiError> {
    Ask::get(Daemon::Jicofo, "/about/version", deadline).read(stream).await
}

impl From<RawDebug> for JicofoDebug {
    fn from(raw: RawDebug) -> Self {
        let people: Vec<u64> = raw
            .focus_manager
            .iter()
            .filter(|(room, _)| !room.starts_with(HEALTH_ROOM))
            .filter_map(|(_, about)| participants(about))
            .collect();
        Self {
            conferences: people.len() as u64,
            participants: people.iter().fold(0, |sum, count| sum.saturating_add(*count)),
            bridges: raw
                .bridge_selector
                .bridge
                .into_iter()
                .map(|(jid, raw)| (nickname(&jid), raw.seen_as(jid)))
                .collect(),
            jibris: recorders(&raw.jibri_detector),
        }
    }
}

/// Entries that are not rooms (settings of the manager, in some releases) hold neither form.
fn participants(about: &serde_json::Value) -> Option<u64> {
    let count = match about {
        serde_json::Value::Object(fields) => fields.get("participants")?,
        other => other,
    };
    count.as_u64()
}

fn recorders(detector: &serde_json::Value) -> BTreeMap<String, JibriView> {
    let instances = detector.get("instances").unwrap_or(detector);
    let Some(instances) = instances.as_object() else { return BTreeMap::new() };
    instances
        .iter()
        .filter(|(jid, _)| jid.contains('/'))
        .map(|(jid, about)| {
            let available = about.as_bool().or_else(|| about.get("available").and_then(serde_json::Value::as_bool));
            (nickname(jid), JibriView { jid: jid.clone(), available })
        })
        .collect()
}

fn nickname(jid: &str) -> String {
    jid.split_once('/').map_or(jid, |(_, nickname)| nickname).to_owned()
}

impl RawBridge {
    fn seen_as(self, jid: String) -> BridgeView {
        BridgeView {
            jid,
            region: self.region.filter(said),
            relay_id: self.relay_id.filter(said),
            version: self.version.filter(said),
            stress: self.stress,
            drain: self.drain,
            operational: self.operational,
            healthy: self.healthy.unwrap_or(self.operational),
            overloaded: self.overloaded,
            graceful_shutdown: self.graceful_shutdown,
            shutting_down: self.shutting_down,
            endpoints: self.endpoints,
        }
    }
}

/// jicofo writes Java's `null` as a word where a bridge has not said anything.
fn said(text: &String) -> bool {
    !text.is_empty() && text != "null"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub;

    const SECOND: Duration = Duration::from_secs(1);
    const DEBUG: &str = r#"{
      "focus_manager": {
        "__jicofo-health-check-7f2@muc.meet.jitsi": 0,
        "standup@muc.meet.jitsi": 4,
        "lecture@muc.meet.jitsi": {"participants": 120, "name": "lecture"}
      },
      "bridge_selector": {
        "strategy": "RegionBasedBridgeSelectionStrategy",
        "bridge": {
          "jvbbrewery@internal-muc.meet.jitsi/frankfurt-meet-jvb-eu-0-0": {
            "corrected-stress": 0.11, "drain": false, "endpoints": 4, "endpoint-restart-requests": 0,
            "failing-ice": false, "graceful-shutdown": false, "healthy": true, "operational": true,
            "overloaded": false, "region": "eu", "relay-id": "frankfurt-meet-jvb-eu-0-0", "release": "null",
            "shutting-down": false, "stress": 0.1, "version": "2.3.301" },
          "jvbbrewery@internal-muc.meet.jitsi/singapore-meet-jvb-asia-0-0": {
            "drain": true, "endpoints": 0, "graceful-shutdown": false, "operational": true, "region": "null",
            "shutting-down": false, "stress": 0, "version": "null" }
        }
      },
      "jibri_detector": {"jibribrewery@internal-muc.meet.jitsi/frankfurt-meet-jibri-eu-0-0": {"available": true}}
    }"#;

    #[tokio::test]
    async fn debug_lists_bridges_by_nickname() {
        let (stream, mut asked) = stub::answer(200, DEBUG);
        let debug = debug(stream, SECOND).await.unwrap();
        assert_eq!(asked.recv().await.unwrap().line, "GET /debug");
        assert_eq!((debug.conferences, debug.participants), (2, 124));
        let bridge = &debug.bridges["frankfurt-meet-jvb-eu-0-0"];
        assert_eq!((bridge.operational, bridge.drain, bridge.endpoints), (true, false, 4));
        assert_eq!(bridge.region.as_deref(), Some("eu"));
        let young = &debug.bridges["singapore-meet-jvb-asia-0-0"];
        assert_eq!((young.drain, young.region.as_deref(), young.version.as_deref()), (true, None, None));
        assert_eq!(debug.jibris["frankfurt-meet-jibri-eu-0-0"].available, Some(true));
    }

    #[tokio::test]
    async fn a_slot_without_anything_is_empty_but_known() {
        let (stream, _) = stub::answer(200, r#"{"focus_manager":{},"bridge_selector":{"bridge":{}}}"#);
        let debug = debug(stream, SECOND).await.unwrap();
        assert_eq!((debug.conferences, debug.bridges.len()), (0, 0));
    }

    #[tokio::test]
    async fn an_answer_without_conferences_is_an_error() {
        let (stream, _) = stub::answer(200, r#"{"bridge_selector":{}}"#);
        let error = debug(stream, SECOND).await.unwrap_err();
        assert!(error.to_string().contains("missing field `focus_manager`"), "{error}");
    }

    #[tokio::test]
    async fn stats_and_version_are_read() {
        let stats_body = r#"{"conferences":2,"participants":7,"threads":40,
            "bridge_selector":{"bridge_count":3,"operational_bridge_count":2,"lost_bridges":1}}"#;
        let (stream, _) = stub::answer(200, stats_body);
        assert_eq!(stats(stream, SECOND).await.unwrap().bridge_selector.operational_bridge_count, 2);
        let (stream, _) = stub::answer(200, r#"{"name":"Jicofo","version":"1.0-1180","os":"Linux"}"#);
        assert_eq!(version(stream, SECOND).await.unwrap().version, "1.0-1180");
    }
}
