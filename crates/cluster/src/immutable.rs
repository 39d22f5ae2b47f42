//! Fields that an API server refuses to change on an existing object: our own table, since its answers don't tell
//! them from plain mistakes.

use manifest::Kind;
use serde_json::Value as Json;

/// The immutable fields of a kind, and the way out.
const fn table(kind: Kind) -> (&'static [&'static str], &'static str) {
    match kind {
        Kind::StatefulSet => (
            &["/spec/selector", "/spec/serviceName", "/spec/podManagementPolicy", "/spec/volumeClaimTemplates"],
            "delete it with `kubectl delete statefulset … --cascade=orphan` (its pod goes on running), then apply again",
        ),
        Kind::Deployment => (
            &["/spec/selector"],
            "delete it with `kubectl delete deployment … --cascade=orphan` (its pods go on running), then apply again",
        ),
        Kind::Service => (
            &["/spec/clusterIP", "/spec/clusterIPs", "/spec/ipFamilies", "/spec/loadBalancerClass"],
            "delete the Service while nobody uses it, then apply again: it gets new addresses, which are wired anew",
        ),
        Kind::EndpointSlice => (&["/addressType"], "delete the EndpointSlice, then apply again at once"),
        Kind::ConfigMap => (&["/data", "/binaryData", "/immutable"], "delete the ConfigMap, then apply again"),
        Kind::Secret => (&["/data", "/type", "/immutable"], "delete the Secret, then apply again"),
        _ => (&[], ""),
    }
}

/// The fields in which what we send differs from what is there and can't be changed, and what to do about it.
pub(crate) fn differing(kind: Kind, body: &Json, live: &Json) -> Option<(Vec<String>, &'static str)> {
    let (pointers, way_out) = table(kind);
    let frozen_by_flag = matches!(kind, Kind::ConfigMap | Kind::Secret);
    let is_frozen = live.get("immutable") == Some(&Json::Bool(true));
    let fields: Vec<String> = pointers
        .iter()
        .filter(|pointer| !frozen_by_flag || is_frozen || **pointer == "/type")
        .filter(|pointer| match (body.pointer(pointer), live.pointer(pointer)) {
            (Some(wanted), Some(there)) => !is_within(wanted, there),
            (Some(_), None) => true,
            (None, _) => false,
        })
        .map(|pointer| (*pointer).to_owned())
        .collect();
    (!fields.is_empty()).then_some((fields, way_out))
}

/// Whether everything that we want is there; the server may have added defaults.
fn is_within(wanted: &Json, there: &Json) -> bool {
    match (wanted, there) {
        (Json::Object(wanted), Json::Object(there)) => {
            wanted.iter().all(|(key, value)| there.get(key).is_some_and(|own| is_within(value, own)))
        }
        (Json::Array(wanted), Json::Array(there)) => {
            wanted.len() == there.len() && wanted.iter().zip(there).all(|(wanted, there)| is_within(wanted, there))
        }
        _ => wanted == there,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_that_matter_are_named() {
        let live = json!({ "spec": {
            "selector": { "matchLabels": { "a": "1" } }, "serviceName": "s", "replicas": 1,
            "volumeClaimTemplates": [{ "metadata": { "name": "d" }, "spec": { "volumeMode": "Filesystem" } }],
        } });
        let same = json!({ "spec": {
            "selector": { "matchLabels": { "a": "1" } }, "replicas": 5,
            "volumeClaimTemplates": [{ "metadata": { "name": "d" } }],
        } });
        assert_eq!(differing(Kind::StatefulSet, &same, &live), None);
        let other = json!({ "spec": { "selector": { "matchLabels": { "a": "2" } }, "serviceName": "t" } });
        let (fields, _) = differing(Kind::StatefulSet, &other, &live).unwrap();
        assert_eq!(fields, ["/spec/selector", "/spec/serviceName"]);

        let config = |immutable: bool| json!({ "data": { "a": "1" }, "immutable": immutable });
        let wanted = json!({ "data": { "a": "2" } });
        assert!(differing(Kind::ConfigMap, &wanted, &config(true)).is_some());
        assert!(differing(Kind::ConfigMap, &wanted, &config(false)).is_none());
    }
}
