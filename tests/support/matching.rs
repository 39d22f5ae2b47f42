//! Expected output against what came: `[..]` stands for anything within a line, a line of `...` for any lines.

/// Lines that begin like a line of the script itself are written with a backslash in front.
const MARKS: [char; 5] = ['$', '>', '?', '#', '\\'];

/// Does this line, with its wildcards, describe that one?
pub(crate) fn line(pattern: &str, actual: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(rest) = parts.next().and_then(|first| actual.strip_prefix(first)) else { return false };
    let mut rest = rest;
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Do these lines describe those?
pub(crate) fn lines(patterns: &[String], actual: &[String]) -> bool {
    match patterns.split_first() {
        None => actual.is_empty(),
        Some((any, rest)) if any == "..." => (0..=actual.len()).any(|skipped| lines(rest, &actual[skipped..])),
        Some((first, rest)) => actual.split_first().is_some_and(|(head, tail)| line(first, head) && lines(rest, tail)),
    }
}

/// What to write into the script when the output has changed: lines with wildcards or names that still fit stay.
/// `filled` are the patterns with the names put in.
pub(crate) fn updated(patterns: &[String], filled: &[String], actual: &[String]) -> Vec<String> {
    let variable = |(pattern, filled): &(&String, &String)| pattern.contains("[..]") || pattern != filled;
    let mut old = patterns.iter().zip(filled).filter(variable);
    actual
        .iter()
        .map(|came| {
            let mut ahead = old.clone();
            match ahead.find(|(_, filled)| line(filled, came)) {
                Some((kept, _)) => {
                    old = ahead;
                    kept.clone()
                }
                None => came.clone(),
            }
        })
        .collect()
}

/// Output as lines, without the blank ones at its end.
pub(crate) fn split(output: &str) -> Vec<String> {
    let mut lines: Vec<String> = output.lines().map(|line| line.trim_end().to_owned()).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// A line of output as it stands in a script.
pub(crate) fn escape(line: &str) -> String {
    if line.starts_with(MARKS) { format!("\\{line}") } else { line.to_owned() }
}

/// The line of output that a line of a script means.
pub(crate) fn unescape(line: &str) -> &str {
    line.strip_prefix('\\').filter(|rest| rest.starts_with(MARKS)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn wildcards_within_a_line() {
        assert!(line("applied [..] objects in [..]", "applied 63 objects in 4.1 s"));
        assert!(line("[..]", ""));
        assert!(line("a[..]b[..]b", "a b b"));
        assert!(line("same", "same"));
        assert!(!line("same", "same "));
        assert!(!line("applied [..] objects", "applied 63 objects in 4.1 s"));
        assert!(!line("a[..]b[..]b", "ab"));
    }

    #[test]
    fn wildcards_for_lines() {
        assert!(lines(&owned(&["first", "...", "last"]), &owned(&["first", "last"])));
        assert!(lines(&owned(&["first", "...", "last"]), &owned(&["first", "last", "more", "last"])));
        assert!(lines(&owned(&["..."]), &[]));
        assert!(!lines(&owned(&["...", "x", "..."]), &owned(&["y"])));
        assert!(!lines(&[], &owned(&["unexpected"])));
    }

    #[test]
    fn an_update_keeps_the_wildcards_that_fit() {
        let old = owned(&["took [..] s", "gone", "port {port}", "and [..] more"]);
        let filled = owned(&["took [..] s", "gone", "port 30040", "and [..] more"]);
        let came = owned(&["new", "took 3 s", "port 30040", "and 4 more"]);
        assert_eq!(updated(&old, &filled, &came), owned(&["new", "took [..] s", "port {port}", "and [..] more"]));
    }

    #[test]
    fn output_that_looks_like_a_script_is_escaped() {
        for text in ["$ jitsictl plan", "> x", "? 3", "# c", "\\ b", "plain", "", "\\plain"] {
            assert_eq!(unescape(&escape(text)), text);
        }
        assert_eq!(escape("$ x"), "\\$ x");
        assert_eq!(unescape("\\n is kept"), "\\n is kept");
    }
}
