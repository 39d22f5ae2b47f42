//! What the sandbox's haproxy takes from its configuration: servers, tables, rules of the frontend, peers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    expression::Expression,
    frontend::{Frontend, Stick},
    table::Table,
};

/// The file's name.
pub(crate) const CONFIG: &str = "haproxy.cfg";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A configuration, and what happened to it at run time.
#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    pub(crate) text: String,
    pub(crate) socket: Option<u16>,
    pub(crate) servers: Vec<Server>,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(super) frontend: Frontend,
    /// By backend.
    pub(super) sticks: BTreeMap<String, Stick>,
    /// Lines that decide where a request goes, and that are not followed here.
    pub(crate) ignored: Vec<String>,
    /// The other proxies: host and port.
    pub(crate) peers: Vec<(String, u16)>,
}

/// A server line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) backend: String,
    pub(crate) backend_id: usize,
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) address: Arc<str>,
    pub(crate) port: u16,
    pub(crate) weight: u32,
    pub(crate) initial_weight: u32,
    pub(crate) admin: Admin,
    pub(crate) check: Option<Check>,
    pub(crate) up: bool,
    /// Checks in a row that speak against what it is held for.
    pub(crate) against: u32,
}

/// How a server is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) every: Duration,
    pub(crate) fall: u32,
    pub(crate) rise: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admin {
    Ready,
    Drain,
    Maint,
}

/// Reads a configuration, as the replica called `hostname` does.
///
/// # Errors
/// What `haproxy -c` would say.
pub(crate) fn read(text: &str, hostname: &str) -> Result<State, String> {
    let mut state = State { text: text.to_owned(), ..State::default() };
    let mut section = Section::default();
    let mut backend_id = 0;
    // What `.if` and `.else` say of the lines in between.
    let mut taken = true;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let bad = |what: &str| format!("[ALERT] parsing [{CONFIG}:{}]: {what}", index + 1);
        if let Some(condition) = line.strip_prefix(".if ") {
            taken = holds(condition, hostname).ok_or_else(|| bad("unknown condition"))?;
            continue;
        }
        match line {
            ".else" => taken = !taken,
            ".endif" => taken = true,
            _ if !taken => continue,
            _ => {}
        }
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        let followed = match words[..] {
            ["stick", rule @ ("match" | "on" | "store-request"), key, ref rest @ ..] => {
                stick(&mut state, &section.name, rule, key, rest)
            }
            _ => !section.frontend || state.frontend.take(&words),
        };
        if !followed {
            state.ignored.push(line.to_owned());
        }
        match words[..] {
            [kind @ ("backend" | "listen" | "frontend" | "peers"), name, ..] => {
                section = Section {
                    name: name.to_owned(),
                    peers: kind == "peers",
                    frontend: kind == "frontend",
                    check: Vec::new(),
                };
                // haproxy numbers its proxies from 2 on when it numbers them itself.
                backend_id = backend_id.max(1) + 1;
            }
            ["global" | "defaults" | "resolvers" | "userlist" | "cache", ..] => section = Section::default(),
            ["stats", "socket", address, ..] => {
                let port = address.trim_matches('"').rsplit_once(':').and_then(|(_, port)| port.parse().ok());
                state.socket = port.or(state.socket);
            }
            ["stick-table", ref rest @ ..] => {
                let expire = match after(rest, "expire") {
                    Some(text) => duration(text).ok_or_else(|| bad("unknown time"))?,
                    None => DAY,
                };
                state.tables.insert(section.name.clone(), Table::new(expire));
            }
            ["default-server", ref rest @ ..] => section.check = rest.iter().map(|word| (*word).to_owned()).collect(),
            ["server" | "peer", name, ref rest @ ..] if section.peers => {
                let address = rest.first().and_then(|address| address.rsplit_once(':'));
                if let Some((host, port)) = address.filter(|_| name != hostname) {
                    state.peers.push((host.to_owned(), port.parse().map_err(|_| bad("bad port of a peer"))?));
                }
            }
            ["server", name, address, ref rest @ ..] if !section.name.is_empty() => {
                let number = state.servers.iter().filter(|server| server.backend == section.name).count() + 1;
                let server =
                    server(&section, backend_id, name, address, rest, number).ok_or_else(|| bad("bad server line"))?;
                if state.servers.iter().any(|other| other.backend == section.name && other.id == server.id) {
                    return Err(bad(&format!("id {} is used twice", server.id)));
                }
                state.servers.push(server);
            }
            _ => {}
        }
    }
    Ok(state)
}

/// Takes a `stick` rule over; says whether it is understood.
fn stick(state: &mut State, backend: &str, rule: &str, key: &str, rest: &[&str]) -> bool {
    let table = after(rest, "table").unwrap_or(backend).to_owned();
    let condition = rest.iter().position(|word| *word == "if").and_then(|at| rest.get(at..)).unwrap_or_default();
    let (Some(key), Some(condition)) = (Expression::read(key), Frontend::stick_condition(condition)) else {
        return false;
    };
    let stick = state.sticks.entry(backend.to_owned()).or_insert(Stick { table, key, store: None });
    if rule != "match" {
        stick.store = Some(condition);
    }
    true
}

#[derive(Default)]
struct Section {
    name: String,
    peers: bool,
    frontend: bool,
    /// The words of its `default-server`.
    check: Vec<String>,
}

/// `streq("$HOSTNAME",name)`, the only condition that is known.
fn holds(condition: &str, hostname: &str) -> Option<bool> {
    let inside = condition.trim().strip_prefix("streq(")?.strip_suffix(')')?;
    let (one, other) = inside.split_once(',')?;
    let value = |text: &str| text.trim().trim_matches('"').replace("$HOSTNAME", hostname);
    Some(value(one) == value(other))
}

fn after<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == key)?;
    words.get(at + 1).copied()
}

/// A time in haproxy's notation; without a unit, milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "us" => Duration::from_micros(number),
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        "d" => Duration::from_secs(number * 86400),
        _ => return None,
    })
}

fn server(
    section: &Section,
    backend_id: usize,
    name: &str,
    address: &str,
    rest: &[&str],
    number: usize,
) -> Option<Server> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    // What the line says itself comes first.
    let words: Vec<&str> = rest.iter().copied().chain(section.check.iter().map(String::as_str)).collect();
    let weight = after(&words, "weight").map_or(Some(1), |weight| weight.parse().ok())?;
    let count = |key: &str, default: u32| after(&words, key).map_or(Some(default), |text| text.parse().ok());
    let check = if words.contains(&"check") {
        let every = after(&words, "inter").map_or(Some(Duration::from_secs(2)), duration)?;
        Some(Check { every, fall: count("fall", 3)?, rise: count("rise", 2)? })
    } else {
        None
    };
    Some(Server {
        backend: section.name.clone(),
        backend_id,
        name: name.to_owned(),
        id: after(rest, "id").map_or_else(|| u32::try_from(number).ok(), |id| id.parse().ok())?,
        address: host.into(),
        port: port.parse().ok()?,
        weight,
        initial_weight: weight,
        admin: if words.contains(&"disabled") { Admin::Maint } else { Admin::Ready },
        check,
        up: true,
        against: 0,
    })
}
