//! Image tags: which release, and which of the two image eras it belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A program of the fleet; each has an image of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// The XMPP server of a shard.
    Prosody,
    /// The conference focus of a shard.
    Jicofo,
    /// nginx with the web application of a shard.
    Web,
    /// The entrance that keeps each room on its shard.
    Haproxy,
    /// The video bridge.
    Jvb,
    /// The recorder.
    Jibri,
}

impl Component {
    /// All components, control plane first.
    pub const ALL: [Self; 6] = [Self::Prosody, Self::Jicofo, Self::Web, Self::Haproxy, Self::Jvb, Self::Jibri];

    /// The component's name: of its image, its container and its `app.kubernetes.io/name` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prosody => "prosody",
            Self::Jicofo => "jicofo",
            Self::Web => "web",
            Self::Haproxy => "haproxy",
            Self::Jvb => "jvb",
            Self::Jibri => "jibri",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the images of a release want to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// From `stable-11146`: uid 1000, read-only root, `/config` an input, bridge channel over the media port.
    Rootless,
    /// From `stable-9823` to `stable-11031`: root, ports 80/443, `/config` writable, colibri websockets.
    Legacy,
}

impl Era {
    /// The registry that carries this era's images.
    #[must_use]
    pub const fn default_registry(self) -> &'static str {
        match self {
            Self::Rootless => "ghcr.io/jitsi",
            Self::Legacy => "docker.io/jitsi",
        }
    }
}

/// The tag (or `sha256:` digest) of a Jitsi image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Release(pub String);

/// What a tag says about its era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagEra {
    /// The tag names a release of this era.
    Known(Era),
    /// Older than `stable-9823`: no recipe fits.
    TooOld,
    /// A digest, `unstable`, or a tag of somebody's own: nothing can be read from it.
    Unknown,
}

const OLDEST: u32 = 9823;
const FIRST_ROOTLESS: u32 = 11146;

impl Release {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The build number in `stable-<number>[-<respin>]`.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        let rest = self.0.strip_prefix("stable-")?;
        let (number, respin) = rest.split_once('-').unwrap_or((rest, "0"));
        respin.parse::<u32>().ok()?;
        number.parse().ok()
    }

    /// The era that the tag names.
    #[must_use]
    pub fn era(&self) -> TagEra {
        match self.number() {
            Some(n) if n >= FIRST_ROOTLESS => TagEra::Known(Era::Rootless),
            Some(n) if n >= OLDEST => TagEra::Known(Era::Legacy),
            Some(_) => TagEra::TooOld,
            None => TagEra::Unknown,
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_follow_the_tag() {
        for (tag, era) in [
            ("stable-11146-2", TagEra::Known(Era::Rootless)),
            ("stable-11146", TagEra::Known(Era::Rootless)),
            ("stable-11031", TagEra::Known(Era::Legacy)),
            ("stable-9823", TagEra::Known(Era::Legacy)),
            ("stable-9822", TagEra::TooOld),
            ("stable", TagEra::Unknown),
            ("unstable-2026-08-01", TagEra::Unknown),
            ("sha256:00", TagEra::Unknown),
        ] {
            assert_eq!(Release(tag.into()).era(), era, "{tag}");
        }
    }
}
