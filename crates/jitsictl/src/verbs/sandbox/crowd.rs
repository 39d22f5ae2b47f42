//! The callers of a rehearsal.

use std::time::Duration;

use fleet::Fleet;
use sandbox::{
    World,
    people::{Interruptions, Load, People},
};

use crate::rehearsal::{Callers, Moment};

/// Conferences at once at the day's peak, of a hundred that begin in the day: they last three quarters of an hour.
const AT_ONCE: u32 = 8;

/// Lets people call into a fleet: so many conferences a day.
pub(super) fn start(world: &World, fleet: &Fleet, per_day: u32, seed: u64) -> People {
    let regions: std::collections::BTreeSet<String> =
        fleet.clusters.values().filter_map(|cluster| cluster.region.clone()).collect();
    let peak = (per_day / 100 * AT_ONCE).max(1);
    People::start(world, Load { per_day, peak, tenants: Vec::new(), regions: regions.into_iter().collect() }, seed)
}

/// What they went through, minute by minute; the change began `before` after they did.
pub(super) fn told(people: &People, before: Duration) -> (Callers, Vec<Moment>) {
    let report = people.report();
    let before = i64::try_from(before.as_secs()).unwrap_or_default();
    let moments = report.samples.iter().map(|sample| Moment {
        at: i64::try_from(sample.minute * 60).unwrap_or(i64::MAX) - before,
        conferences: sample.conferences,
        participants: sample.participants,
        draining: sample.draining_bridges,
    });
    let Interruptions { bridge_killed, bridge_moved, media_cut, shard_restarted, wrong_shard, websocket_cut } =
        report.interruptions;
    let causes = [
        ("bridge_killed", bridge_killed),
        ("bridge_moved", bridge_moved),
        ("media_cut", media_cut),
        ("shard_restarted", shard_restarted),
        ("wrong_shard", wrong_shard),
        ("websocket_cut", websocket_cut),
    ];
    let callers = Callers {
        conferences: report.conferences,
        participants: report.participants,
        peak_conferences: report.peak_conferences,
        peak_participants: report.peak_participants,
        interruptions: causes.map(|(cause, n)| (cause.to_owned(), n)).into(),
        interrupted: report.interrupted_participants,
        failed_joins: report.failed_joins,
    };
    (callers, moments.collect())
}
