//! ConfigMaps, Secrets, claims, and other kinds of few fields.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};

use crate::admission::causes::Causes;
use crate::admission::names;
use crate::admission::shape::{entries, flag, items, number, set, text};
use crate::quantity;

/// What a ConfigMap or Secret may hold.
const SIZE: usize = 1024 * 1024;

fn decoded(value: &Json) -> usize {
    value.as_str().and_then(|text| STANDARD.decode(text).ok()).map_or(0, |bytes| bytes.len())
}

/// What an immutable object has keeps.
fn sealed(causes: &mut Causes, object: &Json, old: &Json, fields: &[&str]) {
    if !flag(old, "/immutable") {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if !flag(object, "/immutable") {
        causes.forbidden("immutable", detail);
    }
    for field in fields {
        let pointer = format!("/{field}");
        if !entries(object, &pointer).eq(entries(old, &pointer)) {
            causes.forbidden(*field, detail);
        }
    }
}

pub(super) fn config_map(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    if let Some(old) = old {
        sealed(causes, object, old, &["data", "binaryData"]);
    }
    let mut size = 0;
    for (key, value) in entries(object, "/data") {
        let field = format!("data[{key}]");
        causes.each(&field, key, &names::config_key(key));
        if object.pointer("/binaryData").and_then(|binary| binary.get(key)).is_some() {
            causes.invalid(field, &json!(key), "duplicate of key present in binaryData");
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(object, "/binaryData") {
        causes.each(&format!("binaryData[{key}]"), key, &names::config_key(key));
        size += decoded(value);
    }
    if size > SIZE {
        // The server means the whole object, whose path is empty, and prints that so.
        causes.too_long("[]", SIZE);
    }
}

pub(super) fn secret(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    if let Some(old) = old {
        causes.immutable("type", set(object, "/type"), set(old, "/type"));
        sealed(causes, object, old, &["data"]);
    }
    let mut size = 0;
    for (key, value) in entries(object, "/data") {
        causes.each(&format!("data[{key}]"), key, &names::config_key(key));
        size += decoded(value);
    }
    if size > SIZE {
        causes.too_long("data", SIZE);
    }
    let has = |key: &str| object.get("data").and_then(|data| data.get(key)).is_some();
    let wanted: &[&str] = match text(object, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => &["username", "password"],
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            let named = object.pointer("/metadata/annotations").and_then(|all| all.get(key)).is_some();
            if !named {
                causes.required(format!("metadata.annotations[{key}]"), "");
            }
            &[]
        }
        _ => &[],
    };
    for key in wanted.iter().filter(|key| !has(key)) {
        causes.required(format!("data[{key}]"), "");
    }
}

pub(super) fn claim(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    let spec = object.get("spec").unwrap_or(&Json::Null);
    claim_spec(causes, "spec", spec);
    let Some(old) = old else { return };
    let kept = |object: &Json| {
        let mut spec = object.get("spec").and_then(Json::as_object).cloned().unwrap_or_default();
        for name in ["resources", "volumeAttributesClassName"] {
            spec.remove(name);
        }
        // A volume is bound once.
        if text(old, "/spec/volumeName").is_empty() {
            spec.remove("volumeName");
        }
        spec
    };
    let asked = |object: &Json| object.pointer("/spec/resources/requests/storage").and_then(quantity::milli);
    let bound = text(old, "/status/phase") == "Bound";
    if kept(object) != kept(old) || (!bound && asked(object) != asked(old)) {
        // The server appends a comparison of its own types here, which is for people and not the same twice.
        causes.forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        );
    }
    if bound && asked(object) < asked(old) {
        causes.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
    }
}

pub(super) fn claim_spec(causes: &mut Causes, field: &str, spec: &Json) {
    let modes = items(spec, "/accessModes");
    if modes.is_empty() {
        causes.required(format!("{field}.accessModes"), "at least 1 access mode is required");
    }
    let known = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    for mode in modes.iter().filter(|mode| !known.contains(&mode.as_str().unwrap_or_default())) {
        causes.unsupported(format!("{field}.accessModes"), mode, &known);
    }
    let storage = format!("{field}.resources[storage]");
    match spec.pointer("/resources/requests/storage") {
        None => causes.required(storage, ""),
        Some(value) if quantity::milli(value).is_some_and(|milli| milli <= 0) => {
            causes.invalid(storage, value, "must be greater than zero");
        }
        Some(_) => {}
    }
    let class = text(spec, "/storageClassName");
    if !class.is_empty() {
        causes.each(&format!("{field}.storageClassName"), class, &names::subdomain(class));
    }
}

/// Above this only the system's own classes may be.
const HIGHEST: i64 = 1_000_000_000;

pub(super) fn priority_class(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    let value = number(object, "/value").unwrap_or(0);
    if let Some(old) = old {
        if value != number(old, "/value").unwrap_or(0) {
            causes.forbidden("value", "may not be changed in an update.");
        }
        causes.immutable("preemptionPolicy", set(object, "/preemptionPolicy"), set(old, "/preemptionPolicy"));
        return;
    }
    let name = text(object, "/metadata/name");
    if name.starts_with("system-") {
        if !["system-node-critical", "system-cluster-critical"].contains(&name) {
            let detail = "priority class names with 'system-' prefix are reserved for system use only. error: \
                          unknown system priority class";
            causes.forbidden(
                "metadata.name",
                &detail
                    .replace("unknown system priority class", &format!("{name} is not a known system priority class")),
            );
        }
    } else if value > HIGHEST {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        causes.forbidden("value", &detail);
    }
}

pub(super) fn quota(causes: &mut Causes, object: &Json) {
    for (name, value) in entries(object, "/spec/hard") {
        let field = format!("spec.hard[{name}]");
        causes.each(&field, name, &names::qualified(name));
        if quantity::milli(value).is_some_and(|milli| milli < 0) {
            causes.invalid(field, value, "must be greater than or equal to 0");
        }
    }
}

pub(super) fn lease(causes: &mut Causes, object: &Json) {
    if let Some(seconds) = number(object, "/spec/leaseDurationSeconds")
        && seconds <= 0
    {
        causes.invalid("spec.leaseDurationSeconds", &json!(seconds), "must be greater than 0");
    }
    if let Some(transitions) = number(object, "/spec/leaseTransitions")
        && transitions < 0
    {
        causes.invalid("spec.leaseTransitions", &json!(transitions), "must be greater than or equal to 0");
    }
    if let Some(holder) = object.pointer("/spec/holderIdentity")
        && holder == ""
    {
        causes.invalid("spec.holderIdentity", holder, "must not be empty");
    }
}
