//! When a bridge is known to be empty, and when it is not.

use fleet::Slot;
use manifest::testing::{shard_name, split};
use plan::{BlockedBy, Known, PodPhase, Reason};

use crate::stage::{Stage, at, drain_of, kinds};

#[test]
fn a_busy_bridge_is_not_even_drained() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    stage.people_on_bridge(0, 7);
    let plans = stage.run();
    let steps: Vec<String> = plans.iter().flat_map(kinds).collect();
    assert_eq!(steps, ["drain 1", "apply bridge eu/1", "delete meet-jvb-eu-1-0"]);
    let left = stage.plan();
    assert_eq!(left.blocked.len(), 1);
    assert!(matches!(&left.blocked[0].by, BlockedBy::Participants(live) if live.participants == 7), "{left:#?}");
}

#[test]
fn a_drained_bridge_that_fills_again_is_undrained() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    assert_eq!(kinds(&stage.advance()), ["drain 0"]);
    stage.people_on_bridge(0, 2);
    assert_eq!(kinds(&stage.advance())[0], "undrain 0");
}

#[test]
fn a_drain_that_nothing_asks_for_any_more_is_taken_back() {
    let mut stage = Stage::converged(split());
    let before = stage.fleet.clone();
    stage.change_bridges();
    assert_eq!(kinds(&stage.advance()), ["drain 0"]);
    stage.fleet = before;
    assert_eq!(kinds(&stage.advance()), ["undrain 0"]);
    assert!(stage.plan().is_empty());
}

fn unknown<T>() -> Known<T> {
    Known::Unknown { why: Reason("stream broke".into()) }
}

#[test]
fn an_older_word_of_the_bridge_does_not_count() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    stage.advance();
    stage.jicofos_asked(1_000);
    let plan = stage.plan();
    assert!(plan.steps.is_empty(), "{:?}", kinds(&plan));
    assert!(plan.blocked.iter().any(|blocked| matches!(blocked.by, BlockedBy::Settling { .. })));
}

#[test]
fn a_jicofo_that_confirms_a_drain_again_needs_no_new_word_of_the_bridge() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    stage.advance();
    stage.jicofos_asked(1_000);
    stage.look();
    stage.bridge_asked(0, 1_001);
    stage.jicofos_asked(1_002);
    assert_eq!(kinds(&stage.plan()), ["apply bridge eu/0"]);
    // What was confirmed of the drain before is no word about another one.
    stage.policy.learnt.told(&[drain_of(&stage, 0)], at(1_002));
    assert_eq!(kinds(&stage.plan()), Vec::<String>::new());
    // Nor is what it said before a time in which it could not be asked.
    stage.look();
    let known = stage.world.observed.slots.insert((shard_name("alpha"), Slot::A), unknown());
    stage.look();
    stage.world.observed.slots.insert((shard_name("alpha"), Slot::A), known.unwrap());
    stage.jicofos_asked(1_004);
    stage.bridge_asked(0, 1_003);
    assert_eq!(kinds(&stage.plan()), Vec::<String>::new());
}

/// Its server was away, and jicofo has just started: in a shard of one bridge all the people who come back are sent there.
#[test]
fn a_bridge_that_may_be_about_to_join_does_not_go() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    assert_eq!(kinds(&stage.advance()), ["drain 0"]);
    let seen_at = |stage: &mut Stage, second: i64| {
        stage.jicofo_misses(0, second);
        stage.look();
        stage.bridge_asked(0, second + 1);
        stage.plan()
    };
    stage.look();
    for second in [100, 105, 109] {
        let plan = seen_at(&mut stage, second);
        assert_eq!(kinds(&plan), [""; 0], "{second}");
        assert!(plan.blocked.iter().any(|blocked| matches!(blocked.by, BlockedBy::Settling { .. })), "{plan:#?}");
    }
    assert_eq!(kinds(&seen_at(&mut stage, 110)), ["apply bridge eu/0"]);
    // Who looks ahead waits as well.
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    stage.jicofo_misses(0, 100);
    let replaced = "2 bridges and recorders are replaced one at a time, each when nobody is on it";
    assert_eq!(stage.forecast(), [replaced, "then nothing is left to do"]);
}

#[test]
fn an_unreachable_jicofo_is_not_an_empty_bridge() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    let key = (shard_name("alpha"), Slot::A);
    stage.world.observed.slots.insert(key, unknown());
    let plan = stage.plan();
    assert!(plan.steps.is_empty());
    assert!(plan.blocked.iter().any(|blocked| matches!(blocked.by, BlockedBy::NoEvidence { .. })), "{plan:#?}");
}

#[test]
fn a_bridge_that_does_not_run_needs_no_drain() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    for index in 0..2 {
        let pod = stage.view("frankfurt").pods.get_mut(&format!("meet-jvb-eu-{index}-0")).unwrap();
        pod.phase = PodPhase::Waiting("ImagePullBackOff".into());
    }
    assert_eq!(kinds(&stage.plan()), ["apply bridge eu/0", "apply bridge eu/1"]);
}
