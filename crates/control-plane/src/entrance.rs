//! What haproxy is to know of the fleet: its servers, its peers, and which release is live.

use std::collections::BTreeMap;

use fleet::{Component, Fleet, Release, Shard, ShardName};
use manifest::{Allocations, Names};

use crate::env::CLUSTER_NETWORKS;
use crate::haproxy_cfg::{self, HaproxyConfig, Peer, Server, Times};
use crate::place::Place;
use crate::web::SERVICE_PORT;

/// Says whether this proxy answers, whatever its backends do.
pub(crate) const ALIVE_PATH: &str = "/healthz";
/// Where people come in.
pub(crate) const HTTP_PORT: u16 = 8080;
/// Where the other proxies tell their table.
pub(crate) const PEER_PORT: u16 = 10_000;
/// Where Prometheus reads.
pub(crate) const METRICS_PORT: u16 = 8404;

/// Renders the configuration: one file for all proxies of the fleet.
pub(crate) fn render(fleet: &Fleet, allocations: &Allocations) -> String {
    let mut servers: Vec<Server> =
        fleet.control.shards.iter().map(|(name, shard)| server(fleet, allocations, name, shard)).collect();
    let live = live(fleet).map(|release| release.as_str().to_owned()).unwrap_or_default();
    servers.extend(allocations.leaving.iter().map(|name| leaver(fleet, allocations, name, &live)));
    haproxy_cfg::render(&HaproxyConfig {
        bind: format!(":{HTTP_PORT}"),
        runtime: "ipv4@127.0.0.1:9999".to_owned(),
        metrics: fleet.monitoring.enabled.then(|| format!(":{METRICS_PORT}")),
        peers: peers(fleet),
        servers,
        live,
        resolve: true,
        times: Times::default(),
        // Whatever is in front of us in a cluster has an address that is no client's.
        trusted: CLUSTER_NETWORKS.iter().map(|network| (*network).to_owned()).collect(),
        regions: fleet.control.haproxy.regions.clone(),
        snippet: fleet.control.haproxy.snippet.clone(),
    })
}

fn peers(fleet: &Fleet) -> Vec<Peer> {
    let cluster = &fleet.control.cluster;
    let namespace = fleet.clusters.get(cluster).map_or(fleet.name.as_str(), |cluster| &cluster.namespace);
    (0..fleet.control.haproxy.replicas)
        .map(|replica| {
            let name = Names(&fleet.name).haproxy_peer(replica);
            Peer {
                address: format!("{name}.{namespace}.svc.{}", fleet.cluster_domain),
                name,
                port: PEER_PORT,
                bind: format!(":{PEER_PORT}"),
            }
        })
        .collect()
}

fn server(fleet: &Fleet, allocations: &Allocations, name: &ShardName, shard: &Shard) -> Server {
    let slot = allocations.serving(name);
    let host = Place { fleet, name, shard, slot }.host(Component::Web);
    Server {
        name: format!("{name}-{slot}"),
        id: allocations.server_id(name, slot),
        address: format!("{host}:{SERVICE_PORT}"),
        weight: 1,
        release: release(shard).as_str().to_owned(),
    }
}

/// A shard that left the file keeps its rooms and gets no new ones, until it is gone. Its release is not in the file
/// any more; only pages without a room would ask for it, and those go to the live one.
fn leaver(fleet: &Fleet, allocations: &Allocations, name: &ShardName, live: &str) -> Server {
    let slot = allocations.serving(name);
    let namespace =
        fleet.clusters.get(&fleet.control.cluster).map_or(fleet.name.as_str(), |cluster| &cluster.namespace);
    let host = Names(&fleet.name).of_slot(name, slot, Component::Web);
    Server {
        name: format!("{name}-{slot}"),
        id: allocations.server_id(name, slot),
        address: format!("{host}.{namespace}.svc.{}:{SERVICE_PORT}", fleet.cluster_domain),
        weight: 0,
        release: live.to_owned(),
    }
}

const fn release(shard: &Shard) -> &Release {
    &shard.web.workload.image.release
}

/// The release that most shards run: new rooms and pages without a room go there.
fn live(fleet: &Fleet) -> Option<&Release> {
    let mut counts: BTreeMap<&Release, usize> = BTreeMap::new();
    for shard in fleet.control.shards.values() {
        *counts.entry(release(shard)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(release, _)| release)
}

#[cfg(test)]
mod tests {
    use manifest::testing;

    use super::*;

    fn text(fleet: &Fleet) -> String {
        render(fleet, &Allocations::default().extended(fleet))
    }

    #[test]
    fn it_looks_like_this() {
        let mut fleet = testing::rich();
        let beta = fleet.control.shards.get_mut("beta").unwrap();
        beta.web.workload = testing::workload(Component::Web, "stable-11146-1");
        insta::assert_snapshot!(text(&fleet));
    }

    #[test]
    fn a_shard_keeps_its_server_whatever_comes_and_goes() {
        let mut fleet = testing::split();
        let allocations = Allocations::default().extended(&fleet);
        let line = |text: &str| text.lines().find(|line| line.contains("server alpha-a")).map(str::to_owned);
        let before = line(&render(&fleet, &allocations));
        fleet.control.shards.insert(testing::shard_name("aaa"), testing::shard(testing::ROOTLESS));
        assert_eq!(line(&render(&fleet, &allocations.extended(&fleet))), before);
        assert!(before.unwrap().contains(" id 10 "));
    }

    #[test]
    fn a_shard_that_left_keeps_its_rooms_and_gets_no_new_ones() {
        let mut fleet = testing::fleet(testing::ROOTLESS, &["alpha", "beta"]);
        let mut allocations = Allocations::default().extended(&fleet);
        fleet.control.shards.remove("beta");
        allocations.leaving.insert(testing::shard_name("beta"));
        let text = render(&fleet, &allocations);
        let line = text.lines().find(|line| line.contains("server beta-a")).unwrap();
        assert!(line.contains(" id 12 ") && line.ends_with("weight 0"), "{line}");
    }
}
