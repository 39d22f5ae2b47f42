//! JSON text with holes, for many objects that differ in a few places: what is the same is written once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

/// JSON text with holes.
///
/// It is written straight from what is known, without a tree of JSON in between where that is easy: a tree takes an
/// allocation for each key and each value, and some 600 bytes for each object however little is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stencil {
    text: String,
    /// Where in the text the holes are, in order.
    holes: Vec<usize>,
}

impl Stencil {
    /// An empty one that needs no more memory for so many bytes.
    pub(crate) fn with_room_for(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), holes: Vec::new() }
    }

    /// In bytes, without what fills the holes.
    pub(crate) const fn len(&self) -> usize {
        self.text.len()
    }

    /// Cuts holes into a tree: paths of keys and indices, in the order in which their values stand in the text. A path
    /// that leads nowhere makes no hole.
    pub(crate) fn cut(tree: &Json, holes: &[&[&str]]) -> Self {
        let mut stencil = Self::default();
        stencil.tree(tree, holes);
        stencil
    }

    /// Writes a tree with holes at these paths.
    pub(crate) fn tree(&mut self, value: &Json, holes: &[&[&str]]) {
        if holes.iter().any(|hole| hole.is_empty()) {
            self.hole();
            return;
        }
        match value {
            Json::Object(fields) if !holes.is_empty() => {
                for (at, (key, value)) in fields.iter().enumerate() {
                    self.raw(if at == 0 { "{" } else { "," });
                    self.key(key);
                    self.tree(value, &below(holes, key));
                }
                self.raw(if fields.is_empty() { "{}" } else { "}" });
            }
            Json::Array(items) if !holes.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    self.raw(if at == 0 { "[" } else { "," });
                    self.tree(item, &below(holes, &at.to_string()));
                }
                self.raw(if items.is_empty() { "[]" } else { "]" });
            }
            whole => self.value(whole),
        }
    }

    /// Writes a value without holes.
    pub(crate) fn value(&mut self, value: &Json) {
        push(&mut self.text, value);
    }

    /// Writes a number.
    pub(crate) fn number(&mut self, number: u16) {
        // Writing into a string can't fail.
        let _ = write!(self.text, "{number}");
    }

    /// Writes a string.
    pub(crate) fn string(&mut self, text: &str) {
        push_string(&mut self.text, text);
    }

    /// Writes what is JSON text, or a part of it.
    pub(crate) fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text, of one without holes.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Writes a key and what follows it.
    pub(crate) fn key(&mut self, key: &str) {
        self.string(key);
        self.raw(":");
    }

    /// Leaves a value open.
    pub(crate) fn hole(&mut self) {
        self.holes.push(self.text.len());
    }

    /// Writes an object of strings; of those that are not known, what stands between the quotes is a hole.
    pub(crate) fn strings(&mut self, fields: &BTreeMap<&str, Option<&str>>) {
        self.raw("{");
        for (at, (key, value)) in fields.iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            self.key(key);
            match value {
                Some(value) => self.string(value),
                None => {
                    self.raw("\"");
                    self.hole();
                    self.raw("\"");
                }
            }
        }
        self.raw("}");
    }

    /// Writes text that has holes itself.
    pub(crate) fn stencil(&mut self, inner: &Self) {
        let before = self.text.len();
        self.raw(&inner.text);
        self.holes.extend(inner.holes.iter().map(|hole| before + hole));
    }

    /// The pieces of the text with these texts in its holes, in their order; a hole without one is null.
    pub(crate) fn pieces<'a>(&'a self, values: &[&'a str]) -> Vec<&'a str> {
        let mut pieces = Vec::with_capacity(2 * self.holes.len() + 1);
        let mut from = 0;
        for (hole, value) in self.holes.iter().zip(values.iter().copied().chain(std::iter::repeat("null"))) {
            // Holes are where a piece ended.
            pieces.extend([self.text.get(from..*hole).unwrap_or_default(), value]);
            from = *hole;
        }
        pieces.push(self.text.get(from..).unwrap_or_default());
        pieces
    }

    /// The text with these texts in its holes, in their order.
    #[cfg(test)]
    fn fill(&self, values: &[&str]) -> String {
        self.pieces(values).concat()
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

/// Entries that are all known, for [`Stencil::strings`].
pub(crate) fn some<K: AsRef<str>>(map: &BTreeMap<K, String>) -> impl Iterator<Item = (&str, Option<&str>)> {
    map.iter().map(|(key, value)| (key.as_ref(), Some(value.as_str())))
}

/// Appends a value. Several times as fast as a serializer, which has to be told each piece as bytes.
fn push(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => {
            // Writing into a string can't fail.
            let _ = write!(out, "{number}");
        }
        Json::String(text) => push_string(out, text),
        Json::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push(out, item);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (at, (key, value)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_string(out, key);
                out.push(':');
                push(out, value);
            }
            out.push('}');
        }
    }
}

/// Appends a string in quotes.
fn push_string(out: &mut String, text: &str) {
    // Without a way out of the loop, so that it goes many bytes at a time.
    let is_escaped = |byte| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |found, byte| found | is_escaped(byte)) {
        // A string always has a text.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
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

    #[test]
    fn strings_and_holes_stand_in_the_order_of_their_keys() {
        let mut stencil = Stencil::default();
        stencil.strings(&BTreeMap::from([("b", None), ("a\"", Some("x\n\\")), ("c", Some("é\u{1}"))]));
        let tree = json!({ "a\"": "x\n\\", "b": "7", "c": "é\u{1}" });
        assert_eq!(stencil.fill(&["7"]), tree.to_string());
    }

    #[test]
    fn a_value_is_written_as_a_serializer_does() {
        let tree = json!({
            "": [], "a": {}, "b": [null, true, false, 0, -1, 1.5, 1e300, u64::MAX, i64::MIN],
            "c\n\"\\": ["\u{0}\u{1f}\u{7f}é🎥", { "d": [[{}]] }, "/", ""],
        });
        let mut stencil = Stencil::default();
        stencil.value(&tree);
        assert_eq!(stencil.into_text(), tree.to_string());
    }
}
