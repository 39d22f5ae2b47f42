//! The fleet file as a tree that knows where each value stands.

mod parse;

use crate::diagnostic::Label;

pub(crate) use parse::parse;

/// Nothing larger is read: a fleet file is some kilobytes.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// A place in a text: line and column from 1, and how many characters on that line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) len: usize,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A scalar with its text as written; `plain` when it stands without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// A map, in the file's order.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Node {
    /// Whether nothing is written (`key:`, `~`, `null`).
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What the node is, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            _ if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a map",
        }
    }

    /// The key and value under that key.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Key, &Self)> {
        match &self.kind {
            Kind::Mapping(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(k, v)| (k, v)),
            _ => None,
        }
    }
}

/// A text with its name, to point into.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    /// The name as the user knows it.
    pub(crate) name: String,
    lines: Vec<String>,
}

impl Text {
    pub(crate) fn new(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// The lines, for a look around a place.
    pub(crate) fn line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|i| self.lines.get(i)).map_or("", String::as_str)
    }

    /// A label with the line's text, unless the line could show a secret.
    pub(crate) fn label(&self, span: Span) -> Label {
        let line = self.line(span.line);
        let snippet = if crate::secrets::line_may_hold_one(line) { String::new() } else { line.to_owned() };
        Label { snippet, ..self.bare_label(span) }
    }

    /// A label without the line's text.
    pub(crate) fn bare_label(&self, span: Span) -> Label {
        Label { file: self.name.clone(), line: span.line, column: span.column, len: span.len, snippet: String::new() }
    }
}
