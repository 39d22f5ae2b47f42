//! Which environment variables each image of which release reads, and what became of those that went.

mod computed;
mod replaced;

use std::collections::BTreeSet;
use std::sync::LazyLock;

pub(crate) use computed::computed;
pub use computed::is_made;
pub(crate) use replaced::replaced;

use crate::{Component, Era, Image};

/// Honoured by every image: the init system, the JVM's own, the C library's.
const EVERYWHERE: [&str; 5] = ["TZ", "LANG", "LC_ALL", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"];

type Names = BTreeSet<&'static str>;

struct Lists {
    era: Era,
    of: fn(Component) -> &'static str,
}

macro_rules! release {
    ($tag:literal) => {
        |component| match component {
            Component::Prosody => include_str!(concat!($tag, "/prosody.txt")),
            Component::Jicofo => include_str!(concat!($tag, "/jicofo.txt")),
            Component::Web => include_str!(concat!($tag, "/web.txt")),
            Component::Jvb => include_str!(concat!($tag, "/jvb.txt")),
            Component::Jibri => include_str!(concat!($tag, "/jibri.txt")),
            Component::Haproxy => "",
        }
    };
}

/// One list per era: a release between two of them reads what its era's list says.
static LISTS: [Lists; 2] = [
    Lists { era: Era::Rootless, of: release!("stable-11146-2") },
    Lists { era: Era::Legacy, of: release!("stable-11031") },
];

static PARSED: LazyLock<Vec<(Era, Component, Names)>> = LazyLock::new(|| {
    let all = LISTS.iter().flat_map(|lists| Component::ALL.map(|component| (lists, component)));
    all.map(|(lists, component)| {
        let names = (lists.of)(component).lines().map(str::trim).filter(|line| !line.is_empty());
        (lists.era, component, names.collect())
    })
    .collect()
});

/// Whether that image reads a variable of that name.
#[must_use]
pub fn reads(component: Component, image: &Image, name: &str) -> bool {
    if component == Component::Haproxy {
        return false;
    }
    let listed = || {
        let names = PARSED.iter().find(|(era, of, _)| *era == image.era && *of == component);
        names.is_some_and(|(.., names)| names.contains(name))
    };
    EVERYWHERE.contains(&name) || name.starts_with("S6_") || listed()
}

/// A name that some image of that era reads and that looks like this one.
pub(crate) fn similar(era: Era, name: &str) -> Option<&'static str> {
    // A short name is near to many; two letters of three are no slip.
    let slips = 2.min(name.len() / 3);
    let known = PARSED.iter().filter(|(of, ..)| *of == era).flat_map(|(.., names)| names.iter().copied());
    // What is much longer or shorter is not even compared: a file may have thousands of names.
    let known: Vec<&'static str> = known.filter(|known| known.len().abs_diff(name.len()) <= slips).collect();
    let near = crate::schema::nearest(name, &known)?;
    (1..=slips).contains(&strsim::damerau_levenshtein(name, near)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Release;

    fn image(era: Era) -> Image {
        Image { reference: String::new(), release: Release(String::new()), era }
    }

    #[test]
    fn lists_differ_by_era() {
        let (new, old) = (image(Era::Rootless), image(Era::Legacy));
        assert!(reads(Component::Jvb, &old, "JVB_WS_DOMAIN") && !reads(Component::Jvb, &new, "JVB_WS_DOMAIN"));
        assert!(reads(Component::Web, &new, "ENABLE_LOBBY") || reads(Component::Prosody, &new, "ENABLE_LOBBY"));
        assert!(!reads(Component::Web, &new, "ENABLE_ICE_RESTART"));
        assert!(reads(Component::Jicofo, &new, "JICOFO_MAX_MEMORY") && reads(Component::Jibri, &new, "S6_VERBOSITY"));
        assert!(!reads(Component::Haproxy, &new, "TZ"));
    }

    #[test]
    fn what_was_meant_is_only_guessed_where_it_is_near() {
        assert_eq!(similar(Era::Rootless, "ENABLE_LOBY"), Some("ENABLE_LOBBY"));
        for name in ["X", "TY", "TZ", "ENABLE_LOBBY", "SOMETHING_ELSE"] {
            assert_eq!(similar(Era::Rootless, name), None, "{name}");
        }
    }

    #[test]
    fn lists_are_sorted_names() {
        for lists in &LISTS {
            for component in Component::ALL {
                let names: Vec<&str> = (lists.of)(component).lines().collect();
                assert!(names.is_sorted(), "{component}");
                assert!(names.iter().all(|name| name.parse::<crate::EnvName>().is_ok()), "{component}");
            }
        }
    }
}
