//! Services, but for what is allocated.

use serde_json::{Map, Value as Json, json};

use crate::admission::shape::{each, fill, inner, within};

pub(super) fn service(object: &mut Map<String, Json>) {
    let Some(spec) = within(object, "spec") else { return };
    fill(spec, "type", "ClusterIP");
    fill(spec, "sessionAffinity", "None");
    let said =
        |spec: &Map<String, Json>, name: &str| spec.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    match said(spec, "sessionAffinity").as_str() {
        "None" => drop(spec.remove("sessionAffinityConfig")),
        "ClientIP" => {
            let timeout =
                spec.get("sessionAffinityConfig").and_then(|config| config.pointer("/clientIP/timeoutSeconds"));
            if timeout.is_none_or(Json::is_null) {
                spec.insert("sessionAffinityConfig".to_owned(), json!({ "clientIP": { "timeoutSeconds": 10800 } }));
            }
        }
        _ => {}
    }
    for port in each(spec, "ports") {
        fill(port, "protocol", "TCP");
        let target = port.get("targetPort");
        if target.is_none_or(|target| target.is_null() || target == "" || target == 0)
            && let Some(number) = port.get("port").cloned()
        {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = said(spec, "type");
    let external_addresses = spec.get("externalIPs").and_then(Json::as_array).is_some_and(|list| !list.is_empty());
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && external_addresses) {
        fill(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort" | "ClusterIP") {
        fill(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(status) = within(object, "status")
            && let Some(balancer) = inner(status, "loadBalancer")
        {
            for ingress in each(balancer, "ingress") {
                if ingress.contains_key("ip") {
                    fill(ingress, "ipMode", "VIP");
                }
            }
        }
    }
    if let Some(status) = within(object, "status") {
        fill(status, "loadBalancer", json!({}));
    }
}
