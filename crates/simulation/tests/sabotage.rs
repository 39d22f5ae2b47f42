//! Bugs that are planted on purpose are noticed, and called by their name: a harness that is blind proves nothing.

use simulation::{Sabotage, Script, run};

/// For each bug a seed that shows it, found by `cargo xtask simulate --sabotage NAME --seeds 200`.
const SHOWN_BY: [(Sabotage, u64); 10] = [
    (Sabotage::SkipPreconditions, 1),
    (Sabotage::SilenceIsAbsence, 151),
    (Sabotage::MissedChange, 1),
    (Sabotage::DeleteBeforeEmpty, 1),
    (Sabotage::RestartBusyShard, 167),
    (Sabotage::StaleEvidence, 1),
    (Sabotage::RerollSecret, 1),
    (Sabotage::RenumberPort, 2),
    (Sabotage::GateMediaOnReadiness, 2),
    (Sabotage::LeakSecret, 1),
];

#[test]
fn every_planted_bug_is_noticed_and_named() {
    for bug in Sabotage::ALL.into_iter().filter(|bug| !bug.needs_daemons()) {
        let again = format!("look for another seed by `cargo xtask simulate --sabotage {} --seeds 200`", bug.name());
        let (_, seed) = SHOWN_BY.iter().find(|(shown, _)| *shown == bug).expect("every bug has a seed");
        match run(&Script::new(*seed), Some(bug)) {
            Ok(_) => panic!("{bug:?} is not noticed by seed {seed}; {again}"),
            Err(broken) => assert!(
                broken.violations.iter().any(|violation| bug.breaks().contains(&violation.promise)),
                "{bug:?} breaks other promises than it should: {broken}; {again}"
            ),
        }
    }
}
