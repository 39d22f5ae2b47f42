//! Kinds of a CRD: what its schema says must be there.

use serde_json::Value as Json;

use crate::admission::Attempt;
use crate::admission::causes::Causes;
use crate::schema::{self, Schema};

/// Kinds whose CRD has rules beside its schema.
const WITH_RULES: [&str; 1] = ["HTTPRoute"];

pub(super) fn check(causes: &mut Causes, object: &Json, attempt: &Attempt<'_>) {
    let mut missing = Vec::new();
    let schema = schema::of(attempt.kind);
    for part in ["spec", "status"] {
        match object.get(part) {
            Some(value) => walk(schema.field(part), value, part, &mut missing),
            None if requires(schema, part) => missing.push(part.to_owned()),
            None => {}
        }
    }
    for field in &missing {
        causes.required(field.as_str(), "");
    }
    if !missing.is_empty() && WITH_RULES.contains(&attempt.kind.name) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                      errors to complete validation";
        causes.invalid("<nil>", &Json::Null, detail);
    }
}

fn requires(schema: &Schema, name: &str) -> bool {
    matches!(schema, Schema::Struct(of) if of.fields.get(name).is_some_and(|field| field.required))
}

fn walk(schema: &Schema, value: &Json, at: &str, missing: &mut Vec<String>) {
    match (schema, value) {
        (Schema::Struct(of), Json::Object(fields)) => {
            for (name, field) in &of.fields {
                let at = format!("{at}.{name}");
                match fields.get(*name) {
                    Some(value) => walk(field.schema, value, &at, missing),
                    None if field.required => missing.push(at),
                    None => {}
                }
            }
        }
        (Schema::Map { value: of, .. }, Json::Object(entries)) => {
            entries.iter().for_each(|(key, value)| walk(of, value, &format!("{at}.{key}"), missing));
        }
        (Schema::List { item, .. }, Json::Array(items)) => {
            let each = items.iter().enumerate();
            each.for_each(|(index, value)| walk(item, value, &format!("{at}[{index}]"), missing));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::HTTP_ROUTE;

    #[test]
    fn what_the_definition_asks_for_must_be_there() {
        let of = |object: Json| {
            let mut missing = Vec::new();
            walk(schema::of(&HTTP_ROUTE).field("status"), &object, "status", &mut missing);
            missing
        };
        assert_eq!(of(json!({})), ["status.parents"]);
        assert_eq!(of(json!({ "parents": [] })), Vec::<String>::new());
        assert!(of(json!({ "parents": [{}] })).contains(&"status.parents[0].controllerName".to_owned()));
    }
}
