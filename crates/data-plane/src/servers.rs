//! Which XMPP servers the pods of a pool connect to, and by which name and port they see them.

use std::net::IpAddr;

use fleet::{BridgeExpose, ClusterName, EnvValue, Fleet, Pool, ShardName, Slot, Workload, XmppExpose};
use manifest::{Allocations, Names, Surroundings, Target};
use serde_json::Value as Json;

use crate::place::{self, Distance};

/// The port under which XMPP is offered inside a cluster.
pub(crate) const XMPP_PORT: u16 = 5222;

/// A slot's XMPP server as pods of one cluster see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Whose it is.
    pub(crate) shard: ShardName,
    /// Which of the two.
    pub(crate) slot: Slot,
    /// A name that stays when the address behind it moves.
    pub(crate) host: String,
    /// The port at that name.
    pub(crate) port: u16,
}

/// The slots of a shard that its pools connect to.
pub(crate) fn slots(allocations: &Allocations, shard: &ShardName) -> Vec<Slot> {
    vec![allocations.serving(shard)]
}

/// The servers of a pool: also those whose address is pending, since their name is known before.
pub(crate) fn of_pool(
    fleet: &Fleet,
    allocations: &Allocations,
    surroundings: &Surroundings,
    pool: &Pool,
) -> Vec<Server> {
    pool.shards
        .iter()
        .flat_map(|shard| slots(allocations, shard).into_iter().map(move |slot| (shard, slot)))
        .map(|(shard, slot)| server(fleet, surroundings, &pool.cluster, shard, slot))
        .collect()
}

/// The servers of a pool's bridges: also of shards that are leaving, so that a bridge that starts meanwhile still serves
/// their last conferences.
pub(crate) fn of_bridges(
    fleet: &Fleet,
    allocations: &Allocations,
    surroundings: &Surroundings,
    pool: &Pool,
) -> Vec<Server> {
    let mut servers = of_pool(fleet, allocations, surroundings, pool);
    // The file does not say any more which pools served a shard: those that serve all did.
    if fleet.control.shards.keys().all(|shard| pool.shards.contains(shard)) {
        let leaving = allocations.leaving.iter().map(|shard| (shard, allocations.serving(shard)));
        servers.extend(leaving.map(|(shard, slot)| server(fleet, surroundings, &pool.cluster, shard, slot)));
    }
    servers
}

pub(crate) fn server(
    fleet: &Fleet,
    surroundings: &Surroundings,
    cluster: &ClusterName,
    shard: &ShardName,
    slot: Slot,
) -> Server {
    let names = Names(&fleet.name);
    let (name, home, port) = match place::distance(fleet, cluster) {
        Distance::Apart => (names.wiring(shard, slot), cluster, wired_port(fleet, surroundings, shard, slot)),
        Distance::SameNamespace | Distance::SameCluster => {
            (names.shard_xmpp(shard), &fleet.control.cluster, XMPP_PORT + slot.offset())
        }
    };
    let host = format!("{name}.{}.svc.{}", place::namespace(fleet, home), fleet.cluster_domain);
    Server { shard: shard.clone(), slot, host, port }
}

/// A Service with an EndpointSlice maps ports; an ExternalName is an alias in DNS and can't.
fn wired_port(fleet: &Fleet, surroundings: &Surroundings, shard: &ShardName, slot: Slot) -> u16 {
    let target = surroundings.endpoints.get(shard).and_then(|slots| slots.get(&slot)).and_then(|end| end.target());
    match target {
        Some(Target::Host { port, .. }) => *port,
        Some(Target::Ips { .. }) => XMPP_PORT,
        None => external_port(fleet, shard, slot).unwrap_or(XMPP_PORT),
    }
}

/// The port of a host name that the file itself names: known while the endpoint is still pending.
fn external_port(fleet: &Fleet, shard: &ShardName, slot: Slot) -> Option<u16> {
    let XmppExpose::External(targets) = &fleet.control.xmpp else { return None };
    let target = targets.get(shard)?;
    let (host, port) = match slot {
        Slot::A => &target.a,
        Slot::B => target.b.as_ref()?,
    };
    host.parse::<IpAddr>().is_err().then_some(*port)
}

/// As whom the bridges of a pool log in, and the room where jicofo meets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user at the fleet's XMPP domain for components.
    pub user: String,
    /// The full address of the brewery.
    pub brewery: String,
}

/// Prosody and jicofo take an empty value for the default too.
pub(crate) fn login(fleet: &Fleet, pool: &Pool) -> Login {
    let set = |name, default| plain(&pool.bridges.workload, name).filter(|value| !value.is_empty()).unwrap_or(default);
    Login {
        user: set("JVB_AUTH_USER", "jvb").to_owned(),
        brewery: format!("{}@{}", set("JVB_BREWERY_MUC", "jvbbrewery"), fleet.domains.internal_muc),
    }
}

/// The text of a pool's `custom-jvb.conf`: one named connection per slot. The name is what jvb's REST interface lists,
/// so a connection that is also added there stays one.
pub(crate) fn bridge_config(fleet: &Fleet, pool: &Pool, servers: &[Server]) -> String {
    let Login { user, brewery } = login(fleet, pool);
    let mut text = String::from("videobridge.apis.xmpp-client.configs {\n");
    for server in servers {
        let Server { shard, slot, host, port } = server;
        text.push_str(&format!("  {} {{\n", quoted(&format!("{shard}-{slot}"))));
        for (key, value) in [
            ("HOSTNAME", quoted(host)),
            ("PORT", quoted(&port.to_string())),
            ("DOMAIN", quoted(&fleet.domains.auth)),
            ("USERNAME", quoted(&user)),
            ("PASSWORD", "${JVB_AUTH_PASSWORD}".to_owned()),
            ("MUC_JIDS", quoted(&brewery)),
            ("MUC_NICKNAME", "${JVB_MUC_NICKNAME}".to_owned()),
            ("DISABLE_CERTIFICATE_VERIFICATION", quoted("true")),
        ] {
            text.push_str(&format!("    {key} = {value}\n"));
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    if pool.bridges.expose == BridgeExpose::HostNetwork {
        // The interface has no authentication and would stand on the node's public address.
        text.push_str("videobridge.http-servers.private.host = \"127.0.0.1\"\n");
    }
    text
}

/// The `XMPP_SERVER` of jibri, which has no file for it.
pub(crate) fn recorder_list(servers: &[Server]) -> String {
    servers.iter().map(|server| format!("{}:{}", server.host, server.port)).collect::<Vec<_>>().join(",")
}

/// A variable that the user sets in clear.
fn plain<'a>(workload: &'a Workload, name: &str) -> Option<&'a str> {
    match workload.env.get(name)? {
        EnvValue::Plain(text) => Some(text),
        EnvValue::Secret => None,
    }
}

/// HOCON's quoted strings are JSON's.
fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fleet::XmppTarget;
    use manifest::{Endpoint, testing};

    use super::*;

    fn surroundings(target: Target) -> Surroundings {
        let slots = BTreeMap::from([(Slot::A, Endpoint::Known(target))]);
        Surroundings { endpoints: BTreeMap::from([(testing::shard_name("alpha"), slots)]), ..Surroundings::default() }
    }

    fn servers(fleet: &Fleet, surroundings: &Surroundings) -> Vec<(String, u16)> {
        let allocations = Allocations::default().extended(fleet);
        of_pool(fleet, &allocations, surroundings, &fleet.data.pools[0])
            .into_iter()
            .map(|server| (server.host, server.port))
            .collect()
    }

    #[test]
    fn other_clusters_see_the_wiring_and_its_port() {
        let mut fleet = testing::split();
        let host = "meet-alpha-a-xmpp.jitsi-media.svc.cluster.local";
        let known = |target| surroundings(target);
        assert_eq!(servers(&fleet, &Surroundings::default()), [(host.to_owned(), 5222)]);
        let ips = Target::Ips { ips: vec!["203.0.113.9".parse().unwrap()], port: 30_222 };
        assert_eq!(servers(&fleet, &known(ips)), [(host.to_owned(), 5222)]);
        let name = Target::Host { host: "lb.example.org".into(), port: 5223 };
        assert_eq!(servers(&fleet, &known(name)), [(host.to_owned(), 5223)]);

        let target = XmppTarget { a: ("xmpp.example.org".into(), 6222), b: None };
        fleet.control.xmpp = XmppExpose::External(BTreeMap::from([(testing::shard_name("alpha"), target)]));
        assert_eq!(servers(&fleet, &Surroundings::default()), [(host.to_owned(), 6222)]);
    }

    #[test]
    fn pods_beside_the_control_plane_use_its_own_service() {
        let mut fleet = testing::split();
        fleet.data.pools[0].cluster = testing::cluster("hq");
        let mut allocations = Allocations::default().extended(&fleet);
        let shard = testing::shard_name("alpha");
        let of = |allocations: &Allocations| {
            of_pool(&fleet, allocations, &Surroundings::default(), &fleet.data.pools[0]).remove(0)
        };
        let server = of(&allocations);
        assert_eq!((server.host.as_str(), server.port), ("meet-alpha-xmpp.meet.svc.cluster.local", 5222));
        allocations.shards.get_mut(&shard).unwrap().serving = Slot::B;
        assert_eq!((of(&allocations).slot, of(&allocations).port), (Slot::B, 5223));
    }

    #[test]
    fn bridges_keep_the_server_of_a_shard_that_is_leaving_where_they_served_all() {
        let mut fleet = testing::split();
        let gamma = testing::shard_name("gamma");
        let mut allocations = Allocations::default().extended(&fleet);
        allocations.leaving.insert(gamma.clone());
        let leaving = |fleet: &Fleet| {
            let servers = of_bridges(fleet, &allocations, &Surroundings::default(), &fleet.data.pools[0]);
            servers.into_iter().filter(|server| server.shard == gamma).map(|server| server.host).collect::<Vec<_>>()
        };
        assert_eq!(leaving(&fleet), ["meet-gamma-a-xmpp.jitsi-media.svc.cluster.local"]);
        let recorders = of_pool(&fleet, &allocations, &Surroundings::default(), &fleet.data.pools[0]);
        assert!(recorders.iter().all(|server| server.shard != gamma), "it stands in their template");
        fleet.data.pools[0].shards.clear();
        assert_eq!(leaving(&fleet), [""; 0]);
    }

    #[test]
    fn the_configuration_is_what_bridges_were_measured_with() {
        let mut fleet = testing::split();
        let allocations = Allocations::default().extended(&fleet);
        let text = |fleet: &Fleet| {
            let pool = &fleet.data.pools[0];
            bridge_config(fleet, pool, &of_pool(fleet, &allocations, &Surroundings::default(), pool))
        };
        let expected = r#"videobridge.apis.xmpp-client.configs {
  "alpha-a" {
    HOSTNAME = "meet-alpha-a-xmpp.jitsi-media.svc.cluster.local"
    PORT = "5222"
    DOMAIN = "auth.meet.jitsi"
    USERNAME = "jvb"
    PASSWORD = ${JVB_AUTH_PASSWORD}
    MUC_JIDS = "jvbbrewery@internal-muc.meet.jitsi"
    MUC_NICKNAME = ${JVB_MUC_NICKNAME}
    DISABLE_CERTIFICATE_VERIFICATION = "true"
  }
}
"#;
        assert_eq!(text(&fleet), expected);
        fleet.data.pools[0].bridges.expose = BridgeExpose::HostNetwork;
        assert_eq!(text(&fleet), format!("{expected}videobridge.http-servers.private.host = \"127.0.0.1\"\n"));
        testing::set_env(&mut fleet.data.pools[0].bridges.workload, "JVB_AUTH_USER", "bridge \"7\"");
        assert!(text(&fleet).contains(r#"USERNAME = "bridge \"7\"""#));
    }

    #[test]
    fn an_empty_user_or_brewery_is_the_default() {
        let mut fleet = testing::split();
        let usual = login(&fleet, &fleet.data.pools[0]);
        for name in ["JVB_AUTH_USER", "JVB_BREWERY_MUC"] {
            testing::set_env(&mut fleet.data.pools[0].bridges.workload, name, "");
        }
        assert_eq!(login(&fleet, &fleet.data.pools[0]), usual);
        testing::set_env(&mut fleet.data.pools[0].bridges.workload, "JVB_BREWERY_MUC", "hall");
        assert_eq!(login(&fleet, &fleet.data.pools[0]).brewery, "hall@internal-muc.meet.jitsi");
    }
}
