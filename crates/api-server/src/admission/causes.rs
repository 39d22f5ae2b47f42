//! What is wrong with the fields of an object, in the server's own words.

use serde_json::{Value as Json, json};

use crate::error::ApiError;
use crate::kinds::Kind;

/// All that is wrong, in the order in which the server says it.
#[derive(Debug, Default)]
pub(super) struct Causes(Vec<Cause>);

#[derive(Debug, PartialEq)]
struct Cause {
    reason: &'static str,
    field: String,
    body: String,
}

/// A value as it stands in a message.
fn shown(value: &Json) -> String {
    match value {
        // Go's and JSON's quotes differ only for characters that no name holds.
        Json::String(_) | Json::Number(_) | Json::Bool(_) => value.to_string(),
        Json::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

impl Causes {
    fn push(&mut self, reason: &'static str, field: impl Into<String>, head: String, detail: &str) {
        let body = if detail.is_empty() { head } else { format!("{head}: {detail}") };
        self.0.push(Cause { reason, field: field.into(), body });
    }

    pub(super) fn invalid(&mut self, field: impl Into<String>, value: &Json, detail: &str) {
        self.push("FieldValueInvalid", field, format!("Invalid value: {}", shown(value)), detail);
    }

    pub(super) fn required(&mut self, field: impl Into<String>, detail: &str) {
        self.push("FieldValueRequired", field, "Required value".to_owned(), detail);
    }

    pub(super) fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.push("FieldValueForbidden", field, "Forbidden".to_owned(), detail);
    }

    pub(super) fn duplicate(&mut self, field: impl Into<String>, value: &Json) {
        self.push("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(value)), "");
    }

    /// A value that is printed otherwise than in the object.
    pub(super) fn invalid_printed(&mut self, field: impl Into<String>, value: &str, detail: &str) {
        self.push("FieldValueInvalid", field, format!("Invalid value: {value}"), detail);
    }

    /// The same for a value that is printed otherwise than in the object.
    pub(super) fn duplicate_printed(&mut self, field: impl Into<String>, value: &str) {
        self.push("FieldValueDuplicate", field, format!("Duplicate value: {value}"), "");
    }

    pub(super) fn not_found(&mut self, field: impl Into<String>, value: &Json) {
        self.push("FieldValueNotFound", field, format!("Not found: {}", shown(value)), "");
    }

    pub(super) fn unsupported(&mut self, field: impl Into<String>, value: &Json, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|one| format!("\"{one}\"")).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        self.push("FieldValueNotSupported", field, format!("Unsupported value: {}", shown(value)), &detail);
    }

    pub(super) fn too_long(&mut self, field: impl Into<String>, limit: usize) {
        self.push("FieldValueTooLong", field, "Too long".to_owned(), &format!("may not be more than {limit} bytes"));
    }

    pub(super) fn too_many(&mut self, field: impl Into<String>, count: usize, limit: usize) {
        let detail = format!("must have at most {limit} items");
        self.push("FieldValueTooMany", field, format!("Too many: {count}"), &detail);
    }

    /// One cause per message.
    pub(super) fn each(&mut self, field: &str, value: &str, messages: &[String]) {
        for message in messages {
            self.invalid(field, &json!(value), message);
        }
    }

    /// `value` must be what it was.
    pub(super) fn immutable(&mut self, field: &str, value: Option<&Json>, old: Option<&Json>) {
        if value.unwrap_or(&Json::Null) != old.unwrap_or(&Json::Null) {
            self.invalid(field, value.unwrap_or(&Json::Null), "field is immutable");
        }
    }

    /// 422 with all of them, or nothing.
    pub(super) fn verdict(self, kind: &Kind, name: &str) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut said: Vec<String> = Vec::new();
        for cause in &self.0 {
            let line = format!("{}: {}", cause.field, cause.body);
            if !said.contains(&line) {
                said.push(line);
            }
        }
        let all = if said.len() == 1 { said.concat() } else { format!("[{}]", said.join(", ")) };
        let qualified =
            if kind.group.is_empty() { kind.name.to_owned() } else { format!("{}.{}", kind.name, kind.group) };
        let causes: Vec<Json> = self
            .0
            .iter()
            .map(|cause| json!({ "reason": cause.reason, "message": cause.body, "field": cause.field }))
            .collect();
        let mut details = json!({ "kind": kind.name, "causes": causes });
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        Err(ApiError::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {all}")).with(details))
    }
}

/// 403, about an object.
pub(super) fn forbidden(kind: &Kind, name: &str, why: &str) -> ApiError {
    let mut details = json!({ "kind": kind.plural });
    if !name.is_empty() {
        details["name"] = json!(name);
    }
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    ApiError::new(403, "Forbidden", format!("{} \"{name}\" is forbidden: {why}", kind.resource())).with(details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn all_causes_are_in_one_message() {
        let mut causes = Causes::default();
        causes.required("spec.selector", "");
        causes.invalid("spec.replicas", &json!(-1), "must be greater than or equal to 0");
        let refused = causes.verdict(&kinds::DEPLOYMENT, "web").unwrap_err();
        assert_eq!(
            refused.message,
            "Deployment.apps \"web\" is invalid: [spec.selector: Required value, spec.replicas: Invalid value: -1: must \
             be greater than or equal to 0]"
        );
        assert_eq!(refused.details["group"], "apps");
    }
}
