//! Label and field selectors.

use serde_json::Value as Json;

use crate::error::ApiError;
use crate::kinds::Kind;

/// Which objects are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

/// One requirement on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// Fields by which every kind can be selected.
const OF_ALL: [&str; 2] = ["metadata.name", "metadata.namespace"];

/// Further fields, by kind.
const OF_KINDS: [(&str, &[&str]); 6] = [
    (
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "spec.hostNetwork",
        ],
    ),
    (
        "Event",
        &[
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.uid",
            "reason",
            "type",
            "reportingComponent",
            "source",
        ],
    ),
    ("Secret", &["type"]),
    ("Service", &["spec.clusterIP", "spec.type"]),
    ("Node", &["spec.unschedulable"]),
    ("Namespace", &["status.phase"]),
];

impl Selector {
    /// Reads both selectors of a request.
    ///
    /// # Errors
    /// 400 for what is none, or for fields by which the kind can't be selected.
    pub fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, ApiError> {
        let labels = split(labels.unwrap_or_default()).into_iter().map(requirement).collect::<Result<_, _>>()?;
        let mut selected = Vec::new();
        for part in fields.unwrap_or_default().split(',').filter(|part| !part.is_empty()) {
            let (field, equal, value) = match (part.split_once("!="), part.split_once("=="), part.split_once('=')) {
                (Some((field, value)), _, _) => (field, false, value),
                (_, Some((field, value)), _) | (_, _, Some((field, value))) => (field, true, value),
                _ => {
                    return Err(ApiError::bad_request(format!(
                        "invalid field selector: invalid selector: '{part}'; can't understand '{part}'"
                    )));
                }
            };
            let further = OF_KINDS.iter().find(|(name, _)| *name == kind.name).map_or(&[][..], |(_, fields)| fields);
            if !OF_ALL.contains(&field) && !further.contains(&field) {
                let message = format!(
                    "Unable to find {:?} that match label selector \"\", field selector {:?}: field label not supported: {field}",
                    kind.resource(),
                    fields.unwrap_or_default()
                );
                return Err(ApiError::bad_request(message));
            }
            selected.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(Self { labels, fields: selected })
    }

    /// Whether it is about this object.
    #[must_use]
    pub fn matches(&self, object: &Json) -> bool {
        let label = |key: &str| object.get("metadata")?.get("labels")?.get(key)?.as_str();
        self.labels.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|one| one != value)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        }) && self.fields.iter().all(|(field, equal, value)| (field_of(object, field) == *value) == *equal)
    }
}

fn field_of(object: &Json, field: &str) -> String {
    let found = field.split('.').try_fold(object, |at, key| at.get(key));
    match found {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Bool(value)) => value.to_string(),
        _ if field == "spec.unschedulable" || field == "spec.hostNetwork" => "false".to_owned(),
        _ => String::new(),
    }
}

/// At the commas that are not within parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_u32, 0);
    for (at, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn requirement(part: &str) -> Result<Requirement, ApiError> {
    let key = |text: &str| text.trim().to_owned();
    let invalid = || {
        let message = format!("unable to parse requirement: found '{part}', expected: ',' or a requirement");
        ApiError::bad_request(message)
    };
    if let Some((before, values)) = part.split_once('(') {
        let values = values.strip_suffix(')').ok_or_else(invalid)?;
        let values: Vec<String> = values.split(',').map(key).collect();
        let words: Vec<&str> = before.split_whitespace().collect();
        return match words[..] {
            [name, "in"] => Ok(Requirement::In(name.to_owned(), values)),
            [name, "notin"] => Ok(Requirement::NotIn(name.to_owned(), values)),
            _ => Err(invalid()),
        };
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key(name), vec![key(value)]));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key(name), vec![key(value)]));
    }
    match part.strip_prefix('!') {
        Some(name) => Ok(Requirement::Absent(key(name))),
        None if part.split_whitespace().count() == 1 => Ok(Requirement::Exists(key(part))),
        None => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::{POD, SERVICE};

    #[test]
    fn labels_are_selected_in_every_way() {
        let pod = json!({ "metadata": { "labels": { "app": "jvb", "a/b": "c" } } });
        for (text, fits) in [
            ("", true),
            ("app=jvb", true),
            ("app==jvb,a/b=c", true),
            ("app!=jvb", false),
            ("zone!=x", true),
            ("app in (jvb, web)", true),
            ("app notin (jvb,web),app", false),
            ("app", true),
            ("!app", false),
            ("!zone", true),
        ] {
            assert_eq!(Selector::parse(&POD, Some(text), None).unwrap().matches(&pod), fits, "{text}");
        }
        assert_eq!(Selector::parse(&POD, Some("a b c"), None).unwrap_err().code, 400);
    }

    #[test]
    fn fields_are_those_of_the_kind() {
        let pod =
            json!({ "metadata": { "name": "p" }, "spec": { "nodeName": "n1" }, "status": { "phase": "Running" } });
        for (text, fits) in
            [("spec.nodeName=n1", true), ("status.phase!=Running", false), ("metadata.name=p,spec.nodeName=", false)]
        {
            assert_eq!(Selector::parse(&POD, None, Some(text)).unwrap().matches(&pod), fits, "{text}");
        }
        assert!(
            Selector::parse(&SERVICE, None, Some("spec.nodeName=x"))
                .unwrap_err()
                .message
                .ends_with("not supported: spec.nodeName")
        );
    }
}
