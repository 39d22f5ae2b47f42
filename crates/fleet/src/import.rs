//! A fleet file from what people have: a docker-compose `.env`, or the values of the Helm chart that puts a
//! StatefulSet of bridges beside each shard.

mod dotenv;
mod values;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

pub use dotenv::dotenv;
pub use values::values_yaml;

use crate::env_lists::{computed, is_made, reads, replaced};
use crate::release::TagEra;
use crate::secrets::looks_secret;
use crate::{Component, Era, Image, Release};

/// A fleet file, and what did not come along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The fleet file.
    pub fleet_yaml: String,
    /// What was dropped, and why.
    pub dropped: Vec<(String, String)>,
}

/// What an import runs unless it says something newer.
const RELEASE: &str = "stable-11146-2";

/// Keys in the order in which people read them.
const ORDER: [&str; 9] = ["fleet", "url", "release", "clusters", "env", "secrets", "domains", "control", "data"];

const DOMAINS: [(&str, &str); 6] = [
    ("XMPP_DOMAIN", "main"),
    ("XMPP_AUTH_DOMAIN", "auth"),
    ("XMPP_MUC_DOMAIN", "muc"),
    ("XMPP_INTERNAL_MUC_DOMAIN", "internal_muc"),
    ("XMPP_GUEST_DOMAIN", "guest"),
    ("XMPP_HIDDEN_DOMAIN", "hidden"),
];

/// A fleet file that is being put together.
struct Draft {
    fleet: Map<String, Json>,
    dropped: Vec<(String, String)>,
}

impl Draft {
    fn new() -> Self {
        let mut fleet = Map::new();
        fleet.insert("fleet".into(), json!("meet"));
        fleet.insert("url".into(), json!("https://meet.example.org"));
        fleet.insert("release".into(), json!(RELEASE));
        fleet.insert("clusters".into(), json!({ "main": { "context": "main" } }));
        Self { fleet, dropped: Vec::new() }
    }

    fn drop(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.dropped.push((what.into(), why.into()));
    }

    fn put(&mut self, section: &str, key: &str, value: Json) {
        if let Some(map) = self.fleet.entry(section).or_insert_with(|| json!({})).as_object_mut() {
            map.insert(key.to_owned(), value);
        }
    }

    /// Takes a tag if a recipe fits it.
    fn release(&mut self, what: &str, tag: &str) {
        match Release(tag.to_owned()).era() {
            TagEra::Known(_) => drop(self.fleet.insert("release".into(), json!(tag))),
            TagEra::TooOld => self.drop(what, format!("{tag} is older than stable-9823; the file says {RELEASE}")),
            TagEra::Unknown => self.drop(what, format!("`{tag}` names no release; the file says {RELEASE}")),
        }
    }

    /// Sorts variables into where they belong.
    fn variables(&mut self, variables: &BTreeMap<String, String>) {
        if let Some(url) = variables.get("PUBLIC_URL").filter(|url| !url.is_empty()) {
            let url = if url.contains("://") { url.clone() } else { format!("https://{url}") };
            self.fleet.insert("url".into(), json!(url.trim_end_matches('/')));
        }
        if let Some(tag) = variables.get("JITSI_IMAGE_VERSION").filter(|tag| !tag.is_empty()) {
            self.release("JITSI_IMAGE_VERSION", tag);
        }
        for (name, value) in variables {
            self.variable(name, value);
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        if matches!(name, "PUBLIC_URL" | "JITSI_IMAGE_VERSION") {
            return;
        }
        if let Some((_, key)) = DOMAINS.iter().find(|(domain, _)| *domain == name) {
            if !value.is_empty() {
                self.put("domains", key, json!(value));
            }
            return;
        }
        let image = Image { reference: String::new(), release: Release(RELEASE.into()), era: Era::Rootless };
        if is_made(name) {
            self.drop(name, "passwords between components are made once, in the cluster");
        } else if let Some(what) = replaced(Era::Rootless, name).or_else(|| computed(name)) {
            self.drop(name, what);
        } else if looks_secret(name) {
            // The value itself never goes through here.
            self.put("secrets", name, json!({ "env": name }));
            self.drop(
                format!("the value of {name}"),
                format!("secrets don't belong in the file: set variable {name} when you apply"),
            );
        } else if Component::ALL.iter().any(|component| reads(*component, &image, name)) {
            self.put("env", name, json!(value));
        } else {
            self.drop(name, format!("no image of {RELEASE} reads it"));
        }
    }

    fn finish(mut self) -> Imported {
        let mut fleet_yaml =
            String::from("# Imported: `clusters` needs your kubeconfig's contexts; `jitsictl check` says what else.\n");
        for key in ORDER {
            let Some(value) = self.fleet.remove(key) else { continue };
            // A key with plain JSON under it can always be written.
            let section = serde_saphyr::to_string(&Map::from_iter([(key.to_owned(), value)])).unwrap_or_default();
            fleet_yaml.push_str(&section);
            if !fleet_yaml.ends_with('\n') {
                fleet_yaml.push('\n');
            }
        }
        Imported { fleet_yaml, dropped: self.dropped }
    }
}
