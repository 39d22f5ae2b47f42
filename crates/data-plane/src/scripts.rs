//! Shell texts that a pod runs: an immutable ConfigMap of the unit, mounted as a directory.

use fleet::Component;
use manifest::build::Metadata;
use manifest::pod::Volume;
use manifest::{Kind, Part, UnitBuilder, short_hash};
use serde_json::{Map, Value as Json, json};

/// Starts a bridge.
pub(crate) const JVB_START: &str = include_str!("scripts/jvb-start.sh");
/// Lets a bridge empty before it stops.
pub(crate) const JVB_PRESTOP: &str = include_str!("scripts/jvb-prestop.sh");
/// Lets a recorder finish before it stops.
pub(crate) const JIBRI_PRESTOP: &str = include_str!("scripts/jibri-prestop.sh");

/// Where the container sees them.
pub(crate) const FOLDER: &str = "/etc/jitsictl/scripts";

/// Adds the ConfigMap of these texts and gives the volume to mount. A changed text is a ConfigMap of another name, so
/// that a pod that runs keeps the hook it was started with.
pub(crate) fn mount(unit: &mut UnitBuilder, owner: &str, component: Component, texts: &[(&str, &str)]) -> Volume {
    let data: Map<String, Json> = texts.iter().map(|(name, text)| ((*name).to_owned(), Json::from(*text))).collect();
    let content = json!({ "immutable": true, "data": data });
    let hash = short_hash(content.to_string());
    let name = format!("{owner}-scripts-{}", hash.get(..8).unwrap_or(&hash));
    unit.add(Kind::ConfigMap, name.clone(), Part::Roll, Metadata::of(component), content);
    let source = json!({ "configMap": { "name": name, "defaultMode": 0o555 } });
    Volume { name: "scripts".into(), source, mounts: vec![json!({ "mountPath": FOLDER, "readOnly": true })] }
}

/// The command that runs one of them.
pub(crate) fn command(name: &str) -> Vec<String> {
    vec!["/bin/bash".to_owned(), format!("{FOLDER}/{name}")]
}
