//! Quantities such as `500m` and `2Gi`, in thousandths.

use serde_json::Value as Json;

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 9] =
    [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// The quantity in thousandths, rounded up; none for what is no quantity.
pub(super) fn milli(value: &Json) -> Option<i128> {
    match value {
        Json::Number(number) => parse(&number.to_string()),
        Json::String(text) => parse(text),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 18 || whole.len() > 18 {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (binary, ten) = if suffix.is_empty() {
        (0, 0)
    } else if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        (*shift, 0)
    } else if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        (0, *power)
    } else {
        (0, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?)
    };
    let power = ten.checked_sub(places)?.checked_add(3)?;
    let shifted = mantissa.checked_mul(1_i128.checked_shl(binary)?)?;
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    let scaled = if power >= 0 { shifted.checked_mul(scale)? } else { (shifted + scale - 1) / scale };
    Some(sign * scaled)
}

/// A sum as the server prints it: with the suffix of a sum of such quantities.
pub(super) fn show(milli: i128, binary: bool) -> String {
    if milli % 1000 != 0 {
        return format!("{milli}m");
    }
    let mut value = milli / 1000;
    if value == 0 {
        return "0".to_owned();
    }
    let (step, suffixes): (i128, [&str; 7]) = if binary {
        (1024, ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
    } else {
        (1000, ["", "k", "M", "G", "T", "P", "E"])
    };
    let mut at = 0;
    while value % step == 0 && at + 1 < suffixes.len() {
        value /= step;
        at += 1;
    }
    format!("{value}{}", suffixes[at])
}

/// Was it written with a suffix of powers of two?
pub(super) fn is_binary(value: &Json) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('i'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_printed() {
        for (text, wanted) in [("1", 1000), ("500m", 500), ("1.5", 1500), ("2Gi", 2_i64 << 30), ("1e3", 1_000_000)] {
            let factor = if text == "2Gi" { 1000 } else { 1 };
            assert_eq!(parse(text), Some(i128::from(wanted) * factor), "{text}");
        }
        assert_eq!(parse("1 Gi"), None);
        assert_eq!(parse(""), None);
        assert_eq!(show(1500, false), "1500m");
        assert_eq!(show((2 << 30) * 1000, true), "2Gi");
        assert_eq!(show(3000, false), "3");
    }
}
