//! Quantities such as `500m` and `2Gi`, in thousandths.

use serde_json::Value as Json;

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 9] =
    [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// The power of ten below which quantities are rounded up.
const FINEST: i32 = -9;

/// The quantity in thousandths, rounded up; none for what is no quantity.
pub(crate) fn milli(value: &Json) -> Option<i128> {
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

/// A quantity as the server prints it: `1Gi` for `1024Mi`, `100m` for `0.1`; none for what is no quantity.
pub(crate) fn canonical(value: &Json) -> Option<String> {
    match value {
        Json::Number(number) => rewritten(&number.to_string()),
        Json::String(text) => rewritten(text.trim()),
        _ => None,
    }
}

fn rewritten(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = i32::try_from(fraction.len()).ok()?;
    let mut mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    let mut power = -places;
    let mut in_exponents = false;
    if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        mantissa = mantissa.checked_mul(1_i128 << shift)?;
        let scale = 10_i128.checked_pow(places.unsigned_abs())?;
        // Powers of two are for whole numbers that are not small.
        if mantissa % scale == 0 && mantissa / scale >= 1024 {
            let (amount, steps) = stripped(mantissa / scale, 1024);
            let suffix = steps.checked_sub(1).and_then(|at| BINARY.get(at)).map_or("", |(name, _)| name);
            return Some(format!("{sign}{amount}{suffix}"));
        }
    } else if let Some((_, ten)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        power += ten;
    } else if !suffix.is_empty() {
        power += suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
        in_exponents = true;
    }
    // Nothing is finer than a billionth.
    if power < FINEST {
        let scale = 10_i128.checked_pow((FINEST - power).unsigned_abs())?;
        mantissa = (mantissa + scale - 1) / scale;
        power = FINEST;
    }
    let (amount, zeros) = stripped(mantissa, 10);
    power += i32::try_from(zeros).ok()?;
    let surplus = power.rem_euclid(3);
    let (amount, power) = (amount * 10_i128.pow(surplus.unsigned_abs()), power - surplus);
    let suffix = match (power, DECIMAL.iter().find(|(_, ten)| *ten == power)) {
        (0, _) => String::new(),
        (_, Some((name, _))) if !in_exponents => (*name).to_owned(),
        _ => format!("e{power}"),
    };
    Some(format!("{sign}{amount}{suffix}"))
}

/// Without this factor, and how often it was in it.
fn stripped(mut number: i128, factor: i128) -> (i128, usize) {
    let mut times = 0;
    while number != 0 && number % factor == 0 {
        number /= factor;
        times += 1;
    }
    (number, times)
}

/// A sum as the server prints it: with the suffix of a sum of such quantities.
pub(crate) fn show(milli: i128, binary: bool) -> String {
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
pub(crate) fn is_binary(value: &Json) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('i'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_printed_in_one_way() {
        for (text, printed) in [
            ("1024Mi", "1Gi"),
            ("0.1", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("100000", "100k"),
            ("1e3", "1e3"),
            ("12e4", "120e3"),
            ("0", "0"),
            ("-2000m", "-2"),
            ("1n", "1n"),
            ("0.1n", "1n"),
        ] {
            assert_eq!(rewritten(text).as_deref(), Some(printed), "{text}");
        }
        assert_eq!(canonical(&1.into()).as_deref(), Some("1"));
        assert_eq!(canonical(&"x".into()), None);
    }

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
