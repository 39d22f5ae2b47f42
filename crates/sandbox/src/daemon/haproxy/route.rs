//! Where a request goes: the rules of the rendered configuration, followed as haproxy follows them.

use std::sync::Arc;

use super::{
    config::{Admin, Server, State},
    expression::RoomRequest,
    frontend::Judged,
    table::Entry,
};

/// The server that a request is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) id: u32,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

/// What one request did.
pub(crate) struct Routed {
    pub(crate) upstream: Option<Upstream>,
    /// The table, the key, and the entry which peers are told.
    pub(crate) told: Option<(String, String, Entry)>,
}

/// Sends a request on its way.
pub(crate) fn route(state: &mut State, request: &RoomRequest) -> Routed {
    let nowhere = Routed { upstream: None, told: None };
    let State { frontend, tables, sticks, servers, .. } = state;
    let Some(Judged { backend, key, store }) = frontend.judge(request, tables, sticks) else { return nowhere };
    let stick = sticks.get(backend).and_then(|stick| Some((tables.get_mut(&stick.table)?, &stick.table)));
    let (Some(key), Some((table, name))) = (&key, stick) else {
        let upstream = balance(servers, backend, key.as_deref().unwrap_or_default()).map(upstream_of);
        return Routed { upstream, told: None };
    };
    let told = |entry: Entry| Some((name.clone(), key.clone(), entry));
    let known = table.touch(key);
    let stuck = known.and_then(|entry| {
        let mut servers = servers.iter();
        servers.find(|server| server.backend == backend && server.id == entry.server && usable(server))
    });
    if let (Some(server), Some(entry)) = (stuck, known) {
        return Routed { upstream: Some(upstream_of(server)), told: told(entry) };
    }
    let Some(server) = balance(servers, backend, key) else { return nowhere };
    let entry = store.then(|| table.put(key, server.id));
    Routed { upstream: Some(upstream_of(server)), told: entry.and_then(told) }
}

fn upstream_of(server: &Server) -> Upstream {
    Upstream { id: server.id, host: Arc::clone(&server.address), port: server.port }
}

/// Drained or not, it still serves the rooms it has.
fn usable(server: &Server) -> bool {
    server.admin != Admin::Maint && server.up
}

/// By the hash of the room: equal in every replica, and a server more or less moves few rooms.
fn balance<'a>(servers: &'a [Server], backend: &str, key: &str) -> Option<&'a Server> {
    let free = servers.iter().filter(|server| {
        server.backend == backend && usable(server) && server.admin == Admin::Ready && server.weight > 0
    });
    free.max_by(|one, other| score(one, key).total_cmp(&score(other, key)))
}

fn score(server: &Server, key: &str) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.bytes().chain(server.id.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(server.weight) / unit.ln()
}
