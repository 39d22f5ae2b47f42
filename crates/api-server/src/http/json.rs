//! JSON as an API server reads it: the last of two equal keys wins, and each such pair is remembered.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// A body, and the words `duplicate field "spec.x"` for each key that stands twice in one object.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) value: Json,
    pub(super) duplicates: Vec<String>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, serde_json::Error> {
    let mut duplicates = Vec::new();
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = At { path: Path::Root, duplicates: &mut duplicates }.deserialize(&mut source)?;
    source.end()?;
    Ok(Parsed { value, duplicates })
}

/// Where the reader is; becomes text only when there is something to tell.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Path::Root, key) => to.write_str(key),
            Self::Key(above, key) => write!(to, "{above}.{key}"),
            Self::Index(above, index) => write!(to, "{above}[{index}]"),
        }
    }
}

struct At<'a> {
    path: Path<'a>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Json, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Json;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        loop {
            let path = Path::Index(&self.path, items.len());
            match source.next_element_seed(At { path, duplicates: &mut *self.duplicates })? {
                Some(item) => items.push(item),
                None => return Ok(Json::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(key) = source.next_key::<String>()? {
            let path = Path::Key(&self.path, &key);
            let value = source.next_value_seed(At { path, duplicates: &mut *self.duplicates })?;
            if object.contains_key(&key) {
                self.duplicates.push(format!("duplicate field \"{path}\""));
            }
            object.insert(key, value);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_of_equal_keys_wins_and_is_told() {
        let parsed = parse(br#"{"spec":{"a":1,"items":[{"x":"y","x":null}],"a":2.5},"b":[true,-1]}"#).unwrap();
        assert_eq!(parsed.value, json!({"spec": {"a": 2.5, "items": [{"x": null}]}, "b": [true, -1]}));
        assert_eq!(parsed.duplicates, ["duplicate field \"spec.items[0].x\"", "duplicate field \"spec.a\""]);
    }

    #[test]
    fn what_follows_the_body_is_refused() {
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"a: 1").is_err());
    }
}
