//! Turns JSON text into YAML, fast: rendering a thousand objects is mostly this. No tree is made in between.
//!
//! Block style, two spaces, lists at their key's own depth, as kubectl prints. A string stands without quotes only
//! where no YAML reader, 1.1 or 1.2, could take it for anything else; texts of several lines stand as literal blocks.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Appends one document, without a `---` line.
///
/// # Errors
/// When the text is no JSON.
pub fn document(out: &mut String, json: &str) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Node { out, place: Place::Root, depth: 0 }.deserialize(&mut reader)?;
    reader.end()
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Alone.
    Root,
    /// After `key:`.
    Key,
    /// After `- `.
    Item,
}

/// Writes one value and what ends its line.
struct Node<'o> {
    out: &'o mut String,
    place: Place,
    /// Of the mapping or sequence that the value stands in.
    depth: usize,
}

impl Node<'_> {
    /// Writes what needs no structure.
    fn leaf(self, write: impl FnOnce(&mut String, usize)) {
        let inner = if self.place == Place::Root { 0 } else { self.depth + 1 };
        if self.place == Place::Key {
            self.out.push(' ');
        }
        write(self.out, inner);
        self.out.push('\n');
    }

    /// Whether the first entry of what follows needs a line of its own, and how deep all of them stand.
    const fn entries(&self, lists: bool) -> (bool, usize) {
        match self.place {
            Place::Root => (false, 0),
            Place::Item => (false, self.depth + 1),
            Place::Key => (true, if lists { self.depth } else { self.depth + 1 }),
        }
    }
}

/// Begins an entry: the first one where we are, unless it needs a line of its own; each other on its own.
fn begin(out: &mut String, first: bool, own_line: bool, depth: usize) {
    if first && own_line {
        out.push('\n');
    }
    if !first || own_line {
        indent(out, depth);
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.leaf(|out, _| out.push_str("null"));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.leaf(|out, _| out.push_str(if value { "true" } else { "false" }));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.leaf(|out, _| {
            // Writing into a string can't fail.
            let _ = write!(out, "{value}");
        });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.leaf(|out, _| {
            let _ = write!(out, "{value}");
        });
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.leaf(|out, _| {
            let _ = write!(out, "{}", serde_json::Value::from(value));
        });
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let seen = seen(text);
        let block = seen & LINE_END != 0 && self.place != Place::Root && is_block(text);
        self.leaf(|out, depth| if block { literal(out, text, depth) } else { quoted_or_plain(out, text, seen) });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (own_line, depth) = self.entries(false);
        let mut first = true;
        while map.next_key_seed(Key { out: &mut *self.out, first, own_line, depth })?.is_some() {
            map.next_value_seed(Node { out: &mut *self.out, place: Place::Key, depth })?;
            first = false;
        }
        if first {
            self.leaf(|out, _| out.push_str("{}"));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let (own_line, depth) = self.entries(true);
        let mut first = true;
        while list.next_element_seed(Item { out: &mut *self.out, first, own_line, depth })?.is_some() {
            first = false;
        }
        if first {
            self.leaf(|out, _| out.push_str("[]"));
        }
        Ok(())
    }
}

/// Writes a key, once there is one.
struct Key<'o> {
    out: &'o mut String,
    first: bool,
    own_line: bool,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        begin(self.out, self.first, self.own_line, self.depth);
        quoted_or_plain(self.out, key, seen(key));
        self.out.push(':');
        Ok(())
    }
}

/// Writes an entry of a list, once there is one.
struct Item<'o> {
    out: &'o mut String,
    first: bool,
    own_line: bool,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        begin(self.out, self.first, self.own_line, self.depth);
        self.out.push_str("- ");
        Node { out: self.out, place: Place::Item, depth: self.depth }.deserialize(input)
    }
}

fn indent(out: &mut String, depth: usize) {
    const BLANKS: &str = "                                ";
    match BLANKS.get(..2 * depth) {
        Some(blanks) => out.push_str(blanks),
        None => out.extend(std::iter::repeat_n("  ", depth)),
    }
}

fn quoted_or_plain(out: &mut String, text: &str, seen: u8) {
    if is_plain(text, seen) {
        out.push_str(text);
    } else {
        quoted(out, text);
    }
}

/// Whether no reader could take the bare text for anything but itself.
fn is_plain(text: &str, seen: u8) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    // A number, a tag, an anchor, a merge key or a document marker begins with something else.
    (first.is_ascii_alphabetic() || *first == b'/')
        && !matches!(last, b' ' | b':')
        && seen & (HARMFUL | LINE_END) == 0
        && (seen != COLON | BLANK || !text.contains(": "))
        && !is_word_with_meaning(text)
}

/// A byte that means something inside of a bare text.
const HARMFUL: u8 = 1;
/// The end of a line.
const LINE_END: u8 = 2;
/// A colon, which means something before a blank.
const COLON: u8 = 4;
const BLANK: u8 = 8;

/// What there is in a text. Nearly every byte that is written is looked at here, once, and without a way out of the loop.
fn seen(text: &str) -> u8 {
    text.bytes().fold(0, |seen, byte| seen | CLASSES[usize::from(byte)])
}

const CLASSES: [u8; 256] = {
    let mut table = [HARMFUL; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = 0;
        }
        byte += 1;
    }
    let others = b"-_./@+=()$%*~,;<>^";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = 0;
        at += 1;
    }
    table[b'\n' as usize] = LINE_END;
    table[b':' as usize] = COLON;
    table[b' ' as usize] = BLANK;
    table
};

/// Words that are a boolean, a null or a number to some reader.
fn is_word_with_meaning(text: &str) -> bool {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"];
    text.len() <= 5 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Double quotes: everything can be said in them.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            char if is_printable(char) => out.push(char),
            char => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
        }
    }
    out.push('"');
}

/// Characters that may stand as they are. The others are all in the basic plane.
const fn is_printable(char: char) -> bool {
    !matches!(
        char,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// Whether a text with line ends reads best as a literal block, and survives it.
fn is_block(text: &str) -> bool {
    let Some(first) = text.bytes().next() else { return false };
    // Readers guess the depth from the first line, and disagree about lines of nothing but blanks.
    !matches!(first, b' ' | b'\t' | b'\n')
        && text.chars().all(|char| matches!(char, '\n' | '\t' | ' '..='~') || is_printable(char))
        && text.split('\n').all(|line| line.is_empty() || !line.trim_matches([' ', '\t']).is_empty())
}

fn literal(out: &mut String, text: &str, depth: usize) {
    let body = text.strip_suffix('\n');
    out.push_str(match body {
        None => "|-",
        Some(body) if body.ends_with('\n') => "|+",
        Some(_) => "|",
    });
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth);
            out.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::*;

    fn written(value: &Json) -> String {
        let mut out = String::new();
        document(&mut out, &value.to_string()).unwrap();
        out
    }

    #[test]
    fn an_object_reads_as_kubectl_writes_it() {
        let value = json!({
            "apiVersion": "v1",
            "data": { "a.cfg": "global\n  log\n\nend\n", "empty": "", "one": "no newline\nat its end" },
            "metadata": { "labels": {}, "name": "meet" },
            "spec": { "ports": [{ "name": "http", "port": 80 }, { "args": [["x", 1], [], null, true] }] },
        });
        assert_eq!(
            written(&value),
            "apiVersion: v1\ndata:\n  a.cfg: |\n    global\n      log\n\n    end\n  empty: \"\"\n  one: |-\n    no newline\n    \
             at its end\nmetadata:\n  labels: {}\n  name: meet\nspec:\n  ports:\n  - name: http\n    port: 80\n  - args:\n    \
             - - x\n      - 1\n    - []\n    - null\n    - true\n"
        );
    }

    #[test]
    fn quotes_stand_where_a_reader_could_err() {
        for plain in ["meet", "haproxy:3.2", "/usr/bin/env", "a b", "https://meet.example.org", "e5", "cluster.local"] {
            assert_eq!(written(&json!(plain)), format!("{plain}\n"));
        }
        for text in [
            "",
            "1",
            "1.5",
            "0x1f",
            "1e3",
            "true",
            "No",
            "y",
            "~",
            "null",
            ".inf",
            "-",
            "- a",
            "? a",
            "a: b",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "'a",
            "a:",
            " a",
            "a ",
            "<<",
            "=",
            "2026-11-22",
            "1:30",
            "|",
            ">",
            "---",
            "...",
            "é",
            "a\\b",
            "a\"b",
        ] {
            assert!(written(&json!(text)).starts_with('"'), "{text}");
        }
        assert_eq!(written(&json!("\u{7}\u{2028}🎥")), "\"\\u0007\\u2028🎥\"\n");
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ -~]{0,12}",
            "[a-z0-9:#\n\t\r \"'\\\\|>-]{0,24}",
            "([ \t]?[a-z]{0,3}[ \t]?\n){0,5}",
            prop::sample::select(vec![
                "yes", "NULL", "0o7", "1_000", "12:30:45", "0b1", "+1", "nan", "NaN", "Inf", "on"
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            text().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                prop::collection::btree_map(text(), inner, 0..5)
                    .prop_map(|map| Json::Object(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_reader_gets_back_what_was_written(value in value()) {
            let text = written(&value);
            let back: Json = serde_saphyr::from_str(&text)
                .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(back, value, "{}", text);
        }
    }
}
