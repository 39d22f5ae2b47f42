//! A pool that no longer serves a shard which stays: its bridges part from it when nobody of that shard is on them.

use std::collections::BTreeMap;

use manifest::testing::{fleet, shard_name};
use plan::{BlockedBy, Known, Live, Plan, Reason};

use crate::stage::{Stage, kinds};

/// Two bridges that served two shards, and should serve the first only; each has said what it is connected to.
fn narrowed() -> Stage {
    let mut stage = Stage::converged(fleet(crate::ROOTLESS, &["alpha", "beta"]));
    stage.fleet.data.pools[0].shards.retain(|shard| *shard != shard_name("beta"));
    for index in 0..2 {
        stage.bridge_says(index, &["alpha-a", "beta-a"], 2, 1);
    }
    // What their next start reads comes before anything else.
    assert_eq!(kinds(&stage.advance()), ["bury", "apply pool eu"]);
    stage
}

fn blocked(plan: &Plan) -> Vec<String> {
    plan.blocked.iter().map(|blocked| format!("{}: {:?}", blocked.unit, blocked.by)).collect()
}

#[test]
fn bridges_part_from_it_before_its_wiring_goes() {
    let mut stage = narrowed();
    let plan = stage.advance();
    let steps = kinds(&plan);
    assert!(
        steps.iter().any(|step| step == "detach 0 from beta") && steps.iter().any(|step| step == "detach 1 from beta")
    );
    assert!(!steps.iter().any(|step| step.starts_with("prune Service")), "{steps:?}");
    let plans = stage.run();
    let steps: Vec<String> = plans.iter().flat_map(kinds).collect();
    assert!(steps.contains(&"prune Service meet-beta-a-xmpp".to_owned()), "{steps:?}");
    assert!(!steps.iter().any(|step| step.starts_with("delete") || step.starts_with("drain")), "{steps:?}");
    assert!(stage.plan().is_empty(), "{:#?}", stage.plan());
}

#[test]
fn people_of_that_shard_keep_their_bridge_and_those_of_others_do_not_matter() {
    let mut stage = narrowed();
    stage.people_on_bridge_of("alpha", 0, 5);
    stage.people_on_bridge_of("beta", 1, 3);
    let plan = stage.plan();
    let steps = kinds(&plan);
    assert!(steps.contains(&"detach 0 from beta".to_owned()), "{steps:?}");
    assert!(!steps.contains(&"detach 1 from beta".to_owned()), "{steps:?}");
    let people = BlockedBy::Participants(Live { conferences: 0, participants: 3 });
    assert!(plan.blocked.iter().any(|blocked| blocked.by == people), "{:?}", blocked(&plan));

    stage.policy.allow_disruption = true;
    assert!(kinds(&stage.plan()).contains(&"detach 1 from beta".to_owned()));
}

#[test]
fn nobody_parts_from_what_can_not_be_asked() {
    let mut stage = narrowed();
    let silent = Known::Unknown { why: Reason("no answer".into()) };
    stage.world.observed.slots.insert((shard_name("beta"), fleet::Slot::A), silent);
    stage.bridge_says_people(0, 4);
    let plan = stage.plan();
    let steps = kinds(&plan);
    // The second bridge says itself that it is empty.
    assert!(!steps.contains(&"detach 0 from beta".to_owned()), "{steps:?}");
    assert!(steps.contains(&"detach 1 from beta".to_owned()), "{steps:?}");
    assert!(
        plan.blocked.iter().any(|blocked| matches!(blocked.by, BlockedBy::NoEvidence { .. })),
        "{:?}",
        blocked(&plan)
    );

    // Nobody was asked yet.
    stage.world.observed.bridges = BTreeMap::new();
    assert!(!kinds(&stage.plan()).iter().any(|step| step.starts_with("prune Service")));
}
