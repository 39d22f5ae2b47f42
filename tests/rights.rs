//! The rights that `jitsictl rbac` prints suffice, and none of them is too many: with all of them everything goes well,
//! and without any single verb something that a test can show goes wrong.
//!
//! For each verb by what goes wrong in the sandbox, in virtual time; for each verb by the request that needs it, for all of
//! them together, and by what goes wrong for a handful, on real API servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test reports, and fails"
)]

#[path = "rights/authorizer.rs"]
mod authorizer;
#[path = "support/binary.rs"]
mod binary;
#[path = "rights/ground.rs"]
mod ground;
#[path = "rights/real.rs"]
mod real;
#[path = "rights/scenario.rs"]
mod scenario;

use fleet::Plane;

use crate::{
    ground::{Fleet, Ground, atoms},
    scenario::Trial,
};

/// Each plane in each cluster where it has business.
const PLACES: [(Plane, &str); 3] = [(Plane::Control, "hq"), (Plane::Data, "hq"), (Plane::Data, "frankfurt")];

#[test]
fn the_rules_suffice() {
    for fleet in Fleet::ALL {
        virtually(async move {
            let ground = Ground::start(fleet).await;
            for plane in [Plane::Control, Plane::Data] {
                ground.grant(plane, None).await;
            }
            for (plane, cluster) in PLACES {
                for trial in scenario::trials(&ground, plane, cluster) {
                    eprintln!("{fleet:?} {plane} {cluster} {trial:?}");
                    if let Err(why) = trial.play(&ground, plane, cluster).await {
                        panic!("{fleet:?}, {plane} plane in {cluster}, {trial:?}: {why}");
                    }
                    trial.repair(&ground).await;
                }
            }
        });
    }
}

#[test]
fn no_rule_is_too_many() {
    let all = Fleet::ALL.into_iter().flat_map(|fleet| PLACES.map(|(plane, cluster)| (fleet, plane, cluster)));
    let threads: Vec<_> =
        all.map(|(fleet, plane, cluster)| std::thread::spawn(move || superfluous(fleet, plane, cluster))).collect();
    let complaints: Vec<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(complaints.is_empty(), "{} verbs are not needed:\n{}", complaints.len(), complaints.join("\n"));
}

/// Verbs of a plane in a cluster whose absence goes unnoticed.
fn superfluous(fleet: Fleet, plane: Plane, cluster: &'static str) -> Vec<String> {
    virtually(async move {
        let mut complaints = Vec::new();
        let ground = Ground::start(fleet).await;
        for atom in atoms(&ground.fleet.rights(plane, cluster)) {
            let Some(scenario) = scenario::of(&ground, plane, cluster, &atom) else { continue };
            ground.grant(plane, Some((cluster, &atom))).await;
            let trial = Trial { scenario, atom: atom.clone() };
            let begun = std::time::Instant::now();
            let outcome = trial.play(&ground, plane, cluster).await;
            let seconds = begun.elapsed().as_secs_f64();
            let atom = format!("{fleet:?}, {plane} plane in {cluster}: {atom:?} by {scenario:?}");
            eprintln!("{seconds:5.1} s {atom}: {outcome:?}");
            if outcome.is_ok() {
                complaints.push(atom);
            }
            trial.repair(&ground).await;
        }
        complaints
    })
}

fn virtually<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("there is a runtime").block_on(work)
}
