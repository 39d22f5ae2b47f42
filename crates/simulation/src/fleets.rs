//! Made-up fleets, and changes of them: as values, from which the text of a fleet file is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::dice::Dice;

/// A fleet, as far as the simulation varies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    release: &'static str,
    clusters: usize,
    shards: Vec<&'static str>,
    pools: Vec<Pool>,
    xmpp: &'static str,
    web_replicas: u64,
    proxies: u64,
    env: Vec<(&'static str, String)>,
    bridge_env: Option<String>,
    focus_memory: Option<u64>,
    /// People need a token, signed with a key of this number.
    tokens: Option<u64>,
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
pub(crate) const RELEASES: [&str; 2] = ["stable-11146", "stable-11146-2"];
const SHARDS: [&str; 3] = ["alpha", "beta", "gamma"];
const POOLS: [&str; 3] = ["eu", "asia", "spare"];
const EXPOSED: [&str; 3] = ["node_port", "host_port", "load_balancer"];
/// What the key for tokens is called in the environment of whoever runs us.
const KEY: &str = "MEET_JWT_SECRET";

impl Made {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let clusters = usize::try_from(dice.between(1, 3)).unwrap_or(1);
        let shards = usize::try_from(dice.between(1, 2)).unwrap_or(1);
        let mut made = Self {
            release: RELEASES[0],
            clusters,
            shards: SHARDS[..shards].to_vec(),
            pools: Vec::new(),
            xmpp: match clusters {
                1 => "cluster_ip",
                _ if dice.comes(30) => "node_port",
                _ => "load_balancer",
            },
            web_replicas: dice.between(1, 2),
            proxies: dice.between(1, 2),
            env: vec![("ENABLE_LOBBY", "1".to_owned())],
            bridge_env: None,
            focus_memory: None,
            tokens: dice.comes(25).then_some(0),
        };
        for _ in 0..clusters.max(2) - 1 {
            made.add_pool(dice);
        }
        made
    }

    fn add_pool(&mut self, dice: &mut Dice) -> bool {
        let Some(number) = POOLS.iter().position(|name| self.pools.iter().all(|pool| pool.name != *name)) else {
            return false;
        };
        let cluster = if self.clusters == 1 { 0 } else { 1 + number % (self.clusters - 1) };
        let expose = dice.pick(&EXPOSED).unwrap_or("node_port");
        // A node has room for one bridge that takes a port of it.
        let bridges = if expose == "host_port" { 1 } else { dice.between(1, 3) };
        // Among those that API servers give to nobody who does not ask for one: else a load balancer's Service has it.
        let base_port = 30_000 + 20 * u64::try_from(number).unwrap_or(0) + 5 * dice.between(0, 2);
        let recorders = u64::from(dice.comes(15));
        self.pools.push(Pool { name: POOLS[number], cluster, bridges, base_port, expose, recorders });
        true
    }

    /// Makes one change; says what kind of change it is, and in words which.
    pub(crate) fn change(&mut self, dice: &mut Dice) -> (&'static str, String) {
        loop {
            let kind = dice.between(0, 14);
            let made = match kind {
                0..=4 => self.change_settings(kind, dice),
                5 | 6 => self.change_shards(kind == 5),
                7..=12 => self.change_pools(kind, dice),
                _ => self.change_front(kind == 13),
            };
            if let Some(made) = made {
                return made;
            }
        }
    }

    fn change_settings(&mut self, kind: u64, dice: &mut Dice) -> Option<(&'static str, String)> {
        Some(match kind {
            0 => {
                let value = dice.between(100, 900).to_string();
                self.env.retain(|(name, _)| *name != "MAX_PARTICIPANTS");
                self.env.push(("MAX_PARTICIPANTS", value));
                ("env", "an env name of all components".to_owned())
            }
            1 => {
                self.bridge_env = Some(dice.between(1, 1000).to_string());
                ("env", "an env name of all bridges".to_owned())
            }
            2 => {
                self.focus_memory = Some(dice.between(1, 1000));
                ("env", "an env name of jicofo".to_owned())
            }
            3 if self.release == RELEASES[0] => {
                self.release = RELEASES[1];
                ("release", "another release".to_owned())
            }
            4 => {
                let key = self.tokens?;
                self.tokens = Some(key + 1);
                ("secret", "another key for tokens".to_owned())
            }
            _ => return None,
        })
    }

    fn change_shards(&mut self, comes: bool) -> Option<(&'static str, String)> {
        if comes {
            let name = SHARDS.into_iter().find(|name| !self.shards.contains(name))?;
            self.shards.push(name);
            return Some(("shard added", format!("shard {name} comes")));
        }
        if self.shards.len() < 2 {
            return None;
        }
        let name = self.shards.pop()?;
        Some(("shard removed", format!("shard {name} goes")))
    }

    fn change_pools(&mut self, kind: u64, dice: &mut Dice) -> Option<(&'static str, String)> {
        let index = usize::try_from(dice.next()).unwrap_or(0) % self.pools.len().max(1);
        match kind {
            9 => return self.add_pool(dice).then(|| ("pool added", "a pool comes".to_owned())),
            10 if self.pools.len() > 1 => {
                let pool = self.pools.remove(index);
                return Some(("pool removed", format!("pool {} goes", pool.name)));
            }
            10 => return None,
            _ => {}
        }
        let pool = self.pools.get_mut(index)?;
        let name = pool.name;
        match kind {
            7 | 8 if pool.expose != "host_port" => {
                let before = pool.bridges;
                pool.bridges = dice.between(1, 4);
                let kind = if pool.bridges > before { "pool grown" } else { "pool shrunk" };
                (pool.bridges != before)
                    .then(|| (kind, format!("pool {name}: {before} bridges become {}", pool.bridges)))
            }
            11 => {
                let expose = dice.pick(&EXPOSED).filter(|expose| *expose != pool.expose)?;
                pool.expose = expose;
                if expose == "host_port" {
                    pool.bridges = 1;
                }
                Some(("endpoint kind", format!("pool {name} is exposed by {expose}")))
            }
            12 => {
                pool.recorders = 1 - pool.recorders.min(1);
                Some(("recorders", format!("pool {name}: {} recorders", pool.recorders)))
            }
            _ => None,
        }
    }

    fn change_front(&mut self, web: bool) -> Option<(&'static str, String)> {
        if web {
            self.web_replicas = 3 - self.web_replicas;
            return Some(("web servers", format!("{} web servers", self.web_replicas)));
        }
        if self.clusters == 1 {
            self.proxies = 3 - self.proxies;
            return Some(("proxies", format!("{} proxies", self.proxies)));
        }
        self.xmpp = if self.xmpp == "node_port" { "load_balancer" } else { "node_port" };
        Some(("endpoint kind", format!("prosody is exposed by {}", self.xmpp)))
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

    /// What the environment of whoever runs us holds.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        self.tokens.iter().map(|number| (KEY.to_owned(), format!("a-key-to-sign-tokens-{number:08}"))).collect()
    }

    /// The fleet file.
    pub(crate) fn text(&self) -> String {
        // Writing into a string can't fail.
        let mut text = format!("fleet: meet\nurl: https://meet.example.org\nrelease: {}\nclusters:\n", self.release);
        for name in self.clusters() {
            let _ = writeln!(text, "  {name}: {{ context: {name}, namespace: jitsi }}");
        }
        text.push_str("env:\n");
        for (name, value) in &self.env {
            let _ = writeln!(text, "  {name}: {value}");
        }
        if self.tokens.is_some() {
            text.push_str("  ENABLE_AUTH: 1\n  AUTH_TYPE: jwt\n  JWT_APP_ID: meet\n");
            let _ = writeln!(text, "secrets:\n  JWT_APP_SECRET: {{ env: {KEY} }}");
        }
        text.push_str("control:\n  cluster: hq\n  shards:\n");
        for shard in &self.shards {
            let _ = writeln!(text, "    {shard}: {{}}");
        }
        match self.xmpp {
            "node_port" => text.push_str("  xmpp: { expose: node_port, node_port: { base: 31000 } }\n"),
            kind => drop(writeln!(text, "  xmpp: {{ expose: {kind} }}")),
        }
        if let Some(memory) = self.focus_memory {
            let _ = writeln!(text, "  jicofo: {{ env: {{ JICOFO_MAX_MEMORY: {memory}m }} }}");
        }
        let _ =
            writeln!(text, "  web: {{ replicas: {} }}\n  haproxy: {{ replicas: {} }}", self.web_replicas, self.proxies);
        text.push_str("data:\n  pools:\n");
        self.pools.iter().for_each(|pool| self.write_pool(pool, &mut text));
        text
    }

    fn write_pool(&self, pool: &Pool, text: &mut String) {
        let cluster = CLUSTERS.get(pool.cluster).copied().unwrap_or("hq");
        let Pool { name, bridges, expose, base_port, recorders, .. } = pool;
        let _ = writeln!(text, "    {name}:\n      cluster: {cluster}\n      bridges:");
        let _ = writeln!(text, "        replicas: {bridges}\n        expose: {expose}\n        base_port: {base_port}");
        if let Some(value) = &self.bridge_env {
            let _ = writeln!(text, "        env: {{ VIDEOBRIDGE_MAX_MEMORY: {value}m }}");
        }
        if *recorders > 0 {
            let _ = writeln!(text, "      recorders: {{ replicas: {recorders}, storage: {{ size: 10Gi }} }}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_fleet_and_every_change_of_it_passes_check() {
        let mut kinds = BTreeSet::new();
        for seed in 0..300 {
            let mut dice = Dice::new(seed);
            let mut made = Made::new(&mut dice);
            for _ in 0..4 {
                let text = made.text();
                let loaded = fleet::load::load_text("fleet.yaml", &text, Path::new("."), &made.environment());
                if let Err(report) = loaded {
                    panic!("seed {seed}: {}\n{text}", report.render(false));
                }
                kinds.insert(made.change(&mut dice).0);
            }
        }
        assert_eq!(kinds.len(), 13, "{kinds:?}");
    }
}
