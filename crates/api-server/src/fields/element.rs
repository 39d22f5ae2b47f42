//! One step into an object.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use serde_json::Value as Json;

/// One step into an object. Sorted: fields, then keys, then values, then positions.
#[derive(Debug, Clone)]
pub enum PathElement {
    /// The field of a struct or the key of a map.
    Field(Arc<str>),
    /// The item of a list that has these values in its key fields, which are sorted by name.
    Key(Arc<[(Arc<str>, Json)]>),
    /// The item of a set.
    Value(Arc<Json>),
    /// The item at a position.
    Index(usize),
}

impl PathElement {
    /// A field.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// An item by its keys, in any order.
    #[must_use]
    pub fn key(mut keys: Vec<(Arc<str>, Json)>) -> Self {
        keys.sort_by(|one, other| one.0.cmp(&other.0));
        Self::Key(keys.into())
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(one), Self::Field(other)) => one.cmp(other),
            (Self::Key(one), Self::Key(other)) => {
                let pairs = one.iter().zip(other.iter());
                let differences = pairs.map(|(a, b)| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)));
                differences.fold(Ordering::Equal, Ordering::then).then(one.len().cmp(&other.len()))
            }
            (Self::Value(one), Self::Value(other)) => compare(one, other),
            (Self::Index(one), Self::Index(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PathElement {}

/// As conflicts name it: `.spec`, `[name="x"]`, `[="finalizer"]`, `[3]`.
impl Display for PathElement {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(out, ".{name}"),
            Self::Key(keys) => {
                for (index, (name, value)) in keys.iter().enumerate() {
                    write!(out, "{}{name}={value}", if index == 0 { '[' } else { ',' })?;
                }
                out.write_str("]")
            }
            Self::Value(value) => write!(out, "[={value}]"),
            Self::Index(index) => write!(out, "[{index}]"),
        }
    }
}

/// An order of all values; numbers are compared as such, whether they have a point or not.
#[must_use]
pub fn compare(one: &Json, other: &Json) -> Ordering {
    const fn rank(value: &Json) -> u8 {
        match value {
            Json::Number(_) => 0,
            Json::String(_) => 1,
            Json::Bool(_) => 2,
            Json::Array(_) => 3,
            Json::Object(_) => 4,
            Json::Null => 5,
        }
    }
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.as_f64().unwrap_or_default().total_cmp(&other.as_f64().unwrap_or_default()),
        },
        (Json::String(one), Json::String(other)) => one.cmp(other),
        (Json::Bool(one), Json::Bool(other)) => one.cmp(other),
        (Json::Array(one), Json::Array(other)) => {
            let differences = one.iter().zip(other).map(|(a, b)| compare(a, b));
            differences.fold(Ordering::Equal, Ordering::then).then(one.len().cmp(&other.len()))
        }
        (Json::Object(one), Json::Object(other)) => {
            let pairs = one.iter().zip(other);
            let differences = pairs.map(|(a, b)| a.0.cmp(b.0).then_with(|| compare(a.1, b.1)));
            differences.fold(Ordering::Equal, Ordering::then).then(one.len().cmp(&other.len()))
        }
        _ => rank(one).cmp(&rank(other)),
    }
}

/// Whether two values are the same; `1` and `1.0` are.
#[must_use]
pub fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(_), Json::Number(_)) => compare(one, other).is_eq(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_are_sorted_by_what_they_are_and_numbers_by_their_size() {
        let port = |number: u16| PathElement::key(vec![("port".into(), json!(number))]);
        let mut elements = [
            PathElement::Index(1),
            PathElement::Value(Arc::new(json!("a"))),
            port(10_000),
            port(80),
            PathElement::field("b"),
            PathElement::field("a"),
        ];
        elements.sort();
        let printed: Vec<String> = elements.iter().map(ToString::to_string).collect();
        assert_eq!(printed, [".a", ".b", "[port=80]", "[port=10000]", r#"[="a"]"#, "[1]"]);
        assert_eq!(port(80), PathElement::key(vec![("port".into(), json!(80.0))]));
    }

    #[test]
    fn keys_are_sorted_by_name() {
        let element = PathElement::key(vec![("protocol".into(), json!("TCP")), ("port".into(), json!(1))]);
        assert_eq!(element.to_string(), r#"[port=1,protocol="TCP"]"#);
    }
}
