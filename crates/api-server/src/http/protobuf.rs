//! Bodies in protobuf: those few that kubectl sends in no other form. Answers are JSON, which its clients take as well.

use serde_json::{Map, Value as Json, json};

/// What all such bodies begin with.
const MAGIC: &[u8] = b"k8s\0";

/// How the fields of a message are called in JSON, by number.
struct Message(&'static [(u64, &'static str, Shape)]);

/// What a field is.
enum Shape {
    Text,
    Texts,
    /// A map from text to text.
    Pairs,
    Message(&'static Message),
}

const METADATA: Message = Message(&[
    (1, "name", Shape::Text),
    (2, "generateName", Shape::Text),
    (3, "namespace", Shape::Text),
    (11, "labels", Shape::Pairs),
    (12, "annotations", Shape::Pairs),
]);
const TYPE: Message = Message(&[(1, "apiVersion", Shape::Text), (2, "kind", Shape::Text)]);
const NAMED: Message = Message(&[(1, "metadata", Shape::Message(&METADATA))]);
const ACCESS_REVIEW: Message = Message(&[
    (1, "metadata", Shape::Message(&METADATA)),
    (
        2,
        "spec",
        Shape::Message(&Message(&[
            (
                1,
                "resourceAttributes",
                Shape::Message(&Message(&[
                    (1, "namespace", Shape::Text),
                    (2, "verb", Shape::Text),
                    (3, "group", Shape::Text),
                    (4, "version", Shape::Text),
                    (5, "resource", Shape::Text),
                    (6, "subresource", Shape::Text),
                    (7, "name", Shape::Text),
                ])),
            ),
            (
                2,
                "nonResourceAttributes",
                Shape::Message(&Message(&[(1, "path", Shape::Text), (2, "verb", Shape::Text)])),
            ),
        ])),
    ),
]);
const RULES_REVIEW: Message = Message(&[
    (1, "metadata", Shape::Message(&METADATA)),
    (2, "spec", Shape::Message(&Message(&[(1, "namespace", Shape::Text)]))),
]);
const DATA: Message = Message(&[(1, "metadata", Shape::Message(&METADATA)), (2, "data", Shape::Pairs)]);
const DELETE_OPTIONS: Message = Message(&[(4, "propagationPolicy", Shape::Text), (5, "dryRun", Shape::Texts)]);

/// The object in such a body; none if it is of a kind, or has a field, that is not known here.
pub(super) fn object(body: &[u8]) -> Option<Json> {
    let mut fields = Fields(body.strip_prefix(MAGIC)?);
    let (mut kind, mut raw) = (None, None);
    while !fields.0.is_empty() {
        match fields.next()? {
            (1, Field::Bytes(bytes)) => kind = Some(message(&TYPE, bytes)?),
            (2, Field::Bytes(bytes)) => raw = Some(bytes),
            _ => {}
        }
    }
    let mut object = kind?;
    let known = match object.get("kind")?.as_str()? {
        "SelfSubjectAccessReview" => &ACCESS_REVIEW,
        "SelfSubjectRulesReview" => &RULES_REVIEW,
        "SelfSubjectReview" | "Namespace" | "ServiceAccount" => &NAMED,
        "ConfigMap" => &DATA,
        "DeleteOptions" => &DELETE_OPTIONS,
        _ => return None,
    };
    object.append(&mut message(known, raw.unwrap_or_default())?);
    Some(Json::Object(object))
}

fn message(known: &Message, bytes: &[u8]) -> Option<Map<String, Json>> {
    let (mut fields, mut read) = (Fields(bytes), Map::new());
    while !fields.0.is_empty() {
        let (number, field) = fields.next()?;
        let found = known.0.iter().find(|(known, ..)| *known == number);
        let (name, shape, bytes) = match (found, field) {
            (Some((_, name, shape)), Field::Bytes(bytes)) => (*name, shape, bytes),
            // What is not set is there too: as an empty text, an empty message, or zero.
            (None, Field::Bytes(bytes)) if is_nothing(bytes) => continue,
            (None, Field::Number(0)) => continue,
            _ => return None,
        };
        match shape {
            Shape::Text if bytes.is_empty() => {}
            Shape::Text => _ = read.insert(name.to_owned(), text(bytes)?),
            Shape::Texts => {
                let list = read.entry(name).or_insert_with(|| json!([]));
                list.as_array_mut()?.push(text(bytes)?);
            }
            Shape::Pairs => {
                let pair = message(&Message(&[(1, "key", Shape::Text), (2, "value", Shape::Text)]), bytes)?;
                let part = |name: &str| pair.get(name).cloned().unwrap_or_else(|| json!(""));
                let map = read.entry(name).or_insert_with(|| json!({}));
                map.as_object_mut()?.insert(part("key").as_str()?.to_owned(), part("value"));
            }
            Shape::Message(known) => _ = read.insert(name.to_owned(), Json::Object(message(known, bytes)?)),
        }
    }
    Some(read)
}

fn text(bytes: &[u8]) -> Option<Json> {
    std::str::from_utf8(bytes).ok().map(Json::from)
}

/// Whether there is nothing in it but, at any depth, nothing.
fn is_nothing(bytes: &[u8]) -> bool {
    let mut fields = Fields(bytes);
    while !fields.0.is_empty() {
        match fields.next() {
            Some((_, Field::Bytes(bytes))) if is_nothing(bytes) => {}
            Some((_, Field::Number(0))) => {}
            _ => return false,
        }
    }
    true
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            // Kubernetes has no others in these kinds.
            _ => return None,
        };
        Some((tag >> 3, field))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let kind = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &kind), &field(2, raw), &field(3, b""), &field(4, b"")].concat()
    }

    #[test]
    fn a_namespace_is_read_with_its_labels() {
        let label = field(11, &[field(1, b"team"), field(2, b"media")].concat());
        let creation = field(8, b"");
        let metadata = field(1, &[field(1, b"calls"), field(2, b""), creation, vec![7 << 3, 0], label].concat());
        let raw = [metadata, field(2, b""), field(3, &field(1, b""))].concat();
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": "calls", "labels": { "team": "media" } },
        });
        assert_eq!(object(&body("Namespace", &raw)), Some(expected));
    }

    #[test]
    fn what_is_not_known_is_not_lost_silently() {
        assert_eq!(object(&body("Pod", b"")), None);
        let finalizers = field(1, &field(14, b"kept"));
        assert_eq!(object(&body("Namespace", &finalizers)), None);
        let whole = body("Namespace", &field(1, &field(1, b"calls")));
        for cut in 0..whole.len() - 4 {
            // Nothing but a refusal or what was there so far, and no panic.
            let _ = object(&whole[..cut]);
        }
        assert_eq!(object(b"{}"), None);
    }
}
