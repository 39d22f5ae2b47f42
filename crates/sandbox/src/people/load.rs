//! How many conferences there are, when, how large and how long: all that callers are drawn from.

use std::time::Duration;

use super::random::Random;

/// How much people call.
///
/// Conferences come as a Poisson process whose rate follows a working day (hours in UTC): almost nothing at night, its
/// peak from 9 to 11, a dent at noon. Their lengths are exponential with a mean that gives `peak` conferences at once
/// at the peak's rate, at least 2 minutes and at most 8 hours. Sizes: 1 person 15 %, 2 people 40 %, 3 to 4 25 %, 5 to 8
/// 13 %, 9 to 20 6 %, 21 to 60 1 % (a mean of 4). People come within minutes of the first; one in six leaves early.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Conferences in a day.
    pub per_day: u32,
    /// Conferences at once, at the day's peak.
    pub peak: u32,
    /// Whose rooms they are: the first part of the path. None: rooms without a tenant.
    pub tenants: Vec<String>,
    /// Where people are, as bridges name their regions. None: nobody knows.
    pub regions: Vec<String>,
}

impl Default for Load {
    fn default() -> Self {
        Self { per_day: 1_000, peak: 80, tenants: Vec::new(), regions: Vec::new() }
    }
}

/// The share of the peak's rate in each hour of the day.
const DAY: [f64; 24] = [
    0.04, 0.03, 0.02, 0.02, 0.03, 0.06, 0.15, 0.40, 0.80, 1.00, 1.00, 0.90, 0.60, 0.80, 0.95, 0.90, 0.70, 0.45, 0.30,
    0.28, 0.25, 0.18, 0.10, 0.06,
];

const SIZES: [(f64, u64, u64); 6] =
    [(0.15, 1, 1), (0.40, 2, 2), (0.25, 3, 4), (0.13, 5, 8), (0.06, 9, 20), (0.01, 21, 60)];

impl Load {
    /// Nobody calls by himself; conferences are made by hand.
    #[must_use]
    pub fn none() -> Self {
        Self { per_day: 0, peak: 0, ..Self::default() }
    }

    /// Conferences per second at the peak.
    pub(super) fn rate(&self) -> f64 {
        f64::from(self.per_day) / (DAY.iter().sum::<f64>() * 3600.0)
    }

    /// The share of the peak's rate at a second of the day.
    pub(super) fn share(second: u64) -> f64 {
        let hour = usize::try_from(second / 3600 % 24).unwrap_or(0);
        let at = |hour: usize| DAY.get(hour % 24).copied().unwrap_or(0.0);
        let part = (second % 3600) as f64 / 3600.0;
        at(hour) * (1.0 - part) + at(hour + 1) * part
    }

    pub(super) fn length(&self, random: &mut Random) -> Duration {
        let mean = if self.per_day == 0 { 1800.0 } else { f64::from(self.peak) / self.rate() };
        Duration::from_secs_f64(random.exponential(mean).clamp(120.0, 8.0 * 3600.0))
    }

    pub(super) fn size(random: &mut Random) -> u64 {
        let mut drawn = random.unit();
        for (share, from, to) in SIZES {
            if drawn < share {
                return random.between(from, to + 1);
            }
            drawn -= share;
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_as_many_as_it_says() {
        let load = Load { per_day: 60_000, peak: 5_000, ..Load::default() };
        let day: f64 = (0..86_400).map(|second| Load::share(second) * load.rate()).sum();
        assert!((day - 60_000.0).abs() < 10.0, "{day}");
        let mut random = Random::new(1);
        let people: u64 = (0..100_000).map(|_| Load::size(&mut random)).sum();
        assert!((380_000..430_000).contains(&people), "{people}");
    }
}
