//! The addresses and ports that Services get.
//!
//! There is no separate store of what is taken: what the Services of the cluster say is what is taken.

mod ports;

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::Attempt;
use super::causes::Causes;
use super::shape::{each, fill, flag, items, number, text};
use crate::error::ApiError;
use crate::kinds::SERVICE;
use crate::surroundings::Surroundings;

/// 10.96.0.0/16, without its first address (the API server's own) and its last.
const ADDRESSES: u64 = 65532;
/// So many at the beginning are given only when all others are gone: they are for who asks for one.
const ASKED_ADDRESSES: u64 = 256;

fn needs_address(service: &Json) -> bool {
    matches!(text(service, "/spec/type"), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn may_have_node_ports(service: &Json) -> bool {
    matches!(text(service, "/spec/type"), "NodePort" | "LoadBalancer")
}

fn gets_node_ports(service: &Json) -> bool {
    match text(service, "/spec/type") {
        "NodePort" => true,
        "LoadBalancer" => service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Json::Bool(false)),
        _ => false,
    }
}

/// Does the load balancer ask nodes whether they have an endpoint?
pub(super) fn needs_health_check(service: &Json) -> bool {
    text(service, "/spec/type") == "LoadBalancer" && text(service, "/spec/externalTrafficPolicy") == "Local"
}

/// Allocates what is missing. What the Service had it keeps, and what it no longer needs is taken out of it.
pub(super) fn service(object: &mut Json, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    if let Some(old) = attempt.old {
        keep(object, old);
    }
    both_address_fields(object, attempt.old);
    let taken = Taken::by_others(attempt);
    addresses(object, attempt, &taken)?;
    ports::allocate(object, attempt, taken.ports)?;
    if let Some(old) = attempt.old {
        release(object, old);
    }
    // A real server keeps it, but does not show it.
    if text(object, "/spec/type") == "ExternalName"
        && let Some(spec) = spec(object)
    {
        spec.remove("internalTrafficPolicy");
    }
    Ok(())
}

/// The first address and the list of all say the same, and a client may know only of the first.
fn both_address_fields(object: &mut Json, old: Option<&Json>) {
    let one = |service: &Json| text(service, "/spec/clusterIP").to_owned();
    let all = |service: &Json| items(service, "/spec/clusterIPs").to_vec();
    let (address, listed) = (one(object), all(object));
    let (address_before, listed_before) = old.map(|old| (one(old), all(old))).unwrap_or_default();
    let of_one = if address.is_empty() { Vec::new() } else { vec![json!(address)] };
    let list = match old {
        None if listed.is_empty() => of_one,
        Some(_) if address == address_before && listed.is_empty() => listed_before,
        Some(_) if address != address_before && listed == listed_before => of_one,
        _ => return,
    };
    let Some(spec) = spec(object) else { return };
    if list.is_empty() {
        spec.remove("clusterIPs");
    } else {
        spec.insert("clusterIPs".to_owned(), list.into());
    }
}

fn spec(object: &mut Json) -> Option<&mut Map<String, Json>> {
    object.get_mut("spec").and_then(Json::as_object_mut)
}

/// A client that changes the type and repeats the rest does not mean the rest.
fn release(object: &mut Json, old: &Json) {
    let same = |object: &Json, pointer: &str| object.pointer(pointer) == old.pointer(pointer);
    let (address, ports) =
        (needs_address(old) && !needs_address(object), may_have_node_ports(old) && !may_have_node_ports(object));
    let health = needs_health_check(old) && !needs_health_check(object);
    let balancer = text(old, "/spec/type") == "LoadBalancer" && text(object, "/spec/type") != "LoadBalancer";
    let external = may_have_node_ports(old) && !may_have_node_ports(object);
    let mut drops = Vec::new();
    if address {
        if same(object, "/spec/clusterIP") && same(object, "/spec/clusterIPs") {
            drops.extend(["clusterIP", "clusterIPs"]);
        }
        drops.extend(["ipFamilies", "ipFamilyPolicy"].iter().filter(|name| same(object, &format!("/spec/{name}"))));
    }
    if health && same(object, "/spec/healthCheckNodePort") {
        drops.push("healthCheckNodePort");
    }
    if balancer {
        for name in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if same(object, &format!("/spec/{name}")) {
                drops.push(name);
            }
        }
    }
    if external && same(object, "/spec/externalTrafficPolicy") && items(object, "/spec/externalIPs").is_empty() {
        drops.push("externalTrafficPolicy");
    }
    let clear_ports = ports && ports::of(old).is_superset(&ports::of(object));
    let Some(spec) = spec(object) else { return };
    for name in drops {
        spec.remove(name);
    }
    if clear_ports {
        for port in each(spec, "ports") {
            port.remove("nodePort");
        }
    }
}

/// A client that replaces a Service need not repeat what was allocated for it.
fn keep(object: &mut Json, old: &Json) {
    let address = needs_address(old) && needs_address(object);
    let ports = gets_node_ports(old) && gets_node_ports(object);
    let health = needs_health_check(old) && needs_health_check(object);
    let Some(spec) = spec(object) else { return };
    let before = |name: &str| old.pointer(&format!("/spec/{name}")).cloned();
    if address {
        for name in ["clusterIP", "clusterIPs"] {
            if let Some(value) = before(name) {
                fill(spec, name, value);
            }
        }
        for name in ["ipFamilies", "ipFamilyPolicy"] {
            if let Some(value) = before(name) {
                spec.entry(name).or_insert(value);
            }
        }
    }
    if ports {
        let name = |port: &Json| text(port, "/name").to_owned();
        let said: BTreeSet<i64> = spec
            .get("ports")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(|port| number(port, "/nodePort"))
            .collect();
        for port in spec.get_mut("ports").and_then(Json::as_array_mut).into_iter().flatten() {
            if number(port, "/nodePort").unwrap_or(0) != 0 {
                continue;
            }
            let same = items(old, "/spec/ports").iter().find(|other| name(other) == name(port));
            if let Some(number) = same.and_then(|other| number(other, "/nodePort"))
                && !said.contains(&number)
            {
                port["nodePort"] = json!(number);
            }
        }
    }
    if health && let Some(number) = before("healthCheckNodePort") {
        super::shape::fill_number(spec, "healthCheckNodePort", number.as_i64().unwrap_or(0));
    }
}

/// What all Services but this one have.
struct Taken {
    addresses: BTreeSet<String>,
    ports: BTreeSet<i64>,
}

impl Taken {
    fn by_others(attempt: &Attempt<'_>) -> Self {
        let mut taken = Self { addresses: BTreeSet::from(["10.96.0.1".to_owned()]), ports: BTreeSet::new() };
        let own = attempt.old.map(|old| text(old, "/metadata/uid"));
        for service in attempt.around.list(&SERVICE, None) {
            if own == Some(text(&service, "/metadata/uid")) {
                continue;
            }
            taken
                .addresses
                .extend(items(&service, "/spec/clusterIPs").iter().filter_map(Json::as_str).map(str::to_owned));
            taken.ports.extend(ports::all(&service));
        }
        taken
    }
}

/// The first that is free, from a random one on; of the first ones only when there are no others.
fn free<T>(
    around: &dyn Surroundings,
    (asked, count): (u64, u64),
    made: impl Fn(u64) -> T,
    taken: impl Fn(&T) -> bool,
) -> Option<T> {
    let first = around.random(count - asked);
    let given = (0..count - asked).map(|step| asked + (first + step) % (count - asked));
    given.chain(0..asked).map(made).find(|one| !taken(one))
}

fn addresses(object: &mut Json, attempt: &Attempt<'_>, taken: &Taken) -> Result<(), ApiError> {
    if !needs_address(object) {
        return Ok(());
    }
    let name = text(object, "/metadata/name").to_owned();
    let asked = text(object, "/spec/clusterIP").to_owned();
    let asked = if asked.is_empty() { text(object, "/spec/clusterIPs/0").to_owned() } else { asked };
    let selects = object.pointer("/spec/selector").and_then(Json::as_object).is_some_and(|all| !all.is_empty());
    let had = attempt.old.map(|old| text(old, "/spec/clusterIP")).unwrap_or_default();
    let given = match asked.as_str() {
        "None" => asked,
        "" => {
            let made = |index: u64| {
                let index = index + 2;
                format!("10.96.{}.{}", index / 256, index % 256)
            };
            free(attempt.around, (ASKED_ADDRESSES, ADDRESSES), made, |one| taken.addresses.contains(one)).ok_or_else(
                || {
                    ApiError::new(
                        500,
                        "InternalError",
                        "Internal error occurred: failed to allocate a serviceIP: range is full",
                    )
                },
            )?
        }
        wanted => {
            // What may not change is refused by the checks.
            if had.is_empty() || had == "None" {
                let mut causes = Causes::default();
                let why = match wanted.parse::<std::net::Ipv4Addr>() {
                    Err(_) => {
                        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                        causes.invalid("spec.clusterIPs[0]", &json!(wanted), detail);
                        None
                    }
                    Ok(address) if address.octets()[..2] != [10, 96] => Some(format!(
                        "the provided IP ({wanted}) is not in the valid range. The range of valid IPs is 10.96.0.0/16"
                    )),
                    Ok(_) if taken.addresses.contains(wanted) => Some("provided IP is already allocated".to_owned()),
                    Ok(_) => None,
                };
                if let Some(why) = why {
                    let detail = format!("failed to allocate IP {wanted}: {why}");
                    causes.invalid("spec.clusterIPs", &json!([wanted]), &detail);
                }
                causes.verdict(attempt.kind, &name)?;
            }
            asked
        }
    };
    let Some(spec) = spec(object) else { return Ok(()) };
    // A Service without addresses and without pods may one day have endpoints of both families.
    let both = given == "None" && !selects;
    spec.insert("clusterIP".to_owned(), json!(given));
    spec.insert("clusterIPs".to_owned(), json!([given]));
    if both {
        fill(spec, "ipFamilyPolicy", "RequireDualStack");
        fill(spec, "ipFamilies", json!(["IPv4", "IPv6"]));
    } else {
        fill(spec, "ipFamilyPolicy", "SingleStack");
        fill(spec, "ipFamilies", json!(["IPv4"]));
    }
    Ok(())
}

/// Is there a Service that wants a load balancer?
pub(super) fn wants_balancer(service: &Json) -> bool {
    text(service, "/spec/type") == "LoadBalancer"
}

/// How many node ports a Service uses, as a quota counts them.
pub(super) fn counted_ports(service: &Json) -> i128 {
    let ports = items(service, "/spec/ports");
    match text(service, "/spec/type") {
        "NodePort" => ports.len() as i128,
        "LoadBalancer" if flag(service, "/spec/allocateLoadBalancerNodePorts") => ports.len() as i128,
        "LoadBalancer" => ports.iter().filter(|port| number(port, "/nodePort").unwrap_or(0) != 0).count() as i128,
        _ => 0,
    }
}
