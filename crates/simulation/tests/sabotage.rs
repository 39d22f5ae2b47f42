//! Bugs that are planted on purpose are noticed, and called by their name: a harness that is blind proves nothing.

use simulation::{Promise, Sabotage, Script, run};

/// For each bug a seed that shows it, found by `cargo xtask simulate --sabotage NAME --seeds 200`, and the promises of
/// which it breaks at least one.
const SHOWN_BY: [(Sabotage, u64, &[Promise]); 9] = [
    (Sabotage::SkipPreconditions, 1, &[Promise::BusyStays, Promise::Converges]),
    (Sabotage::SilenceIsAbsence, 1, &[Promise::UnknownStays, Promise::BusyStays]),
    (Sabotage::MissedChange, 1, &[Promise::Converges]),
    (Sabotage::DeleteBeforeEmpty, 1, &[Promise::BusyStays]),
    (Sabotage::StaleEvidence, 1, &[Promise::SecondRunIsIdle, Promise::Converges]),
    (Sabotage::RerollSecret, 1, &[Promise::PasswordsStay]),
    (Sabotage::RenumberPort, 1, &[Promise::PortsStay]),
    (Sabotage::GateMediaOnReadiness, 1, &[Promise::MediaUngated]),
    (Sabotage::LeakSecret, 1, &[Promise::NothingLeaks]),
];

#[test]
fn every_planted_bug_is_noticed() {
    for bug in Sabotage::ALL {
        let again = format!("look for another seed by `cargo xtask simulate --sabotage {} --seeds 200`", bug.name());
        let (_, seed, promises) = SHOWN_BY.iter().find(|(shown, ..)| *shown == bug).expect("every bug has a seed");
        match run(&Script::new(*seed), Some(bug)) {
            Ok(_) => panic!("{bug:?} is not noticed by seed {seed}; {again}"),
            Err(broken) => assert!(
                broken.violations.iter().any(|violation| promises.contains(&violation.promise)),
                "{bug:?} breaks other promises than it should: {broken}; {again}"
            ),
        }
        assert!(run(&Script::new(*seed), None).is_ok(), "seed {seed} breaks promises without any bug; {again}");
    }
}
