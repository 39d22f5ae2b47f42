//! A fleet file from what people have: a docker-compose `.env`, or the values of the Helm chart that puts a
//! StatefulSet of bridges beside each shard.

mod dotenv;
mod sheet;
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
const ORDER: [&str; 12] = [
    "fleet",
    "url",
    "release",
    "pull_policy",
    "pull_secrets",
    "cluster_domain",
    "clusters",
    "env",
    "secrets",
    "domains",
    "control",
    "data",
];

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
    /// Whether the release is one that the import named.
    named: bool,
    /// Whether ports are those of what is there already.
    keeps_ports: bool,
}

impl Draft {
    fn new() -> Self {
        let mut fleet = Map::new();
        fleet.insert("fleet".into(), json!("meet"));
        fleet.insert("url".into(), json!("https://meet.example.org"));
        fleet.insert("release".into(), json!(RELEASE));
        fleet.insert("clusters".into(), json!({ "main": { "context": "main" } }));
        Self { fleet, dropped: Vec::new(), named: false, keeps_ports: false }
    }

    fn drop(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.dropped.push((what.into(), why.into()));
    }

    fn put(&mut self, section: &str, key: &str, value: Json) {
        if let Some(map) = self.fleet.entry(section).or_insert_with(|| json!({})).as_object_mut() {
            map.insert(key.to_owned(), value);
        }
    }

    fn set(&mut self, key: &str, value: Json) {
        self.fleet.insert(key.to_owned(), value);
    }

    /// Takes a policy unless there is another one already. Whether it is the fleet's now.
    fn pull_policy(&mut self, policy: &str) -> bool {
        *self.fleet.entry("pull_policy").or_insert_with(|| json!(policy)) == *policy
    }

    fn pull_secret(&mut self, name: &str) {
        if let Some(list) = self.fleet.entry("pull_secrets").or_insert_with(|| json!([])).as_array_mut()
            && list.iter().all(|known| known != name)
        {
            list.push(json!(name));
        }
    }

    /// The fleet's release.
    fn tag(&self) -> &str {
        self.fleet.get("release").and_then(Json::as_str).unwrap_or(RELEASE)
    }

    /// What the fleet's images are like.
    fn era(&self) -> Era {
        match Release(self.tag().to_owned()).era() {
            TagEra::Known(era) => era,
            TagEra::TooOld | TagEra::Unknown => Era::Rootless,
        }
    }

    /// The host that people open.
    fn host(&self) -> Option<String> {
        let url: url::Url = self.fleet.get("url")?.as_str()?.parse().ok()?;
        url.host_str().map(str::to_owned)
    }

    /// Takes a tag if a recipe fits it; the first one is the fleet's.
    fn release(&mut self, what: &str, tag: &str) {
        match Release(tag.to_owned()).era() {
            TagEra::Known(_) if self.named => {}
            TagEra::Known(_) => {
                self.named = true;
                self.set("release", json!(tag));
            }
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
            if self.named && self.tag() != tag {
                let why = format!("the images say {}", self.tag());
                self.drop("JITSI_IMAGE_VERSION", why);
            }
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
        let era = self.era();
        let image = Image { reference: String::new(), release: Release(self.tag().to_owned()), era };
        if self.is_decided(name) {
            return;
        }
        if looks_secret(name) {
            self.keep_secret(name);
        } else if Component::ALL.iter().any(|component| reads(*component, &image, name)) {
            self.put("env", name, json!(value));
        } else {
            self.drop(name, format!("no image of {} reads it", image.release));
        }
    }

    /// A variable whose value is a secret, whatever its name looks like.
    fn secret(&mut self, name: &str) {
        if !self.is_decided(name) {
            self.keep_secret(name);
        }
    }

    /// The value itself never goes through here.
    fn keep_secret(&mut self, name: &str) {
        self.put("secrets", name, json!({ "env": name }));
        self.drop(
            format!("the value of {name}"),
            format!("secrets don't belong in the file: set variable {name} when you apply"),
        );
    }

    /// Whether something else than the user decides that variable; then it is dropped.
    fn is_decided(&mut self, name: &str) -> bool {
        let why = if is_made(name) {
            Some("passwords between components are made once, in the cluster")
        } else {
            replaced(self.era(), name).or_else(|| computed(name))
        };
        why.map(|why| self.drop(name, why)).is_some()
    }

    fn finish(mut self) -> Imported {
        let mut fleet_yaml =
            String::from("# Imported: `clusters` needs your kubeconfig's contexts; `jitsictl check` says what else.\n");
        if self.keeps_ports {
            fleet_yaml.push_str(
                "# Node ports are those of the release that you have: to run beside it, move base_port (and node_port).\n",
            );
        }
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
