//! The planner by scenario: a world, what should be, and the steps that are allowed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod evidence;
mod narrowed;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Fleet, Index, Plane, PoolName, Slot};
use manifest::testing::{cluster, fleet, set_env, shard_name, split};
use manifest::{Desired, Kind, UnitId};
use plan::{BlastRadius, BlockedBy, Inputs, Known, Owned, Plan, PodPhase, Reason, Removal, SlotView, Step, plan};
use proptest::prelude::*;
use stage::{Stage, at, eu, kinds};

const ROOTLESS: &str = manifest::testing::ROOTLESS;

#[test]
fn what_is_to_come_is_what_the_plans_after_this_one_do() {
    let mut stage = Stage::empty(split());
    assert_eq!(stage.forecast(), ["then nothing is left to do"]);
    stage.run();
    assert!(stage.forecast().is_empty(), "{:?}", stage.forecast());
    stage.change_bridges();
    let replaced = "2 bridges and recorders are replaced one at a time, each when nobody is on it";
    assert_eq!(stage.forecast(), [replaced, "then nothing is left to do"]);
    stage.people_on_bridge(1, 4);
    let left = "then still waiting, unless people leave or what is missing comes: bridge eu/1";
    assert_eq!(stage.forecast(), ["1 bridge or recorder is replaced when nobody is on it", left]);
    let before = stage.plan();
    let plans = stage.run();
    assert_eq!(plans.first(), Some(&before), "looking ahead changes nothing");
}

#[test]
fn a_fresh_fleet_is_applied_in_one_plan_and_then_nothing_is_left() {
    let mut stage = Stage::empty(split());
    let plans = stage.run();
    assert_eq!(plans.len(), 1);
    assert!(plans[0].changes.iter().all(|change| change.radius == BlastRadius::None));
    assert!(plans[0].blocked.is_empty());
    assert!(stage.plan().is_empty());
}

#[test]
fn bridges_are_replaced_one_at_a_time_drained_and_seen_empty() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    assert_eq!(stage.plan().radius(), BlastRadius::BridgeDrain);
    let plans = stage.run();
    let steps: Vec<String> = plans.iter().flat_map(kinds).collect();
    let expected = [
        "drain 0",
        "apply bridge eu/0",
        "delete meet-jvb-eu-0-0",
        "drain 1",
        "apply bridge eu/1",
        "delete meet-jvb-eu-1-0",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_bridge_that_pulls_its_new_image_still_has_its_turn() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    for _ in 0..3 {
        stage.advance();
    }
    let view = stage.view("frankfurt");
    let mut gone = view.pods.remove("meet-jvb-eu-0-0").unwrap();
    let object = view.objects.iter_mut().find(|(object, _)| object.name == "meet-jvb-eu-0" && object.kind.has_pods());
    let (object, live) = object.unwrap();
    let mut body = live.body.json();
    body["metadata"]["generation"] = 2.into();
    live.body = std::sync::Arc::new(plan::LiveBody::new(object.kind, manifest::Body::new(&body)));
    assert_eq!(kinds(&stage.plan()), [""; 0], "its pod is not there yet");
    gone.phase = PodPhase::Waiting("ContainerCreating".into());
    stage.view("frankfurt").pods.insert("meet-jvb-eu-0-0".into(), gone.clone());
    let plan = stage.plan();
    assert!(plan.steps.is_empty(), "{:?}", kinds(&plan));
    assert!(plan.blocked.iter().any(|blocked| matches!(blocked.by, BlockedBy::Turn { .. })), "{plan:#?}");
    gone.phase = PodPhase::Ready;
    stage.view("frankfurt").pods.insert("meet-jvb-eu-0-0".into(), gone);
    assert_eq!(kinds(&stage.plan()), ["drain 1"]);
}

#[test]
fn a_client_that_does_not_get_through_is_made_anew_and_again_only_on_new_evidence() {
    let mut stage = Stage::converged(split());
    let seen_at = |stage: &mut Stage, second: i64| {
        stage.bridge_says(0, &["alpha-a"], 0, second);
        stage.jicofo_misses(0, second);
        stage.look();
        stage.plan()
    };
    assert!(seen_at(&mut stage, 100).is_empty(), "it may be about to join");
    assert!(seen_at(&mut stage, 109).is_empty());
    let plan = seen_at(&mut stage, 110);
    assert!(matches!(plan.steps[..], [Step::Attach { replace: true, .. }]), "{:?}", kinds(&plan));
    stage.policy.learnt.told(&plan.steps, at(111));
    assert!(stage.plan().is_empty(), "what was seen before it was told is no evidence");
    assert!(seen_at(&mut stage, 130).is_empty(), "ever more slowly");
    assert_eq!(kinds(&seen_at(&mut stage, 131)), ["attach 0 to alpha"]);
}

#[test]
fn a_client_is_left_alone_where_something_else_may_be_wrong() {
    let stuck = |change: &dyn Fn(&mut Stage)| {
        let mut stage = Stage::converged(split());
        for second in [100, 200] {
            stage.bridge_says(0, &["alpha-a"], 0, second);
            stage.jicofo_misses(0, second);
            change(&mut stage);
            stage.look();
        }
        stage.plan().steps.len()
    };
    assert_eq!(stuck(&|_| {}), 1);
    assert_eq!(stuck(&|stage| stage.bridge_says(0, &["alpha-a"], 1, 200)), 0, "it is connected");
    let prosody = "meet-alpha-a-prosody-0";
    assert_eq!(stuck(&|stage| stage.view("hq").pods.get_mut(prosody).unwrap().phase = PodPhase::Running), 0);
    let silent = Known::Unknown { why: Reason("no answer".into()) };
    assert_eq!(stuck(&|stage| stage.world.observed.slots.values_mut().for_each(|known| *known = silent.clone())), 0);
}

#[test]
fn bridges_part_from_a_shard_before_its_address_goes() {
    let mut fleet = split();
    fleet.control.shards.insert(shard_name("beta"), fleet.control.shards[&shard_name("alpha")].clone());
    fleet.data.pools[0].shards.push(shard_name("beta"));
    let mut stage = Stage::converged(fleet);
    stage.bridge_says(0, &["alpha-a", "beta-a"], 2, 100);
    stage.fleet.control.shards.remove(&shard_name("beta"));
    stage.fleet.data.pools[0].shards.pop();
    stage.conferences("beta", 1);
    assert!(stage.run().iter().flat_map(kinds).all(|step| !step.starts_with("detach")), "people are on it");
    stage.conferences("beta", 0);
    let steps: Vec<String> = stage.run().iter().flat_map(kinds).collect();
    let place = |wanted: &str| steps.iter().position(|step| step == wanted).unwrap_or_else(|| panic!("{steps:#?}"));
    assert!(place("prune StatefulSet meet-beta-a-prosody") < place("detach 0 from beta"));
    assert!(place("detach 0 from beta") < place("prune Service meet-beta-a-xmpp"));
    assert_eq!(steps.iter().filter(|step| step.starts_with("detach")).count(), 1);
    assert!(stage.plan().is_empty());
}

#[test]
fn disruption_is_a_choice() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    stage.people_on_bridge(0, 7);
    stage.policy.allow_disruption = true;
    stage.run();
    assert!(stage.plan().is_empty());
}

#[test]
fn a_slot_with_conferences_stays() {
    let mut stage = Stage::converged(split());
    set_env(&mut stage.fleet.control.shards.get_mut(&shard_name("alpha")).unwrap().jicofo, "ENABLE_AV1", "1");
    stage.conferences("alpha", 3);
    let plan = stage.plan();
    assert!(plan.steps.is_empty(), "{:?}", kinds(&plan));
    assert_eq!(plan.radius(), BlastRadius::ShardRestart);
    assert!(matches!(&plan.blocked[0].by, BlockedBy::Participants(live) if live.conferences == 3));
    stage.conferences("alpha", 0);
    let steps: Vec<String> = stage.run().iter().flat_map(kinds).collect();
    assert_eq!(steps[0], "apply slot alpha/a");
    assert!(stage.plan().is_empty());
}

#[test]
fn a_new_shard_touches_no_bridge() {
    let mut stage = Stage::converged(fleet(ROOTLESS, &["alpha"]));
    stage.fleet = fleet(ROOTLESS, &["alpha", "beta"]);
    stage.start_jicofos();
    let plan = stage.plan();
    assert!(plan.changes.iter().all(|change| !matches!(change.unit, UnitId::Bridge(..))), "{plan:#?}");
    assert!(plan.changes.iter().all(|change| change.radius <= BlastRadius::Reconnect));
}

#[test]
fn what_left_the_file_goes_when_nobody_is_on_it() {
    let mut stage = Stage::converged(split());
    stage.people_on_bridge(1, 4);
    stage.fleet.data.pools[0].bridges.replicas = fleet::Replicas::Fixed(1);
    stage.run();
    assert!(stage.plan().blocked.iter().any(|blocked| matches!(blocked.by, BlockedBy::Participants(_))));
    assert_eq!(stage.world.record.tombstones.len(), 1);
    stage.people_on_bridge(1, 0);
    let steps: Vec<String> = stage.run().iter().flat_map(kinds).collect();
    assert_eq!(steps[0], "drain 1");
    assert!(steps.contains(&"prune StatefulSet meet-jvb-eu-1".to_owned()), "{steps:?}");
    assert!(stage.plan().is_empty(), "{:#?}", stage.plan());
}

/// The fleet with another pool of one bridge, in another cluster.
fn with_asia() -> Fleet {
    let mut fleet = split();
    let mut asia = fleet.data.pools[0].clone();
    (asia.name, asia.cluster) = ("asia".parse().unwrap(), cluster("singapore"));
    asia.bridges.replicas = fleet::Replicas::Fixed(1);
    let place = fleet.clusters[&cluster("frankfurt")].clone();
    let access = fleet::Access::Context { context: "sin".into(), kubeconfig: None };
    fleet.clusters.insert(asia.cluster.clone(), fleet::Cluster { access, ..place });
    fleet.data.pools.push(asia);
    fleet
}

#[test]
fn a_pool_that_leaves_its_cluster_leaves_nothing_there() {
    let mut stage = Stage::converged(with_asia());
    stage.fleet.data.pools.pop();
    let steps: Vec<String> = stage.run().iter().flat_map(kinds).collect();
    let drained = steps.iter().position(|step| step == "drain 0").unwrap();
    let gone = steps.iter().position(|step| step == "prune StatefulSet meet-jvb-asia-0").unwrap();
    assert!(drained < gone, "{steps:?}");
    assert!(stage.plan().is_empty(), "{:#?}", stage.plan());
    assert!(stage.view("singapore").inventories[&Plane::Data].units.is_empty());
    let owed = plan::owed(&stage.world.record, &stage.desired(), &stage.world.observed);
    assert_eq!(owed.len(), 0, "{owed:?}");
}

#[test]
fn a_pool_that_moves_is_not_cut_off_where_it_was() {
    let mut stage = Stage::converged(with_asia());
    stage.fleet.data.pools[1].cluster = cluster("frankfurt");
    for known in stage.world.observed.slots.values_mut() {
        let Known::Yes(seen) = known else { panic!() };
        seen.value.bridges.get_mut("singapore-meet-jvb-asia-0-0").unwrap().endpoints = 3;
    }
    let steps: Vec<String> = stage.run().iter().flat_map(kinds).collect();
    assert!(!steps.iter().any(|step| step.starts_with("prune")), "{steps:?}");
    let on_it = |plan: &Plan| plan.blocked.iter().any(|blocked| matches!(blocked.by, BlockedBy::Participants(_)));
    assert!(on_it(&stage.plan()), "{:#?}", stage.plan());
}

#[test]
fn bridges_that_wait_to_leave_are_not_cut_off_when_an_address_moves() {
    let mut stage = Stage::converged(with_asia());
    stage.fleet.data.pools.pop();
    for known in stage.world.observed.slots.values_mut() {
        let Known::Yes(seen) = known else { panic!() };
        seen.value.bridges.get_mut("singapore-meet-jvb-asia-0-0").unwrap().endpoints = 3;
    }
    stage.run();
    stage.address = "198.51.100.8";
    let steps: Vec<String> = stage.run().iter().flat_map(kinds).collect();
    assert_eq!(steps, ["apply wiring alpha/a@frankfurt", "apply wiring alpha/a@singapore"]);
    // Everything may go when nobody is on it any more, wherever it led to.
    for known in stage.world.observed.slots.values_mut() {
        let Known::Yes(seen) = known else { panic!() };
        seen.value.bridges.get_mut("singapore-meet-jvb-asia-0-0").unwrap().endpoints = 0;
    }
    stage.run();
    assert!(stage.plan().is_empty(), "{:#?}", stage.plan());
    assert!(stage.view("singapore").inventories[&Plane::Data].units.is_empty());
}

#[test]
fn what_is_owed_where_nobody_can_look_is_named() {
    let mut stage = Stage::converged(with_asia());
    stage.fleet.data.pools.pop();
    stage.advance();
    assert!(!stage.world.record.tombstones.is_empty());
    stage.world.observed.clusters.insert(cluster("singapore"), Known::Unknown { why: Reason("timed out".into()) });
    let blocked = |stage: &Stage| stage.plan().blocked.iter().map(|blocked| blocked.by.clone()).collect::<Vec<_>>();
    let owed = BlockedBy::Owed { why: "timed out".into() };
    assert!(blocked(&stage).iter().all(|by| *by == owed) && !blocked(&stage).is_empty(), "{:?}", blocked(&stage));
    stage.policy.planes = BTreeSet::from([Plane::Control]);
    assert_eq!(blocked(&stage), []);
}

#[test]
fn what_somebody_deleted_and_did_not_live_to_write_down_is_forgotten() {
    let mut stage = Stage::converged(split());
    let unit = UnitId::Bridge(eu(), Index(9));
    let own = |stage: &mut Stage, uid: Option<&str>| {
        let gone = Owned { kind: Kind::Service, name: "meet-jvb-eu-9".into() };
        let inventory = stage.view("frankfurt").inventories.get_mut(&Plane::Data).unwrap();
        inventory.units.insert(unit.clone(), BTreeMap::from([(gone, uid.map(Into::into))]));
    };
    own(&mut stage, None);
    assert_eq!(kinds(&stage.plan()), [""; 0], "it may be on its way");
    stage.policy.removal = Removal::Everything;
    let steps = kinds(&stage.plan());
    assert!(steps.contains(&"forget 1 of bridge eu/9".to_owned()), "shards wait until no bridge is left: {steps:?}");
    stage.policy.removal = Removal::None;
    own(&mut stage, Some("u"));
    stage.view("frankfurt").unreadable_kinds.insert(Kind::Service, "403".into());
    assert_eq!(kinds(&stage.plan()), [""; 0], "it may be there");
    stage.view("frankfurt").unreadable_kinds.clear();
    assert_eq!(kinds(&stage.plan()), ["forget 1 of bridge eu/9"]);
    stage.advance();
    assert!(!stage.view("frankfurt").inventories[&Plane::Data].units.contains_key(&unit));
    assert!(stage.plan().is_empty());
}

#[test]
fn an_unreachable_cluster_is_left_alone_and_named() {
    let mut stage = Stage::converged(split());
    stage.change_bridges();
    stage.world.observed.clusters.insert(cluster("frankfurt"), Known::Unknown { why: Reason("timed out".into()) });
    let plan = stage.plan();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.blocked.len(), 1);
    assert!(matches!(plan.blocked[0].by, BlockedBy::Unreachable { .. }));
}

#[test]
fn an_empty_render_prunes_nothing() {
    let stage = Stage::converged(split());
    let plan = plan(&Inputs {
        fleet: &stage.fleet,
        desired: &Desired::default(),
        pending: &BTreeMap::new(),
        held: &BTreeSet::new(),
        observed: &stage.world.observed,
        record: &stage.world.record,
        policy: &stage.policy,
        now: at(0),
    });
    assert!(plan.steps.is_empty(), "{:?}", kinds(&plan));
    assert!(plan.blocked.iter().all(|blocked| blocked.by == BlockedBy::EmptyRender));
    assert!(!plan.blocked.is_empty());
}

#[test]
fn an_object_of_another_uid_is_not_ours() {
    let mut stage = Stage::converged(split());
    stage.fleet.data.pools[0].bridges.replicas = fleet::Replicas::Fixed(1);
    for (object, live) in &mut stage.view("frankfurt").objects {
        if object.name == "meet-jvb-eu-1" {
            live.uid = "somebody else's".into();
        }
    }
    let steps: Vec<String> = stage.run().iter().flat_map(kinds).collect();
    assert!(!steps.iter().any(|step| step.ends_with(" meet-jvb-eu-1")), "{steps:?}");
}

#[test]
fn one_plane_leaves_the_other_alone() {
    let mut stage = Stage::empty(split());
    stage.policy.planes = BTreeSet::from([Plane::Control]);
    stage.run();
    assert!(stage.view("frankfurt").objects.is_empty());
    assert!(!stage.view("hq").objects.is_empty());
}

/// What can happen to a fleet file between two runs.
#[derive(Debug, Clone)]
enum Edit {
    Bridges(u16),
    BridgeEnv(u8),
    JicofoEnv(u8),
    WebEnv(u8),
    Shards(u8),
    Serves(u8),
    People(u16, u64),
    Conferences(u64),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (1u16..5).prop_map(Edit::Bridges),
        any::<u8>().prop_map(Edit::BridgeEnv),
        any::<u8>().prop_map(Edit::JicofoEnv),
        any::<u8>().prop_map(Edit::WebEnv),
        (1u8..4).prop_map(Edit::Shards),
        (1u8..4).prop_map(Edit::Serves),
        (0u16..2, 0u64..3).prop_map(|(index, people)| Edit::People(index, people)),
        (0u64..3).prop_map(Edit::Conferences),
    ];
    proptest::collection::vec(edit, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is edited: iterating reaches a fixed point, and no bridge with people on it and no slot with
    /// conferences is ever touched.
    #[test]
    fn every_edit_reaches_a_fixed_point_and_spares_the_living(edits in edits()) {
        let mut stage = Stage::converged(split());
        for edit in edits {
            match edit {
                Edit::Bridges(n) => stage.fleet.data.pools[0].bridges.replicas = fleet::Replicas::Fixed(n),
                Edit::BridgeEnv(n) => set_env(&mut stage.fleet.data.pools[0].bridges.workload, "JVB_LOG_FILE", &n.to_string()),
                Edit::JicofoEnv(n) => {
                    for shard in stage.fleet.control.shards.values_mut() {
                        set_env(&mut shard.jicofo, "JICOFO_LOG_FILE", &n.to_string());
                    }
                }
                Edit::WebEnv(n) => {
                    for shard in stage.fleet.control.shards.values_mut() {
                        set_env(&mut shard.web.workload, "RESOLUTION", &n.to_string());
                    }
                }
                Edit::Shards(n) => {
                    let names: Vec<&str> = ["alpha", "beta", "gamma"].into_iter().take(n.into()).collect();
                    let other = fleet(ROOTLESS, &names);
                    stage.fleet.control.shards = other.control.shards;
                    stage.fleet.data.pools[0].shards = other.data.pools[0].shards.clone();
                    stage.start_jicofos();
                }
                Edit::Serves(n) => {
                    let names = stage.fleet.control.shards.keys().take(n.into()).cloned().collect();
                    stage.fleet.data.pools[0].shards = names;
                }
                Edit::People(index, people) => {
                    let nickname = format!("frankfurt-meet-jvb-eu-{index}-0");
                    for known in stage.world.observed.slots.values_mut() {
                        if let Known::Yes(seen) = known && let Some(seat) = seen.value.bridges.get_mut(&nickname) {
                            seat.endpoints = people;
                        }
                    }
                }
                Edit::Conferences(n) => stage.conferences("alpha", n),
            }
            for plan in stage.run() {
                for step in &plan.steps {
                    match step {
                        Step::DeletePod { unit: UnitId::Bridge(pool, index), .. } => prop_assert!(quiet(&stage, pool, *index)),
                        Step::DeletePod { unit: UnitId::Slot(shard, _), .. } => {
                            let seen = stage.world.observed.slots[&(shard.clone(), Slot::A)].value().unwrap();
                            prop_assert_eq!(seen.conferences, 0);
                        }
                        _ => {}
                    }
                }
            }
            prop_assert!(stage.plan().steps.is_empty());
        }
    }
}

fn quiet(stage: &Stage, pool: &PoolName, Index(index): Index) -> bool {
    assert_eq!(*pool, eu());
    let nickname = format!("frankfurt-meet-jvb-eu-{index}-0");
    let people = |view: &SlotView| view.bridges.get(&nickname).map_or(0, |seat| seat.endpoints);
    stage.world.observed.slots.values().filter_map(Known::value).map(people).sum::<u64>() == 0
}
