//! What a fleet file takes for granted and nobody has in a sandbox: secrets of other places are made up, and so are
//! Secrets and ConfigMaps that the fleet mounts and does not make. Addresses outside the clusters lead nowhere.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{ClusterName, Fleet, SecretSource, XmppExpose};
use manifest::Desired;
use secrecy::SecretString;
use serde_json::Value as Json;

/// Gives every secret without a value one, the same in each sandbox: it opens nothing but simulated doors. Ways to the
/// shards that lead through the world outside become ways within it. Says what it did.
pub(super) fn make_up(fleet: &mut Fleet) -> Vec<String> {
    let mut told = Vec::new();
    for (name, source) in &mut fleet.secrets {
        let why = match source {
            SecretSource::Value(_) => continue,
            SecretSource::Missing { source } => format!("{source} is not set here"),
            SecretSource::Existing { secret, key } => format!("key {key} of Secret {secret} is in no sandbox"),
        };
        told.push(format!("{name} ({why})"));
        *source = SecretSource::Value(SecretString::from(format!("made-up-{}", name.as_str().to_lowercase())));
    }
    match &mut fleet.control.xmpp {
        XmppExpose::External(_) => {
            told.push("control.xmpp.external (those addresses lead nowhere here: load balancers instead)".to_owned());
            fleet.control.xmpp = XmppExpose::LoadBalancer;
        }
        XmppExpose::NodePort { addresses, .. } if !addresses.is_empty() => {
            told.push("control.xmpp.node_port.addresses (they lead nowhere here: the nodes' own instead)".to_owned());
            addresses.clear();
        }
        XmppExpose::NodePort { .. } | XmppExpose::LoadBalancer | XmppExpose::ClusterIp => {}
    }
    told
}

/// A Secret or a ConfigMap that pods mount and the fleet does not make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Supply {
    pub(super) cluster: ClusterName,
    pub(super) namespace: String,
    /// `Secret` or `ConfigMap`.
    pub(super) kind: &'static str,
    pub(super) name: String,
}

impl Supply {
    /// The object, with something under each of these keys.
    pub(super) fn object(&self, keys: &BTreeSet<String>) -> Json {
        let data: BTreeMap<&str, &str> = keys.iter().map(|key| (key.as_str(), "made up\n")).collect();
        let field = if self.kind == "Secret" { "stringData" } else { "data" };
        serde_json::json!({
            "apiVersion": "v1",
            "kind": self.kind,
            "metadata": { "name": self.name, "namespace": self.namespace },
            field: data,
        })
    }
}

/// All of them, each with the keys that are read.
pub(super) fn lacking(desired: &Desired) -> BTreeMap<Supply, BTreeSet<String>> {
    let made: BTreeSet<_> = desired
        .manifests()
        .map(|(_, manifest)| &manifest.object)
        .map(|object| (&object.cluster, object.kind.name(), object.name.as_str()))
        .collect();
    let mut lacking: BTreeMap<Supply, BTreeSet<String>> = BTreeMap::new();
    for (_, manifest) in desired.manifests().filter(|(_, manifest)| manifest.object.kind.has_pods()) {
        let body = manifest.body.json();
        let Some(pod) = body.pointer("/spec/template/spec") else { continue };
        for (kind, name, key) in references(pod) {
            if made.contains(&(&manifest.object.cluster, kind, name)) {
                continue;
            }
            let supply = Supply {
                cluster: manifest.object.cluster.clone(),
                namespace: manifest.object.namespace.clone(),
                kind,
                name: name.to_owned(),
            };
            lacking.entry(supply).or_default().extend(key.map(str::to_owned));
        }
    }
    lacking
}

/// Kind, name and key of everything that a pod can't start without.
fn references(pod: &Json) -> Vec<(&'static str, &str, Option<&str>)> {
    let mut found = Vec::new();
    for volume in array(pod, "volumes") {
        for (field, named, kind) in [("secret", "secretName", "Secret"), ("configMap", "name", "ConfigMap")] {
            let Some(source) = volume.get(field).filter(|source| !is_optional(source)) else { continue };
            let Some(name) = source.get(named).and_then(Json::as_str) else { continue };
            let keys = array(source, "items").filter_map(|item| item.get("key")?.as_str());
            found.push((kind, name, None));
            found.extend(keys.map(|key| (kind, name, Some(key))));
        }
    }
    for container in array(pod, "initContainers").chain(array(pod, "containers")) {
        for variable in array(container, "env") {
            for (field, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
                let reference = variable.get("valueFrom").and_then(|from| from.get(field));
                let Some(reference) = reference.filter(|reference| !is_optional(reference)) else { continue };
                if let Some(name) = reference.get("name").and_then(Json::as_str) {
                    found.push((kind, name, reference.get("key").and_then(Json::as_str)));
                }
            }
        }
    }
    found
}

fn array<'a>(value: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> {
    value.get(key).and_then(Json::as_array).into_iter().flatten()
}

fn is_optional(source: &Json) -> bool {
    source.get("optional").and_then(Json::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::rendered;

    const FLEET: &str = "
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters: { hq: { context: hq } }
env: { ENABLE_AUTH: 1, AUTH_TYPE: jwt, JWT_APP_ID: meet }
secrets:
  JWT_APP_SECRET: { env: MEET_JWT_SECRET }
  GITHUB_TOKEN: { secret: theirs, key: token }
control:
  cluster: hq
  shards: { alpha: {} }
  prosody:
    files:
      - { path: /prosody-plugins-custom/mod_greeting.lua, config_map: plugins, key: mod_greeting.lua }
data: { pools: { main: { cluster: hq } } }
";

    fn fleet() -> Fleet {
        load(FLEET)
    }

    fn load(text: &str) -> Fleet {
        let loaded = fleet::load::load_text("fleet.yaml", text, std::path::Path::new("."), &BTreeMap::new());
        loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).fleet
    }

    #[test]
    fn secrets_of_other_places_are_made_up_and_told() {
        let mut fleet = fleet();
        let told = make_up(&mut fleet);
        assert!(told.contains(&"JWT_APP_SECRET (variable MEET_JWT_SECRET is not set here)".to_owned()), "{told:?}");
        assert!(fleet.secrets.values().all(|source| matches!(source, SecretSource::Value(_))));
        assert!(make_up(&mut fleet).is_empty());
    }

    #[test]
    fn ways_through_the_world_outside_become_ways_within() {
        let external = "  xmpp: { expose: external, external: { alpha: { a: \"xmpp.example.org:5222\" } } }\n";
        let mut fleet = load(&FLEET.replace("  shards", &format!("{external}  shards")));
        assert!(make_up(&mut fleet).iter().any(|told| told.starts_with("control.xmpp.external ")));
        assert_eq!(fleet.control.xmpp, XmppExpose::LoadBalancer);
    }

    #[test]
    fn what_pods_mount_and_nobody_makes_is_supplied() {
        let lacking = lacking(&rendered(&fleet(), &[]));
        let (supply, keys) = lacking.first_key_value().unwrap();
        assert_eq!(lacking.len(), 1, "{lacking:?}");
        assert_eq!((supply.kind, supply.name.as_str(), supply.cluster.as_str()), ("ConfigMap", "plugins", "hq"));
        assert_eq!(supply.object(keys)["data"]["mod_greeting.lua"], "made up\n");
    }
}
