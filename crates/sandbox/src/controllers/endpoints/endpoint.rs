//! One pod as an endpoint.

use std::net::IpAddr;

use api_server::kinds::NODE;
use serde_json::{Value as Json, json};

use super::super::object::{at, is_going, label, list, name, namespace, text, truth, uid};
use super::super::pods;
use super::super::store::Store;
use super::ZONE;

/// `IPv4` or `IPv6`, as Services and slices spell it.
pub(super) fn families(service: &Json) -> Vec<&str> {
    let stated: Vec<_> = list(service, &["spec", "ipFamilies"]).iter().filter_map(Json::as_str).collect();
    if stated.is_empty() { vec!["IPv4"] } else { stated }
}

/// The pod's address of a family.
pub(super) fn address<'a>(pod: &'a Json, family: &str) -> Option<&'a str> {
    let listed = list(pod, &["status", "podIPs"]).iter().map(|ip| text(ip, &["ip"]));
    listed
        .chain([text(pod, &["status", "podIP"])])
        .find(|address| address.parse().is_ok_and(|address: IpAddr| address.is_ipv6() == (family == "IPv6")))
}

/// The endpoint of a pod; none while it has no address, or no node, or when it has ended.
pub(super) fn endpoint(service: &Json, pod: &Json, family: &str, store: &Store) -> Option<Json> {
    let address = address(pod, family).filter(|_| !pods::has_ended(pod))?;
    let node_name = text(pod, &["spec", "nodeName"]);
    let node = store.find(&NODE, "", node_name)?;
    let (ready, going) = (pods::is_ready(pod), is_going(pod));
    let mut endpoint = json!({
        "addresses": [address],
        "conditions": {
            // An address that is published regardless counts as ready even while its pod ends.
            "ready": truth(service, &["spec", "publishNotReadyAddresses"]) || (ready && !going),
            "serving": ready,
            "terminating": going,
        },
        "nodeName": node_name,
        "targetRef": { "kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod) },
    });
    let zone = label(node, ZONE);
    if !zone.is_empty() {
        endpoint["zone"] = json!(zone);
    }
    let hostname = text(pod, &["spec", "hostname"]);
    if !hostname.is_empty() && text(pod, &["spec", "subdomain"]) == name(service) {
        endpoint["hostname"] = json!(hostname);
    }
    Some(endpoint)
}

/// The ports of a pod behind a Service. A named one is found by its name; one that the pod lacks is left out.
pub(super) fn ports(service: &Json, pod: &Json) -> Vec<Json> {
    let mut ports: Vec<Json> =
        list(service, &["spec", "ports"]).iter().filter_map(|port| one_port(port, pod)).collect();
    ports.sort_by_key(Json::to_string);
    ports
}

fn one_port(port: &Json, pod: &Json) -> Option<Json> {
    let protocol = Some(text(port, &["protocol"])).filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
    let number = match at(port, &["targetPort"]) {
        Some(Json::String(wanted)) => named(pod, wanted, protocol)?,
        Some(number) => number.as_i64()?,
        None => at(port, &["port"])?.as_i64()?,
    };
    let mut found = json!({ "name": text(port, &["name"]), "port": number, "protocol": protocol });
    if let Some(application) = at(port, &["appProtocol"]) {
        found["appProtocol"] = application.clone();
    }
    Some(found)
}

fn named(pod: &Json, wanted: &str, protocol: &str) -> Option<i64> {
    let sidecars =
        list(pod, &["spec", "initContainers"]).iter().filter(|one| text(one, &["restartPolicy"]) == "Always");
    let containers = list(pod, &["spec", "containers"]).iter().chain(sidecars);
    let mut ports = containers.flat_map(|container| list(container, &["ports"]));
    let found = ports.find(|port| {
        let spoken = Some(text(port, &["protocol"])).filter(|spoken| !spoken.is_empty()).unwrap_or("TCP");
        text(port, &["name"]) == wanted && spoken == protocol
    })?;
    at(found, &["containerPort"])?.as_i64()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pod(ready: &str, going: bool) -> Json {
        let mut pod = json!({
            "metadata": { "namespace": "a", "name": "p", "uid": "1" },
            "spec": { "nodeName": "n", "containers": [{ "ports": [{ "name": "media", "containerPort": 10000, "protocol": "UDP" }] }] },
            "status": { "phase": "Running", "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": ready }] },
        });
        if going {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T10:00:00Z");
        }
        pod
    }

    #[test]
    fn a_published_address_stays_ready_while_its_pod_ends() {
        let mut store = Store::default();
        store.put(&NODE, Arc::new(json!({ "metadata": { "name": "n", "uid": "n", "labels": { ZONE: "a" } } })));
        let table = [
            (false, "True", false, [true, true, false]),
            (false, "True", true, [false, true, true]),
            (false, "False", true, [false, false, true]),
            (true, "False", false, [true, false, false]),
            (true, "True", true, [true, true, true]),
        ];
        for (published, ready, going, [is_ready, serving, terminating]) in table {
            let service = json!({ "metadata": { "name": "s" }, "spec": { "publishNotReadyAddresses": published } });
            let found = endpoint(&service, &pod(ready, going), "IPv4", &store).unwrap();
            let wanted = json!({ "ready": is_ready, "serving": serving, "terminating": terminating });
            assert_eq!(found["conditions"], wanted, "{published} {ready} {going}");
            assert_eq!(found["zone"], "a");
        }
        assert!(endpoint(&json!({}), &pod("True", false), "IPv6", &store).is_none());
    }

    #[test]
    fn named_ports_are_those_of_the_pod() {
        let service = json!({ "spec": { "ports": [
            { "name": "media", "port": 443, "targetPort": "media", "protocol": "UDP" },
            { "name": "tcp", "port": 443, "targetPort": "media" },
            { "name": "plain", "port": 80, "targetPort": 8080 },
        ] } });
        let wanted = [
            json!({ "name": "media", "port": 10000, "protocol": "UDP" }),
            json!({ "name": "plain", "port": 8080, "protocol": "TCP" }),
        ];
        assert_eq!(ports(&service, &pod("True", false)), wanted);
    }
}
