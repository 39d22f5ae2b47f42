//! JSON text with holes, for many objects that differ in a few places: what is the same is written once.

use serde::Serialize;
use serde_json::Value as Json;

/// JSON text with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stencil(Vec<String>);

impl Stencil {
    /// Cuts holes into a tree: paths of keys and indices, in the order in which their values stand in the text. A path
    /// that leads nowhere makes no hole.
    #[must_use]
    pub fn cut(tree: &Json, holes: &[&[&str]]) -> Self {
        let mut stencil = Self(vec![String::new()]);
        stencil.write(tree, holes);
        stencil
    }

    /// Writes a value with holes at these paths into it.
    fn write(&mut self, value: &Json, holes: &[&[&str]]) {
        if holes.iter().any(|hole| hole.is_empty()) {
            self.0.push(String::new());
            return;
        }
        match value {
            Json::Object(fields) if !holes.is_empty() => {
                for (at, (key, value)) in fields.iter().enumerate() {
                    self.push(if at == 0 { "{" } else { "," });
                    self.push(&text_of(key));
                    self.push(":");
                    self.write(value, &below(holes, key));
                }
                self.push(if fields.is_empty() { "{}" } else { "}" });
            }
            Json::Array(items) if !holes.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    self.push(if at == 0 { "[" } else { "," });
                    self.write(item, &below(holes, &at.to_string()));
                }
                self.push(if items.is_empty() { "[]" } else { "]" });
            }
            whole => self.push(&text_of(whole)),
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(last) = self.0.last_mut() {
            last.push_str(text);
        }
    }

    /// The pieces of the text with these texts in its holes, in their order.
    pub(crate) fn pieces<'a>(&'a self, values: &'a [&'a str]) -> impl Iterator<Item = &'a str> + Clone {
        let values = values.iter().copied().chain(std::iter::repeat("null"));
        let (first, rest) = self.0.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        std::iter::once(first).chain(rest.iter().zip(values).flat_map(|(piece, value)| [value, piece]))
    }

    /// The text with these texts in its holes, in their order.
    #[must_use]
    pub fn fill(&self, values: &[&str]) -> String {
        let pieces = self.pieces(values);
        let mut text = String::with_capacity(pieces.clone().map(str::len).sum());
        text.extend(pieces);
        text
    }
}

/// What is left of the paths that begin with this key.
fn below<'a>(holes: &[&'a [&'a str]], key: &str) -> Vec<&'a [&'a str]> {
    holes
        .iter()
        .filter_map(|hole| hole.split_first().filter(|(first, _)| **first == key))
        .map(|(_, rest)| rest)
        .collect()
}

/// Several times as fast as `to_string`, which goes through a formatter.
pub(crate) fn text_of<T: Serialize + ?Sized>(value: &T) -> String {
    // A tree of JSON always has a text, and so has a key.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fills_a_hole_stands_where_the_value_stood() {
        let tree = json!({ "a": [{ "b": 1, "z": "null" }], "c": { "d": "x" }, "n": null, "nu": "ll" });
        let stencil = Stencil::cut(&tree, &[&["a", "0", "b"], &["c"], &["n"]]);
        assert_eq!(stencil.fill(&["1", r#"{"d":"x"}"#, "null"]), tree.to_string());
        let other = stencil.fill(&["[2]", "true", r#""null""#]);
        assert_eq!(other, r#"{"a":[{"b":[2],"z":"null"}],"c":true,"n":"null","nu":"ll"}"#);
        assert_eq!(
            Stencil::cut(&tree, &[&["nowhere"], &["a", "1"], &["a", "0", "b", "1"]]).fill(&[]),
            tree.to_string()
        );
    }
}
