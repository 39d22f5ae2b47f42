//! The conference focus: logs in to its shard's prosody, and tells over REST what it sees there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;

use super::{
    Load, Start,
    meetings::{Meetings, Move},
    prosody::{Account, Prosody},
    rest::{self, Request, Response},
    seats::Seats,
    selection::{OVERLOADED, Wish},
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
    relays: bool,
    region: Option<String>,
    state: Mutex<State>,
    // The presence of a focus says nothing; the sender keeps its channel open.
    _presence: watch::Sender<Presence>,
}

#[derive(Default)]
struct State {
    /// Put there by hand.
    load: Load,
    meetings: Meetings,
    view: View,
}

/// The bridges of the brewery as they were when it last changed.
#[derive(Default)]
struct View {
    server: Option<Arc<Prosody>>,
    changes: u64,
    bridges: Vec<(String, BridgePresence)>,
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
            connection: Connection::open(&start.shared, target, presence, start.log.clone(), &start.life),
            bridges,
            recorders,
            rooms: env("XMPP_MUC_DOMAIN", "muc.meet.jitsi"),
            version: start.image.version(),
            health: start.is_on("JICOFO_ENABLE_HEALTH_CHECKS"),
            relays: start.is_on("ENABLE_OCTO"),
            region: start.env("JICOFO_OCTO_REGION").map(str::to_owned),
            state: Mutex::default(),
            _presence: sender,
        })
    }

    pub(crate) fn set_load(&self, load: Load) {
        self.state().load = load;
    }

    /// Conferences that began at least so long ago; those put there by hand have no beginning.
    pub(crate) fn lasting(&self, since: Duration) -> u64 {
        let state = self.state();
        state.load.conferences + state.meetings.lasting(since)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server it is logged in to.
    pub(crate) fn server(&self) -> Option<Arc<Prosody>> {
        self.connection.server()
    }

    /// Looks at the brewery if it changed; says whether it did.
    fn look(&self, view: &mut View) -> bool {
        let Some(server) = self.server() else { return false };
        let changes = server.changes();
        let same = view.server.as_ref().is_some_and(|known| Arc::ptr_eq(known, &server)) && view.changes == changes;
        if !same {
            *view = View { bridges: bridges_of(&server.occupants(&self.bridges)), server: Some(server), changes };
        }
        !same
    }

    /// Invites a person into a conference, on a bridge of its choice.
    pub(crate) fn join(&self, room: &str, region: Option<&str>) -> Option<Arc<Seats>> {
        let mut state = self.state();
        let state = &mut *state;
        self.look(&mut state.view);
        let wish = Wish { region: region.or(self.region.as_deref()), relays: self.relays };
        state.meetings.join(room, &state.view.bridges, wish)
    }

    /// A person has left.
    pub(crate) fn leave(&self, room: &str, seats: u64) {
        self.state().meetings.leave(room, seats);
    }

    /// Gives up bridges that left the brewery, and returns them. Their people are to be invited anew.
    pub(crate) fn lost_bridges(&self) -> BTreeSet<u64> {
        let mut state = self.state();
        let state = &mut *state;
        if self.look(&mut state.view) { state.meetings.give_up_missing(&state.view.bridges) } else { BTreeSet::new() }
    }

    /// The moves that were asked for over REST since the last call.
    pub(crate) fn take_moves(&self) -> Vec<Move> {
        self.state().meetings.take_moves()
    }

    /// What is known of the way to prosody, for people.
    pub(crate) fn connected(&self) -> bool {
        self.connection.link().connected
    }

    fn brewery(&self) -> BTreeMap<String, BridgePresence> {
        let occupants = self.connection.server().map(|server| server.occupants(&self.bridges)).unwrap_or_default();
        let bridges = bridges_of(&occupants).into_iter();
        bridges.map(|(nick, bridge)| (format!("{}/{nick}", self.bridges), bridge)).collect()
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

    /// Conferences and their sizes; of those put there by hand the people are spread evenly.
    fn conferences(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let Load { conferences, participants } = state.load;
        let by_hand = (0..conferences).map(|number| {
            let size = participants / conferences + u64::from(number < participants % conferences);
            (format!("room-{}@{}", number + 1, self.rooms), size)
        });
        // A tenant's rooms are named `[tenant]room`.
        let meetings = state.meetings.sizes().map(|(key, size)| {
            let name = match key.trim_start_matches('/').split_once('/') {
                Some((tenant, room)) => format!("[{tenant}]{room}"),
                None => key.trim_start_matches('/').to_owned(),
            };
            (format!("{name}@{}", self.rooms), size)
        });
        by_hand.chain(meetings).collect()
    }

    fn debug(&self) -> Json {
        let mut rooms: Map<String, Json> =
            self.conferences().into_iter().map(|(room, size)| (room, Json::from(size))).collect();
        if self.connected() {
            // Its own health check: a room that is no conference.
            rooms.insert(format!("__jicofo-health-check-3f1c@{}", self.rooms), Json::from(0));
        }
        let people = self.state().meetings.by_bridge();
        let bridges: Map<String, Json> = self
            .brewery()
            .into_iter()
            .map(|(jid, bridge)| {
                let own = people.get(&bridge.seats.id).copied().unwrap_or(0);
                (jid, describe(&bridge, own))
            })
            .collect();
        json!({
            "focus_manager": rooms,
            "bridge_selector": { "strategy": if self.relays { "RegionBasedBridgeSelectionStrategy" } else { "SingleBridgeSelectionStrategy" }, "bridge": bridges },
            "jibri_detector": self.detector(),
        })
    }

    fn detector(&self) -> Json {
        let jibris = self.jibris();
        json!({ "count": jibris.len(), "available": jibris.iter().filter(|busy| !**busy).count() })
    }

    fn stats(&self) -> Json {
        let (load, created, lost) = {
            let state = self.state();
            let load = Load {
                conferences: state.load.conferences + state.meetings.conferences(),
                participants: state.load.participants + state.meetings.people(),
            };
            (load, state.meetings.created, state.meetings.lost_bridges)
        };
        let sizes: Vec<u64> = self.conferences().into_iter().map(|(_, size)| size).collect();
        let bridges = self.brewery();
        let versions: BTreeSet<&str> = bridges.values().map(|bridge| bridge.version.as_str()).collect();
        json!({
            "conferences": load.conferences,
            "participants": load.participants,
            "largest_conference": sizes.iter().max().copied().unwrap_or(0),
            "conference_sizes": sizes,
            "total_conferences_created": created,
            "visitors": 0,
            "bridge_selector": {
                "bridge_count": bridges.len(),
                "operational_bridge_count": bridges.values().filter(|bridge| !bridge.graceful_shutdown).count(),
                "in_shutdown_bridge_count": bridges.values().filter(|bridge| bridge.graceful_shutdown).count(),
                "lost_bridges": lost,
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

    /// Moves people off a bridge. A bridge that is not known is an error of the server's, as in the real one.
    fn moved(&self, request: &Request) -> Response {
        let missing = |name: &str| rest::text(StatusCode::BAD_REQUEST, &format!("Missing parameter: {name}"));
        let Some(bridge) = rest::query(request, "bridge") else { return missing("bridge") };
        let mut state = self.state();
        let state = &mut *state;
        self.look(&mut state.view);
        let nick = bridge.strip_prefix(&format!("{}/", self.bridges)).unwrap_or(&bridge);
        let Some(from) = state.view.bridges.iter().find(|(known, _)| known == nick).map(|(_, bridge)| bridge.seats.id)
        else {
            let why = format!("Not found: Bridge not found: {bridge}");
            return rest::text(StatusCode::INTERNAL_SERVER_ERROR, &why);
        };
        let most = match request.uri().path() {
            "/move-endpoints/move-fraction" => {
                let text = rest::query(request, "fraction").unwrap_or_else(|| "0.1".to_owned());
                let Some(fraction) = text.parse::<f64>().ok().filter(|it| (0.0..=1.0).contains(it)) else {
                    return rest::text(StatusCode::BAD_REQUEST, "Invalid parameter: fraction");
                };
                let here = state.meetings.by_bridge().get(&from).copied().unwrap_or(0);
                (here as f64 * fraction).ceil() as u64
            }
            "/move-endpoints/move-endpoints" => {
                match rest::query(request, "numEndpoints").map_or(Ok(1), |text| text.parse()) {
                    Ok(most) => most,
                    Err(_) => return rest::text(StatusCode::BAD_REQUEST, "Invalid parameter: numEndpoints"),
                }
            }
            _ => return rest::text(StatusCode::NOT_FOUND, ""),
        };
        let (people, conferences) = state.meetings.move_off(from, &state.view.bridges, most, self.relays);
        rest::json(&json!({ "movedEndpoints": people, "conferences": conferences }))
    }
}

fn bridges_of(occupants: &BTreeMap<String, Presence>) -> Vec<(String, BridgePresence)> {
    let bridge = |(nick, presence): (&String, &Presence)| match presence {
        Presence::Bridge(bridge) => Some((nick.clone(), bridge.clone())),
        Presence::Plain | Presence::Recorder { .. } => None,
    };
    occupants.iter().filter_map(bridge).collect()
}

/// `own` people of this focus are on it, beside those put there by hand.
fn describe(bridge: &BridgePresence, own: u64) -> Json {
    let stress = bridge.seats.stress(bridge.endpoints);
    json!({
        "corrected-stress": stress,
        "drain": bridge.drain,
        "endpoints": bridge.endpoints + own,
        "endpoint-restart-requests": 0,
        "failing-ice": false,
        "graceful-shutdown": bridge.graceful_shutdown,
        "healthy": true,
        "operational": true,
        "overloaded": stress >= OVERLOADED,
        "region": bridge.region,
        "relay-id": bridge.relay_id,
        "release": null,
        "shutting-down": false,
        "stress": stress,
        "version": bridge.version,
    })
}
