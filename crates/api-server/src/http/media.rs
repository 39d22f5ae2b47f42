//! Content types: what a caller wants to get, and what it sends.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::error::ApiError;
use crate::kinds::Kind;
use crate::request::PatchType;

/// What kubectl sends where it thinks that every server takes it.
pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// In what shape an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it is.
    Plain,
    /// As a table for people.
    Table,
    /// Only metadata.
    Metadata,
    /// Discovery documents in one piece.
    Aggregated,
}

/// The first shape that the caller takes and this server has.
pub(super) fn shape(headers: &HeaderMap) -> Result<Shape, ApiError> {
    let Some(accept) = headers.get(ACCEPT) else { return Ok(Shape::Plain) };
    let accept = accept.to_str().unwrap_or_default();
    accept.split(',').find_map(one).ok_or_else(|| {
        let message = format!("only application/json is served here, and the request accepts only {accept:?}");
        ApiError::new(406, "NotAcceptable", message)
    })
}

fn one(clause: &str) -> Option<Shape> {
    let mut parts = clause.split(';').map(str::trim);
    if !matches!(parts.next()?, "application/json" | "application/*" | "*/*" | "") {
        return None;
    }
    let (mut group, mut version, mut kind) = ("", "", "");
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        match key {
            "g" => group = value,
            "v" => version = value,
            "as" => kind = value,
            _ => {}
        }
    }
    match (group, version, kind) {
        (_, _, "") => Some(Shape::Plain),
        ("meta.k8s.io", "v1", "Table") => Some(Shape::Table),
        ("meta.k8s.io", "v1", "PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Shape::Metadata),
        ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") => Some(Shape::Aggregated),
        _ => None,
    }
}

/// The content type of the request, without its parameters.
fn content(headers: &HeaderMap) -> &str {
    let content = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content.split(';').next().unwrap_or_default().trim()
}

/// In what form the body of a POST, PUT or DELETE is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Protobuf,
}

/// That of this request.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    match content(headers) {
        "" | "application/json" => Ok(Form::Json),
        PROTOBUF => Ok(Form::Protobuf),
        _ => Err(unsupported("application/json")),
    }
}

/// What kind of patch it is.
pub(super) fn patch(headers: &HeaderMap, kind: &Kind) -> Result<PatchType, ApiError> {
    match content(headers) {
        "application/apply-patch+yaml" => Ok(PatchType::Apply),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/strategic-merge-patch+json" if !kind.custom => Ok(PatchType::StrategicMerge),
        _ => {
            let accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            let strategic = if kind.custom { "" } else { ", application/strategic-merge-patch+json" };
            Err(unsupported(&format!("{accepted}{strategic}")))
        }
    }
}

/// 415.
pub(super) fn unsupported(accepted: &str) -> ApiError {
    let message =
        format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    ApiError::new(415, "UnsupportedMediaType", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{HTTP_ROUTE, POD};

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn the_first_shape_that_is_served() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        for (accept, expected) in [
            (table, Shape::Table),
            (discovery, Shape::Aggregated),
            ("application/vnd.kubernetes.protobuf,application/json", Shape::Plain),
            ("*/*", Shape::Plain),
            ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Shape::Metadata),
        ] {
            assert_eq!(shape(&headers(ACCEPT, accept)).unwrap(), expected, "{accept}");
        }
        assert_eq!(shape(&headers(ACCEPT, "application/vnd.kubernetes.protobuf")).unwrap_err().code, 406);
    }

    #[test]
    fn strategic_patches_are_not_for_custom_kinds() {
        let strategic = headers(CONTENT_TYPE, "application/strategic-merge-patch+json");
        assert_eq!(patch(&strategic, &POD).unwrap(), PatchType::StrategicMerge);
        assert_eq!(patch(&strategic, &HTTP_ROUTE).unwrap_err().code, 415);
        assert_eq!(form(&headers(CONTENT_TYPE, "application/json; charset=utf-8")), Ok(Form::Json));
        assert_eq!(form(&headers(CONTENT_TYPE, PROTOBUF)), Ok(Form::Protobuf));
        assert!(form(&headers(CONTENT_TYPE, "application/yaml")).is_err());
    }
}
