//! JSON that is only read: what it says is borrowed from its text.
//!
//! Each look at a large fleet compares thousands of objects with what they should be. A `serde_json::Value` takes a
//! copy of each key and each string, and a node of 600 bytes for each object however little is in it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Number, Value as Json};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    /// In the order of the text.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Tree<'a> {
    /// What the text says; null if it is no JSON.
    pub(crate) fn read(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or(Self::Null)
    }

    /// The field of that name, of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::List(list) => list.is_empty(),
            Self::Object(fields) => fields.iter().all(|(_, value)| value.is_empty()),
            Self::Bool(_) | Self::Number(_) | Self::Text(_) => false,
        }
    }

    /// Whether both say the same; the order of fields says nothing, nor does the way in which a number is written.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a == b || a.as_f64() == b.as_f64(),
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.says_the_same_as(b)),
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| other.get(key).is_some_and(|other| value.says_the_same_as(other)))
            }
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Tree<'_> {
    /// A string without quotes, all else as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            other => f.write_str(&serde_json::to_string(other).map_err(|_| fmt::Error)?),
        }
    }
}

impl<'a> From<&'a Json> for Tree<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.clone()),
            Json::String(text) => Self::Text(text.into()),
            Json::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            Json::Object(map) => Self::Object(map.iter().map(|(key, value)| (key.into(), value.into())).collect()),
        }
    }
}

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => out.serialize_unit(),
            Self::Bool(value) => out.serialize_bool(*value),
            Self::Number(number) => number.serialize(out),
            Self::Text(text) => out.serialize_str(text),
            Self::List(list) => out.collect_seq(list),
            Self::Object(fields) => out.collect_map(fields.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tree<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree<'de>, E> {
        Number::from_f64(value).map(Tree::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            fields.push((key, value));
        }
        Ok(Tree::Object(fields))
    }
}

/// A key; borrowed where its text has no escapes, which `Cow` alone would not be.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match Tree::deserialize(input)? {
            Tree::Text(key) => Ok(Self(key)),
            _ => Err(D::Error::custom("a key is a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn strings_are_borrowed_unless_they_are_escaped() {
        let text = r#"{"a":"plain","b\n":"x\ty"}"#;
        let Tree::Object(fields) = Tree::read(text) else { panic!("no object") };
        let [(a, plain), (b, escaped)] = &fields[..] else { panic!("two fields") };
        assert!(matches!((a, plain), (Cow::Borrowed("a"), Tree::Text(Cow::Borrowed("plain")))));
        assert!(matches!((b, escaped), (Cow::Owned(_), Tree::Text(Cow::Owned(_)))));
        assert_eq!((b.as_ref(), escaped.to_string().as_str()), ("b\n", "x\ty"));
        assert_eq!(Tree::read("{"), Tree::Null);
    }

    #[test]
    fn order_and_the_way_of_writing_say_nothing() {
        let (a, b) = (Tree::read(r#"{"a":1,"b":[1.0,"x"]}"#), Tree::read(r#"{"b":[1,"x"],"a":1}"#));
        assert!(a.says_the_same_as(&b));
        for other in [r#"{"a":1}"#, r#"{"b":["x",1],"a":1}"#, r#"{"b":[1,"x"],"a":"1"}"#, "[]"] {
            assert!(!a.says_the_same_as(&Tree::read(other)), "{other}");
        }
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| json!(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_written(value in value()) {
            let text = value.to_string();
            prop_assert_eq!(serde_json::to_string(&Tree::read(&text)).unwrap(), text.as_str());
            prop_assert!(Tree::read(&text).says_the_same_as(&Tree::from(&value)));
        }
    }
}
