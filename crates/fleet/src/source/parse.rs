//! From YAML events to the tree, with budgets against files that are made to hurt.

use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle};

use super::{Key, Kind, MAX_BYTES, Node, Span, Text};
use crate::diagnostic::Problem;

/// More nodes than any fleet has, aliases counted as often as they are used.
const MAX_NODES: usize = 100_000;

/// Parses one YAML document.
pub(crate) fn parse(text: &str, source: &Text) -> Result<Node, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::error(format!(
            "{} has {} bytes; a fleet file has {MAX_BYTES} at most",
            source.name,
            text.len()
        ))
        .hint("is this the right file? large custom files belong beside it, named by `file:`"));
    }
    let mut builder = Builder {
        source,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        aliases: false,
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| builder.syntax(&error))?;
        builder.event(event, &span)?;
    }
    Ok(builder.root.unwrap_or(Node { span: Span { line: 1, column: 1, len: 1 }, kind: Kind::Mapping(Vec::new()) }))
}

/// A collection that is still open.
struct Open {
    anchor: usize,
    span: Span,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<(Key, Node)>,
        /// The keys so far, and their lines.
        seen: HashMap<String, usize>,
        key: Option<Key>,
        merges: Vec<Node>,
    },
}

struct Builder<'a> {
    source: &'a Text,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    /// Whether some of them were only repeated.
    aliases: bool,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: &granit_parser::Span) -> Result<(), Problem> {
        let span = self.span(at);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::error("the file holds more than one YAML document")
                        .at(self.source.label(span))
                        .hint("one file describes one fleet: remove what follows the `---`"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let node = Node { span, kind: Kind::Scalar { text: text.into_owned(), plain } };
                self.spend(1, span)?;
                self.finish(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.spend(1, span)?;
                self.stack.push(Open { anchor, span, kind: OpenKind::Sequence(Vec::new()) });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.spend(1, span)?;
                let kind =
                    OpenKind::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None, merges: Vec::new() };
                self.stack.push(Open { anchor, span, kind });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let (mut node, size) = self.anchors.get(&id).cloned().ok_or_else(|| {
                    Problem::error("an alias names an anchor that is not complete yet").at(self.source.label(span))
                })?;
                self.aliases = true;
                self.spend(size, span)?;
                node.span = span;
                self.finish(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn spend(&mut self, nodes: usize, span: Span) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let (when, hint) = if self.aliases {
            (" once its aliases are expanded", "anchors that refer to each other multiply; write less of them")
        } else {
            ("", "is this the right file? no fleet has so many")
        };
        let message = format!("the file has more than {MAX_NODES} keys and values{when}");
        Err(Problem::error(message).at(self.source.bare_label(span)).hint(hint))
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let kind = match open.kind {
            OpenKind::Sequence(items) => Kind::Sequence(items),
            OpenKind::Mapping { entries, merges, .. } => Kind::Mapping(merged(entries, merges)),
        };
        self.finish(Node { span: open.span, kind }, open.anchor)
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size(&node)));
        }
        let source = self.source;
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Sequence(items)) => items.push(node),
            Some(OpenKind::Mapping { entries, seen, key, merges }) => match key.take() {
                Some(name) if name.text == "<<" => merges.push(node),
                Some(name) => entries.push((name, node)),
                None => {
                    let Kind::Scalar { text, .. } = node.kind else {
                        return Err(Problem::error("a key must be a single value").at(source.label(node.span)));
                    };
                    // There may be several merges.
                    let first = if text == "<<" { None } else { seen.insert(text.clone(), node.span.line) };
                    if let Some(line) = first {
                        return Err(Problem::error(format!("key `{text}` stands here twice"))
                            .at(source.label(node.span))
                            .hint(format!("the first one is on line {line}: keep one of them")));
                    }
                    *key = Some(Key { text, span: node.span });
                }
            },
        }
        Ok(())
    }

    fn span(&self, at: &granit_parser::Span) -> Span {
        let (line, column) = (at.start.line(), at.start.col() + 1);
        let rest = self.source.line(line).chars().count().saturating_sub(at.start.col());
        let len = if at.end.line() == line { at.end.col().saturating_sub(at.start.col()) } else { rest };
        Span { line, column, len: len.max(1) }
    }

    fn syntax(&self, error: &granit_parser::ScanError) -> Problem {
        let line = error.marker().line();
        let span = Span { line, column: error.marker().col() + 1, len: 1 };
        let indented_by_tab = |number: usize| {
            let text = self.source.line(number);
            text[..text.len() - text.trim_start().len()].contains('\t')
        };
        if let Some(tabbed) =
            [line, line.saturating_sub(1), line + 1].into_iter().find(|number| indented_by_tab(*number))
        {
            let column = self.source.line(tabbed).chars().position(|c| c == '\t').unwrap_or(0) + 1;
            return Problem::error("a tab indents this line; YAML wants spaces")
                .at(self.source.label(Span { line: tabbed, column, len: 1 }))
                .hint("replace the tab by spaces, as many as the lines around it have");
        }
        Problem::error(format!("this is not YAML: {}", error.info())).at(self.source.label(span))
    }
}

/// The entries with those of `<<` maps that they don't set themselves.
fn merged(mut entries: Vec<(Key, Node)>, merges: Vec<Node>) -> Vec<(Key, Node)> {
    let sources = merges.into_iter().flat_map(|node| match node.kind {
        Kind::Sequence(items) => items,
        _ => vec![node],
    });
    let mut seen: HashSet<String> = entries.iter().map(|(key, _)| key.text.clone()).collect();
    for source in sources {
        let Kind::Mapping(more) = source.kind else { continue };
        entries.extend(more.into_iter().filter(|(key, _)| seen.insert(key.text.clone())));
    }
    entries
}

fn size(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::Sequence(items) => items.iter().map(size).sum(),
        Kind::Mapping(entries) => entries.iter().map(|(_, value)| size(value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_parse(text: &str) -> Result<Node, Problem> {
        parse(text, &Text::new("t.yaml", text))
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        let tree = try_parse("a: 1\nb: { c: 007, d: \"x\" }\n").unwrap();
        let (_, b) = tree.entry("b").unwrap();
        let (key, c) = b.entry("c").unwrap();
        assert_eq!((key.span.line, key.span.column, key.span.len), (2, 6, 1));
        assert!(matches!(&c.kind, Kind::Scalar { text, plain: true } if text == "007"));
        assert_eq!((c.span.line, c.span.column, c.span.len), (2, 9, 3));
    }

    #[test]
    fn hurtful_files_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        for (text, part) in [
            (bomb.as_str(), "aliases are expanded"),
            ("a:\n\tb: 1\n", "a tab indents"),
            ("a: 1\na: 2\n", "stands here twice"),
            ("a: 1\n---\nb: 2\n", "more than one"),
            ("a: [1\n", "not YAML"),
            ("a: *nope\n", "not YAML"),
            (&"[".repeat(10_000), "not YAML"),
            (&"a".repeat(MAX_BYTES + 1), "bytes"),
        ] {
            let problem = try_parse(text).unwrap_err();
            assert!(problem.message.contains(part), "{problem:?}");
        }
    }

    #[test]
    fn many_keys_are_read_at_once_and_too_many_are_not_blamed_on_aliases() {
        let keys = |n: usize| (0..n).map(|i| format!("k{i}: 1\n")).collect::<String>();
        assert!(try_parse(&keys(49_000)).is_ok());
        let problem = try_parse(&keys(90_000)).unwrap_err();
        assert_eq!(problem.message, "the file has more than 100000 keys and values");
        assert!(!problem.hint.unwrap().contains("anchors"));
    }

    #[test]
    fn merge_keys_fill_what_is_not_set() {
        let tree = try_parse("x: &x { a: 1, b: 2 }\ny: { <<: *x, b: 3 }\n").unwrap();
        let (_, y) = tree.entry("y").unwrap();
        assert!(y.entry("a").is_some());
        assert!(matches!(&y.entry("b").unwrap().1.kind, Kind::Scalar { text, .. } if text == "3"));
    }
}
