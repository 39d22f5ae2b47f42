//! Where a pod may run: node selectors, required affinity, host ports, required anti-affinity. The rest of what a real
//! scheduler weighs does not matter to bridges that run in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::{Node, NodeSelectorTerm, Pod, PodAffinityTerm, Taint},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::ResourceExt;

/// Which pods have a place, by their UID.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<String, Place>);

#[derive(Debug)]
struct Place {
    node: String,
    pod: Arc<Pod>,
}

impl Places {
    /// Notes a pod that is bound already.
    pub(crate) fn adopt(&mut self, uid: &str, pod: &Arc<Pod>, node: &str) {
        self.0.insert(uid.to_owned(), Place { node: node.to_owned(), pod: Arc::clone(pod) });
    }

    /// Forgets a pod that is gone.
    pub(crate) fn release(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// Finds the node with the fewest pods among those that fit, and takes a place there.
    ///
    /// # Errors
    /// The scheduler's word for why there is none.
    pub(crate) fn take(&mut self, uid: &str, pod: &Arc<Pod>, nodes: &[Arc<Node>]) -> Result<String, String> {
        // Asked twice, a pod is not in its own way.
        self.release(uid);
        let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut best: Option<(usize, String)> = None;
        for node in nodes {
            if let Some(reason) = self.refusal(pod, node, nodes) {
                *reasons.entry(reason).or_default() += 1;
                continue;
            }
            let load = self.0.values().filter(|place| place.node == node.name_any()).count();
            let candidate = (load, node.name_any());
            if best.as_ref().is_none_or(|best| candidate < *best) {
                best = Some(candidate);
            }
        }
        match best {
            Some((_, node)) => {
                self.adopt(uid, pod, &node);
                Ok(node)
            }
            None => {
                let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
                Err(format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", ")))
            }
        }
    }

    fn refusal(&self, pod: &Pod, node: &Node, nodes: &[Arc<Node>]) -> Option<&'static str> {
        if node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false) {
            return Some("node(s) were unschedulable");
        }
        if not_ready(node) {
            return Some("node(s) were not ready");
        }
        let spec = node.spec.as_ref();
        if spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten().any(|taint| !tolerates(pod, taint)) {
            return Some("node(s) had untolerated taints");
        }
        if !selects(pod, node.labels()) {
            return Some("node(s) didn't match Pod's node affinity/selector");
        }
        let here = |place: &&Place| place.node == node.name_any();
        let wanted = host_ports(pod);
        if self.0.values().filter(here).any(|place| !host_ports(&place.pod).is_disjoint(&wanted)) {
            return Some("node(s) didn't have free ports for the requested pod ports");
        }
        let topology = |node_name: &str, key: &str| {
            nodes.iter().find(|node| node.name_any() == node_name).and_then(|node| node.labels().get(key).cloned())
        };
        for term in anti_affinity(pod) {
            let Some(domain) = node.labels().get(&term.topology_key) else { continue };
            let taken = self.0.values().any(|place| {
                topology(&place.node, &term.topology_key).as_ref() == Some(domain) && repels(term, pod, &place.pod)
            });
            if taken {
                return Some("node(s) didn't match pod anti-affinity rules");
            }
        }
        None
    }
}

fn not_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status != "True")
}

fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    // A node that just became ready loses this one only where a node controller runs.
    if taint.effect == "PreferNoSchedule" || taint.key == "node.kubernetes.io/not-ready" {
        return true;
    }
    pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten()).any(|toleration| {
        let exists = toleration.operator.as_deref() == Some("Exists");
        let key = toleration.key.as_deref().unwrap_or_default();
        let effect = toleration.effect.as_deref().unwrap_or_default();
        (key == taint.key || (key.is_empty() && exists))
            && (effect.is_empty() || effect == taint.effect)
            && (exists || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
    })
}

fn host_ports(pod: &Pod) -> BTreeSet<(i32, String)> {
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network).unwrap_or(false);
    spec.into_iter()
        .flat_map(|spec| &spec.containers)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.or_else(|| host_network.then_some(port.container_port))?;
            (number != 0).then(|| (number, port.protocol.clone().unwrap_or_else(|| "TCP".into())))
        })
        .collect()
}

fn selects(pod: &Pod, labels: &BTreeMap<String, String>) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let simple = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    simple && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches_term(term, labels)))
}

/// The labels of a node made for this pod; nothing when no label would help it.
pub(crate) fn wanted_labels(pod: &Pod) -> Option<BTreeMap<String, String>> {
    let spec = pod.spec.as_ref()?;
    let mut labels: BTreeMap<String, String> = spec.node_selector.clone().unwrap_or_default();
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    // Any of the terms will do; the first is as good as another.
    let terms = required.and_then(|required| required.node_selector_terms.first());
    for requirement in terms.into_iter().flat_map(|term| term.match_expressions.iter().flatten()) {
        match requirement.operator.as_str() {
            "In" => {
                let value = requirement.values.iter().flatten().next()?;
                labels.insert(requirement.key.clone(), value.clone());
            }
            "Exists" => {
                labels.entry(requirement.key.clone()).or_default();
            }
            _ => {}
        }
    }
    // A machine cannot be another one, and not in another cluster's region.
    (!labels.contains_key("kubernetes.io/hostname")).then_some(labels)
}

fn matches_term(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>) -> bool {
    term.match_expressions.iter().flatten().all(|requirement| {
        matches(&requirement.key, &requirement.operator, requirement.values.as_deref().unwrap_or_default(), labels)
    })
}

fn matches(key: &str, operator: &str, values: &[String], labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(key);
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

fn anti_affinity(pod: &Pod) -> &[PodAffinityTerm] {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.affinity.as_ref())
        .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default()
}

fn repels(term: &PodAffinityTerm, pod: &Pod, other: &Pod) -> bool {
    let same_namespace = match &term.namespaces {
        Some(names) if !names.is_empty() => other.namespace().is_some_and(|name| names.contains(&name)),
        _ => pod.namespace() == other.namespace(),
    };
    same_namespace && term.label_selector.as_ref().is_some_and(|selector| label_selector(selector, other.labels()))
}

fn label_selector(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().flatten().all(|requirement| {
            matches(&requirement.key, &requirement.operator, requirement.values.as_deref().unwrap_or_default(), labels)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nodes() -> Vec<Arc<Node>> {
        ["n1", "n2"]
            .into_iter()
            .map(|name| {
                let labels = json!({ "kubernetes.io/hostname": name, "disk": name });
                Arc::new(serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap())
            })
            .collect()
    }

    fn pod(spec: serde_json::Value) -> Arc<Pod> {
        let meta = json!({ "name": "p", "namespace": "ns", "labels": { "app": "jvb" } });
        Arc::new(serde_json::from_value(json!({ "metadata": meta, "spec": spec })).unwrap())
    }

    #[test]
    fn pods_spread_and_host_ports_are_taken_once() {
        let nodes = nodes();
        let mut places = Places::default();
        let port = json!([{ "containerPort": 10000, "hostPort": 10000, "protocol": "UDP" }]);
        let media = pod(json!({ "containers": [{ "name": "jvb", "ports": port }] }));
        assert_eq!(places.take("1", &media, &nodes).as_deref(), Ok("n1"));
        assert_eq!(places.take("2", &media, &nodes).as_deref(), Ok("n2"));
        let why = places.take("3", &media, &nodes).unwrap_err();
        assert_eq!(why, "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.");
        places.release("1");
        assert_eq!(places.take("3", &media, &nodes).as_deref(), Ok("n1"));
    }

    #[test]
    fn selectors_and_anti_affinity_are_heard() {
        let nodes = nodes();
        let mut places = Places::default();
        let picky = pod(json!({ "containers": [], "nodeSelector": { "disk": "n2" } }));
        assert_eq!(places.take("1", &picky, &nodes).as_deref(), Ok("n2"));
        let nowhere = pod(json!({ "containers": [], "nodeSelector": { "disk": "n3" } }));
        assert!(places.take("2", &nowhere, &nodes).unwrap_err().contains("node affinity/selector"));
        let term = json!({ "topologyKey": "kubernetes.io/hostname",
            "labelSelector": { "matchLabels": { "app": "jvb" } } });
        let alone = pod(json!({ "containers": [],
            "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } }));
        assert_eq!(places.take("3", &alone, &nodes).as_deref(), Ok("n1"));
        assert!(places.take("4", &alone, &nodes).unwrap_err().contains("anti-affinity"));
    }
}
