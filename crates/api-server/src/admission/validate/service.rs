//! Services.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::admission::allocate;
use crate::admission::causes::Causes;
use crate::admission::names;
use crate::admission::shape::{items, number, set, text};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(super) fn service(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    if let Some(old) = old {
        addresses_stay(causes, object, old);
        let port = |object: &Json| number(object, "/spec/healthCheckNodePort");
        if allocate::needs_health_check(object) && allocate::needs_health_check(old) && port(object) != port(old) {
            causes.forbidden("spec.healthCheckNodePort", "field is immutable");
        }
    }
    let kind = text(object, "/spec/type");
    let headless = text(object, "/spec/clusterIP") == "None";
    let ports = items(object, "/spec/ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        causes.required("spec.ports", "");
    }
    if headless && ["LoadBalancer", "NodePort"].contains(&kind) {
        let detail = format!("may not be set to 'None' for {kind} services");
        causes.invalid("spec.clusterIPs[0]", &json!("None"), &detail);
    }
    if kind == "ExternalName" {
        external_name(causes, object);
    }
    let mut port_names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        let name = text(port, "/name");
        if name.is_empty() {
            if ports.len() > 1 {
                causes.required(format!("{at}.name"), "");
            }
        } else {
            causes.each(&format!("{at}.name"), name, &names::label(name));
            if !port_names.insert(name) {
                causes.duplicate(format!("{at}.name"), &json!(name));
            }
        }
        names::port_number(causes, &format!("{at}.port"), number(port, "/port").unwrap_or(0));
        protocol(causes, &format!("{at}.protocol"), port);
        names::port_or_name(causes, &format!("{at}.targetPort"), &port["targetPort"]);
    }
    super::metadata::labels(causes, "spec.selector", set(object, "/spec/selector"));
    affinity(causes, object);
    if !TYPES.contains(&kind) {
        causes.unsupported("spec.type", &json!(kind), &TYPES);
    }
    node_ports(causes, ports, kind);
    if !items(object, "/spec/loadBalancerSourceRanges").is_empty() && kind != "LoadBalancer" {
        causes.forbidden("spec.LoadBalancerSourceRanges", BALANCER);
    }
    if set(object, "/spec/allocateLoadBalancerNodePorts").is_some() && kind != "LoadBalancer" {
        causes.forbidden("spec.allocateLoadBalancerNodePorts", BALANCER);
    }
    if !text(object, "/spec/loadBalancerClass").is_empty() && kind != "LoadBalancer" {
        causes.forbidden("spec.loadBalancerClass", BALANCER);
    }
    traffic(causes, object);
}

const BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";

fn protocol(causes: &mut Causes, field: &str, port: &Json) {
    let protocol = text(port, "/protocol");
    if !["TCP", "UDP", "SCTP"].contains(&protocol) {
        causes.unsupported(field, &json!(protocol), &["SCTP", "TCP", "UDP"]);
    }
}

/// The first address of a Service is for life, unless it becomes a name.
fn addresses_stay(causes: &mut Causes, object: &Json, old: &Json) {
    if text(object, "/spec/type") == "ExternalName" || text(old, "/spec/type") == "ExternalName" {
        return;
    }
    let addresses = |object: &Json| items(object, "/spec/clusterIPs").to_vec();
    let (new, old_ones) = (addresses(object), addresses(old));
    if new.is_empty() || old_ones.is_empty() {
        return;
    }
    if new.first() != old_ones.first() {
        causes.invalid("spec.clusterIPs[0]", &json!(new), "may not change once set");
    }
    let families = |object: &Json| items(object, "/spec/ipFamilies").to_vec();
    if families(object).first() != families(old).first() {
        causes.invalid(
            "spec.ipFamilies[0]",
            &families(object).first().cloned().unwrap_or_default(),
            "may not change once set",
        );
    }
}

fn external_name(causes: &mut Causes, object: &Json) {
    for name in ["clusterIPs", "ipFamilies"] {
        if !items(object, &format!("/spec/{name}")).is_empty() {
            causes.forbidden(format!("spec.{name}"), "may not be set for ExternalName services");
        }
    }
    if set(object, "/spec/ipFamilyPolicy").is_some() {
        causes.forbidden("spec.ipFamilyPolicy", "may not be set for ExternalName services");
    }
    let name = text(object, "/spec/externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        causes.required("spec.externalName", "");
    } else {
        causes.each("spec.externalName", name, &names::subdomain(name));
    }
}

fn affinity(causes: &mut Causes, object: &Json) {
    match text(object, "/spec/sessionAffinity") {
        "None" => {}
        "ClientIP" => {
            let timeout = number(object, "/spec/sessionAffinityConfig/clientIP/timeoutSeconds").unwrap_or(0);
            if !(1..=86400).contains(&timeout) {
                let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
                causes.invalid(field, &json!(timeout), "must be greater than 0 and less than 86400");
            }
        }
        other => causes.unsupported("spec.sessionAffinity", &json!(other), &["ClientIP", "None"]),
    }
}

fn node_ports(causes: &mut Causes, ports: &[Json], kind: &str) {
    let asked = |port: &Json| number(port, "/nodePort").filter(|number| *number != 0);
    if kind == "ClusterIP" {
        for (index, port) in ports.iter().enumerate() {
            if asked(port).is_some() {
                let detail = "may not be used when `type` is 'ClusterIP'";
                causes.forbidden(format!("spec.ports[{index}].nodePort"), detail);
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        if let Some(number) = asked(port)
            && !seen.insert((text(port, "/protocol"), number))
        {
            causes.duplicate(format!("spec.ports[{index}].nodePort"), &json!(number));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = (text(port, "/protocol"), number(port, "/port").unwrap_or(0));
        if !seen.insert((protocol, number)) {
            // In the field names of the server's own type.
            let value = format!(
                "{{\"Name\":\"\",\"Protocol\":\"{protocol}\",\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\
                 \"NodePort\":0}}"
            );
            causes.duplicate_printed(format!("spec.ports[{index}]"), &value);
        }
    }
}

fn traffic(causes: &mut Causes, object: &Json) {
    let kind = text(object, "/spec/type");
    let policy = text(object, "/spec/externalTrafficPolicy");
    let external = ["LoadBalancer", "NodePort"].contains(&kind)
        || (kind == "ClusterIP" && !items(object, "/spec/externalIPs").is_empty());
    if !external {
        if !policy.is_empty() {
            let detail = "may only be set for externally-accessible services";
            causes.invalid("spec.externalTrafficPolicy", &json!(policy), detail);
        }
    } else if !["Cluster", "Local"].contains(&policy) {
        causes.unsupported("spec.externalTrafficPolicy", &json!(policy), &["Cluster", "Local"]);
    }
    let port = number(object, "/spec/healthCheckNodePort").unwrap_or(0);
    if !allocate::needs_health_check(object) && port != 0 {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        causes.invalid("spec.healthCheckNodePort", &json!(port), detail);
    }
    let internal = text(object, "/spec/internalTrafficPolicy");
    if !internal.is_empty() && !["Cluster", "Local"].contains(&internal) {
        causes.unsupported("spec.internalTrafficPolicy", &json!(internal), &["Cluster", "Local"]);
    }
}
