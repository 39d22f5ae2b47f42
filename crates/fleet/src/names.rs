//! Names as types: a string that was checked once and can't be mistaken for another kind of name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a DNS label (RFC 1123): lower-case letters, digits and `-`, at most 63, ending in a letter or digit.
    #[error(
        "`{0}` is not a DNS label: use lower-case letters, digits and `-`, beginning and ending with a letter or digit, 63 at most"
    )]
    Label(String),
    /// A DNS label that can't begin the name of a Service (RFC 1035): those begin with a letter.
    #[error("`{0}` can't begin the names of Services: use lower-case letters, digits and `-`, beginning with a letter")]
    Service(String),
    /// Not the name of an environment variable.
    #[error(
        "`{0}` is not the name of an environment variable: use letters, digits and `_`, not beginning with a digit"
    )]
    Env(String),
}

fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().copied().all(inner)
}

fn begins_with_a_letter(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_env_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn not_a_fleet(text: String) -> InvalidName {
    if is_dns_label(&text) { InvalidName::Service(text) } else { InvalidName::Label(text) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path, $error:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                if $check(&text) { Ok(Self(text)) } else { Err($error(text)) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The fleet's name: a DNS label with which every object's name starts, so it begins with a letter.
    FleetName, begins_with_a_letter, not_a_fleet
);
name!(
    /// Our name for a cluster: a key of `clusters`.
    ClusterName, is_dns_label, InvalidName::Label
);
name!(
    /// A shard's name: a key of `control.shards`.
    ShardName, is_dns_label, InvalidName::Label
);
name!(
    /// A pool's name: a key of `data.pools`.
    PoolName, is_dns_label, InvalidName::Label
);
name!(
    /// The name of an environment variable of a Jitsi image.
    EnvName, is_env_name, InvalidName::Env
);

/// The two halves of a fleet that are applied apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// prosody, jicofo, web and haproxy.
    Control,
    /// jvb and jibri.
    Data,
}

impl Plane {
    /// The plane as it is written in labels and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of the two fixed places in which a shard's prosody and jicofo can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The slot that serves first.
    A,
    /// The slot that a rollout surges into.
    B,
}

impl Slot {
    /// Both slots.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// `a` or `b`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The slot's place in everything that is laid out in pairs: 0 or 1.
    #[must_use]
    pub const fn offset(self) -> u16 {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place of a bridge or recorder within its pool, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Index(pub u16);

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_dns_labels() {
        for good in ["a", "meet", "eu-central-1", "0a"] {
            assert!(PoolName::from_str(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "Meet", "a.b", "ä", &"a".repeat(64)] {
            assert!(PoolName::from_str(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fleets_name_can_begin_that_of_a_service() {
        assert!(FleetName::from_str("meet-1").is_ok());
        assert_eq!(FleetName::from_str("1meet"), Err(InvalidName::Service("1meet".into())));
        assert_eq!(FleetName::from_str("Meet"), Err(InvalidName::Label("Meet".into())));
    }

    #[test]
    fn env_names_are_variables() {
        assert!(EnvName::from_str("JVB_PORT").is_ok());
        assert!(EnvName::from_str("1X").is_err());
        assert!(EnvName::from_str("A-B").is_err());
    }
}
