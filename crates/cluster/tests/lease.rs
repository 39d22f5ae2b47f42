//! Leases and fences against clusters in memory, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is how a test fails")]
#![allow(clippy::print_stdout, reason = "figures")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::{ApplyMode, Before, Cluster, ErrorKind, LeaseKeeper, Shelf, Standing};
use fleet::{Index, Plane};
use manifest::{Kind, Names, UnitId};
use plan::{Generation, Inventory, Owned};
use sandbox::fault::{Fault, Faults, Rule, Which};
use serde_json::json;
use tokio::time::{Instant, sleep};

#[path = "lease/ground.rs"]
mod ground;
#[path = "lease/trouble.rs"]
mod trouble;
#[path = "lease/world.rs"]
mod world;

use ground::{DATA, Ground, HOME, fleet, it, seconds};
use trouble::trouble;

#[tokio::test(start_paused = true)]
async fn a_day_of_partitions_pauses_and_clocks_an_hour_apart() {
    trouble(24).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_hands_over_within_three_seconds() {
    let ground = Ground::new().await;
    let one = ground.process("one", 1);
    one.leading().await;
    let two = ground.process("two", 2);
    sleep(seconds(20)).await;
    assert!(matches!(two.keeper.standing(), Standing::Following { holder, .. } if holder == "one"));
    let mut standing = two.keeper.subscribe();
    standing.borrow_and_update();
    let fence = one.keeper.fence();
    let begun = Instant::now();
    one.keeper.release().await;
    assert!(fence.check(Duration::ZERO).unwrap_err().why.contains("given back"));
    standing.changed().await.unwrap();
    assert!(begun.elapsed() <= seconds(3), "{:?}", begun.elapsed());
    let now = two.keeper.standing();
    assert!(matches!(now, Standing::Leading { transitions: 1, .. }), "{now:?}");
}

#[tokio::test(start_paused = true)]
async fn a_release_while_a_renewal_hangs_gives_back_all_the_same() {
    let ground = Ground::new().await;
    let one = ground.process("one", 1);
    one.leading().await;
    // The renewal is written, and its answer is lost on the way.
    one.to_home.set(vec![Rule { which: Which::Writes, chance: 1.0, fault: Fault::ResetAfter }]);
    sleep(seconds(5)).await;
    one.to_home.heal();
    one.keeper.release().await;
    let two = ground.process("two", 2);
    sleep(seconds(1)).await;
    assert!(two.leads());
}

#[tokio::test(start_paused = true)]
async fn without_its_home_a_leader_stops_before_another_could_lead() {
    let ground = Ground::new().await;
    let one = ground.process("one", 1);
    one.leading().await;
    let two = ground.process("two", 2);
    sleep(seconds(30)).await;
    one.to_home.partition();
    let mut standing = one.keeper.subscribe();
    standing.borrow_and_update();
    standing.changed().await.unwrap();
    let now = one.keeper.standing();
    assert!(matches!(&now, Standing::Unknown { why, .. } if why.contains("did not answer")), "{now:?}");
    assert!(!one.leads() && !two.leads(), "between the two nobody leads");
    two.leading().await;
    assert!(!one.leads());
    one.to_home.heal();
    sleep(seconds(10)).await;
    assert!(matches!(one.keeper.standing(), Standing::Following { holder, .. } if holder == "two"));
}

#[tokio::test(start_paused = true)]
async fn an_hour_costs_a_request_per_renewal_and_one_per_look() {
    let ground = Ground::new().await;
    let one = ground.process("one", 1);
    one.leading().await;
    let _two = ground.process("two", 2);
    sleep(seconds(10)).await;
    let log = ground.sandbox.requests(HOME).unwrap();
    let mark = log.mark();
    sleep(seconds(3600)).await;
    let entries = log.since(mark);
    let count = |verb: &str| entries.iter().filter(|entry| entry.line.verb == verb).count();
    println!("in an hour: {} updates, {} reads", count("update"), count("get"));
    assert!(count("update") <= 900 && count("get") <= 2250, "{} {}", count("update"), count("get"));
    assert_eq!(entries.len(), count("update") + count("get"));
    // Of no kind that is looked at, so that no plan can be about it; and named and labelled as the fleet's.
    assert!(Kind::ALL.iter().all(|kind| kind.plural() != "leases"));
    let look = one.home.look(&fleet()).await.unwrap();
    assert!(look.view.objects.is_empty() && look.unreadable_records.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_passes_by_knows_at_once_whose_it_is() {
    let ground = Ground::new().await;
    let faults = Faults::new(0);
    let home = ground.reach(HOME, &faults);
    let (fleet, clock) = (fleet(), ground.clock.fork());
    let pursue = |name: &'static str, seed| home.pursue_lease(&fleet, Plane::Data, name, clock.clone(), seed);
    let follows = |keeper: &LeaseKeeper, of: &str| matches!(keeper.standing(), Standing::Following { holder, .. } if holder == of);
    let leads = |keeper: &LeaseKeeper| {
        matches!(keeper.standing(), Standing::Leading { .. }) && keeper.fence().check(seconds(10)).is_ok()
    };
    let begun = Instant::now();
    let first = pursue("run-1", 1).await.unwrap();
    assert!(leads(&first));
    let second = pursue("run-2", 2).await.unwrap();
    assert!(follows(&second, "run-1") && begun.elapsed() < seconds(1), "{:?}", begun.elapsed());
    first.release().await;
    second.subscribe().changed().await.unwrap();
    assert!(leads(&second) && begun.elapsed() < seconds(4), "{:?}", begun.elapsed());
    // It ends without a word.
    drop(second);
    let begun = Instant::now();
    let third = pursue("run-3", 3).await.unwrap();
    assert!(follows(&third, "run-2"));
    third.subscribe().changed().await.unwrap();
    assert!(leads(&third) && (seconds(15)..seconds(17)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    // Nothing is left to lead.
    third.remove().await.unwrap();
    let fourth = pursue("run-4", 4).await.unwrap();
    assert!(matches!(fourth.standing(), Standing::Leading { transitions: 0, .. }), "{:?}", fourth.standing());
    fourth.release().await;
    faults.partition_with_resets();
    assert!(pursue("run-5", 5).await.unwrap_err().is_unreachable());
}

#[tokio::test(start_paused = true)]
async fn behind_a_closed_fence_everything_may_be_read_and_nothing_written() {
    let ground = Ground::new().await;
    let one = ground.process("one", 1);
    one.leading().await;
    let fenced = one.data.fenced(one.keeper.fence());
    let object = fenced.object(Kind::ConfigMap, "it");
    let mode = |before, dry_run| ApplyMode { dry_run, before };
    let made = fenced.apply(Plane::Data, &it("1"), &object, &mode(Before::Absent, false)).await.unwrap();

    // Somebody else writes it: what was decided on what was there before is refused, though it is no strict apply.
    let before = mode(Before::Seen(made.version.clone()), false);
    let other = one.data.apply(Plane::Data, &it("2"), &object, &before).await.unwrap();
    let stale = fenced.apply(Plane::Data, &it("1"), &object, &mode(Before::Seen(made.version), false)).await;
    assert_eq!(stale.unwrap_err().kind, ErrorKind::Changed);

    one.to_home.partition();
    sleep(seconds(12)).await;
    assert!(!one.leads() || fenced.may_change(seconds(5)).is_err());
    sleep(seconds(3)).await;
    let mark = ground.sandbox.requests(DATA).unwrap().mark();
    let seen = || Before::Seen(other.version.clone());
    let refused = [
        fenced.apply(Plane::Data, &it("3"), &object, &mode(seen(), false)).await.unwrap_err(),
        fenced.delete(&object, &made.uid, None).await.unwrap_err(),
        fenced.create(Plane::Data, &it("3"), &object).await.unwrap_err(),
        fenced.create_namespace().await.unwrap_err(),
        fenced.annotate_pod(Plane::Data, "p", "u", "k", None).await.unwrap_err(),
        fenced.may_change(seconds(5)).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error.kind, ErrorKind::Fenced { .. }), "{error}");
        assert!(error.is_transient() && !error.is_unreachable() && error.hint().is_some());
    }
    assert_eq!(ground.sandbox.requests(DATA).unwrap().since(mark).len(), 0);
    fenced.apply(Plane::Data, &it("3"), &object, &mode(seen(), true)).await.unwrap();
    let live = fenced.get(&object).await.unwrap().unwrap();
    assert_eq!(live.body.json().pointer("/data/a"), Some(&json!("2")));
}

#[tokio::test(start_paused = true)]
async fn what_was_on_the_wire_when_the_world_stopped_meets_another_version() {
    let ground = Ground::new().await;
    let one = ground.process("one", 1);
    one.leading().await;
    let two = ground.process("two", 2);
    let object = one.data.object(Kind::ConfigMap, "it");
    let mode = |version: &str| ApplyMode { dry_run: false, before: Before::Seen(version.to_owned()) };
    let made = one.data.apply(Plane::Data, &it("made"), &object, &mode("")).await.unwrap();
    let codes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&codes);
    one.to_data.witnessed_by(Box::new(move |_, code| seen.lock().unwrap().push(code)));
    one.to_data.set(vec![Rule { which: Which::Writes, chance: 1.0, fault: Fault::Delay(seconds(40), seconds(40)) }]);
    let (fenced, to, seen) = (one.data.fenced(one.keeper.fence()), object.clone(), mode(&made.version));
    let write = one.world.stoppable(async move { fenced.apply(Plane::Data, &it("old"), &to, &seen).await });
    let write = tokio::spawn(write);
    sleep(seconds(1)).await;
    one.world.stop(true);
    two.leading().await;
    let second = two.data.fenced(two.keeper.fence());
    second.apply(Plane::Data, &it("new"), &object, &mode(&made.version)).await.unwrap();
    assert_eq!(*codes.lock().unwrap(), Vec::<u16>::new(), "still on its way");
    sleep(seconds(600)).await;
    assert_eq!(*codes.lock().unwrap(), [409], "delivered, and refused");
    one.world.stop(false);
    let given_up = write.await.unwrap().unwrap_err();
    assert!(matches!(given_up.kind, ErrorKind::Timeout { .. }), "{given_up}");
    let live = second.get(&object).await.unwrap().unwrap();
    assert_eq!(live.body.json().pointer("/data/a"), Some(&json!("new")));
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_makes_what_the_old_one_prepared_void() {
    let ground = Ground::new().await;
    let one = ground.process("one", 1);
    one.leading().await;
    let two = ground.process("two", 2);
    let bridge = |index: u16| UnitId::Bridge("eu".parse().unwrap(), Index(index));
    let inventory = |generation, count| {
        let owned = |_| [(Owned { kind: Kind::Service, name: "x".to_owned() }, None)].into();
        let units = (0..count).map(|index| (bridge(index), owned(index))).collect();
        Inventory { generation: Generation(generation), units }
    };
    // Three chunks, all of them full. The old leader has read them, and plans.
    let first = one.data.fenced(one.keeper.fence());
    let write = |cluster: Cluster, shelf: Shelf, wanted: Inventory| async move {
        cluster.write_inventory(&fleet(), Plane::Data, &shelf, &wanted).await
    };
    let shelf = write(first.clone(), Shelf::default(), inventory(1, 192)).await.unwrap();
    let log = ground.sandbox.requests(DATA).unwrap();
    let mark = log.mark();
    let shelf = write(first.clone(), shelf, inventory(2, 192)).await.unwrap();
    assert_eq!(log.since(mark).len(), 0, "it has been here already");

    one.world.stop(true);
    two.leading().await;
    let second = two.data.fenced(two.keeper.fence());
    let mark = log.mark();
    let after = write(second.clone(), shelf.clone(), inventory(2, 192)).await.unwrap();
    assert_eq!(log.since(mark).len(), 3, "every chunk, though nothing of it changes");
    assert_eq!(after.inventory().generation, Generation(2));
    let mark = log.mark();
    write(second, after.clone(), inventory(3, 192)).await.unwrap();
    assert_eq!(log.since(mark).len(), 0);

    // The old one wakes up. What it prepared is refused: by its fence, and were that blind, by the versions, in whichever
    // chunk a unit stands, and also where it would begin a new one.
    one.world.stop(false);
    let fenced = write(first, shelf.clone(), inventory(3, 193)).await.unwrap_err();
    assert!(matches!(fenced.kind, ErrorKind::Fenced { .. }), "{fenced}");
    let without = |index| {
        let mut wanted = inventory(3, 192);
        wanted.units.remove(&bridge(index));
        wanted
    };
    let mut landed = 0;
    for wanted in [without(0), without(70), without(191), inventory(3, 193)] {
        match write(one.data.clone(), shelf.clone(), wanted).await {
            Ok(_) => landed += 1,
            Err(error) => assert_eq!(error.kind, ErrorKind::Changed),
        }
    }
    assert_eq!(landed, 0, "writes of the old leader that landed");
    // And whoever plans by an older record learns it from the generation.
    assert_eq!(write(one.data.clone(), after, inventory(1, 193)).await.unwrap_err().kind, ErrorKind::Changed);
    assert_eq!(Names(&fleet()).record(Plane::Data), "meet-data");
}
