//! haproxy's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fleet::{Component, Fleet, Release, Shard, ShardName};
use manifest::{Allocations, Names};

use crate::haproxy::{ALIVE_PATH, HTTP_PORT, METRICS_PORT, PEER_PORT};
use crate::slot::Place;
use crate::web::SERVICE_PORT;

const SETTINGS: &str = "\
global
  log stdout format raw local0 notice
  stats socket ipv4@127.0.0.1:9999 level admin
  hard-stop-after 30m

defaults
  mode http
  log global
  option forwardfor
  option http-keep-alive
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  timeout tunnel 24h
  timeout http-request 10s
  default-server check inter 5s fall 24 rise 2 init-addr last,libc,none resolvers cluster

resolvers cluster
  parse-resolv-conf
  hold valid 10s
";

/// Which shard a request is for: the tenant (first folder) and the room, lower-cased, `%25` read as `%`. Only signalling
/// names a room that counts; whatever else asks for a room follows it and pins nothing.
const ROOMS: &str = "  http-request set-var(txn.room) url_param(room),lower,regsub(%25,%,g)
  http-request set-var(txn.tenant) path,field(2,/),lower
  http-request set-var(txn.tenant) str() if { var(txn.tenant) -m str http-bind xmpp-websocket conference-request }
  http-request set-var(txn.token) var(txn.tenant),concat(/,txn.room)
  acl has_room var(txn.room) -m found
";

/// Requests that make a room live on a shard.
const SIGNALLING: &str = "{ path_end /http-bind /xmpp-websocket } || { path_sub /conference-request/v1 }";

/// Renders the configuration: one file for all proxies of the fleet.
pub(crate) fn render(fleet: &Fleet, allocations: &Allocations) -> String {
    let mut text = SETTINGS.to_owned();
    // Writing to a String cannot fail.
    let _ = peers(&mut text, fleet);
    let _ = frontend(&mut text, fleet);
    let _ = backends(&mut text, fleet, allocations);
    if let Some(snippet) = &fleet.control.haproxy.snippet {
        let _ = writeln!(text, "\n{snippet}");
    }
    text
}

/// The line of the proxy itself has no address (it is in `bind`), and an address that does not resolve is fatal, so the
/// one file tells the proxies apart by their host name.
fn peers(text: &mut String, fleet: &Fleet) -> std::fmt::Result {
    let cluster = &fleet.control.cluster;
    let namespace = fleet.clusters.get(cluster).map_or(fleet.name.as_str(), |cluster| &cluster.namespace);
    writeln!(text, "\npeers proxies\n  bind :{PEER_PORT}")?;
    for replica in 0..fleet.control.haproxy.replicas {
        let name = Names(&fleet.name).haproxy_peer(replica);
        writeln!(text, ".if streq(\"$HOSTNAME\",{name})\n  server {name}\n.else")?;
        writeln!(text, "  server {name} {name}.{namespace}.svc.{}:{PEER_PORT}\n.endif", fleet.cluster_domain)?;
    }
    writeln!(text, "  table rooms type string len 200 size 200k expire 24h")
}

fn frontend(text: &mut String, fleet: &Fleet) -> std::fmt::Result {
    writeln!(
        text,
        "\nfrontend people\n  bind :{HTTP_PORT}\n  monitor-uri {ALIVE_PATH}\n{ROOMS}  use_backend rooms if has_room"
    )?;
    writeln!(text, "  default_backend {}", live(fleet).map_or_else(|| "rooms".into(), backend_of))?;
    if fleet.monitoring.enabled {
        writeln!(
            text,
            "\nfrontend metrics\n  bind :{METRICS_PORT}\n  http-request use-service prometheus-exporter if {{ path /metrics }}"
        )?;
    }
    Ok(())
}

fn backends(text: &mut String, fleet: &Fleet, allocations: &Allocations) -> std::fmt::Result {
    writeln!(
        text,
        "\nbackend rooms\n  balance hash var(txn.token)\n  hash-type consistent\n  option httpchk GET /http-bind\n  \
         http-check expect status 100-499\n  stick match var(txn.token) table proxies/rooms\n  \
         stick store-request var(txn.token) table proxies/rooms if {SIGNALLING}"
    )?;
    for (name, shard) in &fleet.control.shards {
        server(text, fleet, allocations, name, shard)?;
    }
    // Pages and static files of one release, and never of two: browsers keep them for a year.
    let releases: BTreeSet<&Release> = fleet.control.shards.values().map(release).collect();
    for release in releases {
        writeln!(text, "\nbackend {}\n  balance roundrobin", backend_of(release))?;
        for (name, shard) in fleet.control.shards.iter().filter(|(_, shard)| self::release(shard) == release) {
            server(text, fleet, allocations, name, shard)?;
        }
    }
    Ok(())
}

fn server(
    text: &mut String,
    fleet: &Fleet,
    allocations: &Allocations,
    name: &ShardName,
    shard: &Shard,
) -> std::fmt::Result {
    let slot = allocations.serving(name);
    let host = Place { fleet, name, shard, slot }.host(Component::Web);
    writeln!(text, "  server {name}-{slot} {host}:{SERVICE_PORT} id {}", allocations.server_id(name, slot))
}

const fn release(shard: &Shard) -> &Release {
    &shard.web.workload.image.release
}

/// The release that most shards run.
fn live(fleet: &Fleet) -> Option<&Release> {
    let mut counts: BTreeMap<&Release, usize> = BTreeMap::new();
    for shard in fleet.control.shards.values() {
        *counts.entry(release(shard)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(release, _)| release)
}

fn backend_of(release: &Release) -> String {
    format!("pages-{}", release.as_str().replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.', "_"))
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
        assert!(before.unwrap().ends_with("id 10"));
    }
}
