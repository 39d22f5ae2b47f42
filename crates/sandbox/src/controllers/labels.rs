//! Selectors as they stand in objects.

use serde_json::{Map, Value as Json};

use super::object::{list, map, text};

/// Whether a `LabelSelector` selects an object with these labels. An empty one selects all; none at all, nothing.
pub(crate) fn selects(selector: Option<&Json>, object: &Json) -> bool {
    let Some(selector) = selector else { return false };
    let labels = map(object, &["metadata", "labels"]);
    let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Json::as_str);
    map(selector, &["matchLabels"])
        .is_none_or(|wanted| wanted.iter().all(|(key, wanted)| value(key) == wanted.as_str()))
        && list(selector, &["matchExpressions"]).iter().all(|term| {
            let value = value(text(term, &["key"]));
            let among = value.is_some_and(|value| list(term, &["values"]).iter().any(|one| one == value));
            match text(term, &["operator"]) {
                "In" => among,
                "NotIn" => !among,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Whether all of these labels stand on the object, as Services select.
pub(crate) fn carries(wanted: &Map<String, Json>, object: &Json) -> bool {
    let labels = map(object, &["metadata", "labels"]);
    wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select_as_documented() {
        let pod = json!({ "metadata": { "labels": { "app": "jvb", "zone": "a" } } });
        let table = [
            (json!({}), true),
            (json!({ "matchLabels": { "app": "jvb" } }), true),
            (json!({ "matchLabels": { "app": "web" } }), false),
            (json!({ "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["a", "b"] }] }), true),
            (json!({ "matchExpressions": [{ "key": "zone", "operator": "NotIn", "values": ["a"] }] }), false),
            (json!({ "matchExpressions": [{ "key": "none", "operator": "NotIn", "values": ["a"] }] }), true),
            (json!({ "matchExpressions": [{ "key": "none", "operator": "Exists" }] }), false),
            (json!({ "matchExpressions": [{ "key": "none", "operator": "DoesNotExist" }] }), true),
        ];
        for (selector, wanted) in table {
            assert_eq!(selects(Some(&selector), &pod), wanted, "{selector}");
        }
        assert!(!selects(None, &pod));
    }
}
