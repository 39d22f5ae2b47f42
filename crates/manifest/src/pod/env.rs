//! The variables of a container, as text: a large fleet has some ten thousand of them.

use fleet::{Component, EnvValue, Era, Workload};

use super::Env;
use crate::stencil::Stencil;

/// s6-overlay insists on a /run that only it can write to; an emptyDir never is.
const OVERLAY: (&str, &str) = ("S6_YES_I_WANT_A_WORLD_WRITABLE_RUN_BECAUSE_KUBERNETES", "1");

pub(super) fn is_empty(workload: &Workload, computed: &[(&'static str, Env)]) -> bool {
    computed.is_empty() && workload.env.is_empty() && !has_overlay(workload)
}

fn has_overlay(workload: &Workload) -> bool {
    workload.image.era == Era::Rootless && workload.component != Component::Haproxy
}

/// What jitsictl computes comes first and wins over the user's.
pub(super) fn text(workload: &Workload, user_secrets: &str, computed: &[(&'static str, Env)]) -> String {
    let mut list = List(Stencil::with_room_for(1 << 11));
    if has_overlay(workload) {
        let (name, value) = OVERLAY;
        list.plain(name, value);
    }
    for (name, value) in computed {
        match value {
            Env::Text(text) => list.plain(name, text),
            Env::Secret { name: secret, key, optional } => list.secret(name, secret, key, *optional),
            Env::Field(path) => list.field(name, path),
        }
    }
    let is_computed = |name: &str| computed.iter().any(|(computed, _)| *computed == name);
    for (name, value) in workload.env.iter().filter(|(name, _)| !is_computed(name.as_str())) {
        match value {
            EnvValue::Plain(text) => list.plain(name.as_str(), text),
            EnvValue::Secret => list.secret(name.as_str(), user_secrets, name.as_str(), false),
        }
    }
    list.end()
}

/// Writes entries, each with its keys in order.
struct List(Stencil);

impl List {
    fn begin(&mut self, name: &str) {
        self.0.raw(if self.0.is_empty() { "[" } else { "," });
        self.0.raw("{\"name\":");
        self.0.string(name);
    }

    fn plain(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.0.raw(",\"value\":");
        self.0.string(value);
        self.0.raw("}");
    }

    fn field(&mut self, name: &str, path: &str) {
        self.begin(name);
        self.0.raw(",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":");
        self.0.string(path);
        self.0.raw("}}}");
    }

    fn secret(&mut self, name: &str, secret: &str, key: &str, optional: bool) {
        self.begin(name);
        self.0.raw(",\"valueFrom\":{\"secretKeyRef\":{\"key\":");
        self.0.string(key);
        self.0.raw(",\"name\":");
        self.0.string(secret);
        self.0.raw(if optional { ",\"optional\":true}}}" } else { "}}}" });
    }

    fn end(mut self) -> String {
        self.0.raw(if self.0.is_empty() { "[]" } else { "]" });
        self.0.into_text()
    }
}
