//! Watches speak in lines, one JSON document each.

use serde::Deserialize;

use crate::ErrorKind;
use crate::live::Listed;

/// Objects in etcd have at most 1.5 MiB; with their managed fields and escaped they stay far below this.
const LONGEST: usize = 32 * 1024 * 1024;

/// A buffer that grew beyond this for one large object does not stay that large.
const USUAL: usize = 64 * 1024;

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) what: What,
    pub(super) object: Listed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum What {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// Puts pieces together, until there is a line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What has come of lines that have not ended.
    rest: Vec<u8>,
    /// Up to here no line ends.
    searched: usize,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Result<Option<Event>, ErrorKind> {
        loop {
            let Some(end) = self.rest.iter().skip(self.searched).position(|byte| *byte == b'\n') else {
                self.searched = self.rest.len();
                if self.rest.len() > LONGEST {
                    return Err(ErrorKind::Garbled(format!("a line of a watch longer than {LONGEST} bytes")));
                }
                return Ok(None);
            };
            let end = self.searched + end;
            self.searched = 0;
            let line = self.rest.get(..end).unwrap_or_default();
            let event = (!line.trim_ascii().is_empty()).then(|| serde_json::from_slice(line));
            self.rest.drain(..=end);
            if self.rest.len() < USUAL {
                self.rest.shrink_to(USUAL);
            }
            match event {
                None => {}
                Some(Ok(event)) => return Ok(Some(event)),
                // The message might quote what stands there.
                Some(Err(garbled)) => {
                    let why = format!("unexpected JSON in a watch, column {}", garbled.column());
                    return Err(ErrorKind::Garbled(why));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str, name: &str) -> String {
        format!(
            "{{\"type\":\"{what}\",\"object\":{{\"metadata\":{{\"name\":\"{name}\",\"resourceVersion\":\"7\",\
             \"managedFields\":[{{\"manager\":\"m\",\"fieldsV1\":{{\"f:a\":{{}}}}}}]}}}}}}\n"
        )
    }

    #[test]
    fn lines_come_in_any_pieces() {
        let text = line("ADDED", "a") + "\n" + &line("MODIFIED", "b") + &line("DELETED", "c");
        for size in [1, 7, 64, text.len()] {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece);
                while let Some(event) = lines.next().unwrap() {
                    found.push((event.what, event.object.name().into_owned(), event.object.version().into_owned()));
                }
            }
            let expected = [(What::Added, "a"), (What::Modified, "b"), (What::Deleted, "c")];
            let expected = expected.map(|(what, name)| (what, name.to_owned(), "7".to_owned()));
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn nonsense_is_told_without_quoting_it() {
        let mut lines = Lines::default();
        lines.push(b"{\"type\":\"hunter2\"}\n");
        let ErrorKind::Garbled(why) = lines.next().unwrap_err() else { panic!("another error") };
        assert!(!why.contains("hunter2"), "{why}");
        assert!(lines.next().unwrap().is_none());
    }

    #[test]
    fn a_large_object_leaves_no_large_buffer() {
        let mut lines = Lines::default();
        lines.push(line("ADDED", &"x".repeat(1 << 20)).as_bytes());
        assert!(lines.next().unwrap().is_some());
        assert!(lines.rest.capacity() <= USUAL);
    }
}
