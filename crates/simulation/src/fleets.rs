//! Made-up fleets, and changes of them: as values, from which the text of a fleet file is written.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::dice::Dice;

/// A fleet, as far as the simulation varies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    release: &'static str,
    clusters: usize,
    shards: Vec<&'static str>,
    pools: Vec<Pool>,
    web_replicas: u64,
    env: Vec<(&'static str, String)>,
    bridge_env: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pool {
    name: &'static str,
    /// Index of its cluster.
    cluster: usize,
    bridges: u64,
    base_port: u64,
    expose: &'static str,
    recorders: u64,
}

/// All clusters that a simulation can have. The first is the control cluster.
pub(crate) const CLUSTERS: [&str; 3] = ["hq", "fra", "sin"];
const SHARDS: [&str; 3] = ["alpha", "beta", "gamma"];
const POOLS: [&str; 3] = ["eu", "asia", "spare"];
const RELEASES: [&str; 2] = ["stable-11146", "stable-11146-2"];

impl Made {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let clusters = usize::try_from(dice.between(1, 3)).unwrap_or(1);
        let shards = usize::try_from(dice.between(1, 2)).unwrap_or(1);
        let pools = clusters.max(2) - 1;
        let mut made = Self {
            release: RELEASES[0],
            clusters,
            shards: SHARDS[..shards].to_vec(),
            pools: Vec::new(),
            web_replicas: dice.between(1, 2),
            env: vec![("ENABLE_LOBBY", "1".to_owned())],
            bridge_env: None,
        };
        for _ in 0..pools {
            made.add_pool(dice);
        }
        made
    }

    fn add_pool(&mut self, dice: &mut Dice) -> bool {
        let number = self.pools.len();
        let Some(name) = POOLS.into_iter().find(|name| self.pools.iter().all(|pool| pool.name != *name)) else {
            return false;
        };
        let cluster = if self.clusters == 1 { 0 } else { 1 + number % (self.clusters - 1) };
        let expose = dice.pick(&["node_port", "host_port", "load_balancer"]).unwrap_or("node_port");
        // A node has room for one bridge that takes a port of it.
        let bridges = if expose == "host_port" { 1 } else { dice.between(1, 3) };
        let base_port = 30_100 + 50 * u64::try_from(number).unwrap_or(0) + 200 * dice.between(0, 2);
        let recorders = u64::from(dice.comes(15));
        self.pools.push(Pool { name, cluster, bridges, base_port, expose, recorders });
        true
    }

    /// Makes one change; says in words which.
    pub(crate) fn change(&mut self, dice: &mut Dice) -> String {
        loop {
            let index = usize::try_from(dice.next()).unwrap_or(0) % self.pools.len().max(1);
            match dice.between(0, 9) {
                0 => {
                    let value = dice.between(100, 900).to_string();
                    self.env.retain(|(name, _)| *name != "MAX_PARTICIPANTS");
                    self.env.push(("MAX_PARTICIPANTS", value));
                    return "an env name of all components".to_owned();
                }
                1 => {
                    self.bridge_env = Some(dice.between(1, 1000).to_string());
                    return "an env name of all bridges".to_owned();
                }
                2 if self.release == RELEASES[0] => {
                    self.release = RELEASES[1];
                    return "another release".to_owned();
                }
                3 => {
                    let new = SHARDS.into_iter().find(|name| !self.shards.contains(name));
                    if let Some(name) = new {
                        self.shards.push(name);
                        return format!("shard {name} comes");
                    }
                }
                4 if self.shards.len() > 1 => {
                    if let Some(name) = self.shards.pop() {
                        return format!("shard {name} goes");
                    }
                }
                5 | 6 => {
                    if let Some(pool) = self.pools.get_mut(index).filter(|pool| pool.expose != "host_port") {
                        let before = pool.bridges;
                        pool.bridges = dice.between(1, 4);
                        if pool.bridges != before {
                            return format!("pool {}: {before} bridges become {}", pool.name, pool.bridges);
                        }
                    }
                }
                7 => {
                    if self.add_pool(dice) {
                        return "a pool comes".to_owned();
                    }
                }
                8 if self.pools.len() > 1 && self.clusters == 1 => {
                    if let Some(pool) = self.pools.pop() {
                        return format!("pool {} goes", pool.name);
                    }
                }
                _ => {
                    self.web_replicas = 3 - self.web_replicas;
                    return format!("{} web servers", self.web_replicas);
                }
            }
        }
    }

    /// The media Services of bridges whose ports are the same in both fleets.
    pub(crate) fn same_ports(&self, other: &Self) -> BTreeSet<String> {
        let pools = self.pools.iter().filter(|pool| {
            let same = |it: &&Pool| it.name == pool.name && it.base_port == pool.base_port && it.expose == pool.expose;
            other.pools.iter().any(|it| same(&it))
        });
        pools.flat_map(|pool| (0..4).map(move |index| format!("meet-jvb-{}-{index}", pool.name))).collect()
    }

    /// The clusters that it has.
    pub(crate) fn clusters(&self) -> &'static [&'static str] {
        CLUSTERS.get(..self.clusters).unwrap_or(&CLUSTERS)
    }

    /// The fleet file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("fleet: meet\nurl: https://meet.example.org\nrelease: {}\nclusters:\n", self.release);
        for name in self.clusters() {
            // Writing into a string can't fail.
            let _ = writeln!(text, "  {name}: {{ context: {name}, namespace: jitsi }}");
        }
        text.push_str("env:\n");
        for (name, value) in &self.env {
            let _ = writeln!(text, "  {name}: {value}");
        }
        text.push_str("control:\n  cluster: hq\n  shards:\n");
        for shard in &self.shards {
            let _ = writeln!(text, "    {shard}: {{}}");
        }
        if self.clusters > 1 {
            text.push_str("  xmpp: { expose: load_balancer }\n");
        }
        let _ = writeln!(text, "  web: {{ replicas: {} }}\ndata:\n  pools:", self.web_replicas);
        for pool in &self.pools {
            let cluster = CLUSTERS.get(pool.cluster).copied().unwrap_or("hq");
            let _ = writeln!(text, "    {}:\n      cluster: {cluster}\n      bridges:", pool.name);
            let _ = writeln!(
                text,
                "        replicas: {}\n        expose: {}\n        base_port: {}",
                pool.bridges, pool.expose, pool.base_port
            );
            if let Some(value) = &self.bridge_env {
                let _ = writeln!(text, "        env: {{ VIDEOBRIDGE_MAX_MEMORY: {value}m }}");
            }
            if pool.recorders > 0 {
                let _ =
                    writeln!(text, "      recorders: {{ replicas: {}, storage: {{ size: 10Gi }} }}", pool.recorders);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;

    #[test]
    fn every_fleet_and_every_change_of_it_passes_check() {
        for seed in 0..300 {
            let mut dice = Dice::new(seed);
            let mut made = Made::new(&mut dice);
            for _ in 0..4 {
                let text = made.text();
                let loaded = fleet::load::load_text("fleet.yaml", &text, Path::new("."), &BTreeMap::new());
                if let Err(report) = loaded {
                    panic!("seed {seed}: {}\n{text}", report.render(false));
                }
                made.change(&mut dice);
            }
        }
    }
}
