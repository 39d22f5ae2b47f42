//! The columns of each kind, and their cells.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::cells::{
    age, containers, first_three, items, joined, number, pairs, selector, shown, since, size, text, text_or,
};
use super::pod;
use crate::kinds::Kind;

/// The names of a kind's columns; a leading `+` marks those of `-o wide`, a `#` numbers.
fn names(kind: &Kind) -> &'static [&'static str] {
    match kind.name {
        "Pod" => &["Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"],
        "Namespace" => &["Name", "Status", "Age"],
        "Node" => &[
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "+Internal-IP",
            "+External-IP",
            "+OS-Image",
            "+Kernel-Version",
            "+Container-Runtime",
        ],
        "Service" => &["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"],
        "ConfigMap" => &["Name", "Data", "Age"],
        "Secret" => &["Name", "Type", "Data", "Age"],
        "Event" => &[
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "+Subobject",
            "+Source",
            "Message",
            "+First Seen",
            "+Count",
            "+Name",
        ],
        "ServiceAccount" => &["Name", "Secrets", "Age"],
        "PersistentVolumeClaim" => &[
            "Name",
            "Status",
            "Volume",
            "Capacity",
            "Access Modes",
            "StorageClass",
            "VolumeAttributesClass",
            "Age",
            "+VolumeMode",
        ],
        "ResourceQuota" => &["Name", "Request", "Limit", "Age"],
        "Deployment" => &["Name", "Ready", "Up-to-date", "Available", "Age", "+Containers", "+Images", "+Selector"],
        "ReplicaSet" => &["Name", "#Desired", "#Current", "#Ready", "Age", "+Containers", "+Images", "+Selector"],
        "StatefulSet" => &["Name", "Ready", "Age", "+Containers", "+Images"],
        "ControllerRevision" => &["Name", "Controller", "Revision", "Age"],
        "EndpointSlice" => &["Name", "AddressType", "Ports", "Endpoints", "Age"],
        "NetworkPolicy" => &["Name", "Pod-Selector", "Age"],
        "Ingress" => &["Name", "Class", "Hosts", "Address", "Ports", "Age"],
        "PodDisruptionBudget" => &["Name", "Min Available", "Max Unavailable", "#Allowed Disruptions", "Age"],
        "Lease" => &["Name", "Holder", "Age"],
        "Role" | "ClusterRole" => &["Name", "Created At"],
        "RoleBinding" | "ClusterRoleBinding" => &["Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts"],
        "PriorityClass" => &["Name", "#Value", "Global-Default", "Age", "PreemptionPolicy"],
        "HTTPRoute" => &["Name", "Hostnames", "Age"],
        _ => &["Name", "Age"],
    }
}

/// `columnDefinitions`.
pub(super) fn heads(kind: &Kind) -> Json {
    let heads = names(kind).iter().map(|name| {
        let wide = name.starts_with('+');
        let kind = if name.starts_with('#') { "integer" } else { "string" };
        let name = name.trim_start_matches(['+', '#']);
        let format = if name == "Name" { "name" } else { "" };
        json!({ "name": name, "type": kind, "format": format, "description": "", "priority": i32::from(wide) })
    });
    heads.collect()
}

/// The cells of one object.
pub(super) fn cells(kind: &Kind, object: &Json, now: Timestamp) -> Vec<Json> {
    let name = || Json::from(text(object, "/metadata/name"));
    let age = || age(object, now);
    match kind.name {
        "Pod" => pod::cells(object, now),
        "Namespace" => vec![name(), text(object, "/status/phase").into(), age()],
        "Node" => node(object, age()),
        "Service" => service(object, age()),
        "ConfigMap" => vec![name(), (size(object, "/data") + size(object, "/binaryData")).into(), age()],
        "Secret" => vec![name(), text(object, "/type").into(), size(object, "/data").into(), age()],
        "Event" => event(object, now),
        "ServiceAccount" => vec![name(), items(object, "/secrets").len().into(), age()],
        "PersistentVolumeClaim" => claim(object, age()),
        "ResourceQuota" => quota(object, age()),
        "Deployment" => {
            let ready = ratio(object);
            let [names, images] = containers(object, "/spec/template/spec/containers");
            let updated = number(object, "/status/updatedReplicas").into();
            let available = number(object, "/status/availableReplicas").into();
            vec![name(), ready, updated, available, age(), names, images, selector(object, "/spec/selector").into()]
        }
        "ReplicaSet" => {
            let [names, images] = containers(object, "/spec/template/spec/containers");
            let counts = ["/spec/replicas", "/status/replicas", "/status/readyReplicas"];
            let [desired, current, ready] = counts.map(|path| Json::from(number(object, path)));
            vec![name(), desired, current, ready, age(), names, images, selector(object, "/spec/selector").into()]
        }
        "StatefulSet" => {
            let [names, images] = containers(object, "/spec/template/spec/containers");
            vec![name(), ratio(object), age(), names, images]
        }
        "ControllerRevision" => vec![name(), controller(object).into(), number(object, "/revision").into(), age()],
        "EndpointSlice" => {
            let ports: Vec<String> = items(object, "/ports").iter().map(|port| shown(port, "/port", "*")).collect();
            let addresses: Vec<String> = items(object, "/endpoints")
                .iter()
                .flat_map(|endpoint| items(endpoint, "/addresses"))
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect();
            let addressed = text(object, "/addressType").into();
            vec![name(), addressed, first_three(&ports).into(), first_three(&addresses).into(), age()]
        }
        "NetworkPolicy" => vec![name(), selector(object, "/spec/podSelector").into(), age()],
        "Ingress" => ingress(object, age()),
        "PodDisruptionBudget" => vec![
            name(),
            shown(object, "/spec/minAvailable", "N/A").into(),
            shown(object, "/spec/maxUnavailable", "N/A").into(),
            number(object, "/status/disruptionsAllowed").into(),
            age(),
        ],
        "Lease" => vec![name(), text(object, "/spec/holderIdentity").into(), age()],
        "Role" | "ClusterRole" => vec![name(), text(object, "/metadata/creationTimestamp").into()],
        "RoleBinding" | "ClusterRoleBinding" => {
            let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
            let mut row = vec![name(), role.into(), age()];
            row.extend(["User", "Group", "ServiceAccount"].map(|kind| subjects(object, kind)));
            row
        }
        "PriorityClass" => vec![
            name(),
            number(object, "/value").into(),
            object.pointer("/globalDefault").is_some_and(|default| *default == true).into(),
            age(),
            text(object, "/preemptionPolicy").into(),
        ],
        "HTTPRoute" => {
            let hosts = object.pointer("/spec/hostnames").map(Json::to_string).unwrap_or_default();
            vec![name(), hosts.into(), age()]
        }
        _ => vec![name(), age()],
    }
}

/// Ready of desired.
fn ratio(object: &Json) -> Json {
    format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")).into()
}

fn node(node: &Json, age: Json) -> Vec<Json> {
    let ready = items(node, "/status/conditions").iter().find(|condition| text(condition, "/type") == "Ready");
    let mut state = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable").is_some_and(|off| *off == true) {
        state.push_str(",SchedulingDisabled");
    }
    let labels = node.pointer("/metadata/labels").and_then(Json::as_object);
    let roles = labels.into_iter().flatten().filter_map(|(key, value)| match key.as_str() {
        "kubernetes.io/role" => value.as_str().filter(|role| !role.is_empty()).map(str::to_owned),
        key => key.strip_prefix("node-role.kubernetes.io/").filter(|role| !role.is_empty()).map(str::to_owned),
    });
    let address = |kind: &str| {
        let found = items(node, "/status/addresses").iter().find(|address| text(address, "/type") == kind);
        found.map_or("<none>", |address| text(address, "/address")).to_owned()
    };
    vec![
        text(node, "/metadata/name").into(),
        state.into(),
        joined(roles, "<none>").into(),
        age,
        text(node, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        text_or(node, "/status/nodeInfo/osImage", "<unknown>").into(),
        text_or(node, "/status/nodeInfo/kernelVersion", "<unknown>").into(),
        text_or(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>").into(),
    ]
}

/// Addresses of a load balancer, sorted.
fn balanced(object: &Json) -> Vec<String> {
    let mut addresses: Vec<String> = items(object, "/status/loadBalancer/ingress")
        .iter()
        .map(|one| text_or(one, "/ip", text(one, "/hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn service(service: &Json, age: Json) -> Vec<Json> {
    let kind = text(service, "/spec/type");
    let own = items(service, "/spec/externalIPs").iter().filter_map(Json::as_str).map(str::to_owned);
    let external = match kind {
        "ClusterIP" | "NodePort" => joined(own, "<none>"),
        "LoadBalancer" => joined(balanced(service).into_iter().chain(own), "<pending>"),
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    };
    let ports = items(service, "/spec/ports").iter().map(|port| {
        let (number, protocol) = (number(port, "/port"), text(port, "/protocol"));
        match port.pointer("/nodePort").and_then(Json::as_i64) {
            Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    });
    vec![
        text(service, "/metadata/name").into(),
        kind.into(),
        text_or(service, "/spec/clusterIPs/0", "<none>").into(),
        external.into(),
        joined(ports, "<none>").into(),
        age,
        pairs(service, "/spec/selector").into(),
    ]
}

fn event(event: &Json, now: Timestamp) -> Vec<Json> {
    let at = |paths: &[&str]| {
        let known = paths.iter().map(|path| since(event, path, now)).find(|span| span != "<unknown>");
        known.unwrap_or_else(|| "<unknown>".to_owned())
    };
    let first = at(&["/firstTimestamp", "/eventTime"]);
    let last = at(&["/series/lastObservedTime", "/lastTimestamp", "/firstTimestamp", "/eventTime"]);
    let count = [number(event, "/series/count"), number(event, "/count")].into_iter().find(|count| *count > 0);
    let target =
        joined([text(event, "/involvedObject/kind").to_lowercase()], "") + "/" + text(event, "/involvedObject/name");
    let component = text_or(event, "/source/component", text(event, "/reportingComponent"));
    let host = text_or(event, "/source/host", text(event, "/reportingInstance"));
    let source = if host.is_empty() { component } else { format!("{component}, {host}") };
    vec![
        last.into(),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        target.trim_end_matches('/').into(),
        text(event, "/involvedObject/fieldPath").into(),
        source.into(),
        text(event, "/message").trim().into(),
        first.into(),
        count.unwrap_or(1).into(),
        text(event, "/metadata/name").into(),
    ]
}

fn claim(claim: &Json, age: Json) -> Vec<Json> {
    let deleted = claim.pointer("/metadata/deletionTimestamp").is_some();
    let volume = text(claim, "/spec/volumeName");
    let modes = items(claim, "/status/accessModes").iter().filter_map(Json::as_str).map(|mode| match mode {
        "ReadWriteOnce" => "RWO".to_owned(),
        "ReadOnlyMany" => "ROX".to_owned(),
        "ReadWriteMany" => "RWX".to_owned(),
        "ReadWriteOncePod" => "RWOP".to_owned(),
        other => other.to_owned(),
    });
    let (capacity, modes) = if volume.is_empty() {
        Default::default()
    } else {
        (shown(claim, "/status/capacity/storage", "0"), joined(modes, ""))
    };
    vec![
        text(claim, "/metadata/name").into(),
        if deleted { "Terminating" } else { text(claim, "/status/phase") }.into(),
        volume.into(),
        capacity.into(),
        modes.into(),
        text(claim, "/spec/storageClassName").into(),
        text_or(claim, "/spec/volumeAttributesClassName", "<unset>").into(),
        age,
        text_or(claim, "/spec/volumeMode", "<unset>").into(),
    ]
}

fn quota(quota: &Json, age: Json) -> Vec<Json> {
    let hard = quota.pointer("/status/hard").and_then(Json::as_object);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in hard.into_iter().flatten() {
        let used = quota.pointer("/status/used").and_then(|used| used.get(resource));
        let used = used.and_then(Json::as_str).unwrap_or("0");
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default()));
    }
    vec![text(quota, "/metadata/name").into(), requests.join(", ").into(), limits.join(", ").into(), age]
}

fn ingress(ingress: &Json, age: Json) -> Vec<Json> {
    let hosts: Vec<String> = items(ingress, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let hosts = if hosts.is_empty() { "*".to_owned() } else { first_three(&hosts) };
    let ports = if items(ingress, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        text(ingress, "/metadata/name").into(),
        text_or(ingress, "/spec/ingressClassName", "<none>").into(),
        hosts.into(),
        balanced(ingress).join(",").into(),
        ports.into(),
        age,
    ]
}

fn controller(object: &Json) -> String {
    let owner = items(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
    owner.map_or("<none>".to_owned(), |owner| {
        let kind = text(owner, "/kind").to_lowercase();
        let group =
            text(owner, "/apiVersion").split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
        format!("{kind}{group}/{}", text(owner, "/name"))
    })
}

fn subjects(binding: &Json, kind: &str) -> Json {
    let of_kind = items(binding, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
    let names: Vec<String> = of_kind
        .map(|subject| match text(subject, "/namespace") {
            "" => text(subject, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "/name")),
        })
        .collect();
    names.join(", ").into()
}
