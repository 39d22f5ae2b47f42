//! Kubernetes quantities in the API server's canonical spelling, so that what we send equals what it stores.

/// The canonical spelling, or nothing if the text is no quantity.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (scale, nanos) = parse(text)?;
    Some(match scale {
        Scale::Binary(_) if nanos.abs() >= 1024 * NANO => binary(nanos),
        Scale::Exponent(_) => {
            decimal(nanos, |exponent| if exponent == 0 { String::new() } else { format!("e{exponent}") })
        }
        _ => decimal(nanos, |exponent| SI.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s).to_owned()),
    })
}

/// Whether the one is more than the other; not if either is no quantity.
pub(crate) fn is_more(one: &str, other: &str) -> bool {
    parse(one).zip(parse(other)).is_some_and(|((_, one), (_, other))| one > other)
}

fn parse(text: &str) -> Option<(Scale, i128)> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let scale = Scale::of(suffix)?;
    let nanos = scale.nanos(number)?;
    Some((scale, nanos))
}

const NANO: i128 = 1_000_000_000;

const SI: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];

enum Scale {
    Decimal(i32),
    Exponent(i32),
    Binary(u32),
}

impl Scale {
    fn of(suffix: &str) -> Option<Self> {
        if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
            return Some(Self::Binary(*power));
        }
        if let Some((_, exponent)) = SI.iter().find(|(name, _)| *name == suffix) {
            return Some(Self::Decimal(*exponent));
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        (-18..=18).contains(&exponent).then_some(Self::Exponent(exponent))
    }

    /// The value in billionths, rounded up as the API server does.
    fn nanos(&self, number: &str) -> Option<i128> {
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || all.len() > 18 || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mantissa: i128 = all.parse().ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        let (factor, shift) = match self {
            Self::Decimal(e) | Self::Exponent(e) => (1, e + 9 - places),
            Self::Binary(power) => (1024_i128.pow(*power), 9 - places),
        };
        let value = mantissa.checked_mul(factor)?;
        let nanos = match u32::try_from(shift) {
            Ok(up) => value.checked_mul(10_i128.checked_pow(up)?)?,
            Err(_) => {
                let down = 10_i128.checked_pow(shift.unsigned_abs())?;
                (value + down - 1) / down
            }
        };
        Some(if negative { -nanos } else { nanos })
    }
}

fn decimal(nanos: i128, suffix: impl Fn(i32) -> String) -> String {
    let (mut mantissa, mut exponent) = (nanos, -9);
    while mantissa != 0 && mantissa % 1000 == 0 && exponent < 18 {
        mantissa /= 1000;
        exponent += 3;
    }
    if mantissa == 0 { "0".to_owned() } else { format!("{mantissa}{}", suffix(exponent)) }
}

fn binary(nanos: i128) -> String {
    let mut mantissa = (nanos + NANO - 1).div_euclid(NANO);
    let mut power = 0;
    while mantissa % 1024 == 0 && power < BINARY.len() {
        mantissa /= 1024;
        power += 1;
    }
    let suffix = power.checked_sub(1).and_then(|i| BINARY.get(i)).map_or("", |(name, _)| name);
    format!("{mantissa}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::{canonical, is_more};

    #[test]
    fn quantities_are_compared_by_what_they_are() {
        for (one, other) in [("5Gi", "4Gi"), ("1.5", "1400m"), ("1Gi", "1G"), ("2k", "1999")] {
            assert!(is_more(one, other) && !is_more(other, one), "{one} {other}");
        }
        assert!(!is_more("1000m", "1") && !is_more("x", "1"));
    }

    #[test]
    fn quantities_are_spelled_as_the_api_server_does() {
        for (written, stored) in [
            ("1", "1"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("2000", "2k"),
            ("100m", "100m"),
            ("0", "0"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1536Mi", "1536Mi"),
            ("1500M", "1500M"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("2048Ki", "2Mi"),
            ("1000Ki", "1000Ki"),
            ("4G", "4G"),
        ] {
            assert_eq!(canonical(written).as_deref(), Some(stored), "{written}");
        }
        for bad in ["", "Gi", "1 Gi", "1gi", "x", "1.2.3", "--1", "99999999999999999999"] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }
}
