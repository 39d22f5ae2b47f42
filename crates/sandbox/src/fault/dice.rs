//! Chance that follows from a seed (splitmix64).

use std::time::Duration;

#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether something of this chance (0 to 1) comes to pass.
    pub(super) fn comes(&mut self, chance: f64) -> bool {
        // 53 bits are what a double holds exactly.
        ((self.next() >> 11) as f64) < chance * (1_u64 << 53) as f64
    }

    /// A duration between two others.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let width = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(if width == 0 { 0 } else { self.next() % width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_follows_from_the_seed() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            (0..10_000).filter(|_| dice.comes(0.3)).count()
        };
        assert_eq!(throws(1), throws(1));
        assert!((2_800..3_200).contains(&throws(1)) && (2_800..3_200).contains(&throws(2)));
        let mut dice = Dice::new(3);
        assert!((0..100).all(|_| dice.comes(1.0) && !dice.comes(0.0)));
        let (least, most) = (Duration::from_millis(5), Duration::from_millis(9));
        assert!((0..100).all(|_| (least..most).contains(&dice.between(least, most))));
    }
}
