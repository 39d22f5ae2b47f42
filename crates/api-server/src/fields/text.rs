//! `FieldsV1`: `{"f:spec":{"f:ports":{".":{},"k:{\"port\":80}":{…}}}}`.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{FieldSet, PathElement};

/// What is not `FieldsV1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no field: it must begin with f:, k:, v: or i:")]
pub struct Unreadable(String);

impl FieldSet {
    /// Reads `FieldsV1`.
    ///
    /// # Errors
    /// A key that names no field.
    pub fn parse(fields: &Json) -> Result<Self, Unreadable> {
        let mut set = Self::new();
        for (name, below) in fields.as_object().into_iter().flatten() {
            if name == "." {
                continue;
            }
            let element = parse(name).ok_or_else(|| Unreadable(name.clone()))?;
            let inner = below.as_object();
            let here = inner.is_none_or(|inner| inner.is_empty() || inner.contains_key("."));
            set.graft(element, here, Self::parse(below)?);
        }
        Ok(set)
    }

    /// Prints `FieldsV1`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut fields = Map::new();
        for (element, here, below) in self.iter() {
            let mut inner = below.to_json();
            if let Some(inner) = inner.as_object_mut()
                && here
                && !inner.is_empty()
            {
                inner.insert(".".to_owned(), Json::Object(Map::new()));
            }
            fields.insert(print(element), inner);
        }
        Json::Object(fields)
    }
}

fn parse(name: &str) -> Option<PathElement> {
    let (what, text) = name.split_at_checked(2)?;
    Some(match what {
        "f:" => PathElement::field(text),
        "v:" => PathElement::Value(Arc::new(serde_json::from_str(text).ok()?)),
        "k:" => {
            let keys: Map<String, Json> = serde_json::from_str(text).ok()?;
            PathElement::key(keys.into_iter().map(|(name, value)| (name.into(), value)).collect())
        }
        "i:" => PathElement::Index(text.parse().ok()?),
        _ => return None,
    })
}

fn print(element: &PathElement) -> String {
    match element {
        PathElement::Field(name) => format!("f:{name}"),
        PathElement::Key(keys) => {
            let mut text = "k:{".to_owned();
            for (index, (name, value)) in keys.iter().enumerate() {
                text.push_str(if index == 0 { "\"" } else { ",\"" });
                text.push_str(name);
                text.push_str("\":");
                text.push_str(&escaped(value));
            }
            text.push('}');
            text
        }
        PathElement::Value(value) => format!("v:{}", escaped(value)),
        PathElement::Index(index) => format!("i:{index}"),
    }
}

/// JSON as the server prints it: safe in HTML.
fn escaped(value: &Json) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let escape = |sign: char| match sign {
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => format!("\\u{:04x}", u32::from(sign)),
        sign => sign.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_and_prints_what_servers_write() {
        let written = json!({
            "f:metadata": { "f:finalizers": { ".": {}, "v:\"a/b\"": {} } },
            "f:spec": {
                "f:ports": { ".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:port": {} } },
                "f:selector": {},
            },
        });
        let set = FieldSet::parse(&written).unwrap();
        let expected = [
            ".metadata.finalizers",
            ".metadata.finalizers[=\"a/b\"]",
            ".spec.ports",
            ".spec.selector",
            ".spec.ports[port=80,protocol=\"TCP\"]",
            ".spec.ports[port=80,protocol=\"TCP\"].port",
        ];
        assert_eq!(set.paths(), expected);
        assert_eq!(set.to_json(), written);
    }

    #[test]
    fn values_are_escaped_as_the_server_does() {
        let mut set = FieldSet::new();
        set.insert([PathElement::Value(Arc::new(json!("a<b")))]);
        assert_eq!(set.to_json(), json!({ "v:\"a\\u003cb\"": {} }));
        assert_eq!(FieldSet::parse(&set.to_json()), Ok(set));
    }

    #[test]
    fn refuses_what_is_no_field() {
        assert_eq!(FieldSet::parse(&json!({ "spec": {} })), Err(Unreadable("spec".to_owned())));
        assert_eq!(FieldSet::parse(&json!({})), Ok(FieldSet::new()));
    }
}
