//! Our own writes that the streams have not brought back yet. A plan that is made before that sees the world of before.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::content::Content;
use super::pace::CONFIRM;
use super::subject::Subject;

#[derive(Debug, Default)]
pub(super) struct Writes(BTreeMap<(Subject, String), Pending>);

#[derive(Debug)]
struct Pending {
    /// It is there in this version, or was.
    version: Option<String>,
    /// The one of this UID is gone, or going.
    gone: Option<String>,
    since: Instant,
}

impl Writes {
    pub(super) fn wrote(&mut self, subject: Subject, name: &str, version: &str) {
        let pending = self.pending(subject, name);
        let newer = pending.version.as_deref().is_none_or(|known| !reached(known, version));
        if newer {
            pending.version = Some(version.to_owned());
        }
    }

    pub(super) fn deleted(&mut self, subject: Subject, name: &str, uid: &str) {
        self.pending(subject, name).gone = Some(uid.to_owned());
    }

    fn pending(&mut self, subject: Subject, name: &str) -> &mut Pending {
        let since = Instant::now();
        let fresh = Pending { version: None, gone: None, since };
        let pending = self.0.entry((subject, name.to_owned())).or_insert(fresh);
        pending.since = since;
        pending
    }

    /// Strikes out what was seen: a stream that has come as far as a version has brought everything before it.
    pub(super) fn settle(&mut self, subject: Subject, position: Option<&str>, content: &Content) {
        self.0.retain(|(of, name), pending| {
            let seen = |version: &String| {
                position.is_some_and(|position| reached(position, version))
                    || content.version(subject, name) == Some(version)
            };
            *of != subject
                || !pending.version.as_ref().is_none_or(seen)
                || !pending.gone.as_ref().is_none_or(|uid| content.is_gone(subject, name, uid))
        });
    }

    /// A LIST that was begun then has told how things are.
    pub(super) fn confirmed(&mut self, subject: Subject, begun: Instant) {
        self.0.retain(|(of, _), pending| *of != subject || pending.since > begun);
    }

    /// Nothing can be seen of it.
    pub(super) fn forget(&mut self, subject: Subject) {
        self.0.retain(|(of, _), _| *of != subject);
    }

    /// When a LIST has to be made.
    pub(super) fn due(&self, subject: Subject) -> Option<Instant> {
        let of = self.0.iter().filter(|((of, _), _)| *of == subject);
        of.map(|(_, pending)| pending.since + CONFIRM).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a stream that has come to `position` has brought `version`. Versions are numbers; if they were not, only
/// the same text would tell.
fn reached(position: &str, version: &str) -> bool {
    match (position.parse::<u128>(), version.parse::<u128>()) {
        (Ok(position), Ok(version)) => position >= version,
        _ => position == version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert!(reached("10", "9") && reached("10", "10") && !reached("9", "10"));
        assert!(reached("a", "a") && !reached("b", "a"));
    }
}
