//! Sequences about pods that run, disruption budgets, and evictions.

use serde_json::{Value as Json, json};

use super::generate::{Chance, Place, Step, collection, pod, watch};

const MERGE: &str = "application/merge-patch+json";

/// Pods come, run and are evicted, while budgets come and say how many may be.
pub(super) fn steps(chance: &mut Chance, place: &Place) -> Vec<Step> {
    let pods = collection("v1", "pods", &place.namespace);
    let budgets = collection("policy/v1", "poddisruptionbudgets", &place.namespace);
    let mut steps = vec![made(chance, &pods, "one"), runs(chance, &format!("{pods}/one"))];
    for _ in 0..6 + chance.below(9) {
        let name = if chance.one_in(3) { "two" } else { "one" };
        let (pod, budget) = (format!("{pods}/{name}"), format!("{budgets}/{name}"));
        steps.push(match chance.below(16) {
            0..=1 => made(chance, &pods, name),
            2..=3 => runs(chance, &pod),
            4..=6 => budgeted(chance, &budgets, name),
            7..=9 => counted(chance, &budget),
            10..=13 => evicted(chance, &pod, name),
            14 => Step::new("GET", budget.clone(), &Json::Null).about(&budget),
            _ => Step::new("GET", pod.clone(), &Json::Null).about(&pod),
        });
    }
    steps.push(Step::new("GET", budgets, &Json::Null));
    steps.push(watch(&pods));
    steps
}

fn made(chance: &mut Chance, pods: &str, name: &str) -> Step {
    let mut spec = pod(chance);
    spec["nodeName"] = "node".into();
    let labels = json!({ "app": chance.pick(&["x", "x", "x", "y"]) });
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels }, "spec": spec,
    });
    Step::new("POST", format!("{pods}?fieldManager=red"), &object).about(&format!("{pods}/{name}"))
}

/// What its kubelet would say.
fn runs(chance: &mut Chance, pod: &str) -> Step {
    let phase = chance.pick(&["Running", "Running", "Running", "Running", "Pending", "Succeeded"]);
    let ready = chance.pick(&["True", "True", "False"]);
    let status = json!({ "status": { "phase": phase, "conditions": [{ "type": "Ready", "status": ready }] } });
    Step::new("PATCH", format!("{pod}/status?fieldManager=kubelet"), &status).with_content(MERGE).about(pod)
}

fn budgeted(chance: &mut Chance, budgets: &str, name: &str) -> Step {
    let mut spec = json!({ "selector": { "matchLabels": { "app": "x" } }, "minAvailable": 1 });
    if chance.one_in(4) {
        spec["unhealthyPodEvictionPolicy"] = chance.pick(&["AlwaysAllow", "IfHealthyBudget"]).into();
    }
    let object = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": name }, "spec": spec,
    });
    let path = format!("{budgets}/{name}");
    if chance.one_in(5) {
        return Step::new("DELETE", path.clone(), &Json::Null).about(&path);
    }
    Step::new("PATCH", format!("{path}?fieldManager=red"), &object)
        .with_content("application/apply-patch+yaml")
        .about(&path)
}

/// What its controller would say.
fn counted(chance: &mut Chance, budget: &str) -> Step {
    let status = json!({ "status": {
        "observedGeneration": chance.pick(&[1, 1, 1, 2]),
        "disruptionsAllowed": chance.below(3),
        "currentHealthy": 1 + chance.below(2),
        "desiredHealthy": 1,
        "expectedPods": 2,
    } });
    Step::new("PATCH", format!("{budget}/status?fieldManager=counter"), &status).with_content(MERGE).about(budget)
}

fn evicted(chance: &mut Chance, pod: &str, name: &str) -> Step {
    let mut eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
    if chance.one_in(4) {
        eviction["deleteOptions"]["gracePeriodSeconds"] = chance.pick(&[0, 5]).into();
    }
    // Not with a version: some of those a real server never answers, as its own writes spoil the precondition.
    if chance.one_in(6) {
        eviction["deleteOptions"]["preconditions"]["uid"] = "@UID".into();
    }
    let dry = if chance.one_in(6) { "?dryRun=All" } else { "" };
    Step::new("POST", format!("{pod}/eviction{dry}"), &eviction).about(pod)
}
