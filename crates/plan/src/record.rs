//! What must be remembered and is neither in the file nor observable: one object per plane, in its home cluster,
//! changed by compare-and-swap.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Access, ClusterName};
use jiff::Timestamp;
use manifest::{Allocations, UnitId};
use serde::{Deserialize, Serialize};

/// Counts the turns of a plane's writers: whoever takes its Lease begins another. A writer of an earlier turn is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// That of the turn that comes after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A plane's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Grows with every turn in which something is done.
    pub generation: Generation,
    /// What was accepted last.
    pub intent: Option<Intent>,
    /// The hash of the fleet file that a daemon keeps. While its file is the same, the intent above goes before the file:
    /// somebody applied it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_file: Option<String>,
    /// The last intent that was seen to converge.
    pub last_good: Option<Good>,
    /// Numbers that were given out.
    pub allocations: Allocations,
    /// Which clusters these names meant when they were first used.
    pub pins: BTreeMap<ClusterName, Pin>,
    /// What left the file and has not gone yet.
    pub tombstones: Vec<Tombstone>,
}

/// An intent that was seen to converge. Mostly it is the accepted one, which is not written twice: with a fleet's own files
/// in it, it may be large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Good {
    /// Another than the accepted one.
    Other(Intent),
    /// The accepted one.
    Accepted {
        /// Its hash.
        hash: String,
    },
}

impl Record {
    /// Takes over an intent. The last good one stays what it was.
    pub fn accept(&mut self, intent: Intent) {
        if self.intent.as_ref() == Some(&intent) {
            return;
        }
        let before = self.intent.replace(intent);
        if let (Some(Good::Accepted { hash }), Some(before)) = (&self.last_good, before)
            && before.hash == *hash
        {
            self.last_good = Some(Good::Other(before));
        }
    }

    /// The accepted intent was seen to converge.
    pub fn converged(&mut self) {
        self.last_good = self.intent.as_ref().map(|intent| Good::Accepted { hash: intent.hash.clone() });
    }

    /// The last intent that was seen to converge.
    #[must_use]
    pub fn last_good(&self) -> Option<&Intent> {
        match self.last_good.as_ref()? {
            Good::Other(intent) => Some(intent),
            Good::Accepted { hash } => self.intent.as_ref().filter(|intent| intent.hash == *hash),
        }
    }
}

/// A fleet file that was accepted: normalised, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The merged file as JSON, secrets left out.
    pub text: String,
    /// Its hash.
    pub hash: String,
    /// When it was accepted.
    pub since: Timestamp,
}

/// The namespace that nothing but a new cluster changes.
pub const SYSTEM: &str = "kube-system";

/// A cluster's identity: UIDs of namespaces there. Not everybody may read each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The UID.
    pub uid: String,
    /// Of what: `kube-system`, or the fleet's namespace where that can't be read.
    pub of: String,
    /// Those of other namespaces, by their names: the fleet's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, String>,
}

impl Pin {
    /// An identity by one namespace.
    #[must_use]
    pub fn new(of: &str, uid: &str) -> Self {
        Self { uid: uid.to_owned(), of: of.to_owned(), others: BTreeMap::new() }
    }

    fn uid_of(&self, namespace: &str) -> Option<&str> {
        let other = || self.others.get(namespace).map(String::as_str);
        if self.of == namespace { Some(&self.uid) } else { other() }
    }

    fn namespaces(&self) -> impl Iterator<Item = (&str, &str)> {
        let others = self.others.iter().map(|(of, uid)| (of.as_str(), uid.as_str()));
        std::iter::once((self.of.as_str(), self.uid.as_str())).chain(others)
    }

    /// Whether both are of one cluster, as far as that can be said: by `kube-system` if both know it, since any other
    /// namespace may have been made anew, else by what both know.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> Option<bool> {
        if let (Some(one), Some(another)) = (self.uid_of(SYSTEM), other.uid_of(SYSTEM)) {
            return Some(one == another);
        }
        let both = self.namespaces().filter_map(|(of, uid)| Some(uid == other.uid_of(of)?));
        both.reduce(|one, another| one || another)
    }

    /// Adds what another identity of the same cluster knows; `kube-system` comes first.
    pub fn complete(&mut self, other: &Self) {
        let known = self.namespaces().chain(other.namespaces());
        let mut all: BTreeMap<String, String> = known.map(|(of, uid)| (of.to_owned(), uid.to_owned())).collect();
        let first = if all.contains_key(SYSTEM) { SYSTEM.to_owned() } else { self.of.clone() };
        if let Some(uid) = all.remove(&first) {
            *self = Self { uid, of: first, others: all };
        }
    }
}

/// A debt: something that left the file while it was, or may have been, live somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The cluster.
    pub cluster: ClusterName,
    /// How it was reached.
    pub access: Access,
    /// The namespace there.
    pub namespace: String,
    /// The units that are still there.
    pub units: BTreeSet<UnitId>,
    /// Since when.
    pub since: Timestamp,
}

/// A drain that we asked for: written on the pod before the bridge is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Why.
    pub reason: DrainReason,
    /// Since when.
    pub since: Timestamp,
}

/// Why we drain a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainReason {
    /// It is to be replaced.
    Replace,
    /// It left the file.
    Remove,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(uids: &[(&str, &str)]) -> Pin {
        let mut pin = Pin::new(uids[0].0, uids[0].1);
        uids[1..].iter().for_each(|(of, uid)| pin.complete(&Pin::new(of, uid)));
        pin
    }

    #[test]
    fn a_cluster_is_known_again_by_whichever_uid_can_be_read() {
        let both = pin(&[("meet", "n"), (SYSTEM, "s")]);
        assert_eq!((both.of.as_str(), both.uid.as_str()), (SYSTEM, "s"));
        for (seen, expected) in [
            (pin(&[(SYSTEM, "s"), ("meet", "n")]), Some(true)),
            (pin(&[("meet", "n")]), Some(true)),
            (pin(&[("meet", "x")]), Some(false)),
            (pin(&[(SYSTEM, "x"), ("meet", "n")]), Some(false)),
            // The namespace was made anew.
            (pin(&[(SYSTEM, "s"), ("meet", "x")]), Some(true)),
            (pin(&[("other", "o")]), None),
        ] {
            assert_eq!(both.agrees(&seen), expected, "{seen:?}");
            assert_eq!(seen.agrees(&both), expected, "{seen:?}");
        }
    }

    #[test]
    fn a_good_intent_is_written_once_and_outlives_the_next() {
        let intent = |text: &str| {
            let since = "2026-01-01T00:00:00Z".parse().unwrap();
            Intent { text: text.repeat(1000), hash: text.to_owned(), since }
        };
        let mut record = Record::default();
        record.accept(intent("first"));
        assert_eq!(record.last_good(), None);
        record.converged();
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.len() < 1000 * "first".len() + 500, "{}", text.len());
        let mut record: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(record.last_good(), Some(&intent("first")));
        record.accept(intent("second"));
        record.accept(intent("third"));
        let record: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!((record.intent.as_ref(), record.last_good()), (Some(&intent("third")), Some(&intent("first"))));
    }

    #[test]
    fn a_record_of_before_holds_the_whole_good_intent() {
        let intent = r#"{"text":"{}","hash":"h","since":"2026-01-01T00:00:00Z"}"#;
        let old = format!(
            r#"{{"generation":1,"intent":{intent},"last_good":{intent},"allocations":{},"pins":{{}},"tombstones":[]}}"#,
            serde_json::to_string(&Allocations::default()).unwrap()
        );
        let mut record: Record = serde_json::from_str(&old).unwrap();
        assert_eq!(record.last_good(), record.intent.as_ref());
        record.converged();
        assert_eq!(record.last_good, Some(Good::Accepted { hash: "h".to_owned() }));
    }

    #[test]
    fn a_pin_of_before_is_read_and_completed() {
        let mut old: Pin = serde_json::from_str(r#"{"uid":"s","of":"kube-system"}"#).unwrap();
        assert_eq!(old, Pin::new(SYSTEM, "s"));
        assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"uid":"s","of":"kube-system"}"#);
        old.complete(&Pin::new("meet", "n"));
        old.complete(&Pin::new("meet", "m"));
        assert_eq!(old, pin(&[(SYSTEM, "s"), ("meet", "m")]));
    }
}
