//! Selectors of labels.

use serde_json::{Value as Json, json};

use super::metadata::labels;
use crate::admission::causes::Causes;
use crate::admission::names;
use crate::admission::shape::{entries, items, text};

/// Checks a selector.
pub(super) fn check(causes: &mut Causes, field: &str, selector: &Json) {
    labels(causes, &format!("{field}.matchLabels"), selector.get("matchLabels"));
    for (index, expression) in items(selector, "/matchExpressions").iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        let empty = items(expression, "/values").is_empty();
        match text(expression, "/operator") {
            "In" | "NotIn" if empty => {
                causes.required(format!("{field}.values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !empty => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                causes.forbidden(format!("{field}.values"), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => causes.invalid(format!("{field}.operator"), &json!(other), "not a valid selector operator"),
        }
        let key = text(expression, "/key");
        causes.each(&format!("{field}.key"), key, &names::qualified(key));
        for (index, value) in items(expression, "/values").iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            causes.each(&format!("{field}.values[{index}]"), value, &names::label_value(value));
        }
    }
}

/// Does it select nothing in particular?
pub(super) fn is_empty(selector: &Json) -> bool {
    entries(selector, "/matchLabels").next().is_none() && items(selector, "/matchExpressions").is_empty()
}

/// Does it select these labels?
pub(super) fn selects(selector: &Json, labels: &Json) -> bool {
    entries(selector, "/matchLabels").all(|(key, value)| labels.get(key) == Some(value))
        && items(selector, "/matchExpressions").iter().all(|expression| {
            let value = labels.get(text(expression, "/key"));
            let listed = value.is_some_and(|value| items(expression, "/values").contains(value));
            match text(expression, "/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        })
}
