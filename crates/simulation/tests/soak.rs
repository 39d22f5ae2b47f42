//! Daemons left alone for an hour; `cargo xtask soak` leaves them alone as long as one likes.

use simulation::{Sabotage, Soak, soak};

#[test]
fn daemons_can_be_left_alone() {
    let mut hours = Vec::new();
    let ended = soak(Soak { seed: 3, hours: 1, sabotage: None }, |hour| hours.push(*hour));
    if let Err(spoilt) = ended {
        panic!("{spoilt}\n{}", spoilt.trace.lines().join("\n"));
    }
    assert_eq!(hours.len(), 1);
    assert!(hours.iter().all(|hour| hour.troubles > 5 && hour.rounds > 0 && hour.requests > 1000), "{hours:?}");
}

/// Else a soak that ends well would prove nothing.
#[test]
fn planted_bugs_are_noticed() {
    for (bug, seed) in [(Sabotage::GateMediaOnReadiness, 3), (Sabotage::DropWatchEvent, 1)] {
        let Err(spoilt) = soak(Soak { seed, hours: 1, sabotage: Some(bug) }, |_| {}) else {
            panic!("nobody noticed {}", bug.name());
        };
        assert!(spoilt.violations.iter().any(|it| bug.breaks().contains(&it.promise)), "{}: {spoilt}", bug.name());
    }
}
