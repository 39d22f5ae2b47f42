//! Randomness as an input: what is made at random in a run can be made again in a simulated one.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Where random values come from. Copies draw from one source: none yields what another did.
#[derive(Clone)]
pub struct Entropy(Arc<Mutex<StdRng>>);

impl Entropy {
    /// The operating system's: for everything real.
    #[must_use]
    pub fn of_system() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }

    /// The same values for the same seed: for simulated clusters alone, since passwords come from here too.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Eight hexadecimal digits, to tell apart what would have one name.
    #[must_use]
    pub fn suffix(&self) -> String {
        format!("{:08x}", self.generator().random::<u32>())
    }

    /// A generator of one's own.
    pub(crate) fn generator(&self) -> StdRng {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }
}

impl std::fmt::Debug for Entropy {
    /// Without its state: it tells what comes next.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(entropy: &Entropy) -> u64 {
        entropy.generator().random()
    }

    #[test]
    fn a_seed_yields_the_same_again_and_a_copy_never_repeats() {
        let (one, other) = (Entropy::seeded(7), Entropy::seeded(7));
        let copy = one.clone();
        let drawn = [draw(&one), draw(&copy), draw(&one)];
        assert_eq!(drawn, [draw(&other), draw(&other), draw(&other)]);
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(draw(&Entropy::of_system()), draw(&Entropy::of_system()));
    }
}
