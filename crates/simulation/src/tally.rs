//! What was played, in numbers.

use std::collections::BTreeMap;

use sandbox::fault::Counts;
use sandbox::people::PeopleReport;
use serde::Serialize;

/// Numbers of one day, or of many.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Days.
    pub seeds: u64,
    /// How long they took in their own time.
    pub virtual_seconds: f64,
    /// Runs of `apply`, killed ones included.
    pub runs: u64,
    /// Runs that were killed.
    pub kills: u64,
    /// Requests that they sent.
    pub requests: u64,
    /// Of these, what changed something.
    pub writes: u64,
    /// What went wrong, by kind: requests that were struck, and blows to the world.
    pub faults: BTreeMap<String, u64>,
    /// Changes of the fleet file, by kind.
    pub changes: BTreeMap<String, u64>,
    /// Steps that were begun, by kind.
    pub steps: BTreeMap<String, u64>,
    /// What the callers went through.
    pub callers: Callers,
}

/// Numbers of callers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Callers {
    /// Conferences that began.
    pub conferences: u64,
    /// People who came into one.
    pub participants: u64,
    /// Interruptions, and below by cause.
    pub interruptions: u64,
    /// The bridge ended.
    pub bridge_killed: u64,
    /// The focus chose another bridge.
    pub bridge_moved: u64,
    /// A Service dropped the media.
    pub media_cut: u64,
    /// prosody or jicofo ended.
    pub shard_restarted: u64,
    /// On another shard than the others.
    pub wrong_shard: u64,
    /// The proxy or the web server ended.
    pub websocket_cut: u64,
}

impl Tally {
    pub(crate) fn one(map: &mut BTreeMap<String, u64>, key: &str) {
        *map.entry(key.to_owned()).or_default() += 1;
    }

    pub(crate) fn struck(&mut self, counts: &Counts) {
        let kinds = [
            ("request delayed", counts.delayed),
            ("request hung", counts.hung),
            ("request reset", counts.reset),
            ("request refused", counts.refused),
            ("connection cut or silenced", counts.connections),
        ];
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            *self.faults.entry(kind.to_owned()).or_default() += count;
        }
    }

    pub(crate) fn called(&mut self, report: &PeopleReport) {
        let of = report.interruptions;
        self.callers = Callers {
            conferences: report.conferences,
            participants: report.participants,
            interruptions: of.total(),
            bridge_killed: of.bridge_killed,
            bridge_moved: of.bridge_moved,
            media_cut: of.media_cut,
            shard_restarted: of.shard_restarted,
            wrong_shard: of.wrong_shard,
            websocket_cut: of.websocket_cut,
        };
    }

    /// Adds the numbers of other days.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.virtual_seconds += other.virtual_seconds;
        self.runs += other.runs;
        self.kills += other.kills;
        self.requests += other.requests;
        self.writes += other.writes;
        for (mine, theirs) in
            [(&mut self.faults, &other.faults), (&mut self.changes, &other.changes), (&mut self.steps, &other.steps)]
        {
            for (kind, count) in theirs {
                *mine.entry(kind.clone()).or_default() += count;
            }
        }
        let (mine, theirs) = (&mut self.callers, &other.callers);
        mine.conferences += theirs.conferences;
        mine.participants += theirs.participants;
        mine.interruptions += theirs.interruptions;
        mine.bridge_killed += theirs.bridge_killed;
        mine.bridge_moved += theirs.bridge_moved;
        mine.media_cut += theirs.media_cut;
        mine.shard_restarted += theirs.shard_restarted;
        mine.wrong_shard += theirs.wrong_shard;
        mine.websocket_cut += theirs.websocket_cut;
    }
}
