//! `kill -9` before and after every single request of a fresh apply, on a real API server, for one shard and one bridge.
//! Then the same apply again, which has to get there; and a third, which finds nothing to do.
//!
//! An API server can't tell who died at one of his reads from who died after the write before it or before the one that
//! follows. So it is every write whose both sides are played, which is quick; `KILLS=all` plays both sides of each
//! request, reads included. Every point has a fleet and a namespace of its own, and they are played side by side: most of
//! the time they wait for the Lease of whoever was killed. Larger fleets over two clusters, changes and deletions are
//! played in memory, at every request, by `crates/simulation/tests/kills.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test reports, and fails"
)]

#[path = "kills/ground.rs"]
mod ground;
#[path = "kills/mortal.rs"]
mod mortal;

use std::time::Instant;

use futures::{StreamExt as _, stream};
use orchestrator::Verdict;

use crate::{
    ground::Ground,
    mortal::{Counted, Death, Moment, Point},
};

/// How many fleets are made at once; they mostly wait.
const AT_ONCE: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_apply_killed_at_every_request_gets_there_the_second_time() {
    let counted =
        if std::env::var("KILLS").is_ok_and(|which| which == "all") { Counted::Requests } else { Counted::Writes };
    let ground = Ground::start().await;
    let (requests, writes) = undisturbed(&ground).await;
    let most = if counted == Counted::Requests { requests } else { writes };
    eprintln!("{requests} requests, {writes} of them writes: killed at each of these {counted:?}");
    assert!(writes > 20, "that was no run");
    let begun = Instant::now();
    let points = (1..=most).flat_map(|at| [(at, Moment::Before), (at, Moment::After)]);
    let points = points.zip(1_u64..).map(|((at, moment), number)| {
        let played = killed(&ground, number, Point { counted, at, moment });
        async move { played.await.map_err(|why| format!("killed {moment:?} number {at}: {why}")) }
    });
    let results: Vec<_> = stream::iter(points).buffer_unordered(AT_ONCE).collect().await;
    let kills = results.iter().filter(|result| matches!(result, Ok(Played::Killed))).count();
    let complaints: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    eprintln!("{kills} kills in {:.1} s, {} went wrong", begun.elapsed().as_secs_f64(), complaints.len());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(kills as u64 > most, "nearly nobody was killed: {kills}");
    ground.end().await;
}

/// What became of a point.
enum Played {
    Killed,
    /// The run had ended before it: how often a run looks depends on how quick everybody is.
    DoneBefore,
}

/// How many requests a run makes that nobody kills, and how many of them write.
async fn undisturbed(ground: &Ground) -> (u64, u64) {
    let site = ground.site(0).await;
    let death = Death::never();
    let ran = site.run(&death).await;
    assert_eq!(ran.verdict, Some(Verdict::Converged), "{}", ran.said.join("\n"));
    site.all_is_owned().await.unwrap();
    site.finds_nothing_to_do().await.unwrap();
    site.clear().await;
    (death.requests(), death.writes().len() as u64)
}

async fn killed(ground: &Ground, number: u64, point: Point) -> Result<Played, String> {
    let site = ground.site(number).await;
    let ran = site.run(&Death::at(point)).await;
    let before = site.secrets().await?;
    let played = match ran.verdict {
        None => Played::Killed,
        Some(Verdict::Converged) => Played::DoneBefore,
        Some(other) => return Err(format!("it ended before, with {other:?}: {}", ran.said.join("\n  "))),
    };
    let second = site.run(&Death::never()).await;
    if second.verdict != Some(Verdict::Converged) {
        return Err(format!("the second run ended with {:?}: {}", second.verdict, second.said.join("\n  ")));
    }
    site.finds_nothing_to_do().await?;
    site.all_is_owned().await?;
    let after = site.secrets().await?;
    if let Some(changed) = before.iter().find(|(key, value)| after.get(*key) != Some(*value)).map(|(key, _)| key) {
        return Err(format!("a secret has changed: {changed:?}"));
    }
    site.clear().await;
    Ok(played)
}
