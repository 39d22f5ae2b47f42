//! EndpointSlices, NetworkPolicies and PodDisruptionBudgets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value as Json, json};

use super::selectors;
use crate::admission::causes::Causes;
use crate::admission::names;
use crate::admission::shape::{items, set, text};

const ENDPOINTS: usize = 1000;
const ADDRESSES: usize = 100;
const PORTS: usize = 20000;

pub(super) fn endpoint_slice(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    let kind = text(object, "/addressType");
    if kind.is_empty() {
        causes.required("addressType", "");
    } else if !["FQDN", "IPv4", "IPv6"].contains(&kind) {
        causes.unsupported("addressType", &json!(kind), &["FQDN", "IPv4", "IPv6"]);
    }
    let ports = items(object, "/ports");
    if ports.len() > PORTS {
        causes.too_many("ports", ports.len(), PORTS);
    } else {
        self::ports(causes, ports);
    }
    // What was taken once is not judged again.
    if old.is_none_or(|old| old.get("endpoints") != object.get("endpoints")) {
        endpoints(causes, items(object, "/endpoints"), kind);
    }
    if let Some(old) = old {
        causes.immutable("addressType", set(object, "/addressType"), set(old, "/addressType"));
    }
}

fn ports(causes: &mut Causes, ports: &[Json]) {
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let name = text(port, "/name");
        let at = format!("ports[{index}]");
        if !name.is_empty() {
            causes.each(&format!("{at}.name"), name, &names::label(name));
        }
        if !seen.insert(name) {
            causes.duplicate(format!("{at}.name"), &json!(name));
        }
        let protocol = text(port, "/protocol");
        if !["TCP", "UDP", "SCTP"].contains(&protocol) {
            causes.unsupported(format!("{at}.protocol"), &json!(protocol), &["SCTP", "TCP", "UDP"]);
        }
        let application = text(port, "/appProtocol");
        if !application.is_empty() {
            causes.each(&format!("{at}.appProtocol"), application, &names::qualified(application));
        }
    }
}

fn endpoints(causes: &mut Causes, endpoints: &[Json], kind: &str) {
    if endpoints.len() > ENDPOINTS {
        return causes.too_many("endpoints", endpoints.len(), ENDPOINTS);
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let field = format!("endpoints[{index}]");
        let list = items(endpoint, "/addresses");
        if list.is_empty() {
            causes.required(format!("{field}.addresses"), "must contain at least 1 address");
        } else if list.len() > ADDRESSES {
            causes.too_many(format!("{field}.addresses"), list.len(), ADDRESSES);
        }
        for (at, value) in list.iter().enumerate() {
            address(causes, &format!("{field}.addresses"), at, value, kind);
        }
        let node = text(endpoint, "/nodeName");
        if !node.is_empty() {
            causes.each(&format!("{field}.nodeName"), node, &names::subdomain(node));
        }
        if let Some(host) = endpoint.get("hostname").and_then(Json::as_str) {
            causes.each(&format!("{field}.hostname"), host, &names::label(host));
        }
    }
}

fn address(causes: &mut Causes, list: &str, at: usize, value: &Json, kind: &str) {
    let field = format!("{list}[{at}]");
    let text = value.as_str().unwrap_or_default();
    if kind == "FQDN" {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            causes.required(field, "");
        } else {
            let wrong = names::subdomain(name);
            causes.each(&field, text, &wrong);
            if wrong.is_empty() && name.split('.').count() < 2 {
                causes.invalid(field, value, "should be a domain with at least two segments separated by dots");
            }
        }
        return;
    }
    if !["IPv4", "IPv6"].contains(&kind) {
        return;
    }
    let Ok(address) = text.parse::<IpAddr>() else {
        return causes.invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    };
    if address.is_ipv4() != (kind == "IPv4") {
        causes.invalid(list, value, &format!("must be an {kind} address"));
    }
    if address.is_unspecified() {
        causes.invalid(field.clone(), value, &format!("may not be unspecified ({text})"));
    }
    if address.is_loopback() {
        causes.invalid(field.clone(), value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == Ipv4Addr::new(224, 0, 0, 0).octets()[..3]),
        IpAddr::V6(v6) => (
            v6.is_unicast_link_local(),
            v6.segments()[0] & 0xff0f == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0).segments()[0],
        ),
    };
    if link_local {
        let detail = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
        causes.invalid(field.clone(), value, detail);
    }
    if multicast {
        let detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        causes.invalid(field, value, detail);
    }
}

pub(super) fn network_policy(causes: &mut Causes, object: &Json) {
    if let Some(selector) = set(object, "/spec/podSelector") {
        selectors::check(causes, "spec.podSelector", selector);
    }
    for (direction, side) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(object, &format!("/spec/{direction}")).iter().enumerate() {
            let field = format!("spec.{direction}[{index}]");
            for (index, port) in items(rule, "/ports").iter().enumerate() {
                policy_port(causes, &format!("{field}.ports[{index}]"), port);
            }
            for (index, peer) in items(rule, &format!("/{side}")).iter().enumerate() {
                policy_peer(causes, &format!("{field}.{side}[{index}]"), peer);
            }
        }
    }
    let types = items(object, "/spec/policyTypes");
    if types.len() > 2 {
        return causes.invalid("spec.policyTypes", &json!(types), "may not specify more than two policyTypes");
    }
    for (index, one) in types.iter().enumerate() {
        if !["Egress", "Ingress"].contains(&one.as_str().unwrap_or_default()) {
            causes.unsupported(format!("spec.policyTypes[{index}]"), one, &["Ingress", "Egress"]);
        }
    }
}

fn policy_port(causes: &mut Causes, field: &str, port: &Json) {
    let protocol = text(port, "/protocol");
    if !["TCP", "UDP", "SCTP"].contains(&protocol) {
        causes.unsupported(format!("{field}.protocol"), &json!(protocol), &["SCTP", "TCP", "UDP"]);
    }
    let last = set(port, "/endPort").and_then(Json::as_i64);
    match set(port, "/port") {
        Some(value) => {
            names::port_or_name(causes, &format!("{field}.port"), value);
            if let Some(last) = last {
                match value.as_i64() {
                    None => {
                        let detail = "may not be specified when `port` is non-numeric";
                        causes.invalid(format!("{field}.endPort"), &json!(last), detail);
                    }
                    Some(first) if last < first => {
                        let detail = "must be greater than or equal to `port`";
                        // The server names the first port here.
                        causes.invalid(format!("{field}.endPort"), value, detail);
                    }
                    Some(_) => names::port_number(causes, &format!("{field}.endPort"), last),
                }
            }
        }
        None => {
            if let Some(last) = last {
                let detail = "may not be specified when `port` is not specified";
                causes.invalid(format!("{field}.endPort"), &json!(last), detail);
            }
        }
    }
}

fn policy_peer(causes: &mut Causes, field: &str, peer: &Json) {
    let mut said = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = set(peer, &format!("/{name}")) {
            said += 1;
            selectors::check(causes, &format!("{field}.{name}"), selector);
        }
    }
    if let Some(block) = set(peer, "/ipBlock") {
        let range = text(block, "/cidr");
        if range.is_empty() {
            causes.required(format!("{field}.ipBlock.cidr"), "");
        } else if !is_range(range) {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            causes.invalid(format!("{field}.ipBlock.cidr"), &json!(range), detail);
        }
        if said > 0 {
            causes.forbidden(field, "may not specify both ipBlock and another peer");
        }
        said += 1;
    }
    if said == 0 {
        causes.required(field, "must specify a peer");
    }
}

fn is_range(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    length.parse::<u8>().is_ok_and(|length| length <= if address.is_ipv4() { 32 } else { 128 })
}

pub(super) fn disruption_budget(causes: &mut Causes, object: &Json) {
    let (least, most) = (set(object, "/spec/minAvailable"), set(object, "/spec/maxUnavailable"));
    if least.is_some() && most.is_some() {
        // In the field names of the server's own type.
        let shown = |pointer: &str| set(object, pointer).unwrap_or(&Json::Null).to_string();
        let spec = format!(
            "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
            shown("/spec/minAvailable"),
            shown("/spec/selector"),
            shown("/spec/maxUnavailable"),
            shown("/spec/unhealthyPodEvictionPolicy")
        );
        causes.invalid_printed("spec", &spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for (name, value) in [("minAvailable", least), ("maxUnavailable", most)] {
        if let Some(value) = value {
            super::workloads::share(causes, &format!("spec.{name}"), value);
        }
    }
    if let Some(selector) = set(object, "/spec/selector") {
        selectors::check(causes, "spec.selector", selector);
    }
}
