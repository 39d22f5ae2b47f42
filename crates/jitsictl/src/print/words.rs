//! Numbers, counts and addresses as people read them.

use std::fmt::Display;

use manifest::Endpoint;
use plan::Live;

/// `1,304`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 object`, `2 objects`.
pub(crate) fn count(n: usize, what: &str) -> String {
    let n = u64::try_from(n).unwrap_or(u64::MAX);
    if n == 1 { format!("1 {what}") } else { format!("{} {what}s", number(n)) }
}

/// `212 conferences, 1,304 participants`; `1,304 participants` where only they were counted.
pub(crate) fn live(live: &Live, between: &str) -> String {
    let plural = |n: u64, what: &str| format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" });
    if live.conferences == 0 && live.participants > 0 {
        return plural(live.participants, "participant");
    }
    format!("{}{between}{}", plural(live.conferences, "conference"), plural(live.participants, "participant"))
}

/// `4.1 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds as u64;
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

/// An endpoint with how well it is known.
pub(crate) fn endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Known(target) => format!("{target} known"),
        Endpoint::Pending { why } => format!("pending: {why}"),
        Endpoint::Stale { last, why } => format!("{last} kept, but no longer seen: {why}"),
        Endpoint::Moving { old, new } => format!("{old} → {new} moving"),
    }
}

/// Names in a row: `hq, fra and sin`.
pub(crate) fn row<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match names.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Lines in columns that are as wide as their widest cell. The last cell of a row may be as long as it likes.
pub(crate) fn columns(rows: &[Vec<String>], gap: usize) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        let padded = row.split_last().map_or(&[][..], |(_, padded)| padded);
        widths.resize(widths.len().max(padded.len()), 0);
        for (wide, cell) in widths.iter_mut().zip(padded) {
            *wide = (*wide).max(width(cell));
        }
    }
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if at + 1 < row.len() {
                    let wide = widths.get(at).copied().unwrap_or_default();
                    line.extend(std::iter::repeat_n(' ', wide - width(cell) + gap));
                }
            }
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1304), "1,304");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "object"), "1 object");
        assert_eq!(count(1261, "object"), "1,261 objects");
        assert_eq!(live(&Live { conferences: 1, participants: 2 }, ", "), "1 conference, 2 participants");
        assert_eq!(live(&Live { conferences: 0, participants: 2 }, ", "), "2 participants");
        assert_eq!(seconds(4.13), "4.1 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
        assert_eq!(row(["hq", "fra", "sin"]), "hq, fra and sin");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb"].as_slice(), &["äöü", "c"], &["a long last cell"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(columns(&rows, 2), ["a    bb", "äöü  c", "a long last cell"]);
    }
}
