//! The fleet on one screen.

use std::fmt::Write as _;

use fleet::Plane;
use orchestrator::{
    Status,
    report::{ProxyStatus, Witness},
};
use owo_colors::OwoColorize;

use super::{failures, words};

/// The screen.
pub(crate) fn status(status: &Status) -> String {
    let mut out = head(status);
    let mut rows = control(status);
    rows.extend(data(status));
    for line in words::columns(&rows, 2) {
        out.push_str(&line);
        out.push('\n');
    }
    let troubles = troubles(status);
    if !troubles.is_empty() {
        out.push('\n');
    }
    out.push_str(&troubles);
    out
}

fn head(status: &Status) -> String {
    let name = format!("{} · {}", status.fleet, status.url);
    match &status.live {
        Some(live) => format!("{:<72}{}\n", name, words::live(live, " · ")).bold().to_string(),
        None => format!("{:<72}{}\n", name, "who is on it: not known").bold().to_string(),
    }
}

const fn tick(good: bool) -> &'static str {
    if good { "✓" } else { "✗" }
}

fn of((have, want): (usize, usize)) -> String {
    format!("{have}/{want}")
}

fn control(status: &Status) -> Vec<Vec<String>> {
    let control = &status.control;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let reached = !status.unreachable.contains_key(&control.cluster);
    for shard in control.shards.iter().filter(|_| reached) {
        let live =
            shard.live.map_or("not known".to_owned(), |live| format!("{} conf", words::number(live.conferences)));
        rows.push(vec![
            shard.shard.to_string(),
            format!("{} serving", shard.slot),
            shard.release.clone(),
            format!("prosody {} jicofo {} web {}", tick(shard.prosody), tick(shard.jicofo), of(shard.web)),
            format!("bridges {}", of(shard.bridges)),
            live,
        ]);
    }
    if reached {
        let mut haproxy = of(control.haproxy);
        if let Some(generation) = status.generations.get(&Plane::Control) {
            let _ = write!(haproxy, " · record generation {generation}");
        }
        rows.push(vec!["haproxy".to_owned(), haproxy]);
        rows.extend(control.proxies.iter().filter_map(blind).map(|what| vec![String::new(), what]));
    } else {
        rows.push(vec!["not reached".to_owned()]);
    }
    placed("control", control.cluster.as_str(), rows)
}

/// What is wrong with a proxy, if anything is: slots that it sends nobody to although it should.
fn blind(proxy: &ProxyStatus) -> Option<String> {
    if let Some(why) = &proxy.why {
        return Some(format!("{} was not asked: {why}", proxy.pod));
    }
    let down = proxy.servers.iter().filter(|server| !server.up && server.weight > 0);
    let down: Vec<String> = down.map(|server| format!("{}/{}", server.shard, server.slot)).collect();
    (!down.is_empty()).then(|| format!("{} does not reach {}", proxy.pod, down.join(", ")))
}

/// Rows of one plane and cluster: both are named once.
fn placed(plane: &str, cluster: &str, rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let place = |at: usize, text: &str| if at == 0 { text.to_owned() } else { String::new() };
    rows.into_iter()
        .enumerate()
        .map(|(at, row)| [place(at, plane), place(at, cluster)].into_iter().chain(row).collect())
        .collect()
}

fn data(status: &Status) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (at, pool) in status.pools.iter().enumerate() {
        let mut cells = vec![pool.pool.to_string()];
        if status.unreachable.contains_key(&pool.cluster) {
            cells.push("not reached".to_owned());
        } else {
            let mut what = format!("{} bridges", of(pool.bridges));
            if pool.recorders.1 > 0 {
                let _ = write!(what, " · {} recorders", of(pool.recorders));
            }
            if let Some(stress) = pool.stress {
                let _ = write!(what, " · stress {stress:.2}");
            }
            let _ = write!(what, " · {} draining", pool.draining);
            cells.push(what);
        }
        rows.extend(placed(if at == 0 { "data" } else { "" }, pool.cluster.as_str(), vec![cells]));
    }
    for (at, shard) in status.control.shards.iter().enumerate() {
        let Some(endpoint) = &shard.endpoint else { continue };
        let title = if at == 0 { "xmpp" } else { "" };
        rows.push(vec![
            title.to_owned(),
            String::new(),
            format!("{}/{}", shard.shard, shard.slot),
            words::endpoint(endpoint),
        ]);
    }
    rows
}

/// What is not as it should be, each with what explains it.
fn troubles(status: &Status) -> String {
    let mut out = String::new();
    let mut tell = |mark: &str, message: &str, detail: Option<&str>, hint: Option<&str>| {
        let _ = writeln!(out, "{mark} {message}");
        for line in detail.into_iter().flat_map(str::lines) {
            let _ = writeln!(out, "    {line}");
        }
        if let Some(hint) = hint {
            let _ = writeln!(out, "    → {hint}");
        }
    };
    let alert = "!".red().bold().to_string();
    for (cluster, why) in &status.unreachable {
        tell(&alert, &format!("{cluster} can't be reached"), Some(why), None);
    }
    for notice in failures::missing(&status.proof.missing, &status.proof.unhealthy) {
        tell(&alert, &notice.message, notice.detail.as_deref(), notice.hint.as_deref());
    }
    for slot in &status.proof.slots {
        if let Some(why) = &slot.why {
            tell(&alert, &format!("jicofo of {}/{} can't be asked", slot.shard, slot.slot), Some(why), None);
        }
    }
    for notice in failures::strangers(&status.proof) {
        tell(&alert, &notice.message, notice.detail.as_deref(), notice.hint.as_deref());
    }
    let note = "·".dimmed().to_string();
    for tombstone in &status.tombstones {
        tell(&note, &format!("left the file, not gone yet: {tombstone}"), None, None);
    }
    if status.proof.witness == Witness::Bridges {
        let weaker = "no jicofo can be asked from here, only the bridges themselves: they know that they have joined, \
                      not whether jicofo may use them";
        tell(&note, "a weaker proof: the bridges' own word", Some(weaker), None);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fleet::{Index, Slot};
    use manifest::{Endpoint, Target};
    use orchestrator::Proof;
    use orchestrator::report::{ControlStatus, Missing, PoolStatus, ServerStatus, ShardStatus, SlotProof};
    use plan::Live;

    use super::*;
    use crate::print::bare;

    fn shard(name: &str, joined: usize, conferences: u64) -> ShardStatus {
        let target = Target::Ips { ips: vec!["198.51.100.7".parse().unwrap()], port: 5222 };
        ShardStatus {
            shard: name.parse().unwrap(),
            slot: Slot::A,
            release: "stable-11146-2".into(),
            prosody: true,
            jicofo: true,
            web: (2, 2),
            bridges: (joined, 13),
            live: Some(Live { conferences, participants: 600 }),
            endpoint: Some(Endpoint::Known(target)),
        }
    }

    fn pool(name: &str, cluster: &str, bridges: (usize, usize), recorders: (usize, usize)) -> PoolStatus {
        let (pool, cluster) = (name.parse().unwrap(), cluster.parse().unwrap());
        PoolStatus { pool, cluster, bridges, recorders, stress: Some(0.314), draining: 0 }
    }

    fn whole() -> Status {
        Status {
            fleet: "meet".into(),
            url: "https://meet.example.org".into(),
            as_of: "2026-11-22T10:00:00Z".parse().unwrap(),
            live: Some(Live { conferences: 212, participants: 1304 }),
            control: ControlStatus {
                cluster: "hq".parse().unwrap(),
                shards: vec![shard("alpha", 13, 118), shard("beta", 12, 94)],
                haproxy: (2, 2),
                proxies: Vec::new(),
            },
            pools: vec![pool("eu", "frankfurt", (10, 10), (2, 2)), pool("asia", "singapore", (2, 3), (0, 0))],
            unreachable: BTreeMap::new(),
            generations: BTreeMap::from([(Plane::Control, 118)]),
            tombstones: Vec::new(),
            proof: Proof::default(),
        }
    }

    #[test]
    fn a_fleet_fits_one_screen() {
        let mut status = whole();
        status.proof.missing.push(Missing {
            pool: "asia".parse().unwrap(),
            index: Index(2),
            cluster: "singapore".parse().unwrap(),
            shard: "beta".parse().unwrap(),
            slot: Slot::A,
            why:
                "jicofo of beta/a does not list singapore-meet-jvb-asia-2-0\nits XMPP client for beta-a is configured \
                  but not connected"
                    .into(),
            hint: Some("jitsictl apply".into()),
        });
        status.tombstones.push("bridge asia/7 of singapore".into());
        insta::assert_snapshot!(bare(&super::status(&status)));
    }

    #[test]
    fn what_is_not_known_is_not_shown_as_nothing() {
        let mut status = whole();
        status.live = None;
        status.unreachable.insert("hq".parse().unwrap(), "connect timed out after 5 s".into());
        status.proof.witness = Witness::Bridges;
        status.proof.slots.push(SlotProof {
            shard: "alpha".parse().unwrap(),
            slot: Slot::A,
            joined: 0,
            expected: 13,
            foreign: vec!["bridge-of-somebody".into()],
            live: Live::default(),
            why: Some("its cluster can't be reached".into()),
        });
        for shard in &mut status.control.shards {
            shard.live = None;
            shard.endpoint = None;
        }
        insta::assert_snapshot!(bare(&super::status(&status)));
    }
    #[test]
    fn a_proxy_that_does_not_reach_a_shard_is_named() {
        let server =
            |shard: &str, up, weight| ServerStatus { shard: shard.parse().unwrap(), slot: Slot::A, up, weight };
        let proxy = |servers, why: Option<&str>| ProxyStatus { pod: "p-0".into(), servers, why: why.map(Into::into) };
        let (good, drained) = (server("alpha", true, 100), server("beta", false, 0));
        assert_eq!(blind(&proxy(vec![good.clone(), drained.clone()], None)), None);
        let bad = proxy(vec![good, drained, server("gamma", false, 100)], None);
        assert_eq!(blind(&bad).unwrap(), "p-0 does not reach gamma/a");
        assert_eq!(blind(&proxy(Vec::new(), Some("no answer"))).unwrap(), "p-0 was not asked: no answer");
        let mut status = whole();
        status.control.proxies.push(bad);
        assert!(bare(&super::status(&status)).contains("  p-0 does not reach gamma/a\n"));
    }
}
