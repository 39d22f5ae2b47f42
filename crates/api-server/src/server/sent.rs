//! What a write sends: an object of the request's kind and place, with the fields that its kind has.

use serde_json::{Value as Json, json};

use super::{Call, details};
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::request::FieldValidation;
use crate::schema;
use crate::store::text;

impl Call<'_> {
    /// The body as an object of the request's kind and place.
    pub(super) fn body(&self) -> Result<Json, ApiError> {
        let mut body = self.request.body.clone();
        let kind = self.request.kind;
        let Json::Object(fields) = &mut body else {
            return Err(ApiError::bad_request("the body of the request must be an object"));
        };
        let expected = kind.api_version();
        match fields.get("apiVersion").and_then(Json::as_str) {
            None => drop(fields.insert("apiVersion".to_owned(), expected.into())),
            Some(version) if version == expected => {}
            Some(version) => {
                let message = format!(
                    "the API version in the data ({version}) does not match the expected API version ({expected})"
                );
                return Err(ApiError::bad_request(message));
            }
        }
        match fields.get("kind").and_then(Json::as_str) {
            None => drop(fields.insert("kind".to_owned(), kind.name.into())),
            Some(name) if name == kind.name => {}
            Some(name) => {
                return Err(ApiError::bad_request(format!(
                    "{name} in version {:?} cannot be handled as a {}: the object's kind does not fit",
                    kind.version, kind.name
                )));
            }
        }
        if !fields.get("metadata").is_some_and(Json::is_object) {
            fields.insert("metadata".to_owned(), json!({}));
        }
        if let Some(namespace) = self.namespace() {
            match text(&body, "namespace").filter(|given| !given.is_empty()) {
                None => body["metadata"]["namespace"] = namespace.into(),
                Some(given) if given == namespace => {}
                Some(_) => {
                    return Err(ApiError::bad_request(
                        "the namespace of the provided object does not match the namespace sent on the request",
                    ));
                }
            }
        } else if let Some(metadata) = body["metadata"].as_object_mut() {
            metadata.remove("namespace");
        }
        if let Some(name) = &self.request.name {
            match text(&body, "name").filter(|given| !given.is_empty()) {
                None => body["metadata"]["name"] = name.as_str().into(),
                Some(given) if given == name => {}
                Some(given) => {
                    return Err(ApiError::bad_request(format!(
                        "the name of the object ({given}) does not match the name on the URL ({name})"
                    )));
                }
            }
        }
        Ok(body)
    }

    /// Fields that the kind lacks, and values of a wrong type.
    pub(super) fn fits(
        &self,
        object: &mut Json,
        duplicates: &[String],
        warnings: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        let kind = self.request.kind;
        let misfits = schema::check(schema::of(kind), object);
        if let Some(first) = misfits.mistyped.first() {
            return Err(if kind.custom {
                let name = text(object, "name").unwrap_or_default();
                let message = format!("{} {name:?} is invalid: {}", kind_and_group(kind), misfits.mistyped.join(", "));
                ApiError::new(422, "Invalid", message).with(details(kind, name))
            } else {
                ApiError::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {}: {first}",
                    kind.name, kind.version, kind.name
                ))
            });
        }
        let wrong: Vec<&str> = duplicates.iter().chain(&misfits.unknown).map(String::as_str).collect();
        match self.request.parameters.field_validation {
            FieldValidation::Strict if !wrong.is_empty() => {
                let words = format!("strict decoding error: {}", wrong.join(", "));
                let message = format!(
                    "{} in version {:?} cannot be handled as a {}: {words}",
                    kind.name, kind.version, kind.name
                );
                Err(ApiError::bad_request(message))
            }
            FieldValidation::Warn => {
                warnings.extend(wrong.into_iter().map(str::to_owned));
                Ok(())
            }
            FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
        }
    }
}

/// `HTTPRoute.gateway.networking.k8s.io`, as messages about values name it.
fn kind_and_group(kind: &Kind) -> String {
    if kind.group.is_empty() { kind.name.to_owned() } else { format!("{}.{}", kind.name, kind.group) }
}
