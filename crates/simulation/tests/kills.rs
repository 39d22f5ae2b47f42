//! `kill -9` before and after every single request of a run, then the same run again: none is left out.
//!
//! A run is counted undisturbed first. Then, for each of its requests and each side of it, a world of its own is made, the
//! run is killed there, and a second one has to get to where the undisturbed one got. A third finds nothing to do.
//!
//! A small fleet's first run is killed at each of its requests. All kills of the larger one take ten minutes even in an
//! optimised build: it is killed at every 25th request, each time from another one on. All of them:
//! `KILLS_EVERY=1 cargo test --profile simulation -p simulation --test kills -- --nocapture --test-threads 1`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test reports, and fails"
)]

#[path = "kills/ground.rs"]
mod ground;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use orchestrator::Verdict;
use plan::Removal;
use sandbox::fault::{KillPoint, Moment};

use ground::{Ground, Names, Wanted, load, virtually};

/// One shard and one bridge, in one cluster.
const SMALLER: &str = "
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters:
  hq: { context: hq, namespace: jitsi }
control:
  cluster: hq
  shards: { alpha: {} }
data:
  pools:
    eu: { cluster: hq, bridges: { replicas: 1, expose: node_port, base_port: 30120 } }
";

/// Two clusters, two shards, pools behind node ports and behind load balancers, a recorder, and proxies side by side.
const FLEET: &str = "
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters:
  hq:  { context: hq, namespace: jitsi }
  fra: { context: fra, namespace: jitsi }
control:
  cluster: hq
  shards: { alpha: {}, beta: {} }
  xmpp: { expose: load_balancer }
  haproxy: { replicas: 2 }
data:
  pools:
    eu:
      cluster: fra
      bridges: { replicas: 1, expose: node_port, base_port: 30120 }
      recorders: { replicas: 1, storage: { size: 10Gi } }
    spare:
      cluster: fra
      bridges: { replicas: 1, expose: load_balancer, base_port: 30140 }
";

/// The same later: its bridges are replaced, a pool is gone, a shard has come.
const CHANGED: &str = "
fleet: meet
url: https://meet.example.org
release: stable-11146-2
clusters:
  hq:  { context: hq, namespace: jitsi }
  fra: { context: fra, namespace: jitsi }
control:
  cluster: hq
  shards: { alpha: {}, beta: {}, gamma: {} }
  xmpp: { expose: load_balancer }
  haproxy: { replicas: 2 }
data:
  pools:
    eu:
      cluster: fra
      bridges:
        { replicas: 1, expose: node_port, base_port: 30120, env: { VIDEOBRIDGE_MAX_MEMORY: 2048m } }
      recorders: { replicas: 1, storage: { size: 10Gi } }
";

/// A run that is killed.
#[derive(Debug, Clone, Copy)]
struct Story {
    /// The fleet that is there when it begins.
    there: Option<&'static str>,
    wanted: Wanted,
}

const SMALL: Story = Story { there: None, wanted: Wanted { fleet: SMALLER, removal: Removal::None } };
const FRESH: Story = Story { there: None, wanted: Wanted { fleet: FLEET, removal: Removal::None } };
const CHANGE: Story = Story { there: Some(FLEET), wanted: Wanted { fleet: CHANGED, removal: Removal::None } };
const DELETE: Story = Story { there: Some(FLEET), wanted: Wanted { fleet: FLEET, removal: Removal::Everything } };

#[test]
fn a_small_fleet_is_made_before_each_request() {
    every(SMALL, Moment::Before);
}

#[test]
fn a_small_fleet_is_made_after_each_request() {
    every(SMALL, Moment::After);
}

#[test]
fn a_fleet_is_made_before_requests() {
    some(FRESH, Moment::Before);
}

#[test]
fn a_fleet_is_made_after_requests() {
    some(FRESH, Moment::After);
}

#[test]
fn a_fleet_is_changed_before_requests() {
    some(CHANGE, Moment::Before);
}

#[test]
fn a_fleet_is_changed_after_requests() {
    some(CHANGE, Moment::After);
}

#[test]
fn a_fleet_is_deleted_before_requests() {
    some(DELETE, Moment::Before);
}

#[test]
fn a_fleet_is_deleted_after_requests() {
    some(DELETE, Moment::After);
}

/// Kills the run of a story at each of its requests.
fn every(story: Story, moment: Moment) {
    kill(story, moment, 1, 1);
}

/// Kills it at some of them.
fn some(story: Story, moment: Moment) {
    let every = std::env::var("KILLS_EVERY").map_or(25, |text| match text.parse() {
        Ok(number) if number > 0 => number,
        _ => panic!("KILLS_EVERY={text} is no number from 1 on"),
    });
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    kill(story, moment, 1 + now % every, every);
}

/// Kills it at one of its requests, and at each `step`th from there on.
fn kill(story: Story, moment: Moment, first: u64, step: u64) {
    let begun = Instant::now();
    let (requests, names) = virtually(story.undisturbed());
    let (next, kills, complaints) = (AtomicU64::new(first), AtomicU64::new(0), Mutex::new(Vec::new()));
    let play = || {
        loop {
            let at = next.fetch_add(step, Ordering::Relaxed);
            if at > requests {
                return;
            }
            kills.fetch_add(1, Ordering::Relaxed);
            if let Err(why) = virtually(story.killed(at, moment, &names)) {
                eprintln!("killed {moment:?} request {at} of {requests}: {why}");
                complaints.lock().unwrap().push(at);
            }
            if at % 100 == 0 {
                eprintln!("{at} of {requests} {moment:?}, {:.1} s", begun.elapsed().as_secs_f64());
            }
        }
    };
    // Each world has a time of its own, and knows nothing of the others.
    std::thread::scope(|scope| {
        for _ in 1..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(play);
        }
        play();
    });
    let complaints = complaints.into_inner().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let (kills, wrong) = (kills.into_inner(), complaints.len());
    eprintln!("{kills} kills {moment:?} one of {requests} requests, {seconds:.1} s: {wrong} went wrong");
    assert!(requests > 50 && kills > 0, "that was no run: {requests} requests, {kills} kills");
    assert!(complaints.is_empty(), "see above: {complaints:?}");
}

impl Story {
    /// Up to the run that is killed.
    async fn begin(&self) -> Ground {
        let mut ground = Ground::new().await;
        if let Some(fleet) = self.there {
            let wanted = Wanted { fleet, removal: Removal::None };
            let ran = ground.run(&wanted, None).await;
            assert_eq!(ran.verdict, Some(Verdict::Converged));
        }
        ground
    }

    /// How many requests the run makes, and what is there afterwards.
    async fn undisturbed(self) -> (u64, Names) {
        let mut ground = self.begin().await;
        let never = Arc::new(KillPoint::new(u64::MAX, Moment::Before));
        let ran = ground.run(&self.wanted, Some(&never)).await;
        assert_eq!(ran.verdict, Some(Verdict::Converged), "{:?}", ran.said);
        ground.settle().await;
        let names = ground.names();
        ground.all_is_owned().unwrap();
        (never.requests(), names)
    }

    async fn killed(self, at: u64, moment: Moment, names: &Names) -> Result<(), String> {
        let mut ground = self.begin().await;
        let kill = Arc::new(KillPoint::new(at, moment));
        let ran = ground.run(&self.wanted, Some(&kill)).await;
        if ran.verdict.is_some() || !kill.is_reached() {
            return Err(format!("it lived: {:?}", ran.verdict));
        }
        let executed = if moment == Moment::After { at } else { at - 1 };
        if ran.executed != executed {
            return Err(format!("{} requests were executed", ran.executed));
        }
        let second = ground.run(&self.wanted, None).await;
        if second.verdict != Some(Verdict::Converged) {
            return Err(format!("the second run ended with {:?}: {}", second.verdict, second.said.join("\n  ")));
        }
        ground.settle().await;
        let mut third = ground.run(&self.wanted, None).await;
        if self.wanted.removal != Removal::None {
            // Whoever deletes asks first whether a daemon would make it all anew.
            third.writes.retain(|write| !write.contains("/leases"));
        }
        if third.verdict != Some(Verdict::Converged) || !third.steps.is_empty() || !third.writes.is_empty() {
            return Err(format!("the third run: {:?}, {:?}, {:?}", third.verdict, third.steps, third.writes));
        }
        ground.all_is_owned()?;
        let now = ground.names();
        if now != *names {
            let (more, less): (Vec<_>, Vec<_>) = (now.difference(names).collect(), names.difference(&now).collect());
            return Err(format!("there is {more:?}, there is not {less:?}"));
        }
        ground.secrets_stayed()
    }
}

#[test]
fn all_fleets_pass_check() {
    for fleet in [SMALLER, FLEET, CHANGED] {
        load(fleet);
    }
}
