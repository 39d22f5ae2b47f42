//! Values of somebody else's layout, which remember what was taken from them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::str::FromStr;

use serde_json::Value as Json;

use crate::diagnostic::{Label, Problem};
use crate::schema;
use crate::source::{Kind, Node, Text};

/// A file of values.
pub(super) struct Sheet<'a> {
    source: &'a Text,
    root: &'a Node,
    /// Key paths of what was taken, with all below them.
    taken: RefCell<BTreeSet<String>>,
    problems: RefCell<Vec<Problem>>,
}

/// A place of a sheet, whether anything stands there or not.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    sheet: &'a Sheet<'a>,
    node: Option<&'a Node>,
    path: String,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(source: &'a Text, root: &'a Node) -> Self {
        Self { source, root, taken: RefCell::default(), problems: RefCell::default() }
    }

    pub(super) fn root(&'a self) -> Entry<'a> {
        Entry { sheet: self, node: Some(self.root), path: String::new() }
    }

    /// What is not of the shape that was wanted.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.problems.borrow().clone()
    }

    /// The key paths of all that is said and was not taken.
    pub(super) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        self.collect(self.root, "", &mut left);
        left
    }

    fn collect(&self, node: &Node, path: &str, left: &mut Vec<String>) {
        if self.taken.borrow().contains(path) {
            return;
        }
        match &node.kind {
            Kind::Scalar { text, .. } if text.is_empty() || node.is_null() => {}
            Kind::Scalar { .. } => left.push(path.to_owned()),
            Kind::Mapping(entries) => {
                entries.iter().for_each(|(key, inner)| self.collect(inner, &join(path, &key.text), left));
            }
            // A list of which nothing was taken is told of as a whole.
            Kind::Sequence(items) if !self.touched(path) => {
                if items.iter().any(said) {
                    left.push(path.to_owned());
                }
            }
            Kind::Sequence(items) => {
                items.iter().enumerate().for_each(|(i, inner)| self.collect(inner, &join(path, &i.to_string()), left));
            }
        }
    }

    fn touched(&self, path: &str) -> bool {
        let below = format!("{path}.");
        self.taken.borrow().range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
    }

    /// The place of a node; a line of secrets is pointed at, not shown.
    fn label(&self, node: &Node, path: &str) -> Label {
        if path.contains("secret") { self.source.bare_label(node.span) } else { self.source.label(node.span) }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What stands under a key of a map.
    pub(super) fn at(&self, key: &str) -> Self {
        let path = join(&self.path, key);
        let node = self.map().and_then(|_| self.node?.entry(key)).map(|(_, node)| node);
        Self { sheet: self.sheet, node, path }
    }

    /// The entries of a map.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let entries = self.map().into_iter().flatten();
        entries.map(|(key, _)| (key.text.as_str(), self.at(&key.text))).collect()
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<Self> {
        let items = match self.present().map(|node| &node.kind) {
            Some(Kind::Sequence(items)) => items.as_slice(),
            Some(_) => {
                self.wrong("a list");
                &[]
            }
            None => &[],
        };
        let each = items.iter().enumerate();
        each.map(|(i, node)| Self { sheet: self.sheet, node: Some(node), path: join(&self.path, &i.to_string()) })
            .collect()
    }

    /// A single value as it is written.
    pub(super) fn text(&self) -> Option<String> {
        match &self.present()?.kind {
            Kind::Scalar { text, .. } => {
                self.take();
                (!text.is_empty()).then(|| text.clone())
            }
            Kind::Sequence(_) | Kind::Mapping(_) => {
                self.wrong("a single value");
                None
            }
        }
    }

    /// A whole number.
    pub(super) fn number<T: FromStr>(&self) -> Option<T> {
        let text = self.text()?;
        let number = text.parse().ok();
        if number.is_none() {
            self.wrong("a whole number that fits");
        }
        number
    }

    /// `true` or `false`; without one, `default`.
    pub(super) fn flag(&self, default: bool) -> bool {
        match self.text().as_deref() {
            None => default,
            Some("true" | "True" | "TRUE") => true,
            Some("false" | "False" | "FALSE") => false,
            Some(_) => {
                self.wrong("true or false");
                default
            }
        }
    }

    /// A map in Kubernetes' own words, if it says anything.
    pub(super) fn free_map(&self) -> Option<Json> {
        self.map()?;
        self.free()
    }

    /// A list in Kubernetes' own words, if it says anything.
    pub(super) fn free_list(&self) -> Option<Json> {
        if self.items().is_empty() { None } else { self.free() }
    }

    /// Whether this is that single value.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self.node.map(|node| &node.kind), Some(Kind::Scalar { text, .. }) if text == wanted)
    }

    /// Takes this value if it is no other than that one: it is so anyway.
    pub(super) fn usual(&self, usual: &str) {
        if self.is(usual) {
            self.take();
        }
    }

    /// Marks all that stands here as dealt with.
    pub(super) fn take(&self) {
        self.sheet.taken.borrow_mut().insert(self.path.clone());
    }

    fn free(&self) -> Option<Json> {
        self.take();
        self.node.filter(|node| said(node)).map(schema::free)
    }

    fn present(&self) -> Option<&'a Node> {
        self.node.filter(|node| !node.is_null())
    }

    fn map(&self) -> Option<&'a [(crate::source::Key, Node)]> {
        match &self.present()?.kind {
            Kind::Mapping(entries) => Some(entries),
            Kind::Scalar { .. } | Kind::Sequence(_) => {
                self.wrong("a map");
                None
            }
        }
    }

    fn wrong(&self, wanted: &str) {
        let Some(node) = self.node else { return };
        self.take();
        let path = if self.path.is_empty() { "the file" } else { &self.path };
        let problem = Problem::error(format!("`{path}` is {}, wanted: {wanted}", node.describe()));
        self.sheet.problems.borrow_mut().push(problem.at(self.sheet.label(node, path)));
    }
}

fn said(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { text, .. } => !text.is_empty() && !node.is_null(),
        Kind::Sequence(items) => items.iter().any(said),
        Kind::Mapping(entries) => entries.iter().any(|(_, node)| said(node)),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;

    #[test]
    fn what_was_not_taken_is_left() {
        let text = "a: { b: 1, c: '', d: [] }\ne: [{ f: 1, g: 2 }, { f: 3 }]\nh: [1, 2]\ni: null\n";
        let lines = Text::new("values.yaml", text);
        let tree = source::parse(text, &lines).unwrap();
        let sheet = Sheet::new(&lines, &tree);
        assert_eq!(sheet.left(), ["a.b", "e", "h"]);
        assert_eq!(sheet.root().at("e").items()[0].at("f").number(), Some(1_u16));
        sheet.root().at("a").at("b").usual("2");
        assert_eq!(sheet.left(), ["a.b", "e.0.g", "e.1.f", "h"]);
        sheet.root().at("a").at("b").usual("1");
        sheet.root().at("e").take();
        assert_eq!(sheet.left(), ["h"]);
        assert!(sheet.problems().is_empty());
    }

    #[test]
    fn another_shape_is_told_where_it_stands() {
        let text = "a: 7\nb: [1]\nc: { d: x, e: maybe }\n";
        let lines = Text::new("values.yaml", text);
        let tree = source::parse(text, &lines).unwrap();
        let sheet = Sheet::new(&lines, &tree);
        let root = sheet.root();
        assert!(root.at("a").at("x").at("y").text().is_none());
        assert!(root.at("b").text().is_none() && root.at("c").items().is_empty());
        assert!(root.at("c").at("d").number::<u16>().is_none() && root.at("c").at("e").flag(true));
        let told: Vec<(usize, String)> = sheet.problems().into_iter().map(|p| (p.labels[0].line, p.message)).collect();
        let said = [
            (1, "`a` is a single value, wanted: a map".to_owned()),
            (2, "`b` is a list, wanted: a single value".to_owned()),
            (3, "`c` is a map, wanted: a list".to_owned()),
            (3, "`c.d` is a single value, wanted: a whole number that fits".to_owned()),
            (3, "`c.e` is a single value, wanted: true or false".to_owned()),
        ];
        assert_eq!(told, said);
    }
}
