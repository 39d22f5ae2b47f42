//! Deployments, ReplicaSets and StatefulSets.

use serde_json::{Value as Json, json};

use super::{pod, selectors};
use crate::admission::causes::Causes;
use crate::admission::names;
use crate::admission::shape::{items, number, set, text};

const NEGATIVE: &str = "must be greater than or equal to 0";

fn natural(causes: &mut Causes, object: &Json, name: &str) {
    if let Some(value) = number(object, &format!("/spec/{name}"))
        && value < 0
    {
        causes.invalid(format!("spec.{name}"), &json!(value), NEGATIVE);
    }
}

/// The selector, which must select the template; a selector that is missing selects nothing.
fn selector(causes: &mut Causes, object: &Json, kind: &str, volumes: &[&str]) {
    let selector = set(object, "/spec/selector");
    match selector {
        None => causes.required("spec.selector", ""),
        Some(selector) => {
            selectors::check(causes, "spec.selector", selector);
            if selectors::is_empty(selector) {
                causes.invalid("spec.selector", selector, &format!("empty selector is invalid for {kind}"));
            }
        }
    }
    let labels = object.pointer("/spec/template/metadata/labels").unwrap_or(&Json::Null);
    if selector.is_none_or(|selector| !selectors::is_empty(selector) && !selectors::selects(selector, labels)) {
        let shown = if labels.is_null() { Json::Null } else { labels.clone() };
        causes.invalid("spec.template.metadata.labels", &shown, "`selector` does not match template `labels`");
    }
    let template = object.pointer("/spec/template").unwrap_or(&Json::Null);
    super::metadata::labels(causes, "spec.template.labels", set(template, "/metadata/labels"));
    super::metadata::annotations(causes, "spec.template.annotations", template);
    pod::spec(causes, "spec.template.spec", template.get("spec").unwrap_or(&Json::Null), volumes);
    let policy = text(template, "/spec/restartPolicy");
    if policy != "Always" && ["OnFailure", "Never"].contains(&policy) {
        causes.unsupported("spec.template.spec.restartPolicy", &json!(policy), &["Always"]);
    }
}

pub(super) fn deployment(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    natural(causes, object, "replicas");
    selector(causes, object, "deployment", &[]);
    strategy(causes, object);
    natural(causes, object, "minReadySeconds");
    natural(causes, object, "revisionHistoryLimit");
    natural(causes, object, "progressDeadlineSeconds");
    if let Some(deadline) = number(object, "/spec/progressDeadlineSeconds")
        && deadline <= number(object, "/spec/minReadySeconds").unwrap_or(0)
    {
        causes.invalid("spec.progressDeadlineSeconds", &json!(deadline), "must be greater than minReadySeconds");
    }
    selector_stays(causes, object, old);
}

pub(super) fn replica_set(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    natural(causes, object, "replicas");
    natural(causes, object, "minReadySeconds");
    selector(causes, object, "deployment", &[]);
    selector_stays(causes, object, old);
}

fn selector_stays(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    if let Some(old) = old {
        causes.immutable("spec.selector", set(object, "/spec/selector"), set(old, "/spec/selector"));
    }
}

fn strategy(causes: &mut Causes, object: &Json) {
    let strategy = object.pointer("/spec/strategy").unwrap_or(&Json::Null);
    let rolling = set(strategy, "/rollingUpdate");
    match text(strategy, "/type") {
        "Recreate" => {
            if rolling.is_some() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                causes.forbidden("spec.strategy.rollingUpdate", detail);
            }
        }
        "RollingUpdate" => {
            let nothing = |name: &str| {
                let value = rolling.and_then(|rolling| rolling.get(name)).unwrap_or(&Json::Null);
                value == &json!(0) || value == "0%"
            };
            for name in ["maxUnavailable", "maxSurge"] {
                if let Some(value) = rolling.and_then(|rolling| rolling.get(name)) {
                    share(causes, &format!("spec.strategy.rollingUpdate.{name}"), value);
                }
            }
            if nothing("maxUnavailable") && nothing("maxSurge") {
                let value = rolling.and_then(|rolling| rolling.get("maxUnavailable")).unwrap_or(&Json::Null);
                let detail = "may not be 0 when `maxSurge` is 0";
                causes.invalid("spec.strategy.rollingUpdate.maxUnavailable", value, detail);
            }
        }
        _ => causes.unsupported("spec.strategy", strategy, &["Recreate", "RollingUpdate"]),
    }
}

/// A number, or a percentage.
pub(super) fn share(causes: &mut Causes, field: &str, value: &Json) {
    match value.as_str() {
        None if value.as_i64().unwrap_or(0) < 0 => causes.invalid(field, value, NEGATIVE),
        Some(text)
            if !text.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) =>
        {
            let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                          '93%', regex used for validation is '[0-9]+%')";
            causes.invalid(field, value, detail);
        }
        _ => {}
    }
}

/// What may change in a StatefulSet.
const CHANGEABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(super) fn stateful_set(causes: &mut Causes, object: &Json, old: Option<&Json>) {
    let management = text(object, "/spec/podManagementPolicy");
    if !["OrderedReady", "Parallel"].contains(&management) {
        causes.invalid("spec.podManagementPolicy", &json!(management), "must be 'OrderedReady' or 'Parallel'");
    }
    let rolling = set(object, "/spec/updateStrategy/rollingUpdate");
    match text(object, "/spec/updateStrategy/type") {
        "OnDelete" => {
            if let Some(rolling) = rolling {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                causes.invalid("spec.updateStrategy.rollingUpdate", rolling, detail);
            }
        }
        "RollingUpdate" => {
            if let Some(partition) = rolling.and_then(|rolling| number(rolling, "/partition"))
                && partition < 0
            {
                causes.invalid("spec.updateStrategy.rollingUpdate.partition", &json!(partition), NEGATIVE);
            }
        }
        _ => {
            let strategy = object.pointer("/spec/updateStrategy").unwrap_or(&Json::Null);
            causes.invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    for name in ["whenDeleted", "whenScaled"] {
        let policy = text(object, &format!("/spec/persistentVolumeClaimRetentionPolicy/{name}"));
        if !["Retain", "Delete"].contains(&policy) {
            let field = format!("spec.persistentVolumeClaimRetentionPolicy.{name}");
            causes.unsupported(field, &json!(policy), &["Retain", "Delete"]);
        }
    }
    let templates = items(object, "/spec/volumeClaimTemplates");
    if old.is_none() {
        for (index, template) in templates.iter().enumerate() {
            let spec = template.get("spec").unwrap_or(&Json::Null);
            super::data::claim_spec(causes, &format!("spec.volumeClaimTemplates[{index}].spec"), spec);
        }
    }
    natural(causes, object, "replicas");
    natural(causes, object, "minReadySeconds");
    let service = text(object, "/spec/serviceName");
    if old.is_none() && !service.is_empty() {
        causes.each("spec.serviceName", service, &names::label(service));
    }
    let volumes: Vec<&str> = templates.iter().map(|template| text(template, "/metadata/name")).collect();
    selector(causes, object, "statefulset", &volumes);
    if let Some(old) = old {
        let kept = |object: &Json| {
            let mut spec = object.get("spec").and_then(Json::as_object).cloned().unwrap_or_default();
            spec.retain(|name, _| !CHANGEABLE.contains(&name.as_str()));
            spec
        };
        if kept(object) != kept(old) {
            causes.forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                 'minReadySeconds' are forbidden",
            );
        }
    }
}
