//! Some seeds, every time; `cargo xtask simulate` plays as many as one likes.

use simulation::{Script, run};

#[test]
fn promises_hold_on_some_days() {
    let count = std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(20);
    let first: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut broken = Vec::new();
    for seed in first..first + count {
        if let Err(failure) = run(&Script::new(seed), None) {
            broken.push(format!("{failure}\n{}", failure.trace.lines().join("\n")));
        }
    }
    assert!(broken.is_empty(), "{} of {count} days broke a promise\n{}", broken.len(), broken.join("\n\n"));
}
