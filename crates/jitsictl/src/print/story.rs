//! What is worth telling of a run's events, and what has been told already.

use std::collections::{BTreeMap, BTreeSet};

use fleet::ClusterName;
use orchestrator::Event;

use super::{plan::described, words};
use crate::Notice;

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// A line of progress.
    Line(String),
    /// Something that somebody should know.
    Warning(Notice),
}

/// A run as it was told so far.
pub(super) struct Story {
    /// Steps are told line by line; bars tell them otherwise.
    steps: bool,
    /// Also what needs no attention.
    verbose: bool,
    pub(super) clusters: BTreeMap<ClusterName, Cluster>,
    waiting: Vec<String>,
    warned: BTreeSet<String>,
}

/// What was done in one cluster.
#[derive(Default)]
pub(super) struct Cluster {
    /// Objects written so far.
    pub(super) written: BTreeSet<String>,
    /// Objects to be written in this run, as far as is known.
    pub(super) total: usize,
    /// Bridges that joined, of those expected.
    pub(super) joined: Option<(usize, usize)>,
}

impl Story {
    pub(super) fn new(steps: bool, verbose: bool) -> Self {
        Self { steps, verbose, clusters: BTreeMap::new(), waiting: Vec::new(), warned: BTreeSet::new() }
    }

    /// Takes an event in, and says what is to be told of it.
    pub(super) fn on(&mut self, event: &Event) -> Vec<Told> {
        match event {
            Event::Connected { cluster } => self.aside(|| format!("{cluster}  connected")),
            Event::Unreachable { cluster, why } => self.warn(Notice::plain(format!("{cluster}: left as it is: {why}"))),
            Event::Planned { changes, .. } => {
                for (cluster, n) in changes {
                    let entry = self.clusters.entry(cluster.clone()).or_default();
                    entry.total = entry.total.max(entry.written.len() + n);
                }
                Vec::new()
            }
            Event::Step { step } if self.steps => {
                let (verb, cluster, what, objects) = described(step);
                let objects =
                    if objects > 0 { format!(" ({})", words::count(objects, "object")) } else { String::new() };
                vec![Told::Line(format!("{cluster}  {verb} {what}{objects}"))]
            }
            Event::Step { .. } => Vec::new(),
            Event::Written { cluster, object, warnings, yielded, .. } => {
                let entry = self.clusters.entry(cluster.clone()).or_default();
                entry.written.insert(object.clone());
                entry.total = entry.total.max(entry.written.len());
                let warnings = warnings.iter().map(|text| Notice::plain(format!("{cluster}: {object}: {text}")));
                let mut told: Vec<Told> = warnings.flat_map(|notice| self.warn(notice)).collect();
                if !yielded.is_empty() {
                    let fields = words::row(yielded);
                    told.extend(self.aside(|| format!("{cluster}  {object}: {fields} left to who owns them")));
                }
                told
            }
            // Failures of the last round are told at the end; earlier ones may have healed by then.
            Event::Failed(failure) => {
                self.aside(|| format!("{}  failed, for now: {}", failure.cluster, Notice::from(failure).message))
            }
            Event::Joined { clusters } => self.joined(clusters),
            Event::Waiting { why } => {
                let news: Vec<&String> = why.iter().filter(|why| !self.waiting.contains(why)).collect();
                let told = if self.steps { news } else { Vec::new() };
                let told = told.into_iter().map(|why| Told::Line(format!("waiting  {why}"))).collect();
                self.waiting.clone_from(why);
                told
            }
            Event::Note { cluster, text, hint } => {
                let place = cluster.as_ref().map(|cluster| format!("{cluster}: ")).unwrap_or_default();
                self.warn(Notice { message: format!("{place}{text}"), detail: None, hint: hint.clone() })
            }
        }
    }

    fn joined(&mut self, clusters: &BTreeMap<ClusterName, (usize, usize)>) -> Vec<Told> {
        let mut told = Vec::new();
        for (cluster, joined) in clusters {
            let entry = self.clusters.entry(cluster.clone()).or_default();
            // A fleet that is as it should be needs no line at all.
            let news = entry.joined != Some(*joined)
                && (entry.joined.is_some() || joined.0 < joined.1 || !entry.written.is_empty());
            entry.joined = Some(*joined);
            if self.steps && news {
                told.push(Told::Line(format!("{cluster}  {}/{} bridges joined", joined.0, joined.1)));
            }
        }
        told
    }

    fn aside(&self, line: impl FnOnce() -> String) -> Vec<Told> {
        if self.verbose { vec![Told::Line(line())] } else { Vec::new() }
    }

    fn warn(&mut self, notice: Notice) -> Vec<Told> {
        if self.warned.insert(notice.message.clone()) { vec![Told::Warning(notice)] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use manifest::UnitId;
    use plan::Step;

    use super::*;

    fn frankfurt() -> ClusterName {
        "frankfurt".parse().unwrap()
    }

    fn joined(n: usize) -> Event {
        Event::Joined { clusters: [(frankfurt(), (n, 3))].into() }
    }

    fn written(object: &str) -> Event {
        let warnings = vec!["would violate PodSecurity".to_owned()];
        let object = object.to_owned();
        Event::Written { unit: UnitId::Haproxy, cluster: frankfurt(), object, warnings, yielded: Vec::new() }
    }

    fn lines(story: &mut Story, events: &[Event]) -> Vec<String> {
        let told = events.iter().flat_map(|event| story.on(event)).map(|told| match told {
            Told::Line(line) => line,
            Told::Warning(notice) => format!("warning: {}", notice.message),
        });
        told.collect()
    }

    #[test]
    fn a_log_gets_a_line_per_step_and_nothing_twice() {
        let mut story = Story::new(true, false);
        let step = Step::Apply { unit: UnitId::Haproxy, cluster: frankfurt(), objects: Vec::new() };
        let waiting = Event::Waiting { why: vec!["bridge eu/2: pulling its image".into()] };
        let events = [
            Event::Planned { changes: [(frankfurt(), 2)].into(), steps: 1, blocked: 0 },
            Event::Step { step },
            written("Service media/a"),
            written("Service media/a"),
            joined(2),
            joined(2),
            waiting.clone(),
            waiting,
            joined(3),
        ];
        assert_eq!(
            lines(&mut story, &events),
            [
                "frankfurt  apply haproxy",
                "warning: frankfurt: Service media/a: would violate PodSecurity",
                "frankfurt  2/3 bridges joined",
                "waiting  bridge eu/2: pulling its image",
                "frankfurt  3/3 bridges joined",
            ]
        );
        assert_eq!(story.clusters[&frankfurt()].total, 2);
    }

    #[test]
    fn a_fleet_that_is_as_it_should_be_is_silent() {
        let mut story = Story::new(true, false);
        let planned = Event::Planned { changes: [(frankfurt(), 0)].into(), steps: 0, blocked: 0 };
        assert!(lines(&mut story, &[Event::Connected { cluster: frankfurt() }, planned, joined(3)]).is_empty());
    }

    #[test]
    fn bars_take_the_place_of_steps_but_not_of_warnings() {
        let mut story = Story::new(false, false);
        let gone = Event::Unreachable { cluster: frankfurt(), why: "timed out".into() };
        assert_eq!(lines(&mut story, &[joined(1), gone]), ["warning: frankfurt: left as it is: timed out"]);
    }
}
