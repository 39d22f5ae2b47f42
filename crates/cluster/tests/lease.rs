//! Leases and fences against clusters in memory, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is how a test fails")]
#![allow(clippy::print_stdout, reason = "figures")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use clock::Clock;
use cluster::{
    ApplyMode, Before, Cluster, ErrorKind, Fence, LeaseKeeper, Limits, Options, Proxies, RunKey, Shelf, Standing,
    Tallies,
};
use fleet::{FleetName, Index, Plane};
use jiff::SignedDuration;
use manifest::{Kind, Names, UnitId, labels};
use plan::{Generation, Inventory, Owned};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::fault::{Fault, Faults, Rule, Which};
use sandbox::{Sandbox, SandboxOptions, Timing};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

const NAMESPACE: &str = "meet";
/// The home of the plane, and a cluster that it writes.
const HOME: &str = "hq";
const DATA: &str = "fra";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fleet() -> FleetName {
    "meet".parse().unwrap()
}

struct Ground {
    sandbox: Sandbox,
    clock: Clock,
}

impl Ground {
    async fn new() -> Self {
        let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
        let options = SandboxOptions {
            clusters: vec![HOME.to_owned(), DATA.to_owned()],
            timing: Timing::real(),
            clock: clock.clone(),
            seed: 1,
            custom_kinds: false,
        };
        let ground = Self { sandbox: Sandbox::start(options).await.unwrap(), clock };
        for name in [HOME, DATA] {
            ground.reach(name, &Faults::new(0)).create_namespace().await.unwrap();
        }
        ground
    }

    /// A connection, as a process has one.
    fn reach(&self, name: &str, faults: &Faults) -> Cluster {
        let options = Options {
            user_agent: "jitsictl/test".to_owned(),
            limits: Limits::default(),
            proxies: Proxies::default(),
            interactive: false,
            run_key: RunKey::new(&mut StdRng::seed_from_u64(1)),
            tallies: Tallies::default(),
        };
        let client = self.sandbox.faulty_client(name, faults, "jitsictl/test").unwrap();
        Cluster::from_client(&name.parse().unwrap(), NAMESPACE, client, &options)
    }

    fn process(&self, name: &'static str, seed: u64) -> Process {
        let (to_home, to_data) = (Faults::new(seed), Faults::new(seed + 1));
        let (home, data) = (self.reach(HOME, &to_home), self.reach(DATA, &to_data));
        let (world, clock) = (World::default(), self.clock.fork());
        let (keeper, task) = LeaseKeeper::apart(home.clone(), &fleet(), Plane::Data, name, clock.clone(), seed);
        tokio::spawn(world.stoppable(task));
        Process { name, to_home, to_data, home, data, clock, world, keeper }
    }
}

/// A process: everything that it does stops with its world.
struct Process {
    name: &'static str,
    to_home: Faults,
    to_data: Faults,
    home: Cluster,
    data: Cluster,
    clock: Clock,
    world: World,
    keeper: LeaseKeeper,
}

impl Process {
    fn leads(&self) -> bool {
        self.keeper.fence().check(Duration::ZERO).is_ok()
    }

    async fn leading(&self) {
        while !self.leads() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Writes one object all the time, whether it may or not, by what it knows of it.
    fn write(&self, seed: u64) -> Arc<Mutex<Attempts>> {
        let attempts = Arc::new(Mutex::new(Attempts::default()));
        let counted = Arc::clone(&attempts);
        let fence = self.keeper.fence();
        let (data, name) = (self.data.fenced(fence.clone()), self.name);
        let mut standing = self.keeper.subscribe();
        let mut dice = StdRng::seed_from_u64(seed);
        tokio::spawn(self.world.stoppable(async move {
            let object = data.object(Kind::ConfigMap, "it");
            let (mut number, mut version) = (0, String::new());
            loop {
                sleep(Duration::from_millis(dice.random_range(500..12_000))).await;
                // What it believes may be long out of date.
                if let Standing::Leading { transitions, .. } = &*standing.borrow_and_update() {
                    number = *transitions;
                }
                {
                    let mut counted = counted.lock().unwrap();
                    counted.number = number;
                    counted.led = fence.check(Duration::ZERO).is_ok();
                    counted.all += 1;
                }
                let body = it(&format!("{name} {number} {}", dice.random::<u32>()));
                let mode = ApplyMode { dry_run: false, before: Before::Seen(version.clone()) };
                let done = data.apply(Plane::Data, &body, &object, &mode).await;
                match done {
                    Ok(applied) => {
                        counted.lock().unwrap().done += 1;
                        version = applied.version;
                        continue;
                    }
                    Err(error) if matches!(error.kind, ErrorKind::Fenced { .. }) => counted.lock().unwrap().fenced += 1,
                    Err(_) => {}
                }
                if let Ok(Some(live)) = data.get(&object).await {
                    version = live.version;
                }
            }
        }));
        attempts
    }
}

fn it(value: &str) -> Json {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": value },
        "metadata": { "name": "it", "namespace": NAMESPACE, "labels": { labels::FLEET: "meet" } },
    })
}

#[derive(Debug, Default)]
struct Attempts {
    all: u64,
    done: u64,
    fenced: u64,
    /// Of the one that is under way: as the how many-th leader, and whether it was begun by one at all.
    number: u64,
    led: bool,
}

/// Can be stopped, with all that runs in it, in the middle of anything.
#[derive(Clone, Default)]
struct World(Arc<Mutex<(bool, Vec<Waker>)>>);

impl World {
    fn stop(&self, stopped: bool) {
        let wakers = {
            let mut state = self.0.lock().unwrap();
            state.0 = stopped;
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn stoppable<F: Future>(&self, inner: F) -> Stoppable<F> {
        Stoppable { world: self.clone(), inner: Box::pin(inner) }
    }
}

struct Stoppable<F> {
    world: World,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Stoppable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut state = self.world.0.lock().unwrap();
            if state.0 {
                state.1.push(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(cx)
    }
}

/// What the data cluster's server executed.
#[derive(Debug, Default)]
struct Landed {
    writes: u64,
    /// The last leader that wrote.
    latest: (u64, &'static str),
    /// Sent by somebody who did not lead then.
    stale: u64,
    /// Changed what a later leader had written.
    undone: u64,
    /// Sent by the leader, delivered when another one led who had not written yet.
    late: u64,
    /// Delivered when another one had written, and refused by the server.
    refused: u64,
}

/// Watches what is executed, whether its answer arrives or not.
fn watch_writes(process: &Process, attempts: &Arc<Mutex<Attempts>>, other: Fence, landed: &Arc<Mutex<Landed>>) {
    let (landed, attempts, name) = (Arc::clone(landed), Arc::clone(attempts), process.name);
    process.to_data.witnessed_by(Box::new(move |line, code| {
        if line.verb != "patch" {
            return;
        }
        let (number, led) = {
            let attempts = attempts.lock().unwrap();
            (attempts.number, attempts.led)
        };
        let mut landed = landed.lock().unwrap();
        landed.stale += u64::from(!led);
        let early = number < landed.latest.0;
        if code >= 300 {
            landed.refused += u64::from(early);
            return;
        }
        landed.writes += 1;
        landed.late += u64::from(!early && other.check(Duration::ZERO).is_ok());
        if early || (number == landed.latest.0 && landed.latest.1 != name && landed.writes > 1) {
            landed.undone += 1;
        } else {
            landed.latest = (number, name);
        }
    }));
}

#[tokio::test(start_paused = true)]
async fn partitions_pauses_and_clocks_an_hour_apart() {
    trouble(2).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "a simulated day takes minutes"]
async fn a_day_of_partitions_pauses_and_clocks_an_hour_apart() {
    trouble(24).await;
}

/// Two candidates for so many hours, with something going wrong every few minutes.
async fn trouble(hours: u64) {
    let ground = Ground::new().await;
    let processes = [ground.process("one", 10), ground.process("two", 20)];
    processes[0].clock.jump(SignedDuration::from_mins(-30));
    processes[1].clock.jump(SignedDuration::from_mins(30));
    let landed = Arc::new(Mutex::new(Landed::default()));
    let attempts = [processes[0].write(3), processes[1].write(4)];
    watch_writes(&processes[0], &attempts[0], processes[1].keeper.fence(), &landed);
    watch_writes(&processes[1], &attempts[1], processes[0].keeper.fence(), &landed);

    let mut dice = StdRng::seed_from_u64(7);
    let (start, mut next) = (Instant::now(), Instant::now() + seconds(60));
    let mut trouble: [Option<Instant>; 2] = [None, None];
    let (mut samples, mut led, mut changes, mut last) = (0_u64, 0_u64, 0_u64, None);
    while start.elapsed() < seconds(hours * 3600) {
        sleep(Duration::from_millis(500)).await;
        let leaders: Vec<usize> = (0..2).filter(|index| processes[*index].leads()).collect();
        assert!(leaders.len() < 2, "two leaders after {:?}", start.elapsed());
        let say = processes.iter().filter(|process| matches!(process.keeper.standing(), Standing::Leading { .. }));
        assert!(say.count() < 2, "two say so after {:?}", start.elapsed());
        samples += 1;
        if let Some(leader) = leaders.first() {
            led += 1;
            if last.replace(*leader) != Some(*leader) {
                changes += 1;
            }
        }
        for (index, process) in processes.iter().enumerate() {
            if trouble[index].is_some_and(|until| Instant::now() >= until) {
                trouble[index] = None;
                process.world.stop(false);
                process.to_home.heal();
                process.to_data.heal();
            }
        }
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + seconds(dice.random_range(20..240));
        // Mostly whoever leads.
        let index = if dice.random_bool(0.8) { last.unwrap_or(0) } else { dice.random_range(0..2) };
        let process = &processes[index];
        let mut lasting = seconds(dice.random_range(1..90));
        match dice.random_range(0..7) {
            0 => process.to_home.partition(),
            1 => process.to_home.partition_with_resets(),
            2 => {
                process.world.stop(true);
                lasting = seconds(600);
            }
            3 => process.world.stop(true),
            4 => {
                process.to_home.partition();
                process.to_data.partition();
            }
            5 => process.to_home.set(vec![
                Rule { which: Which::All, chance: 0.3, fault: Fault::Delay(seconds(0), seconds(8)) },
                Rule { which: Which::All, chance: 0.2, fault: Fault::refusal(429) },
                Rule { which: Which::Writes, chance: 0.2, fault: Fault::refusal(409) },
                Rule { which: Which::Writes, chance: 0.3, fault: Fault::ResetAfter },
            ]),
            _ => process.to_data.set(vec![
                Rule { which: Which::All, chance: 0.5, fault: Fault::Delay(seconds(0), seconds(30)) },
                Rule { which: Which::All, chance: 0.2, fault: Fault::ResetAfter },
            ]),
        }
        trouble[index] = Some(Instant::now() + lasting);
    }
    for process in &processes {
        process.world.stop(false);
        process.to_home.heal();
        process.to_data.heal();
    }
    sleep(seconds(40)).await;
    assert_eq!(processes.iter().filter(|process| process.leads()).count(), 1);
    let landed = landed.lock().unwrap();
    let sum = |of: fn(&Attempts) -> u64| attempts.iter().map(|attempts| of(&attempts.lock().unwrap())).sum::<u64>();
    let (all, done, fenced) = (sum(|of| of.all), sum(|of| of.done), sum(|of| of.fenced));
    println!("{changes} changes, led {:.1} % of the time", led as f64 * 100.0 / samples as f64);
    println!("{all} writes tried, {fenced} fenced, {landed:?}");
    assert_eq!((landed.stale, landed.undone), (0, 0));
    // On the wire when its sender stopped, and delivered before the next leader came by.
    assert!(landed.late <= 1 + hours / 8, "{landed:?}");
    assert!(changes > 8 * hours && done > 300 * hours && fenced > 100 * hours, "{landed:?}");
    assert!(landed.writes >= done, "{landed:?}");
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
    // Two chunks. The old leader reads them, and plans a change of the second one.
    let first = one.data.fenced(one.keeper.fence());
    let write = |cluster: Cluster, shelf: Shelf, wanted: Inventory| async move {
        cluster.write_inventory(&fleet(), Plane::Data, &shelf, &wanted).await
    };
    let shelf = write(first.clone(), Shelf::default(), inventory(1, 70)).await.unwrap();
    let log = ground.sandbox.requests(DATA).unwrap();
    let mark = log.mark();
    let shelf = write(first.clone(), shelf, inventory(2, 70)).await.unwrap();
    assert_eq!(log.since(mark).len(), 0, "it has been here already");

    one.world.stop(true);
    two.leading().await;
    let second = two.data.fenced(two.keeper.fence());
    let mark = log.mark();
    let after = write(second.clone(), shelf.clone(), inventory(2, 70)).await.unwrap();
    assert_eq!(log.since(mark).len(), 1, "the first chunk, though nothing of it changes");
    assert_eq!(after.inventory().generation, Generation(2));
    let mark = log.mark();
    write(second, after.clone(), inventory(3, 70)).await.unwrap();
    assert_eq!(log.since(mark).len(), 0);

    // The old one wakes up. What it prepared is refused: by its fence, and were that blind, by the version.
    one.world.stop(false);
    let fenced = write(first, shelf.clone(), inventory(3, 71)).await.unwrap_err();
    assert!(matches!(fenced.kind, ErrorKind::Fenced { .. }), "{fenced}");
    let mut other = inventory(3, 70);
    other.units.remove(&bridge(0));
    assert_eq!(write(one.data.clone(), shelf, other).await.unwrap_err().kind, ErrorKind::Changed);
    // And whoever plans by an older record learns it from the generation.
    assert_eq!(write(one.data.clone(), after, inventory(1, 71)).await.unwrap_err().kind, ErrorKind::Changed);
    assert_eq!(Names(&fleet()).record(Plane::Data), "meet-data");
}
