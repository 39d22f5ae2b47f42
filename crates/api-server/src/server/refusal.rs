//! Refusals that are injected, as admission webhooks and policies do.

use serde_json::Value as Json;

use crate::error::ApiError;
use crate::kinds::Kind;

/// A webhook that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub webhook: String,
    /// Objects of this kind.
    pub kind: &'static Kind,
    /// In this namespace; none for all.
    pub namespace: Option<String>,
    /// Objects that have this there, by JSON pointer; none for all.
    pub having: Option<(String, Json)>,
    /// Why not.
    pub message: String,
}

impl Refusal {
    /// The refusal of a write, if it is about that.
    pub(super) fn of(&self, kind: &Kind, namespace: Option<&str>, object: &Json) -> Option<ApiError> {
        let here = self.namespace.is_none() || self.namespace.as_deref() == namespace;
        let has = |(pointer, value): &(String, Json)| object.pointer(pointer) == Some(value);
        if self.kind != kind || !here || !self.having.as_ref().is_none_or(has) {
            return None;
        }
        let message = format!("admission webhook {:?} denied the request: {}", self.webhook, self.message);
        Some(ApiError::new(403, "Forbidden", message))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::{POD, SERVICE};

    #[test]
    fn what_it_is_about_is_refused_and_nothing_else() {
        let refusal = Refusal {
            webhook: "no.example.org".to_owned(),
            kind: &SERVICE,
            namespace: Some("meet".to_owned()),
            having: Some(("/spec/type".to_owned(), json!("NodePort"))),
            message: "no".to_owned(),
        };
        let (asked, other) = (json!({ "spec": { "type": "NodePort" } }), json!({ "spec": { "type": "ClusterIP" } }));
        let error = refusal.of(&SERVICE, Some("meet"), &asked).unwrap();
        assert_eq!(error.message, "admission webhook \"no.example.org\" denied the request: no");
        for (kind, namespace, object) in
            [(&SERVICE, "meet", &other), (&SERVICE, "else", &asked), (&POD, "meet", &asked)]
        {
            assert_eq!(refusal.of(kind, Some(namespace), object), None);
        }
        let all = Refusal { namespace: None, having: None, ..refusal };
        assert!(all.of(&SERVICE, Some("else"), &other).is_some());
    }
}
