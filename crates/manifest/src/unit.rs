//! Units: the smallest things that are replaced at once, and the manifests that make them up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use fleet::{ClusterName, EnvName, Index, Plane, PoolName, Release, ShardName, Slot};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Body, Kind, labels};

/// Which unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UnitId {
    /// What a plane shares in one cluster: secrets, policies.
    Base(Plane, ClusterName),
    /// What a shard's slots share: the XMPP Service.
    Shard(ShardName),
    /// prosody and jicofo of a slot.
    Slot(ShardName, Slot),
    /// The web servers of a slot.
    Web(ShardName, Slot),
    /// The entrance.
    Haproxy,
    /// The address of a slot's prosody in a data cluster.
    Wiring(ClusterName, ShardName, Slot),
    /// What a pool's bridges and recorders share.
    Pool(PoolName),
    /// A bridge.
    Bridge(PoolName, Index),
    /// A recorder.
    Recorder(PoolName, Index),
}

impl UnitId {
    /// The plane that applies the unit.
    #[must_use]
    pub const fn plane(&self) -> Plane {
        match self {
            Self::Base(plane, _) => *plane,
            Self::Shard(_) | Self::Slot(..) | Self::Web(..) | Self::Haproxy => Plane::Control,
            Self::Wiring(..) | Self::Pool(_) | Self::Bridge(..) | Self::Recorder(..) => Plane::Data,
        }
    }

    /// The value of the `jitsictl.dev/unit` label: `bridge-eu-0`, `slot-alpha-a`. Not unique across clusters.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Base(plane, _) => format!("base-{plane}"),
            Self::Shard(shard) => format!("shard-{shard}"),
            Self::Slot(shard, slot) => format!("slot-{shard}-{slot}"),
            Self::Web(shard, slot) => format!("web-{shard}-{slot}"),
            Self::Haproxy => "haproxy".to_owned(),
            Self::Wiring(_, shard, slot) => format!("wiring-{shard}-{slot}"),
            Self::Pool(pool) => format!("pool-{pool}"),
            Self::Bridge(pool, index) => format!("bridge-{pool}-{index}"),
            Self::Recorder(pool, index) => format!("recorder-{pool}-{index}"),
        }
    }
}

impl fmt::Display for UnitId {
    /// As people read it: `bridge eu/0`, `slot alpha-a`; [`FromStr`] reads it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(plane, cluster) => write!(f, "base {plane}@{cluster}"),
            Self::Shard(shard) => write!(f, "shard {shard}"),
            Self::Slot(shard, slot) => write!(f, "slot {shard}/{slot}"),
            Self::Web(shard, slot) => write!(f, "web {shard}/{slot}"),
            Self::Haproxy => f.write_str("haproxy"),
            Self::Wiring(cluster, shard, slot) => write!(f, "wiring {shard}/{slot}@{cluster}"),
            Self::Pool(pool) => write!(f, "pool {pool}"),
            Self::Bridge(pool, index) => write!(f, "bridge {pool}/{index}"),
            Self::Recorder(pool, index) => write!(f, "recorder {pool}/{index}"),
        }
    }
}

/// A text that names no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no unit: expected for example `bridge eu/0`, `slot alpha/a` or `haproxy`")]
pub struct InvalidUnit(String);

impl FromStr for UnitId {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        parse_unit(text).ok_or_else(|| InvalidUnit(text.to_owned()))
    }
}

fn parse_unit(text: &str) -> Option<UnitId> {
    if text == "haproxy" {
        return Some(UnitId::Haproxy);
    }
    let (what, rest) = text.split_once(' ')?;
    let slot = |text: &str| -> Option<(ShardName, Slot)> {
        let (shard, slot) = text.split_once('/')?;
        let slot = match slot {
            "a" => Slot::A,
            "b" => Slot::B,
            _ => return None,
        };
        Some((shard.parse().ok()?, slot))
    };
    let indexed = |text: &str| -> Option<(PoolName, Index)> {
        let (pool, index) = text.split_once('/')?;
        Some((pool.parse().ok()?, Index(index.parse().ok()?)))
    };
    Some(match what {
        "base" => {
            let (plane, cluster) = rest.split_once('@')?;
            let plane = match plane {
                "control" => Plane::Control,
                "data" => Plane::Data,
                _ => return None,
            };
            UnitId::Base(plane, cluster.parse().ok()?)
        }
        "shard" => UnitId::Shard(rest.parse().ok()?),
        "slot" => slot(rest).map(|(shard, slot)| UnitId::Slot(shard, slot))?,
        "web" => slot(rest).map(|(shard, slot)| UnitId::Web(shard, slot))?,
        "wiring" => {
            let (unit, cluster) = rest.split_once('@')?;
            let (shard, slot) = slot(unit)?;
            UnitId::Wiring(cluster.parse().ok()?, shard, slot)
        }
        "pool" => UnitId::Pool(rest.parse().ok()?),
        "bridge" => indexed(rest).map(|(pool, index)| UnitId::Bridge(pool, index))?,
        "recorder" => indexed(rest).map(|(pool, index)| UnitId::Recorder(pool, index))?,
        _ => return None,
    })
}

impl TryFrom<String> for UnitId {
    type Error = InvalidUnit;
    fn try_from(text: String) -> Result<Self, InvalidUnit> {
        text.parse()
    }
}

impl From<UnitId> for String {
    fn from(unit: UnitId) -> Self {
        unit.to_string()
    }
}

/// An object's identity across all clusters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Which cluster.
    pub cluster: ClusterName,
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// When a change of a manifest reaches what is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// With the unit's turn: pod templates, immutable content-hashed ConfigMaps, the Service under a bridge.
    Roll,
    /// At once; it reaches the pod at its next start or by reload.
    Carry,
}

/// What stands behind a key of a rendered Secret. The bytes are filled in when the object is applied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SecretRef {
    /// A password between components, made once in the control cluster under this key of `<fleet>-passwords`.
    Made(EnvName),
    /// A value of the user's, from the fleet's `secrets`.
    User(EnvName),
    /// The copy of a key of a Secret of the control cluster.
    CopyOf {
        /// That Secret's name.
        secret: String,
        /// Its key.
        key: String,
    },
}

/// One object as server-side apply sends it: nothing defaulted, no status.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Its identity.
    pub object: ObjectRef,
    /// The body, complete but for secret bytes; it carries the annotation `jitsictl.dev/intent`.
    pub body: Body,
    /// For Secrets: key → where the bytes come from.
    pub secrets: BTreeMap<String, SecretRef>,
    /// When a change of it reaches what is running.
    pub part: Part,
}

/// A unit with everything that makes it up, in the order of applying.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Which.
    pub id: UnitId,
    /// Its objects.
    pub manifests: Vec<Manifest>,
    /// Hash of all that replaces the unit when it changes; pods carry it as `jitsictl.dev/roll`.
    pub roll: String,
    /// The release that it runs, for units with pods.
    pub release: Option<Release>,
    /// Names that pods of this unit have, for units of pods with stable names.
    pub pods: Vec<String>,
    /// Objects that belong to the unit, but whose content is not known now: neither written nor pruned.
    pub keeps: BTreeSet<ObjectRef>,
}

impl Unit {
    /// Makes the unit's pods depend on something that rendering does not see, such as the values behind the Secrets
    /// they read: another stamp is another roll hash.
    pub fn stamp(&mut self, stamp: &str) {
        self.roll = short_hash(format!("{}\n{stamp}", self.roll));
        for manifest in &mut self.manifests {
            if !manifest.object.kind.has_pods() {
                continue;
            }
            manifest.body.change(|body| {
                if let Some(template) = body.pointer_mut("/spec/template/metadata/annotations") {
                    template[labels::ROLL] = self.roll.as_str().into();
                }
                if let Some(annotations) = body.pointer_mut("/metadata/annotations") {
                    let before = annotations[labels::INTENT].as_str().unwrap_or_default();
                    annotations[labels::INTENT] = short_hash(format!("{before}\n{stamp}")).into();
                }
            });
        }
    }
}

/// Everything that should be, of the rendered planes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// The units.
    pub units: BTreeMap<UnitId, Unit>,
    /// Units that left the file and are still needed, as they should be until they go: the wirings of bridges that people
    /// are on.
    pub leaving: BTreeMap<UnitId, Unit>,
}

impl Desired {
    /// Puts units together. A unit that appears twice is a bug of a renderer: the later one wins.
    #[must_use]
    pub fn new(units: impl IntoIterator<Item = Unit>) -> Self {
        Self { units: by_id(units), leaving: BTreeMap::new() }
    }

    /// With units that left the file and have not gone yet.
    #[must_use]
    pub fn with_leaving(mut self, units: impl IntoIterator<Item = Unit>) -> Self {
        self.leaving = by_id(units);
        self
    }

    /// A unit as it should be, whether it stays or not.
    #[must_use]
    pub fn unit(&self, id: &UnitId) -> Option<&Unit> {
        self.units.get(id).or_else(|| self.leaving.get(id))
    }

    /// All manifests, unit by unit.
    pub fn manifests(&self) -> impl Iterator<Item = (&UnitId, &Manifest)> {
        self.units.values().flat_map(|unit| unit.manifests.iter().map(move |manifest| (&unit.id, manifest)))
    }

    /// The objects that more than one unit has: applied in turn, none of them would ever come to rest.
    #[must_use]
    pub fn clashes(&self) -> Vec<Clash<'_>> {
        let mut owners: HashMap<&ObjectRef, &UnitId> = HashMap::new();
        let mut clashes = Vec::new();
        for (unit, manifest) in self.manifests() {
            if let Some(first) = owners.insert(&manifest.object, unit) {
                clashes.push(Clash { object: &manifest.object, units: [first, unit] });
            }
        }
        clashes
    }
}

fn by_id(units: impl IntoIterator<Item = Unit>) -> BTreeMap<UnitId, Unit> {
    units.into_iter().map(|unit| (unit.id.clone(), unit)).collect()
}

/// An object that two units would each write in their own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash<'a> {
    /// The object.
    pub object: &'a ObjectRef,
    /// The unit that comes first, and the other one.
    pub units: [&'a UnitId; 2],
}

/// A short, stable hash of text: the first 10 bytes of its SHA-256, in hex.
#[must_use]
pub fn short_hash(text: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(text.as_ref()))
}

/// The [`short_hash`] of a text that comes in pieces.
#[derive(Clone, Default)]
pub(crate) struct ShortHash(Sha256);

impl ShortHash {
    pub(crate) fn push(&mut self, piece: &str) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(digest: &[u8]) -> String {
    let mut hex = String::with_capacity(20);
    let nibbles = digest.iter().take(10).flat_map(|byte| [byte >> 4, byte & 15]);
    hex.extend(nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)));
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_back_what_they_print() {
        let shard: ShardName = "alpha".parse().unwrap();
        let pool: PoolName = "eu".parse().unwrap();
        let cluster: ClusterName = "fra".parse().unwrap();
        for unit in [
            UnitId::Base(Plane::Data, cluster.clone()),
            UnitId::Shard(shard.clone()),
            UnitId::Slot(shard.clone(), Slot::B),
            UnitId::Web(shard.clone(), Slot::A),
            UnitId::Haproxy,
            UnitId::Wiring(cluster, shard, Slot::A),
            UnitId::Pool(pool.clone()),
            UnitId::Bridge(pool.clone(), Index(3)),
            UnitId::Recorder(pool, Index(0)),
        ] {
            assert_eq!(unit.to_string().parse::<UnitId>().unwrap(), unit);
        }
        assert!("bridge eu".parse::<UnitId>().is_err());
    }

    #[test]
    fn a_text_in_pieces_has_the_hash_of_the_whole() {
        let mut pieces = ShortHash::default();
        pieces.push("a");
        pieces.push("bc");
        // Of the standard's own example.
        assert_eq!(short_hash("abc"), "ba7816bf8f01cfea4141");
        assert_eq!(pieces.finish(), short_hash("abc"));
    }
}
