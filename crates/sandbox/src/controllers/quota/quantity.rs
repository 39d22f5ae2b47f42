//! Amounts such as `500m` and `2Gi`.

use std::fmt;
use std::ops::Add;

/// Suffixes and what they stand for, in thousandths; the largest first.
const DECIMAL: [(&str, i128); 8] = [
    ("E", 1_000_000_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("G", 1_000_000_000_000),
    ("M", 1_000_000_000),
    ("k", 1_000_000),
    ("", 1_000),
    ("m", 1),
];
const BINARY: [(&str, i128); 7] = [
    ("Ei", 1_000 << 60),
    ("Pi", 1_000 << 50),
    ("Ti", 1_000 << 40),
    ("Gi", 1_000 << 30),
    ("Mi", 1_000 << 20),
    ("Ki", 1_000 << 10),
    ("", 1_000),
];

/// An amount; remembers whether it is written in powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Quantity {
    thousandths: i128,
    binary: bool,
}

impl Quantity {
    pub(super) fn count(count: usize) -> Self {
        Self { thousandths: i128::try_from(count).unwrap_or_default() * 1_000, binary: false }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        let binary = suffix.ends_with('i');
        let units = if binary { &BINARY[..] } else { &DECIMAL[..] };
        let (_, unit) = units.iter().find(|(name, _)| *name == suffix)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Some(Self { thousandths: digits.checked_mul(*unit)?.div_euclid(divisor), binary })
    }

    pub(super) fn max(self, other: Self) -> Self {
        if other.thousandths > self.thousandths { other } else { self }
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { thousandths: self.thousandths + other.thousandths, binary: self.binary || other.binary }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.thousandths % 1_000 == 0;
        let units = if self.binary && whole { &BINARY[..] } else { &DECIMAL[..] };
        let fitting = units.iter().find(|(_, unit)| self.thousandths != 0 && self.thousandths % unit == 0);
        match fitting {
            Some((suffix, unit)) => write!(out, "{}{suffix}", self.thousandths / unit),
            None => out.write_str("0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_up_in_their_canonical_form() {
        let table = [
            ("500m", "500m", "1"),
            ("1", "250m", "1250m"),
            ("1Gi", "512Mi", "1536Mi"),
            ("1.5Gi", "512Mi", "2Gi"),
            ("1G", "0", "1G"),
            ("0", "0", "0"),
        ];
        for (a, b, sum) in table {
            let sum_of = Quantity::parse(a).unwrap() + Quantity::parse(b).unwrap();
            assert_eq!(sum_of.to_string(), sum, "{a} + {b}");
        }
        assert!(Quantity::parse("1Q").is_none() && Quantity::parse("").is_none());
    }
}
