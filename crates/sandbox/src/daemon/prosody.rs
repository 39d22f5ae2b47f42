//! The XMPP server: accounts, one internal component for the breweries, and who is in which room.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Start, xmpp::Presence};

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) domain: String,
    pub(crate) password: String,
}

// Carries a password.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.domain)
    }
}

/// A running prosody.
pub(crate) struct Prosody {
    accounts: BTreeMap<(String, String), String>,
    domains: Vec<String>,
    room_domains: Vec<String>,
    rooms: Mutex<BTreeMap<String, Room>>,
    /// Places whose link broke, in the order in which they are given up.
    broken: Mutex<VecDeque<Broken>>,
    sessions: AtomicU64,
    changes: AtomicU64,
    stop: CancellationToken,
}

/// By nickname, the sessions that share it. Equal nicknames merge without an error, as measured with the real one; the
/// others see what was published last.
type Room = BTreeMap<String, Vec<(u64, Presence)>>;

/// How long the place of somebody is kept whose stream ended without a word: his client may resume it.
const RESUME: Duration = Duration::from_secs(15);

/// The place of a session whose link broke.
struct Broken {
    until: Instant,
    room: String,
    nick: String,
    session: u64,
}

impl Prosody {
    /// Starts it.
    ///
    /// # Errors
    /// When a password that it must know is missing.
    pub(crate) fn start(start: &Start) -> Result<Self, String> {
        let env = |name: &str, default: &str| start.env(name).unwrap_or(default).to_owned();
        let auth = env("XMPP_AUTH_DOMAIN", "auth.meet.jitsi");
        let mut accounts = BTreeMap::new();
        for (user, password) in [("focus", "JICOFO_AUTH_PASSWORD"), ("jvb", "JVB_AUTH_PASSWORD")] {
            let password = start.required(password)?;
            let name = if user == "jvb" { env("JVB_AUTH_USER", user) } else { env("JICOFO_AUTH_USER", user) };
            accounts.insert((name, auth.clone()), password);
        }
        let hidden = start
            .env("XMPP_HIDDEN_DOMAIN")
            .or_else(|| start.env("XMPP_RECORDER_DOMAIN"))
            .unwrap_or("hidden.meet.jitsi")
            .to_owned();
        if let Some(password) = start.env("JIBRI_XMPP_PASSWORD") {
            accounts.insert((env("JIBRI_XMPP_USER", "jibri"), auth.clone()), password.to_owned());
        }
        if let Some(password) = start.env("JIBRI_RECORDER_PASSWORD") {
            accounts.insert((env("JIBRI_RECORDER_USER", "recorder"), hidden.clone()), password.to_owned());
        }
        Ok(Self {
            accounts,
            domains: vec![auth, hidden, env("XMPP_DOMAIN", "meet.jitsi")],
            room_domains: vec![
                env("XMPP_INTERNAL_MUC_DOMAIN", "internal-muc.meet.jitsi"),
                env("XMPP_MUC_DOMAIN", "muc.meet.jitsi"),
            ],
            rooms: Mutex::default(),
            broken: Mutex::default(),
            sessions: AtomicU64::new(1),
            changes: AtomicU64::new(0),
            stop: start.life.stop.clone(),
        })
    }

    /// Ends when the server does.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Cancelled when the server ends.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Grows whenever an occupant of a room comes, goes or tells something.
    pub(crate) fn changes(&self) -> u64 {
        self.give_up_broken();
        self.changes.load(Ordering::Relaxed)
    }

    /// Nobody resumed these streams in time: the rooms see them leave.
    fn give_up_broken(&self) {
        let now = Instant::now();
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        while broken.front().is_some_and(|place| place.until <= now) {
            if let Some(place) = broken.pop_front() {
                self.leave(&place.room, &place.nick, place.session);
            }
        }
    }

    fn leave(&self, room: &str, nick: &str, session: u64) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(occupants) = rooms.get_mut(room) {
            if let Some(held) = occupants.get_mut(nick) {
                held.retain(|(of, _)| *of != session);
                if held.is_empty() {
                    occupants.remove(nick);
                }
            }
            if occupants.is_empty() {
                rooms.remove(room);
            }
        }
    }

    /// Checks a login.
    ///
    /// # Errors
    /// The stream error or SASL failure that a client gets.
    pub(crate) fn login(&self, account: &Account) -> Result<(), String> {
        if !self.domains.contains(&account.domain) {
            return Err(format!("host-unknown: this server does not serve {}", account.domain));
        }
        match self.accounts.get(&(account.user.clone(), account.domain.clone())) {
            Some(password) if *password == account.password => Ok(()),
            _ => Err(format!("not-authorized: the server refuses the password of {account:?}")),
        }
    }

    /// Enters a room.
    ///
    /// # Errors
    /// When no component of this server has that room.
    pub(crate) fn join(server: &Arc<Self>, room: &str, nick: &str, presence: Presence) -> Result<Occupancy, String> {
        let known = room.split_once('@').is_some_and(|(_, domain)| server.room_domains.iter().any(|is| is == domain));
        if !known {
            return Err(format!("remote-server-not-found: no component of this server has room {room}"));
        }
        let session = server.sessions.fetch_add(1, Ordering::Relaxed);
        let (server, room, nick) = (Arc::clone(server), room.to_owned(), nick.to_owned());
        let occupancy = Occupancy { server, room, nick, session, said_goodbye: false };
        occupancy.publish(&presence);
        Ok(occupancy)
    }

    /// Who is in a room: nickname and what it published last.
    pub(crate) fn occupants(&self, room: &str) -> BTreeMap<String, Presence> {
        self.give_up_broken();
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let occupants = rooms.get(room).into_iter().flatten();
        occupants.filter_map(|(nick, held)| Some((nick.clone(), held.last()?.1.clone()))).collect()
    }
}

/// A place in a room. When it is dropped the link breaks: the room sees that later.
pub(crate) struct Occupancy {
    server: Arc<Prosody>,
    room: String,
    nick: String,
    session: u64,
    said_goodbye: bool,
}

impl Occupancy {
    /// Leaves in good order, with a word to the others.
    pub(crate) fn say_goodbye(mut self) {
        self.said_goodbye = true;
    }

    /// Tells the room.
    pub(crate) fn publish(&self, presence: &Presence) {
        let mut rooms = self.server.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let held = rooms.entry(self.room.clone()).or_default().entry(self.nick.clone()).or_default();
        held.retain(|(session, _)| *session != self.session);
        held.push((self.session, presence.clone()));
        self.server.changes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Occupancy {
    fn drop(&mut self) {
        let Self { server, room, nick, session, said_goodbye } = self;
        if *said_goodbye {
            return server.leave(room, nick, *session);
        }
        let (room, nick) = (std::mem::take(room), std::mem::take(nick));
        let place = Broken { until: Instant::now() + RESUME, room, nick, session: *session };
        server.broken.lock().unwrap_or_else(PoisonError::into_inner).push_back(place);
    }
}
