//! Pods and templates of pods.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::admission::causes::Causes;
use crate::admission::names;
use crate::admission::shape::{entries, items, number, set, text};
use crate::quantity;

const CONTAINERS: [&str; 2] = ["initContainers", "containers"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

pub(super) fn pod(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    let new_spec = object.get("spec").unwrap_or(&Json::Null);
    spec(causes, "spec", new_spec, &[]);
    let Some(old) = old.and_then(|old| old.get("spec")) else { return };
    for name in CONTAINERS {
        if items(new_spec, &format!("/{name}")).len() != items(old, &format!("/{name}")).len() {
            causes.forbidden(format!("spec.{name}"), "pod updates may not add or remove containers");
            return;
        }
    }
    let deadline = |spec: &Json| number(spec, "/activeDeadlineSeconds");
    match (deadline(new_spec), deadline(old)) {
        (Some(new), Some(old)) if new > old => {
            causes.invalid("spec.activeDeadlineSeconds", &json!(new), "must be less than or equal to previous value");
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            causes.invalid("spec.activeDeadlineSeconds", &Json::Null, detail);
        }
        _ => {}
    }
    let tolerations = items(new_spec, "/tolerations");
    if !items(old, "/tolerations").iter().all(|one| tolerations.contains(one)) {
        causes.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
    }
    if munged(new_spec) != munged(old) {
        // The server appends a comparison of its own types here, which is for people and not the same twice.
        causes.forbidden(
            "spec",
            "pod updates may not change fields other than \
             `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
             `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow \
             it to be set to 1 if it was previously negative)",
        );
    }
}

/// The spec without what may change.
fn munged(spec: &Json) -> Json {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("activeDeadlineSeconds");
        fields.remove("tolerations");
        for name in CONTAINERS {
            for container in fields.get_mut(name).and_then(Json::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("image");
                }
            }
        }
    }
    spec
}

/// Checks the spec of a pod; `claimed` are volumes that come from elsewhere.
pub(super) fn spec(causes: &mut Causes, field: &str, spec: &Json, claimed: &[&str]) {
    let mut volumes: BTreeSet<&str> = BTreeSet::new();
    volumes.extend(claimed);
    let mut own: BTreeSet<&str> = BTreeSet::new();
    for (index, volume) in items(spec, "/volumes").iter().enumerate() {
        let name = text(volume, "/name");
        let at = format!("{field}.volumes[{index}]");
        self::volume(causes, &at, volume);
        if name.is_empty() {
            causes.required(format!("{at}.name"), "");
        } else {
            causes.each(&format!("{at}.name"), name, &names::label(name));
            if !own.insert(name) {
                causes.duplicate(format!("{at}.name"), &json!(name));
            }
        }
        volumes.insert(name);
    }
    let containers = items(spec, "/containers");
    if containers.is_empty() {
        causes.required(format!("{field}.containers"), "");
    }
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let at = format!("{field}.containers[{index}]");
        self::container(causes, &at, container, &volumes);
        let name = text(container, "/name");
        if !seen.insert(name) {
            causes.duplicate(format!("{at}.name"), &json!(name));
        }
        for name in PROBES {
            if let Some(probe) = set(container, &format!("/{name}")) {
                self::probe(causes, &format!("{at}.{name}"), probe, name);
            }
        }
    }
    host_ports(causes, &format!("{field}.containers"), containers);
    for (index, container) in items(spec, "/initContainers").iter().enumerate() {
        let at = format!("{field}.initContainers[{index}]");
        self::container(causes, &at, container, &volumes);
        let name = text(container, "/name");
        if !seen.insert(name) {
            causes.duplicate(format!("{at}.name"), &json!(name));
        }
    }
    enumerated(
        causes,
        &format!("{field}.restartPolicy"),
        text(spec, "/restartPolicy"),
        &["Always", "OnFailure", "Never"],
    );
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    enumerated(causes, &format!("{field}.dnsPolicy"), text(spec, "/dnsPolicy"), &policies);
    super::metadata::labels(causes, &format!("{field}.nodeSelector"), set(spec, "/nodeSelector"));
    let account = text(spec, "/serviceAccountName");
    if !account.is_empty() {
        causes.each(&format!("{field}.serviceAccountName"), account, &names::subdomain(account));
    }
    for name in ["hostname", "subdomain"] {
        let value = text(spec, &format!("/{name}"));
        if !value.is_empty() {
            causes.each(&format!("{field}.{name}"), value, &names::label(value));
        }
    }
    for (index, toleration) in items(spec, "/tolerations").iter().enumerate() {
        self::toleration(causes, &format!("{field}.tolerations[{index}]"), toleration);
    }
    let class = text(spec, "/priorityClassName");
    if !class.is_empty() {
        causes.each(&format!("{field}.priorityClassName"), class, &names::subdomain(class));
    }
}

fn enumerated(causes: &mut Causes, field: &str, value: &str, allowed: &[&str]) {
    if value.is_empty() {
        causes.required(field, "");
    } else if !allowed.contains(&value) {
        causes.unsupported(field, &json!(value), allowed);
    }
}

fn volume(causes: &mut Causes, field: &str, volume: &Json) {
    let sources = entries(volume, "").filter(|(key, value)| *key != "name" && !value.is_null());
    for (index, (source, _)) in sources.enumerate() {
        if index > 0 {
            causes.forbidden(format!("{field}.{source}"), "may not specify more than 1 volume type");
        }
    }
    for (source, name) in [("configMap", "name"), ("secret", "secretName"), ("persistentVolumeClaim", "claimName")] {
        let Some(source_value) = set(volume, &format!("/{source}")) else { continue };
        if text(source_value, &format!("/{name}")).is_empty() {
            causes.required(format!("{field}.{source}.{name}"), "");
        }
        if let Some(mode) = number(source_value, "/defaultMode")
            && !(0..=0o777).contains(&mode)
        {
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            causes.invalid(format!("{field}.{source}.defaultMode"), &json!(mode), detail);
        }
    }
}

fn container(causes: &mut Causes, field: &str, container: &Json, volumes: &BTreeSet<&str>) {
    let name = text(container, "/name");
    if name.is_empty() {
        causes.required(format!("{field}.name"), "");
    } else {
        causes.each(&format!("{field}.name"), name, &names::label(name));
    }
    if text(container, "/image").is_empty() {
        causes.required(format!("{field}.image"), "");
    }
    ports(causes, &format!("{field}.ports"), items(container, "/ports"));
    for (index, variable) in items(container, "/env").iter().enumerate() {
        environment(causes, &format!("{field}.env[{index}]"), variable);
    }
    mounts(causes, &format!("{field}.volumeMounts"), items(container, "/volumeMounts"), volumes);
    enumerated(
        causes,
        &format!("{field}.imagePullPolicy"),
        text(container, "/imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
    );
    resources(causes, &format!("{field}.resources"), container.get("resources").unwrap_or(&Json::Null));
}

fn ports(causes: &mut Causes, field: &str, ports: &[Json]) {
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("{field}[{index}]");
        let name = text(port, "/name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if !wrong.is_empty() {
                causes.each(&format!("{at}.name"), name, &wrong);
            } else if !seen.insert(name) {
                causes.duplicate(format!("{at}.name"), &json!(name));
            }
        }
        match number(port, "/containerPort").unwrap_or(0) {
            0 => causes.required(format!("{at}.containerPort"), ""),
            number => names::port_number(causes, &format!("{at}.containerPort"), number),
        }
        if let Some(number) = number(port, "/hostPort").filter(|number| *number != 0) {
            names::port_number(causes, &format!("{at}.hostPort"), number);
        }
        enumerated(causes, &format!("{at}.protocol"), text(port, "/protocol"), &PROTOCOLS);
    }
}

fn host_ports(causes: &mut Causes, field: &str, containers: &[Json]) {
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (at, port) in items(container, "/ports").iter().enumerate() {
            let Some(number) = number(port, "/hostPort").filter(|number| *number != 0) else { continue };
            let key = format!("{}/{}/{number}", text(port, "/protocol"), text(port, "/hostIP"));
            if !seen.insert(key.clone()) {
                causes.duplicate(format!("{field}[{index}].ports[{at}].hostPort"), &json!(key));
            }
        }
    }
}

fn environment(causes: &mut Causes, field: &str, variable: &Json) {
    let name = text(variable, "/name");
    if name.is_empty() {
        causes.required(format!("{field}.name"), "");
    } else {
        causes.each(&format!("{field}.name"), name, &names::variable(name));
    }
    let Some(from) = set(variable, "/valueFrom") else { return };
    let field = format!("{field}.valueFrom");
    let sources: Vec<(&str, &Json)> = entries(from, "").filter(|(_, value)| !value.is_null()).collect();
    for (source, value) in &sources {
        match *source {
            "configMapKeyRef" | "secretKeyRef" => {
                if text(value, "/name").is_empty() {
                    causes.required(format!("{field}.{source}.name"), "");
                }
                let key = text(value, "/key");
                if key.is_empty() {
                    causes.required(format!("{field}.{source}.key"), "");
                } else {
                    causes.each(&format!("{field}.{source}.key"), key, &names::config_key(key));
                }
            }
            _ => {}
        }
    }
    if sources.is_empty() {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        causes.invalid(field, &json!(""), detail);
    } else if !text(variable, "/value").is_empty() {
        causes.invalid(field, &json!(""), "may not be specified when `value` is not empty");
    } else if sources.len() > 1 {
        causes.invalid(field, &json!(""), "may not have more than one field specified at a time");
    }
}

fn mounts(causes: &mut Causes, field: &str, mounts: &[Json], volumes: &BTreeSet<&str>) {
    let mut paths = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let at = format!("{field}[{index}]");
        let name = text(mount, "/name");
        if name.is_empty() {
            causes.required(format!("{at}.name"), "");
        }
        if !volumes.contains(name) {
            causes.not_found(format!("{at}.name"), &json!(name));
        }
        let path = text(mount, "/mountPath");
        if path.is_empty() {
            causes.required(format!("{at}.mountPath"), "");
        }
        if !paths.insert(path) {
            causes.invalid(format!("{at}.mountPath"), &json!(path), "must be unique");
        }
        let below = text(mount, "/subPath");
        if below.starts_with('/') {
            causes.invalid(format!("{field}.subPath"), &json!(below), "must be a relative path");
        }
        if below.split('/').any(|part| part == "..") {
            causes.invalid(format!("{field}.subPath"), &json!(below), "must not contain '..'");
        }
    }
}

pub(super) fn resources(causes: &mut Causes, field: &str, resources: &Json) {
    for list in ["limits", "requests"] {
        for (name, value) in entries(resources, &format!("/{list}")) {
            let at = format!("{field}.{list}");
            let known = matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage");
            if !known && !name.contains('/') && !name.starts_with("hugepages-") {
                let detail = "must be a standard resource for containers";
                causes.invalid(
                    format!("{at}[{name}]"),
                    &json!(name),
                    "must be a standard resource type or fully qualified",
                );
                causes.invalid(at.clone() + "[" + name + "]", &json!(name), detail);
            }
            if quantity::milli(value).is_some_and(|milli| milli < 0) {
                causes.invalid(format!("{at}[{name}]"), value, "must be greater than or equal to 0");
            }
        }
    }
    for (name, request) in entries(resources, "/requests") {
        let Some(limit) = resources.pointer("/limits").and_then(|limits| limits.get(name)) else { continue };
        if let (Some(asked), Some(most)) = (quantity::milli(request), quantity::milli(limit))
            && asked > most
        {
            let shown = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
            let detail = format!("must be less than or equal to {name} limit of {shown}");
            causes.invalid(format!("{field}.requests"), request, &detail);
        }
    }
}

fn probe(causes: &mut Causes, field: &str, probe: &Json, name: &str) {
    let handlers: Vec<&str> = ["exec", "httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .filter(|one| set(probe, &format!("/{one}")).is_some())
        .collect();
    for (index, handler) in handlers.iter().enumerate() {
        if index > 0 {
            causes.forbidden(format!("{field}.{handler}"), "may not specify more than 1 handler type");
            continue;
        }
        if matches!(*handler, "httpGet" | "tcpSocket")
            && let Some(port) = probe.pointer(&format!("/{handler}/port"))
        {
            names::port_or_name(causes, &format!("{field}.{handler}.port"), port);
        }
    }
    if handlers.is_empty() {
        causes.required(field, "must specify a handler type");
    }
    for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if let Some(value) = number(probe, &format!("/{name}"))
            && value < 0
        {
            causes.invalid(format!("{field}.{name}"), &json!(value), "must be greater than or equal to 0");
        }
    }
    if name != "readinessProbe"
        && let Some(value) = number(probe, "/successThreshold")
        && value != 1
    {
        causes.invalid(format!("{field}.successThreshold"), &json!(value), "must be 1");
    }
}

fn toleration(causes: &mut Causes, field: &str, toleration: &Json) {
    let key = text(toleration, "/key");
    if !key.is_empty() {
        causes.each(&format!("{field}.key"), key, &names::qualified(key));
    }
    let operator = text(toleration, "/operator");
    if key.is_empty() && operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        causes.invalid(format!("{field}.operator"), &json!(operator), detail);
    }
    if set(toleration, "/tolerationSeconds").is_some() && text(toleration, "/effect") != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        causes.invalid(format!("{field}.effect"), &json!(text(toleration, "/effect")), detail);
    }
    match operator {
        "" | "Equal" => {
            let value = text(toleration, "/value");
            causes.each(&format!("{field}.operator"), value, &names::label_value(value));
        }
        "Exists" => {
            if !text(toleration, "/value").is_empty() {
                let detail = "value must be empty when `operator` is 'Exists'";
                causes.invalid(format!("{field}.operator"), toleration, detail);
            }
        }
        _ => causes.unsupported(format!("{field}.operator"), &json!(operator), &["Equal", "Exists"]),
    }
    let effect = text(toleration, "/effect");
    if !effect.is_empty() && !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        causes.unsupported(format!("{field}.effect"), &json!(effect), &["NoExecute", "NoSchedule", "PreferNoSchedule"]);
    }
}
