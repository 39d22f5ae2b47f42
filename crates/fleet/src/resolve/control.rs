//! The control plane.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::context::Context;
use super::env::Environment;
use super::workload::{Scope, storage, workload};
use crate::raw::{self, ServiceType, Text};
use crate::{
    ClusterName, Component, Control, Expose, Gateway, Haproxy, Image, Ingress, Prosody, Shard, ShardName, Web,
    XmppExpose, XmppTarget,
};

/// Builds the control plane; `some_cluster` stands in for its own.
pub(crate) fn control(
    ctx: &Context<'_>,
    env: &Environment,
    fleet: &Scope<'_>,
    raw: &raw::Control,
    some_cluster: Option<&ClusterName>,
) -> Option<Control> {
    let cluster: Option<ClusterName> = super::name(ctx, "control.cluster", raw.cluster.as_deref());
    let cluster = cluster.or_else(|| some_cluster.cloned()).or_else(super::stand_in)?;
    let mut shards = BTreeMap::new();
    let empty = raw::Map::new();
    for (name, shard_raw) in raw.shards.as_ref().unwrap_or(&empty) {
        let path = format!("control.shards.{name}");
        let shard = shard(ctx, env, fleet, raw, &path, shard_raw);
        if let Some(name) = super::key_name::<ShardName>(ctx, &path, name) {
            shards.insert(name, shard);
        }
    }
    if raw.shards.as_ref().is_some_and(raw::Map::is_empty) && !ctx.doubtful("control.shards") {
        ctx.error("control.shards", "the fleet has no shard", "name one: `shards: { alpha: {} }`");
    }
    let said = [("control.haproxy".to_owned(), &raw.haproxy.workload)];
    let haproxy = workload(ctx, env, Component::Haproxy, &Scope::default(), &said);
    Some(Control {
        cluster,
        shards,
        xmpp: xmpp(ctx, raw),
        xmpp_annotations: texts(&raw.xmpp.annotations),
        xmpp_source_ranges: ranges(ctx, &raw.xmpp.source_ranges),
        haproxy: Haproxy {
            workload: haproxy,
            replicas: raw.haproxy.replicas.unwrap_or(2),
            snippet: raw.haproxy.snippet.clone(),
            regions: regions(ctx, &raw.haproxy.regions),
        },
        expose: expose(ctx, raw),
    })
}

fn shard(
    ctx: &Context<'_>,
    env: &Environment,
    fleet: &Scope<'_>,
    control: &raw::Control,
    path: &str,
    raw: &raw::Shard,
) -> Shard {
    let scope = fleet.inner(path, raw.release.as_deref(), raw.registry.as_deref(), raw.recipe, &raw.env);
    let said = |component: &str, every: &'_ raw::Workload, own: &'_ raw::Workload| {
        [(format!("control.{component}"), every.clone()), (format!("{path}.{component}"), own.clone())]
    };
    let build = |component: Component, said: &[(String, raw::Workload); 2]| {
        let said: Vec<(String, &raw::Workload)> = said.iter().map(|(path, raw)| (path.clone(), raw)).collect();
        workload(ctx, env, component, &scope, &said)
    };
    let prosody = build(Component::Prosody, &said("prosody", &control.prosody.workload, &raw.prosody.workload));
    let jicofo = build(Component::Jicofo, &said("jicofo", &control.jicofo, &raw.jicofo));
    let web = build(Component::Web, &said("web", &control.web.workload, &raw.web.workload));
    let images: Vec<(Component, Image)> =
        [&prosody, &jicofo, &web].into_iter().map(|w| (w.component, w.image.clone())).collect();
    env.warn_unread_scope(ctx, &format!("{path}.env"), &raw.env, &images);
    let (kept, kept_path) = match (&raw.prosody.storage, &control.prosody.storage) {
        (Some(own), _) => (Some(own), format!("{path}.prosody.storage")),
        (None, every) => (every.as_ref(), "control.prosody.storage".to_owned()),
    };
    let users = raw.prosody.users.as_ref().or(control.prosody.users.as_ref());
    Shard {
        prosody: Prosody {
            workload: prosody,
            storage: kept.map(|raw| storage(ctx, &kept_path, raw)),
            users: users.and_then(|users| users.secret.clone()),
        },
        jicofo,
        web: Web { workload: web, replicas: raw.web.replicas.or(control.web.replicas).unwrap_or(2) },
    }
}

fn texts(map: &raw::Map<Text>) -> BTreeMap<String, String> {
    map.iter().map(|(key, Text(value))| (key.clone(), value.clone())).collect()
}

fn ranges(ctx: &Context<'_>, written: &[String]) -> Vec<String> {
    for (i, range) in written.iter().enumerate() {
        if range.parse::<ipnet::IpNet>().is_err() {
            let path = format!("control.xmpp.source_ranges.{i}");
            ctx.error(&path, format!("`{range}` is no address range"), "write it as 198.51.100.0/24");
        }
    }
    written.to_vec()
}

/// A region's name ends up in a header that prosody reads.
fn regions(ctx: &Context<'_>, written: &raw::Map<Vec<String>>) -> Vec<(IpNet, String)> {
    let mut regions = Vec::new();
    for (region, networks) in written {
        let path = format!("control.haproxy.regions.{region}");
        if region.is_empty() || !region.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            ctx.error(&path, format!("`{region}` is no name of a region"), "use letters, digits, `-`, `_` and `.`");
        }
        for (i, network) in networks.iter().enumerate() {
            match network.parse::<IpNet>() {
                Ok(network) => regions.push((network, region.clone())),
                Err(_) => ctx.error(
                    &format!("{path}.{i}"),
                    format!("`{network}` is no address range"),
                    "write it as 198.51.100.0/24",
                ),
            }
        }
    }
    regions.sort_by_key(|(network, _)| (network.prefix_len(), *network));
    regions
}

fn xmpp(ctx: &Context<'_>, raw: &raw::Control) -> XmppExpose {
    /// Asks for nothing else and reaches everywhere.
    const STAND_IN: XmppExpose = XmppExpose::LoadBalancer;
    let xmpp = &raw.xmpp;
    if ctx.doubtful("control.xmpp.expose") {
        return STAND_IN;
    }
    match xmpp.expose.unwrap_or(raw::XmppExpose::ClusterIp) {
        raw::XmppExpose::ClusterIp => XmppExpose::ClusterIp,
        raw::XmppExpose::LoadBalancer => XmppExpose::LoadBalancer,
        raw::XmppExpose::NodePort => {
            let Some(ports) = &xmpp.node_port else {
                if !ctx.doubtful("control.xmpp.node_port") {
                    ctx.error(
                        "control.xmpp.expose",
                        "expose: node_port needs `node_port`",
                        "say `node_port: { base: 30222 }`",
                    );
                }
                return STAND_IN;
            };
            let addresses = ports.addresses.iter().enumerate();
            let addresses: Vec<IpAddr> = addresses
                .filter_map(|(i, text)| {
                    let path = format!("control.xmpp.node_port.addresses.{i}");
                    super::address(ctx, &path, text).inspect(|ip| reachable(ctx, &path, *ip))
                })
                .collect();
            ports.base.map_or(STAND_IN, |base| XmppExpose::NodePort { base, addresses })
        }
        raw::XmppExpose::External => {
            let Some(external) = &xmpp.external else {
                if !ctx.doubtful("control.xmpp.external") {
                    ctx.error(
                        "control.xmpp.expose",
                        "expose: external needs `external`",
                        "say where each shard's prosody is reached",
                    );
                }
                return STAND_IN;
            };
            XmppExpose::External(external.iter().filter_map(|(shard, raw)| target(ctx, shard, raw)).collect())
        }
    }
}

fn target(ctx: &Context<'_>, shard: &str, raw: &raw::Target) -> Option<(ShardName, XmppTarget)> {
    let path = format!("control.xmpp.external.{shard}");
    let name = super::key_name(ctx, &path, shard);
    let a = raw.a.as_deref().and_then(|text| host_port(ctx, &format!("{path}.a"), text));
    let b = raw.b.as_deref().map(|text| host_port(ctx, &format!("{path}.b"), text));
    let b = match b {
        Some(parsed) => Some(parsed?),
        None => None,
    };
    Some((name?, XmppTarget { a: a?, b }))
}

/// An address that leads somewhere from every machine: an EndpointSlice takes no others.
fn reachable(ctx: &Context<'_>, path: &str, ip: IpAddr) {
    let plain = ip.to_canonical();
    let link_local = match plain {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let what = if plain.is_loopback() {
        "leads each machine to itself"
    } else if plain.is_unspecified() {
        "is no machine's address"
    } else if plain.is_multicast() {
        "is a multicast address"
    } else if link_local {
        "only leads to the same link"
    } else {
        return;
    };
    let message = format!("`{ip}` {what}: bridges in other clusters can't reach a shard there");
    ctx.error(path, message, "write an address or a host name that they can reach");
}

/// `host:port`, or `[v6]:port`.
fn host_port(ctx: &Context<'_>, path: &str, text: &str) -> Option<(String, u16)> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        let bare = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            None => host.to_owned(),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        (host.starts_with('[') || (!bare.is_empty() && bare.chars().all(fits))).then_some((bare, port))
    });
    if parsed.is_none() {
        ctx.error(path, format!("`{text}` is no host:port"), "write it as xmpp-a.example.org:5222");
    }
    if let Some(ip) = parsed.as_ref().and_then(|(host, _)| host.parse().ok()) {
        reachable(ctx, path, ip);
    }
    parsed
}

fn expose(ctx: &Context<'_>, raw: &raw::Control) -> Expose {
    let ways =
        [("gateway", raw.gateway.is_some()), ("ingress", raw.ingress.is_some()), ("service", raw.service.is_some())];
    let said: Vec<&str> = ways.iter().filter(|(_, said)| *said).map(|(name, _)| *name).collect();
    if let [first, second, ..] = said.as_slice() {
        let message = format!("`{first}` and `{second}` are both said, the fleet is exposed by one of them");
        ctx.push(
            crate::diagnostic::Problem::error(message)
                .at(ctx.key_label(&format!("control.{first}")))
                .at(ctx.key_label(&format!("control.{second}")))
                .hint("keep one of them"),
        );
        return Expose::Internal;
    }
    if let Some(gateway) = &raw.gateway {
        Expose::Gateway(Gateway {
            name: gateway.name.clone().unwrap_or_default(),
            namespace: gateway.namespace.clone(),
            section: gateway.section.clone(),
        })
    } else if let Some(ingress) = &raw.ingress {
        Expose::Ingress(Ingress {
            class: ingress.class.clone(),
            tls_secret: ingress.tls_secret.clone(),
            annotations: texts(&ingress.annotations),
        })
    } else if let Some(service) = &raw.service {
        let type_ = match service.type_.unwrap_or(ServiceType::LoadBalancer) {
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::NodePort => "NodePort",
        };
        Expose::Service { type_: type_.to_owned(), annotations: texts(&service.annotations) }
    } else {
        Expose::Internal
    }
}
