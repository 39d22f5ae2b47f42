//! Shell texts that a pool's pods run: one immutable ConfigMap per pool and component, mounted as a directory.
//!
//! It belongs to the pool, not to each bridge: five hundred bridges would have five hundred copies. Its name carries
//! the hash of its texts and stands in the pods' templates, so a changed text is a ConfigMap of another name, and a pod
//! that runs keeps the hook that it was started with.

use std::sync::LazyLock;

use fleet::{Component, Fleet, Pool};
use manifest::pod::Volume;
use manifest::scripts::{JIBRI_LIVENESS, JIBRI_PRESTOP, JVB_PRESTOP, JVB_START};
use manifest::{Kind, Metadata, Part, UnitBuilder, short_hash};
use serde_json::{Map, Value as Json, json};

/// Where the container sees them.
const FOLDER: &str = "/etc/jitsictl/scripts";

/// A text that a pod runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    /// Starts a bridge.
    JvbStart,
    /// Lets a bridge empty before it stops.
    JvbPrestop,
    /// Lets a recorder finish before it stops.
    JibriPrestop,
    /// Says when a recorder has to be started anew.
    JibriLiveness,
}

impl Script {
    const fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::JvbStart => ("jvb-start.sh", JVB_START),
            Self::JvbPrestop => ("jvb-prestop.sh", JVB_PRESTOP),
            Self::JibriPrestop => ("jibri-prestop.sh", JIBRI_PRESTOP),
            Self::JibriLiveness => ("jibri-liveness.sh", JIBRI_LIVENESS),
        }
    }

    /// The command that runs it.
    pub(crate) fn command(self) -> Vec<String> {
        vec!["/bin/bash".to_owned(), format!("{FOLDER}/{}", self.file().0)]
    }
}

/// What the pods of a component run.
const fn of(component: Component) -> &'static [Script] {
    match component {
        Component::Jvb => &[Script::JvbStart, Script::JvbPrestop],
        Component::Jibri => &[Script::JibriPrestop, Script::JibriLiveness],
        Component::Prosody | Component::Jicofo | Component::Web | Component::Haproxy => &[],
    }
}

fn content(component: Component) -> Json {
    let data: Map<String, Json> =
        of(component).iter().map(|script| script.file()).map(|(name, text)| (name.to_owned(), text.into())).collect();
    json!({ "immutable": true, "data": data })
}

/// The texts are constants: so are their hashes.
fn hash(component: Component) -> &'static str {
    static JVB: LazyLock<String> = LazyLock::new(|| short_hash(content(Component::Jvb).to_string()));
    static JIBRI: LazyLock<String> = LazyLock::new(|| short_hash(content(Component::Jibri).to_string()));
    match component {
        Component::Jvb => &JVB,
        Component::Jibri => &JIBRI,
        Component::Prosody | Component::Jicofo | Component::Web | Component::Haproxy => "none",
    }
}

fn name(fleet: &Fleet, pool: &Pool, component: Component) -> String {
    let hash = hash(component);
    format!("{}-{}-{component}-scripts-{}", fleet.name, pool.name, hash.get(..8).unwrap_or(hash))
}

/// Adds the ConfigMap to the pool's unit.
pub(crate) fn add(unit: &mut UnitBuilder, fleet: &Fleet, pool: &Pool, component: Component) {
    let name = name(fleet, pool, component);
    unit.add(Kind::ConfigMap, name, Part::Carry, Metadata::of(component), content(component));
}

/// The volume that a pod mounts.
pub(crate) fn volume(fleet: &Fleet, pool: &Pool, component: Component) -> Volume {
    let name = name(fleet, pool, component);
    let source = json!({ "configMap": { "name": name, "defaultMode": 0o555 } });
    Volume { name: "scripts".into(), source, mounts: vec![json!({ "mountPath": FOLDER, "readOnly": true })] }
}
