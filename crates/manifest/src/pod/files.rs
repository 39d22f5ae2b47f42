//! The user's own files in a container.

use std::collections::BTreeMap;

use fleet::{CustomFile, FileSource, Workload};
use serde_json::{Map, Value as Json, json};

use super::Volume;
use crate::{Kind, Metadata, Part, UnitBuilder, UnitId, short_hash};

/// Each file is mounted alone (`subPath`): the images copy `/config` with tools that skip a ConfigMap's symlinks.
pub(super) fn volumes(
    unit: &mut UnitBuilder,
    owner: &str,
    workload: &Workload,
    moved: &BTreeMap<&'static str, &'static str>,
) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    let mut data = Map::new();
    let mut binary = Map::new();
    let mut content_mounts: BTreeMap<u32, (Vec<Json>, Vec<Json>)> = BTreeMap::new();
    for (index, file) in workload.files.iter().enumerate() {
        let path = moved.get(file.path.as_str()).copied().unwrap_or(&file.path);
        let key = format!("file-{index}");
        let mount = json!({ "mountPath": path, "subPath": key, "readOnly": true });
        match &file.source {
            FileSource::Content(bytes) => {
                match std::str::from_utf8(bytes) {
                    Ok(text) => data.insert(key.clone(), text.into()),
                    Err(_) => binary.insert(key.clone(), base64(bytes).into()),
                };
                let (items, mounts) = content_mounts.entry(file.mode).or_default();
                items.push(json!({ "key": key, "path": key }));
                mounts.push(mount);
            }
            FileSource::ConfigMap { name, key: source_key } => volumes.push(Volume {
                name: key.clone(),
                source: json!({ "configMap": { "name": name, "defaultMode": file.mode,
                    "items": [{ "key": source_key, "path": key }] } }),
                mounts: vec![mount],
            }),
            FileSource::Secret { name, key: source_key } => volumes.push(Volume {
                name: key.clone(),
                source: json!({ "secret": { "secretName": name, "defaultMode": file.mode,
                    "items": [{ "key": source_key, "path": key }] } }),
                mounts: vec![mount],
            }),
        }
    }
    if content_mounts.is_empty() {
        return volumes;
    }
    let mut content = Map::new();
    content.insert("immutable".into(), true.into());
    if !data.is_empty() {
        content.insert("data".into(), Json::Object(data));
    }
    if !binary.is_empty() {
        content.insert("binaryData".into(), Json::Object(binary));
    }
    let content = Json::Object(content);
    let name = format!("{owner}-files-{}", &short_hash(content.to_string())[..8]);
    // What a pool shares is there before its pods are replaced: they pick it up by its name when their turn comes.
    let part = if matches!(unit.id(), UnitId::Pool(_)) { Part::Carry } else { Part::Roll };
    unit.add(Kind::ConfigMap, name.clone(), part, Metadata::of(workload.component), content);
    for (mode, (items, mounts)) in content_mounts {
        volumes.push(Volume {
            name: format!("files-{mode:o}"),
            source: json!({ "configMap": { "name": name, "defaultMode": mode, "items": items } }),
            mounts,
        });
    }
    volumes
}

/// Whether the user mounts a file of this path.
#[must_use]
pub fn has_file(files: &[CustomFile], path: &str) -> bool {
    files.iter().any(|file| file.path == path)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
