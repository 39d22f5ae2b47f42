//! The video bridge: takes its XMPP servers from custom-jvb.conf when it starts, more of them over REST while it runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;

use super::{
    Life, Load, Start,
    hocon::{self, Value},
    log::Log,
    prosody::Account,
    rest::{self, Request, Response},
    seats::{STRESS_PER_PERSON, Seats},
    xmpp::{BridgePresence, Connection, Presence, Target},
};
use crate::state::Shared;

/// The port of its private REST interface.
pub(crate) const REST: u16 = 8080;
const CONFIG: &str = "custom-jvb.conf";
const CLIENTS: &str = "videobridge.apis.xmpp-client.configs";
const STRESS: &str = "videobridge.load-management.average-participant-stress";

/// A running bridge.
pub(crate) struct Bridge {
    shared: Arc<Shared>,
    cluster: usize,
    log: Log,
    life: Life,
    rest: bool,
    version: String,
    relay: Option<(Option<String>, String)>,
    clients: Mutex<BTreeMap<String, Connection>>,
    state: Arc<Mutex<State>>,
    presence: Arc<watch::Sender<Presence>>,
    seats: Arc<Seats>,
}

/// What its presence tells of it.
#[derive(Clone, Copy, Default)]
struct State {
    drain: bool,
    /// Put there by hand.
    load: Load,
}

impl Bridge {
    /// Starts it.
    ///
    /// # Errors
    /// When its configuration cannot be read, as the real one ends then.
    pub(crate) fn start(start: &Start) -> Result<Self, String> {
        let relays = start.is_on("ENABLE_OCTO");
        let nick = start.env("JVB_MUC_NICKNAME").unwrap_or(&start.key.name).to_owned();
        let relay = relays.then(|| {
            let region = start.env("JVB_OCTO_REGION").map(str::to_owned);
            (region, start.env("JVB_OCTO_RELAY_ID").unwrap_or(&nick).to_owned())
        });
        let root = configuration(start)?;
        let per_person = match hocon::text(&root, STRESS) {
            Some(text) => text.parse().map_err(|_| format!("{CONFIG}: {STRESS}: `{text}` is not a number"))?,
            None => STRESS_PER_PERSON,
        };
        let bridge = Self {
            shared: Arc::clone(&start.shared),
            cluster: start.key.cluster,
            log: start.log.clone(),
            life: start.life.clone(),
            rest: start.is_on("COLIBRI_REST_ENABLED"),
            version: start.image.version(),
            relay,
            clients: Mutex::default(),
            state: Arc::default(),
            presence: Arc::new(watch::Sender::new(Presence::Plain)),
            seats: Arc::new(Seats::new(start.key.clone(), start.life.stop.clone(), per_person)),
        };
        bridge.presence.send_replace(bridge.introduce());
        let mut targets = configured(start, &root)?;
        if !start.is_on("JVB_DISABLE_XMPP") {
            targets.extend(by_environment(start, &nick)?);
        }
        if targets.is_empty() {
            bridge.log.say("no XMPP server is configured".to_owned());
        }
        for (id, target) in targets {
            let connection = bridge.connect(target);
            bridge.clients().insert(id, connection);
        }
        Ok(bridge)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Connection>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, target: Target) -> Connection {
        Connection::open(&self.shared, target, self.presence.subscribe(), self.log.clone(), &self.life)
    }

    /// Its first presence.
    fn introduce(&self) -> Presence {
        Presence::Bridge(BridgePresence {
            version: self.version.clone(),
            region: self.relay.as_ref().and_then(|(region, _)| region.clone()),
            relay_id: self.relay.as_ref().map(|(_, id)| id.clone()),
            drain: false,
            graceful_shutdown: false,
            endpoints: 0,
            seats: Arc::clone(&self.seats),
        })
    }

    /// What changed reaches the others with the next presence. That tells what is so when it is sent: of two changes
    /// at once, the presence of the first could otherwise be sent last, and stay.
    fn publish(&self) {
        let state = Arc::clone(&self.state);
        let sender = Arc::clone(&self.presence);
        let after: Duration = self.shared.timing.presence;
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            sender.send_modify(|presence| {
                if let Presence::Bridge(told) = presence {
                    told.drain = state.drain;
                    told.endpoints = state.load.participants;
                }
            });
        });
    }

    pub(crate) fn set_load(&self, load: Load) {
        self.state().load = load;
        self.publish();
    }

    /// Those put there by hand, and those that focuses put there.
    pub(crate) fn load(&self) -> Load {
        let Load { conferences, participants } = self.state().load;
        Load { conferences: conferences + self.seats.conferences(), participants: participants + self.seats.people() }
    }

    pub(crate) fn draining(&self) -> bool {
        self.state().drain
    }

    pub(crate) fn drain(&self, on: bool) {
        self.state().drain = on;
        self.publish();
    }

    fn stats(&self) -> Json {
        let load = self.load();
        let state = *self.state();
        let links: Vec<_> = self.clients().values().map(|client| (client.target.rooms.len(), client.link())).collect();
        let mut stats = json!({
            "muc_clients_configured": links.len(),
            "muc_clients_connected": links.iter().filter(|(_, link)| link.connected).count(),
            "mucs_configured": links.iter().map(|(rooms, _)| rooms).sum::<usize>(),
            "mucs_joined": links.iter().map(|(_, link)| link.joined).sum::<usize>(),
            "conferences": load.conferences,
            "local_endpoints": load.participants,
            "endpoints": load.participants,
            "participants": load.participants,
            "octo_endpoints": 0,
            "visitors": 0,
            "largest_conference": if load.conferences == 0 { 0 } else { load.participants.div_ceil(load.conferences) },
            "stress_level": self.seats.stress(state.load.participants),
            "bit_rate_download": 0,
            "bit_rate_upload": 0,
            "drain": state.drain,
            "healthy": true,
            "graceful_shutdown": false,
            "shutting_down": false,
            "version": self.version,
            "current_timestamp": self.shared.clock.now().to_string(),
        });
        if let (Some((region, id)), Some(stats)) = (&self.relay, stats.as_object_mut()) {
            stats.insert("relay_id".into(), id.as_str().into());
            if let Some(region) = region {
                stats.insert("region".into(), region.as_str().into());
            }
        }
        stats
    }

    pub(crate) fn rest(&self, request: &Request) -> Response {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/about/health") => rest::empty(),
            (&Method::GET, "/about/version") => {
                rest::json(&json!({ "name": "JVB", "version": self.version, "os": "Linux" }))
            }
            (&Method::GET, "/colibri/drain") => rest::json(&json!({ "drain": self.state().drain })),
            (&Method::POST, "/colibri/drain/enable") => {
                self.drain(true);
                rest::empty()
            }
            (&Method::POST, "/colibri/drain/disable") => {
                self.drain(false);
                rest::empty()
            }
            (&Method::GET, "/colibri/stats") if self.rest => rest::json(&self.stats()),
            (&Method::GET, "/colibri/muc-client/list") if self.rest => {
                rest::json(&self.clients().keys().cloned().collect::<Vec<_>>().into())
            }
            (&Method::POST, "/colibri/muc-client/add") if self.rest => self.with_json(request, |body| self.add(body)),
            (&Method::POST, "/colibri/muc-client/remove") if self.rest => self.with_json(request, |body| {
                let id = string(body, "id").ok_or("no id")?;
                let gone = self.clients().remove(&id);
                gone.map(drop).ok_or("unknown id")
            }),
            _ => rest::text(StatusCode::NOT_FOUND, ""),
        }
    }

    fn with_json(
        &self,
        request: &Request,
        act: impl FnOnce(&Map<String, Json>) -> Result<(), &'static str>,
    ) -> Response {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return rest::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "");
        }
        let done = match serde_json::from_slice(request.body()) {
            Ok(Json::Object(body)) => act(&body),
            _ => Err("not a JSON object"),
        };
        match done {
            Ok(()) => rest::empty(),
            Err(why) => rest::text(StatusCode::BAD_REQUEST, why),
        }
    }

    /// 200 says "accepted", no more. The same id, server, domain and user is left as it is, even if its password was
    /// wrong and now is right.
    fn add(&self, body: &Map<String, Json>) -> Result<(), &'static str> {
        let need = |key: &str| string(body, key).ok_or("a value is missing");
        let target = Target {
            cluster: self.cluster,
            host: need("hostname")?,
            port: string(body, "port").map_or(Ok(5222), |port| port.parse().map_err(|_| "bad port"))?,
            account: Account { user: need("username")?, domain: need("domain")?, password: need("password")? },
            rooms: rooms(&need("muc_jids")?),
            nickname: need("muc_nickname")?,
        };
        let id = need("id")?;
        let mut clients = self.clients();
        if clients.get(&id).is_some_and(|client| same_server(&client.target, &target)) {
            return Ok(());
        }
        // The old one leaves before the new one joins.
        drop(clients.remove(&id));
        let connection = self.connect(target);
        clients.insert(id, connection);
        Ok(())
    }
}

fn same_server(one: &Target, other: &Target) -> bool {
    one.host == other.host
        && one.port == other.port
        && one.account.domain == other.account.domain
        && one.account.user == other.account.user
}

/// Keys are read without regard to case; what is not a text is not read at all.
fn string(body: &Map<String, Json>, wanted: &str) -> Option<String> {
    let found = body.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted))?;
    found.1.as_str().map(str::to_owned)
}

fn rooms(list: &str) -> Vec<String> {
    list.split(',').map(|room| room.trim().to_owned()).filter(|room| !room.is_empty()).collect()
}

/// The servers of custom-jvb.conf. The user's own file in /config comes first, as the start wrapper puts it.
fn configuration(start: &Start) -> Result<hocon::Object, String> {
    let mut files: Vec<_> = start.files.iter().filter(|file| file.path.rsplit('/').next() == Some(CONFIG)).collect();
    files.sort_by_key(|file| !file.path.starts_with("/config/"));
    let text: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
    hocon::parse(&text.join("\n"), &start.env).map_err(|why| format!("{CONFIG}: {why}"))
}

fn configured(start: &Start, root: &hocon::Object) -> Result<Vec<(String, Target)>, String> {
    let mut targets = Vec::new();
    for (id, value) in hocon::object(root, CLIENTS).into_iter().flatten() {
        let Value::Object(server) = value else { continue };
        let text = |key: &str| {
            server.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).and_then(|(_, value)| match value {
                Value::Text(text) => Some(text.clone()),
                Value::Object(_) => None,
            })
        };
        let need = |key: &str| text(key).ok_or_else(|| format!("{CONFIG}: {CLIENTS}.{id}: {key} is missing"));
        let port = text("PORT").unwrap_or_else(|| "5222".into());
        targets.push((
            id.clone(),
            Target {
                cluster: start.key.cluster,
                host: need("HOSTNAME")?,
                port: port.parse().map_err(|_| format!("{CONFIG}: {id}: `{port}` is not a port"))?,
                account: Account { user: need("USERNAME")?, domain: need("DOMAIN")?, password: need("PASSWORD")? },
                rooms: rooms(&need("MUC_JIDS")?),
                nickname: need("MUC_NICKNAME")?,
            },
        ));
    }
    Ok(targets)
}

/// The servers of XMPP_SERVER, as the image's own template reads them.
fn by_environment(start: &Start, nick: &str) -> Result<Vec<(String, Target)>, String> {
    let env = |name: &str, default: &str| start.env(name).unwrap_or(default).to_owned();
    let password = start.required("JVB_AUTH_PASSWORD")?;
    let brewery = format!(
        "{}@{}",
        env("JVB_BREWERY_MUC", "jvbbrewery"),
        env("XMPP_INTERNAL_MUC_DOMAIN", "internal-muc.meet.jitsi")
    );
    let servers = env("XMPP_SERVER", "xmpp.meet.jitsi");
    let mut targets = Vec::new();
    for (index, server) in servers.split(',').map(str::trim).filter(|server| !server.is_empty()).enumerate() {
        let (host, port) = server.split_once(':').unwrap_or((server, "5222"));
        targets.push((
            format!("shard{index}"),
            Target {
                cluster: start.key.cluster,
                host: host.to_owned(),
                port: port.parse().map_err(|_| format!("XMPP_SERVER: `{port}` is not a port"))?,
                account: Account {
                    user: env("JVB_AUTH_USER", "jvb"),
                    domain: env("XMPP_AUTH_DOMAIN", "auth.meet.jitsi"),
                    password: password.clone(),
                },
                rooms: vec![brewery.clone()],
                nickname: nick.to_owned(),
            },
        ));
    }
    Ok(targets)
}
