//! What is added to a new pod on its way in: account, tolerations, priority.

use serde_json::{Value as Json, json};

use super::Attempt;
use super::causes::forbidden;
use super::shape::{fill, flag, items, number, text};
use crate::error::ApiError;
use crate::kinds::PRIORITY_CLASS;

/// Fills in what other objects and the cluster's settings say. A real server also adds a projected volume with the
/// account's token; nothing here reads one, so pods stay without.
pub(super) fn complete(object: &mut Json, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    let name = text(object, "/metadata/name").to_owned();
    if let Some(spec) = object.get_mut("spec").and_then(Json::as_object_mut) {
        fill(spec, "serviceAccountName", "default");
        let account = spec.get("serviceAccountName").cloned().unwrap_or_default();
        fill(spec, "serviceAccount", account);
    }
    tolerations(object);
    priority(object, attempt, &name)
}

/// A node that is lost keeps its pods for five minutes, unless the pod says otherwise.
fn tolerations(object: &mut Json) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = items(object, "/spec/tolerations").iter().any(|toleration| {
            let (own, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
            (own == key || own.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if tolerated {
            continue;
        }
        let toleration = json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
        match object.pointer_mut("/spec/tolerations").and_then(Json::as_array_mut) {
            Some(list) => list.push(toleration),
            None => object["spec"]["tolerations"] = json!([toleration]),
        }
    }
}

fn priority(object: &mut Json, attempt: &Attempt<'_>, pod: &str) -> Result<(), ApiError> {
    // A pod keeps the priority that it was given.
    if let Some(old) = attempt.old {
        for name in ["priority", "preemptionPolicy"] {
            if let (Some(value), Some(spec)) = (old["spec"].get(name), object["spec"].as_object_mut()) {
                spec.entry(name).or_insert_with(|| value.clone());
            }
        }
        return Ok(());
    }
    let asked = text(object, "/spec/priorityClassName").to_owned();
    let system = match asked.as_str() {
        "system-cluster-critical" => Some(2_000_000_000),
        "system-node-critical" => Some(2_000_001_000),
        _ => None,
    };
    let (value, policy, default) = if let Some(value) = system {
        (value, "PreemptLowerPriority".to_owned(), None)
    } else {
        let class = if asked.is_empty() {
            // Of several classes for everybody, the lowest counts.
            let all = attempt.around.list(&PRIORITY_CLASS, None);
            all.into_iter().filter(|class| flag(class, "/globalDefault")).min_by_key(|class| number(class, "/value"))
        } else {
            let class = attempt.around.get(&PRIORITY_CLASS, None, &asked);
            let missing = || forbidden(attempt.kind, pod, &format!("no PriorityClass with name {asked} was found"));
            Some(class.ok_or_else(missing)?)
        };
        match class {
            None => (0, "PreemptLowerPriority".to_owned(), None),
            Some(class) => (
                number(&class, "/value").unwrap_or(0),
                text(&class, "/preemptionPolicy").to_owned(),
                asked.is_empty().then(|| text(&class, "/metadata/name").to_owned()),
            ),
        }
    };
    if let Some(said) = number(object, "/spec/priority")
        && said != value
    {
        let why = format!(
            "the integer value of priority ({said}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(forbidden(attempt.kind, pod, &why));
    }
    if let Some(spec) = object.get_mut("spec").and_then(Json::as_object_mut) {
        spec.insert("priority".to_owned(), json!(value));
        fill(spec, "preemptionPolicy", policy);
        if let Some(name) = default {
            spec.insert("priorityClassName".to_owned(), json!(name));
        }
    }
    Ok(())
}
