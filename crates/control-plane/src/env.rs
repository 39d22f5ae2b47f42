//! Variables that several components share, computed in one place so that they agree.

use fleet::{Domains, Era, Fleet, Workload};
use manifest::Names;
use manifest::pod::Env;

/// The key under which each password between components is stored, and the variable that carries it.
pub(crate) const PASSWORDS: [&str; 4] =
    ["JICOFO_AUTH_PASSWORD", "JVB_AUTH_PASSWORD", "JIBRI_XMPP_PASSWORD", "JIBRI_RECORDER_PASSWORD"];

/// Addresses that pods and nodes have: the proxies between people and prosody are among them. Which of them the
/// cluster really uses can't be told from outside, and prosody's HTTP port admits nobody but web.
pub(crate) const CLUSTER_NETWORKS: [&str; 8] =
    ["127.0.0.1", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"];

/// A text.
pub(crate) fn text(value: impl Into<String>) -> Env {
    Env::Text(value.into())
}

/// One of [`PASSWORDS`].
pub(crate) fn password(fleet: &Fleet, key: &'static str) -> (&'static str, Env) {
    (key, Env::Secret { name: Names(&fleet.name).passwords(), key: key.to_owned(), optional: false })
}

/// The XMPP domains: every component of a shard must agree on them.
pub(crate) fn domains(domains: &Domains, era: Era) -> Vec<(&'static str, Env)> {
    let mut env = vec![
        ("XMPP_DOMAIN", text(&domains.main)),
        ("XMPP_AUTH_DOMAIN", text(&domains.auth)),
        ("XMPP_MUC_DOMAIN", text(&domains.muc)),
        ("XMPP_INTERNAL_MUC_DOMAIN", text(&domains.internal_muc)),
        ("XMPP_GUEST_DOMAIN", text(&domains.guest)),
        ("XMPP_HIDDEN_DOMAIN", text(&domains.hidden)),
    ];
    if era == Era::Legacy {
        // The hidden domain's name before the images called it so.
        env.push(("XMPP_RECORDER_DOMAIN", text(&domains.hidden)));
    }
    env
}

/// Whether the user sets this variable.
pub(crate) fn is_set(workload: &Workload, name: &str) -> bool {
    workload.env.contains_key(name)
}
