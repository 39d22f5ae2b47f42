//! What becomes of notices in the clusters: Events on the objects concerned, for those who ask `kubectl describe`.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::ClusterName;
use jiff::Timestamp;
use manifest::Kind;
use tokio::time::Instant;

use crate::report::{Event, Failure};

use super::{Fighting, Happening, Notice};

/// The same about the same object within this time is counted, not told anew.
const SAME: Duration = Duration::from_secs(600);
/// The API server takes no longer note.
const NOTE: usize = 1024;
/// How many are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 1000;

/// An Event, but for what only its writer knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesEvent {
    /// Where the object is, and so the Event.
    pub cluster: ClusterName,
    /// The kind of the object concerned.
    pub kind: Kind,
    /// Its namespace; the Event is written there.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it is a warning.
    pub warning: bool,
    /// Why, in one word for programs.
    pub reason: &'static str,
    /// What was done, in one word for programs.
    pub action: &'static str,
    /// In words.
    pub note: String,
    /// When it happened.
    pub at: Timestamp,
}

/// The Event that a notice is worth. What concerns no object of a namespace is worth none.
#[must_use]
pub fn event_of(notice: &Notice) -> Option<KubernetesEvent> {
    let (cluster, object, warning, reason, action, note) = match &notice.what {
        Happening::Repaired { cluster, object, .. } => {
            let note = "it had changed or was gone, and is again as the fleet file says".to_owned();
            (cluster, object.as_str(), false, "DriftRepaired", "Apply", note)
        }
        Happening::Fighting(fighting) => {
            (&fighting.cluster, fighting.object.as_str(), true, "Fighting", "LeaveAlone", fought(fighting))
        }
        Happening::Run(Event::Failed(failure)) => {
            (&failure.cluster, failure.object.as_deref()?, true, "ApplyFailed", "Apply", failed(failure))
        }
        _ => return None,
    };
    let (kind, namespace, name) = parts(object)?;
    let note = shortened(note);
    Some(KubernetesEvent {
        cluster: cluster.clone(),
        kind,
        namespace,
        name,
        warning,
        reason,
        action,
        note,
        at: notice.at,
    })
}

fn fought(fighting: &Fighting) -> String {
    let others = if fighting.managers.is_empty() { "somebody".to_owned() } else { fighting.managers.join(", ") };
    format!("changed back by {others} after each of {} repairs: left alone until {}", fighting.repairs, fighting.until)
}

fn failed(failure: &Failure) -> String {
    let parts = [Some(&failure.message), failure.detail.as_ref(), failure.hint.as_ref()];
    parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// `Kind namespace/name`, as objects are named everywhere.
fn parts(object: &str) -> Option<(Kind, String, String)> {
    let (kind, place) = object.split_once(' ')?;
    let (namespace, name) = place.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    Some((kind, namespace.to_owned(), name.to_owned()))
}

fn shortened(mut note: String) -> String {
    if note.len() > NOTE {
        let end = (0..=NOTE - '…'.len_utf8()).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}

/// What to do about an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// Create it, under this name, which no other has had.
    New {
        /// The Event's name.
        name: String,
    },
    /// It was told shortly ago: its series is to say this count.
    Again {
        /// The name under which it was created.
        name: String,
        /// How often it has happened, the first time included.
        count: u32,
    },
}

/// Remembers what was told, so that nothing is told anew each minute.
#[derive(Debug, Default)]
pub struct Told {
    known: BTreeMap<Subject, (Instant, String, u32)>,
    number: u64,
}

type Subject = (ClusterName, Kind, String, String, &'static str);

impl Told {
    /// Decides about an Event. `holder` is who writes it: names of two writers never meet.
    pub fn about(&mut self, event: &KubernetesEvent, holder: &str, now: Instant) -> Telling {
        self.known.retain(|_, (first, ..)| now.duration_since(*first) < SAME);
        let KubernetesEvent { cluster, kind, namespace, name, reason, .. } = event;
        let subject = (cluster.clone(), *kind, namespace.clone(), name.clone(), *reason);
        if let Some((_, name, count)) = self.known.get_mut(&subject) {
            *count += 1;
            return Telling::Again { name: name.clone(), count: *count };
        }
        if self.known.len() >= REMEMBERED
            && let Some(oldest) = self.known.iter().min_by_key(|(_, (first, ..))| *first).map(|(key, _)| key.clone())
        {
            self.known.remove(&oldest);
        }
        self.number += 1;
        let text = format!("{holder} {} {subject:?} {}", event.at, self.number);
        let name = format!("{}.{}", event.name, manifest::short_hash(&text));
        self.known.insert(subject, (now, name.clone(), 1));
        Telling::New { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(what: Happening) -> Notice {
        Notice { at: "2026-01-01T00:00:00Z".parse().unwrap(), what }
    }

    fn repaired(object: &str) -> Notice {
        let cluster = "fra".parse().unwrap();
        notice(Happening::Repaired { cluster, kind: Kind::Service, object: object.to_owned() })
    }

    #[test]
    fn what_concerns_an_object_becomes_an_event_on_it() {
        let event = event_of(&repaired("Service media/meet-jvb-eu-0")).unwrap();
        assert_eq!(
            (event.kind, event.namespace.as_str(), event.name.as_str()),
            (Kind::Service, "media", "meet-jvb-eu-0")
        );
        assert_eq!((event.warning, event.reason), (false, "DriftRepaired"));
        let fighting = Fighting {
            cluster: "fra".parse().unwrap(),
            object: "EndpointSlice media/meet-alpha-a-xmpp".into(),
            managers: vec!["argocd".into()],
            repairs: 5,
            until: "2026-01-01T00:10:00Z".parse().unwrap(),
        };
        let event = event_of(&notice(Happening::Fighting(fighting))).unwrap();
        assert!(event.warning && event.note.starts_with("changed back by argocd"), "{event:?}");
        assert_eq!(event.kind, Kind::EndpointSlice);
    }

    #[test]
    fn what_concerns_no_object_becomes_none() {
        assert_eq!(event_of(&notice(Happening::Joined)), None);
        assert_eq!(event_of(&repaired("Namespace media")), None);
        let failure = Failure {
            cluster: "fra".parse().unwrap(),
            unit: None,
            object: None,
            message: "no answer".into(),
            detail: None,
            hint: None,
        };
        assert_eq!(event_of(&notice(Happening::Run(Event::Failed(failure.clone())))), None);
        let long = Failure { object: Some("Service media/x".into()), message: "ä".repeat(2000), ..failure };
        let event = event_of(&notice(Happening::Run(Event::Failed(long)))).unwrap();
        assert!(event.note.len() <= NOTE && event.note.ends_with("ä…"), "{}", event.note.len());
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_within_ten_minutes_is_counted_only() {
        let (mut told, now) = (Told::default(), Instant::now());
        let event = event_of(&repaired("Service media/meet-jvb-eu-0")).unwrap();
        let other = event_of(&repaired("Service media/meet-jvb-eu-1")).unwrap();
        let Telling::New { name } = told.about(&event, "one", now) else { panic!("it is new") };
        assert!(name.starts_with("meet-jvb-eu-0."), "{name}");
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(told.about(&event, "one", later(599)), Telling::Again { name: name.clone(), count: 2 });
        assert!(matches!(told.about(&other, "one", later(599)), Telling::New { .. }));
        let Telling::New { name: another } = told.about(&event, "one", later(600)) else { panic!("it is new again") };
        assert_ne!(name, another);
        let Telling::New { name: of_another } = Told::default().about(&event, "two", now) else { panic!("new") };
        assert_ne!(name, of_another);
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_for_ever() {
        let (mut told, now) = (Told::default(), Instant::now());
        for n in 0..3 * REMEMBERED {
            told.about(&event_of(&repaired(&format!("Service media/x-{n}"))).unwrap(), "one", now);
        }
        assert_eq!(told.known.len(), REMEMBERED);
    }
}
