//! The conference focus: logs in to its shard's prosody, and tells over REST what it sees there.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use http::{Method, StatusCode};
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;

use super::{
    Load, Start,
    prosody::Account,
    rest::{self, Request, Response},
    xmpp::{BridgePresence, Connection, Presence, Target},
};

/// The port of its REST interface, on the pod's loopback.
pub(crate) const REST: u16 = 8888;

/// A running jicofo.
pub(crate) struct Jicofo {
    connection: Connection,
    bridges: String,
    recorders: String,
    rooms: String,
    version: String,
    health: bool,
    load: Mutex<Load>,
    // The presence of a focus says nothing; the sender keeps its channel open.
    _presence: watch::Sender<Presence>,
}

impl Jicofo {
    /// Starts it.
    ///
    /// # Errors
    /// When its password is missing.
    pub(crate) fn start(start: &Start) -> Result<Self, String> {
        let env = |name: &str, default: &str| start.env(name).unwrap_or(default).to_owned();
        let internal = env("XMPP_INTERNAL_MUC_DOMAIN", "internal-muc.meet.jitsi");
        let bridges = format!("{}@{internal}", env("JVB_BREWERY_MUC", "jvbbrewery"));
        let recorders = format!("{}@{internal}", env("JIBRI_BREWERY_MUC", "jibribrewery"));
        let port = env("XMPP_PORT", "5222");
        let target = Target {
            cluster: start.key.cluster,
            host: env("XMPP_SERVER", "xmpp.meet.jitsi"),
            port: port.parse().map_err(|_| format!("XMPP_PORT: `{port}` is not a port"))?,
            account: Account {
                user: env("JICOFO_AUTH_USER", "focus"),
                domain: env("XMPP_AUTH_DOMAIN", "auth.meet.jitsi"),
                password: start.required("JICOFO_AUTH_PASSWORD")?,
            },
            rooms: vec![bridges.clone(), recorders.clone()],
            nickname: "focus".to_owned(),
        };
        let (sender, presence) = watch::channel(Presence::Plain);
        Ok(Self {
            connection: Connection::open(&start.shared, target, presence, start.log.clone(), &start.stop),
            bridges,
            recorders,
            rooms: env("XMPP_MUC_DOMAIN", "muc.meet.jitsi"),
            version: start.image.version(),
            health: start.env("JICOFO_ENABLE_HEALTH_CHECKS").is_some_and(is_true),
            load: Mutex::default(),
            _presence: sender,
        })
    }

    pub(crate) fn set_load(&self, load: Load) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = load;
    }

    pub(crate) fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the way to prosody, for people.
    pub(crate) fn connected(&self) -> bool {
        self.connection.link().connected
    }

    fn brewery(&self) -> BTreeMap<String, BridgePresence> {
        let occupants = self.connection.server().map(|server| server.occupants(&self.bridges)).unwrap_or_default();
        occupants
            .into_iter()
            .filter_map(|(nick, presence)| match presence {
                Presence::Bridge(bridge) => Some((format!("{}/{nick}", self.bridges), bridge)),
                Presence::Plain | Presence::Recorder { .. } => None,
            })
            .collect()
    }

    fn jibris(&self) -> Vec<bool> {
        let occupants = self.connection.server().map(|server| server.occupants(&self.recorders)).unwrap_or_default();
        occupants
            .into_values()
            .filter_map(|presence| match presence {
                Presence::Recorder { busy } => Some(busy),
                Presence::Plain | Presence::Bridge(_) => None,
            })
            .collect()
    }

    /// Conferences and their sizes: people spread evenly.
    fn conferences(&self) -> Vec<(String, u64)> {
        let Load { conferences, participants } = self.load();
        (0..conferences)
            .map(|number| {
                let size = participants / conferences + u64::from(number < participants % conferences);
                (format!("room-{}@{}", number + 1, self.rooms), size)
            })
            .collect()
    }

    fn debug(&self) -> Json {
        let mut rooms: Map<String, Json> =
            self.conferences().into_iter().map(|(room, size)| (room, Json::from(size))).collect();
        if self.connected() {
            // Its own health check: a room that is no conference.
            rooms.insert(format!("__jicofo-health-check-3f1c@{}", self.rooms), Json::from(0));
        }
        let bridges: Map<String, Json> =
            self.brewery().into_iter().map(|(jid, bridge)| (jid, describe(&bridge))).collect();
        json!({
            "focus_manager": rooms,
            "bridge_selector": { "strategy": "SingleBridgeSelectionStrategy", "bridge": bridges },
            "jibri_detector": self.detector(),
        })
    }

    fn detector(&self) -> Json {
        let jibris = self.jibris();
        json!({ "count": jibris.len(), "available": jibris.iter().filter(|busy| !**busy).count() })
    }

    fn stats(&self) -> Json {
        let load = self.load();
        let sizes: Vec<u64> = self.conferences().into_iter().map(|(_, size)| size).collect();
        let bridges = self.brewery();
        let versions: std::collections::BTreeSet<&str> =
            bridges.values().map(|bridge| bridge.version.as_str()).collect();
        json!({
            "conferences": load.conferences,
            "participants": load.participants,
            "largest_conference": sizes.iter().max().copied().unwrap_or(0),
            "conference_sizes": sizes,
            "visitors": 0,
            "bridge_selector": {
                "bridge_count": bridges.len(),
                "operational_bridge_count": bridges.values().filter(|bridge| !bridge.graceful_shutdown).count(),
                "in_shutdown_bridge_count": bridges.values().filter(|bridge| bridge.graceful_shutdown).count(),
                "lost_bridges": 0,
                "bridge_version_count": versions.len(),
            },
            "jibri_detector": self.detector(),
            "version": self.version,
        })
    }

    pub(crate) fn rest(&self, request: &Request) -> Response {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/about/version") => {
                rest::json(&json!({ "name": "Jicofo", "version": self.version, "os": "Linux" }))
            }
            (&Method::GET, "/about/health") if self.health => match () {
                () if self.brewery().is_empty() => {
                    rest::text(StatusCode::INTERNAL_SERVER_ERROR, "No operational bridges available")
                }
                () => rest::text(StatusCode::OK, "OK"),
            },
            (&Method::GET, "/stats") => rest::json(&self.stats()),
            (&Method::GET, "/debug") => rest::json(&self.debug()),
            (&Method::GET, "/debug/conferences") => {
                rest::json(&self.conferences().into_iter().map(|(room, _)| room).collect::<Vec<_>>().into())
            }
            (&Method::GET, path) if path.starts_with("/move-endpoints/") => self.moved(request),
            _ => rest::text(StatusCode::NOT_FOUND, ""),
        }
    }

    /// Nobody is really there to be moved; only the way to ask is true.
    fn moved(&self, request: &Request) -> Response {
        let Some(bridge) = rest::query(request, "bridge") else {
            return rest::text(StatusCode::BAD_REQUEST, "Missing parameter: bridge");
        };
        let known = self.brewery().keys().any(|jid| *jid == bridge || jid.ends_with(&format!("/{bridge}")));
        if known {
            rest::json(&json!({ "movedEndpoints": 0, "conferences": 0 }))
        } else {
            rest::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("Not found: Bridge not found: {bridge}"))
        }
    }
}

fn describe(bridge: &BridgePresence) -> Json {
    let stress = bridge.endpoints as f64 / 100.0;
    json!({
        "corrected-stress": stress,
        "drain": bridge.drain,
        "endpoints": bridge.endpoints,
        "endpoint-restart-requests": 0,
        "failing-ice": false,
        "graceful-shutdown": bridge.graceful_shutdown,
        "healthy": true,
        "operational": true,
        "overloaded": stress >= 0.8,
        "region": bridge.region,
        "relay-id": bridge.relay_id,
        "release": null,
        "shutting-down": false,
        "stress": stress,
        "version": bridge.version,
    })
}

/// How the images read a switch.
pub(crate) fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}
