//! Reads a LIST while it comes in: what a server sends of a large fleet's workloads is tens of megabytes, half of it
//! managed fields. So no more than one item of it stands in memory as it came, and reading goes on beside the sending.

use std::mem;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Where the next page begins, and which version of the whole it is.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageMeta {
    #[serde(default, rename = "continue")]
    pub(crate) next: String,
    #[serde(default, rename = "resourceVersion")]
    pub(crate) version: String,
}

/// Cuts the items out of the text of a LIST, wherever the pieces end in which it comes.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// What is no item: the text of a list without any.
    frame: Vec<u8>,
    /// What came of the item that has begun.
    item: Vec<u8>,
    place: Place,
    text: Text,
    /// How many braces and brackets are open.
    depth: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the items, or after them.
    #[default]
    Frame,
    /// In their list.
    List,
    /// In one of them.
    Item,
}

/// Whether a byte belongs to a string.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

/// The depth in the list of items: within the list, which is within the whole.
const LIST: usize = 2;

impl Items {
    /// Takes what came, and hands on the items that it completes.
    pub(crate) fn push(&mut self, mut piece: &[u8], mut each: impl FnMut(&[u8])) {
        while !piece.is_empty() {
            match self.place {
                Place::Item => {
                    let Some(length) = self.end_of_item(piece) else {
                        self.item.extend_from_slice(piece);
                        return;
                    };
                    let (last, rest) = piece.split_at(length);
                    if self.item.is_empty() {
                        each(last);
                    } else {
                        self.item.extend_from_slice(last);
                        each(&self.item);
                        self.item.clear();
                    }
                    self.place = Place::List;
                    piece = rest;
                }
                Place::Frame | Place::List => {
                    let (byte, rest) = (piece[0], &piece[1..]);
                    let begins =
                        self.place == Place::List && self.text == Text::Outside && byte == b'{' && self.depth == LIST;
                    if begins {
                        self.place = Place::Item;
                        continue;
                    }
                    let is_list = byte == b'[' && self.text == Text::Outside && self.depth == 1 && self.is_after_key();
                    self.step(byte);
                    if is_list {
                        self.place = Place::List;
                    } else if self.place == Place::List && self.depth < LIST {
                        self.place = Place::Frame;
                    }
                    // What parts the items has no meaning without them.
                    if self.place == Place::Frame || is_list || !(byte == b',' || byte.is_ascii_whitespace()) {
                        self.frame.push(byte);
                    }
                    piece = rest;
                }
            }
        }
    }

    /// What the list says of itself.
    ///
    /// # Errors
    /// When what came was no list, or not all of it.
    pub(crate) fn finish(&mut self) -> serde_json::Result<PageMeta> {
        #[derive(Deserialize)]
        struct Frame {
            #[serde(default)]
            metadata: PageMeta,
            /// An answer that has none is no list: it must not be taken for an empty one.
            #[serde(rename = "items")]
            _items: IgnoredAny,
        }
        serde_json::from_slice(&mem::take(&mut self.frame)).map(|Frame { metadata, .. }| metadata)
    }

    /// The length of what still belongs to the item, if it ends here.
    fn end_of_item(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            // Most bytes mean nothing where they stand: they are passed over in a tight loop.
            let rest = piece.get(at..)?;
            at += match self.text {
                Text::Inside => rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?,
                Text::Outside => rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?,
                Text::Escaped => 0,
            };
            self.step(*piece.get(at)?);
            at += 1;
            if self.depth == LIST {
                return Some(at);
            }
        }
    }

    const fn step(&mut self, byte: u8) {
        self.text = match (self.text, byte) {
            (Text::Inside, b'\\') => Text::Escaped,
            (Text::Inside, b'"') => Text::Outside,
            (Text::Inside | Text::Escaped, _) => Text::Inside,
            (Text::Outside, b'"') => Text::Inside,
            (Text::Outside, b'{' | b'[') => {
                self.depth += 1;
                Text::Outside
            }
            (Text::Outside, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                Text::Outside
            }
            (Text::Outside, _) => Text::Outside,
        };
    }

    /// Whether what came last is the key of the items.
    fn is_after_key(&self) -> bool {
        let frame = self.frame.trim_ascii_end();
        frame.strip_suffix(b":").is_some_and(|key| key.trim_ascii_end().ends_with(b"\"items\""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    /// The items of a text that comes in pieces of these lengths, and its end.
    fn read(text: &str, lengths: &[usize]) -> (Vec<Json>, serde_json::Result<PageMeta>) {
        let (mut items, mut found, mut rest) = (Items::default(), Vec::new(), text.as_bytes());
        for length in lengths.iter().cycle() {
            let (piece, after) = rest.split_at((*length).min(rest.len()));
            items.push(piece, |item| found.push(serde_json::from_slice(item).unwrap()));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        (found, items.finish())
    }

    fn json_tree() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i32>().prop_map(Json::from),
            r#"[a\\"{}\[\],: é\n]{0,8}"#.prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(r#"[a"\\{\[]{0,3}|items"#, inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn wherever_the_pieces_end(
            items in prop::collection::vec(prop::collection::btree_map("[a-c\"]{1,2}|items", json_tree(), 0..4), 0..5),
            before in json_tree(),
            lengths in prop::collection::vec(1_usize..40, 1..6),
            pretty in any::<bool>(),
        ) {
            let list = json!({ "a": before, "items": items, "metadata": { "continue": "x", "resourceVersion": "7" } });
            let text = if pretty { serde_json::to_string_pretty(&list).unwrap() } else { list.to_string() };
            let (found, end) = read(&text, &lengths);
            prop_assert_eq!(json!(found), json!(items));
            let end = end.unwrap();
            prop_assert_eq!((end.next, end.version), ("x".to_owned(), "7".to_owned()));
        }
    }

    #[test]
    fn an_empty_list_may_be_null_but_not_missing() {
        let whole = r#"{"items":[{"a":1}],"metadata":{}}"#;
        for (text, is_list) in [
            (r#"{"items":null,"metadata":{"resourceVersion":"1"}}"#, true),
            (r#"{"items":[]}"#, true),
            (r#"{"metadata":{}}"#, false),
            (r#"{"kind":"Status"}"#, false),
            ("<html>", false),
            ("", false),
            ("]]}}", false),
            (whole, true),
            (&whole[..whole.len() - 1], false),
            (&whole[..15], false),
        ] {
            assert_eq!(read(text, &[3]).1.is_ok(), is_list, "{text}");
        }
    }

    #[test]
    fn other_lists_of_that_name_are_not_taken_for_it() {
        let text = r#"{"metadata":{"items":[{"b":2}]},"x":["items",{"c":3}],"items" : [ {"a":"}\"]"} ]}"#;
        assert_eq!(read(text, &[1]).0, [json!({ "a": "}\"]" })]);
    }
}
