//! Two candidates for a Lease that write all the time, whether they may or not, while everything goes wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::{ApplyMode, Before, ErrorKind, Fence, Standing};
use fleet::Plane;
use jiff::SignedDuration;
use manifest::Kind;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::fault::{Fault, Rule, Which};
use tokio::time::{Instant, sleep};

use super::ground::{Ground, Process, it, seconds};

#[derive(Debug, Default)]
struct Attempts {
    all: u64,
    done: u64,
    fenced: u64,
    /// Of the one that is under way: as the how many-th leader, and whether it was begun by one at all.
    number: u64,
    led: bool,
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

/// Writes one object all the time, whether it may or not, by what it knows of it.
fn write(process: &Process, seed: u64) -> Arc<Mutex<Attempts>> {
    let attempts = Arc::new(Mutex::new(Attempts::default()));
    let counted = Arc::clone(&attempts);
    let fence = process.keeper.fence();
    let (data, name) = (process.data.fenced(fence.clone()), process.name);
    let mut standing = process.keeper.subscribe();
    let mut dice = StdRng::seed_from_u64(seed);
    tokio::spawn(process.world.stoppable(async move {
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

/// Two candidates for so many hours, with something going wrong every few minutes.
pub(super) async fn trouble(hours: u64) {
    let ground = Ground::new().await;
    let processes = [ground.process("one", 10), ground.process("two", 20)];
    processes[0].clock.jump(SignedDuration::from_mins(-30));
    processes[1].clock.jump(SignedDuration::from_mins(30));
    let landed = Arc::new(Mutex::new(Landed::default()));
    let attempts = [write(&processes[0], 3), write(&processes[1], 4)];
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
