//! What a daemon starts from, and how long it lives.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::log::Log;
use crate::{
    container::File,
    state::{PodKey, Shared},
};

/// What an image's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) component: String,
    pub(crate) tag: String,
}

impl Image {
    /// Takes a name apart: `registry:5000/path/COMPONENT:TAG@digest`.
    pub(crate) fn parse(image: &str) -> Self {
        let name = image.split('@').next().unwrap_or(image);
        let last = name.rsplit('/').next().unwrap_or(name);
        let (component, tag) = last.split_once(':').unwrap_or((last, "latest"));
        Self { component: component.to_owned(), tag: tag.to_owned() }
    }

    /// The version that the daemon in it reports: the number of the tag.
    pub(crate) fn version(&self) -> String {
        let number = self.tag.trim_start_matches(|char: char| !char.is_ascii_digit());
        if number.is_empty() { self.tag.clone() } else { number.to_owned() }
    }
}

/// All that a daemon starts from.
pub(crate) struct Start {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: PodKey,
    pub(crate) image: Image,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) files: Vec<File>,
    pub(crate) log: Log,
    /// How long its liveness probe has to fail until the node starts its container again, if it has one.
    pub(crate) liveness: Option<Duration>,
    /// Ended to stop the daemon.
    pub(crate) life: Life,
    /// Cancelled by the daemon when it ends by itself.
    pub(crate) exit: CancellationToken,
}

impl Start {
    /// A variable; an empty one counts as not set, as in the images' scripts.
    pub(super) fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a switch is on, as the images read it.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let yes = |text: &str| matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
        self.env(name).is_some_and(yes)
    }

    pub(super) fn required(&self, name: &str) -> Result<String, String> {
        self.env(name).map(str::to_owned).ok_or_else(|| format!("FATAL ERROR: {name} must be set"))
    }
}

/// How long a daemon lives, and how it ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    /// Cancelled when it ends, however it does.
    pub(crate) stop: CancellationToken,
    /// Cancelled before that when it has no time for a word to anybody.
    killed: CancellationToken,
}

impl Life {
    /// One that ends with another at the latest.
    pub(crate) fn within(parent: &CancellationToken) -> Self {
        Self { stop: parent.child_token(), killed: CancellationToken::new() }
    }

    /// Part of it, which may end before.
    pub(crate) fn part(&self) -> Self {
        Self { stop: self.stop.child_token(), killed: self.killed.clone() }
    }

    /// Ends it without a word.
    pub(crate) fn kill(&self) {
        self.killed.cancel();
        self.stop.cancel();
    }

    /// Whether it ended without a word.
    pub(crate) fn was_killed(&self) -> bool {
        self.killed.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_apart() {
        let image = Image::parse("registry.example.org:5000/jitsi/jvb:stable-11146-2@sha256:abc");
        assert_eq!((image.component.as_str(), image.version().as_str()), ("jvb", "11146-2"));
        assert_eq!(Image::parse("haproxy").tag, "latest");
    }
}
