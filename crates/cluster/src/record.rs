//! The record of a plane: one ConfigMap in its home cluster, changed by compare-and-swap.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use fleet::{FleetName, Plane};
use http::Method;
use manifest::{Kind, Names, labels};
use plan::Record;
use serde_json::{Value as Json, json};

use crate::apply::manager;
use crate::wire::{JSON, Request};
use crate::{Cluster, ClusterError, ErrorKind};

const PLAIN: &str = "record.json";
const PACKED: &str = "record.json.gz";

/// Up to here the record stays readable with `kubectl get`.
const LONGEST_PLAIN: usize = 8 * 1024;
/// An etcd object holds 1 MiB; this is what one may unpack to.
const LONGEST_UNPACKED: u64 = 64 * 1024 * 1024;

impl Cluster {
    /// The record of a plane and its version; `None` only if there is none.
    ///
    /// # Errors
    /// When it can't be read, or makes no sense.
    pub async fn read_record(&self, fleet: &FleetName, plane: Plane) -> Result<Option<(Record, String)>, ClusterError> {
        let object = self.object(Kind::ConfigMap, &Names(fleet).record(plane));
        let Some(live) = self.get(&object).await? else { return Ok(None) };
        match read(&live.body.json()) {
            Ok(record) => Ok(Some((record, live.version))),
            Err(why) => Err(self.about(&object, ErrorKind::Garbled(why))),
        }
    }

    /// Writes the record if it is still in this version, or if there is none where none is expected. Returns the new
    /// version.
    ///
    /// # Errors
    /// `Changed` when somebody else wrote meanwhile: read it, and decide anew.
    pub async fn write_record(
        &self,
        fleet: &FleetName,
        plane: Plane,
        record: &Record,
        expected: Option<&str>,
    ) -> Result<String, ClusterError> {
        let name = Names(fleet).record(plane);
        let content = content(record).map_err(|why| self.error(ErrorKind::Garbled(why)))?;
        self.swap(fleet, plane, &name, content, expected).await
    }

    /// Creates or replaces one of our own ConfigMaps, by compare-and-swap.
    pub(crate) async fn swap(
        &self,
        fleet: &FleetName,
        plane: Plane,
        name: &str,
        content: Json,
        expected: Option<&str>,
    ) -> Result<String, ClusterError> {
        let object = self.object(Kind::ConfigMap, name);
        let mut body = content;
        body["apiVersion"] = json!("v1");
        body["kind"] = json!("ConfigMap");
        body["metadata"] = json!({
            "name": name,
            "namespace": object.namespace,
            "labels": {
                labels::FLEET: fleet.as_str(),
                labels::PLANE: plane.as_str(),
                labels::PART_OF: fleet.as_str(),
                labels::MANAGED_BY: labels::MANAGER,
            },
        });
        let request = match expected {
            Some(version) => {
                body["metadata"]["resourceVersion"] = json!(version);
                Request::object("update", Method::PUT, &object)
            }
            None => Request::kind("create", Method::POST, Kind::ConfigMap, Some(&object.namespace)),
        };
        let request = request.query("fieldManager", &manager(plane)).send(JSON, &body);
        let answer = self.call(request).await.map_err(|error| match error.kind {
            // It came or went meanwhile.
            ErrorKind::AlreadyExists | ErrorKind::NotFound => self.about(&object, ErrorKind::Changed),
            kind => self.about(&object, kind),
        })?;
        let stored: Json = self.parse(&answer.body)?;
        let version = stored.pointer("/metadata/resourceVersion").and_then(Json::as_str);
        let version =
            version.ok_or_else(|| self.about(&object, ErrorKind::Garbled("no resourceVersion".to_owned())))?;
        Ok(version.to_owned())
    }
}

/// The plane whose record has this name.
pub(crate) fn of_name(fleet: &FleetName, name: &str) -> Option<Plane> {
    [Plane::Control, Plane::Data].into_iter().find(|plane| Names(fleet).record(*plane) == name)
}

fn content(record: &Record) -> Result<Json, String> {
    let text = serde_json::to_string(record).map_err(|error| error.to_string())?;
    if text.len() <= LONGEST_PLAIN {
        return Ok(json!({ "data": { PLAIN: text } }));
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    let packed = packer.finish().map_err(|error| error.to_string())?;
    Ok(json!({ "binaryData": { PACKED: STANDARD.encode(packed) } }))
}

/// Reads the record out of its ConfigMap.
pub(crate) fn read(body: &Json) -> Result<Record, String> {
    let plain = body.get("data").and_then(|data| data.get(PLAIN)?.as_str());
    let packed = body.get("binaryData").and_then(|data| data.get(PACKED)?.as_str());
    let text = match (plain, packed) {
        (Some(text), _) => text.to_owned(),
        (None, Some(packed)) => {
            let packed = STANDARD.decode(packed).map_err(|error| error.to_string())?;
            let mut text = String::new();
            GzDecoder::new(packed.as_slice())
                .take(LONGEST_UNPACKED)
                .read_to_string(&mut text)
                .map_err(|error| error.to_string())?;
            text
        }
        (None, None) => return Err(format!("neither `{PLAIN}` nor `{PACKED}` is in it")),
    };
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use plan::{Generation, Intent};

    use super::*;

    #[test]
    fn records_small_and_large_come_back() {
        for length in [10, 100_000] {
            let text = "fleet ".repeat(length / 6);
            let since = "2026-01-01T00:00:00Z".parse().unwrap();
            let intent = Intent { text, hash: "h".into(), since };
            let record = Record { generation: Generation(7), intent: Some(intent), ..Record::default() };
            let content = content(&record).unwrap();
            assert!(content.to_string().len() < LONGEST_PLAIN + 200);
            assert_eq!(read(&content).unwrap(), record);
        }
        assert!(read(&json!({})).unwrap_err().contains("record.json"));
    }

    #[test]
    fn names_tell_the_plane() {
        let fleet = "meet".parse().unwrap();
        assert_eq!(of_name(&fleet, "meet-data"), Some(Plane::Data));
        assert_eq!(of_name(&fleet, "meet-inventory-data-0"), None);
    }
}
