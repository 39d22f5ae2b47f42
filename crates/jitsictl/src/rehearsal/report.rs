//! What a rehearsal found. The names of the fields are stable: programs read them.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a change did to a fleet with people on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    /// The fleet.
    pub(crate) fleet: String,
    /// The fleet file as it was.
    pub(crate) old: String,
    /// The fleet file as it was to be.
    pub(crate) new: String,
    /// What the course of events follows from.
    pub(crate) seed: u64,
    /// How long was to be gone on, in seconds.
    pub(crate) horizon: u64,
    /// How the change ended.
    pub(crate) ended: Ended,
    /// Seconds from its beginning to its end.
    pub(crate) seconds: u64,
    /// Each run of `apply`, in order.
    pub(crate) runs: Vec<Attempt>,
    /// Each step that was taken, in order.
    pub(crate) steps: Vec<Taken>,
    /// Who called, and who was interrupted.
    pub(crate) callers: Callers,
    /// The fleet from time to time. Seconds count from the beginning of the change; before it they are negative.
    pub(crate) timeline: Vec<Moment>,
    /// Values that were made up, since their sources were not there.
    pub(crate) made_up: Vec<String>,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// Everything is as the new file says, and proven.
    Converged,
    /// Something was left when the time was up.
    TimeUp,
}

/// A run of `apply`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Attempt {
    /// When it began.
    pub(crate) at: i64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Objects written.
    pub(crate) written: usize,
    /// Objects deleted.
    pub(crate) deleted: usize,
    /// What waited at its end, and for whom.
    pub(crate) waits: Vec<String>,
    /// What failed, in its last round.
    pub(crate) failures: Vec<String>,
}

impl Attempt {
    /// Whether it did nothing, and what was in its way is what was in the other's way.
    pub(super) fn found_the_same_as(&self, other: &Self) -> bool {
        let idle = self.written == 0 && self.deleted == 0;
        idle && self.waits == other.waits && self.failures == other.failures
    }
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Taken {
    /// When.
    pub(crate) at: i64,
    /// In which run, counted from 1.
    pub(crate) run: usize,
    /// Where.
    pub(crate) cluster: String,
    /// `apply`, `drain`, `replace`, …
    pub(crate) verb: String,
    /// To what.
    pub(crate) what: String,
}

/// Who called, and who was interrupted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Callers {
    /// Conferences in all.
    pub(crate) conferences: u64,
    /// People in all.
    pub(crate) participants: u64,
    /// Conferences at once, at most.
    pub(crate) peak_conferences: u64,
    /// People at once, at most.
    pub(crate) peak_participants: u64,
    /// Interruptions, by cause.
    pub(crate) interruptions: BTreeMap<String, u64>,
    /// People who were interrupted at least once.
    pub(crate) interrupted: u64,
    /// Times that somebody could not come in at the first attempt.
    pub(crate) failed_joins: u64,
}

/// The fleet at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Moment {
    /// When.
    pub(crate) at: i64,
    /// Conferences.
    pub(crate) conferences: u64,
    /// People.
    pub(crate) participants: u64,
    /// Bridges that take no new conferences.
    pub(crate) draining: u64,
}

/// `+1:02:03`.
pub(crate) fn moment(seconds: i64) -> String {
    let (sign, all) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    format!("{sign}{}:{:02}:{:02}", all / 3600, all % 3600 / 60, all % 60)
}

/// `2 h 31 min`, `4 min 10 s`, `12 s`.
pub(crate) fn span(seconds: u64) -> String {
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
pub(crate) fn example() -> Report {
    let taken = |at, run, verb: &str, what: &str| Taken {
        at,
        run,
        cluster: "frankfurt".into(),
        verb: verb.into(),
        what: what.into(),
    };
    let attempt = |at, written, deleted, waits: &[&str]| Attempt {
        at,
        seconds: 4.2,
        written,
        deleted,
        waits: waits.iter().map(ToString::to_string).collect(),
        failures: Vec::new(),
    };
    Report {
        fleet: "meet".into(),
        old: "old.yaml".into(),
        new: "new.yaml".into(),
        seed: 7,
        horizon: 8 * 3600,
        ended: Ended::Converged,
        seconds: 5432,
        runs: vec![
            attempt(0, 5, 0, &["frankfurt: bridge eu/1 waits: 2 conferences, 9 participants on it"]),
            attempt(5400, 1, 1, &[]),
        ],
        steps: vec![
            taken(0, 1, "apply", "bridge eu/0 (1 object)"),
            taken(4, 1, "drain", "bridge eu/0"),
            taken(5410, 2, "replace", "bridge eu/1 <2>"),
        ],
        callers: Callers {
            conferences: 2013,
            participants: 9870,
            peak_conferences: 212,
            peak_participants: 1304,
            interruptions: [("bridge_killed".into(), 2), ("websocket_cut".into(), 31)].into(),
            interrupted: 32,
            failed_joins: 5,
        },
        timeline: (-2..=6)
            .map(|at| Moment {
                at: at * 900,
                conferences: (100 + at * at) as u64,
                participants: (600 + 7 * at * at) as u64,
                draining: u64::from(at == 1),
            })
            .collect(),
        made_up: vec!["JWT_APP_SECRET (variable MEET_JWT_SECRET is not set)".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_spans() {
        assert_eq!(moment(0), "+0:00:00");
        assert_eq!(moment(5432), "+1:30:32");
        assert_eq!(moment(-1800), "-0:30:00");
        for (seconds, text) in [(12, "12 s"), (250, "4 min 10 s"), (240, "4 min"), (9060, "2 h 31 min"), (7200, "2 h")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn the_document_for_programs_keeps_its_names() {
        let mut report = example();
        report.timeline.truncate(1);
        insta::assert_json_snapshot!(report);
    }
}
