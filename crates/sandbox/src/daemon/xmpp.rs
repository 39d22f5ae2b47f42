//! How jicofo, bridges and recorders reach their XMPP server: the way there, the login, the rooms; again and again.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Life,
    log::Log,
    prosody::{Account, Occupancy, Prosody},
    seats::Seats,
};
use crate::{network, state::Shared};

/// What an occupant of a brewery tells the others.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Presence {
    /// Nothing of interest.
    #[default]
    Plain,
    /// A bridge's state.
    Bridge(BridgePresence),
    /// A recorder's state.
    Recorder {
        /// It records.
        busy: bool,
    },
}

/// What jicofo knows of a bridge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BridgePresence {
    pub(crate) version: String,
    pub(crate) region: Option<String>,
    pub(crate) relay_id: Option<String>,
    pub(crate) drain: bool,
    pub(crate) graceful_shutdown: bool,
    /// People who were put there by hand.
    pub(crate) endpoints: u64,
    /// Where focuses put people.
    pub(crate) seats: Arc<Seats>,
}

/// A connection as it is configured.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) cluster: usize,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) account: Account,
    pub(crate) rooms: Vec<String>,
    pub(crate) nickname: String,
}

/// How a connection is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Logged in.
    pub(crate) connected: bool,
    /// Rooms entered.
    pub(crate) joined: usize,
}

/// A connection that is kept up until it is dropped.
pub(crate) struct Connection {
    pub(crate) target: Target,
    link: Arc<Mutex<State>>,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    link: Link,
    server: Option<Arc<Prosody>>,
}

impl Connection {
    /// Starts to connect, and never gives up.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        target: Target,
        presence: watch::Receiver<Presence>,
        log: Log,
        parent: &Life,
    ) -> Self {
        let life = parent.part();
        let stop = life.stop.clone();
        let link = Arc::new(Mutex::new(State::default()));
        let keeper = Keeper { shared: Arc::clone(shared), target: target.clone(), link: Arc::clone(&link), log, life };
        tokio::spawn(keeper.run(presence));
        Self { target, link, stop }
    }

    /// How it is doing.
    pub(crate) fn link(&self) -> Link {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).link.clone()
    }

    /// The server it is logged in to.
    pub(crate) fn server(&self) -> Option<Arc<Prosody>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).server.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Keeper {
    shared: Arc<Shared>,
    target: Target,
    link: Arc<Mutex<State>>,
    log: Log,
    life: Life,
}

impl Keeper {
    async fn run(self, mut presence: watch::Receiver<Presence>) {
        let mut said = String::new();
        loop {
            let now = presence.borrow_and_update().clone();
            match self.connect(&now) {
                Ok((server, rooms)) => {
                    said.clear();
                    self.log.say(format!("connected to {}:{}", self.target.host, self.target.port));
                    self.set(Link { connected: true, joined: rooms.len() }, Some(Arc::clone(&server)));
                    self.hold(&server, &rooms, &mut presence).await;
                    self.set(Link::default(), None);
                    if self.life.stop.is_cancelled() && !self.life.was_killed() {
                        rooms.into_iter().for_each(Occupancy::say_goodbye);
                    }
                }
                Err(why) => {
                    if why != said {
                        self.log.say(format!("cannot connect to {}:{}: {why}", self.target.host, self.target.port));
                        said = why;
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.life.stop.cancelled() => return,
                () = tokio::time::sleep(self.shared.timing.xmpp_retry) => {}
            }
        }
    }

    fn set(&self, link: Link, server: Option<Arc<Prosody>>) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = State { link, server };
    }

    fn reach(&self) -> Result<Arc<Prosody>, String> {
        let Target { cluster, host, port, .. } = &self.target;
        let there = network::resolve(&self.shared, *cluster, host, *port)?;
        let instance = self.shared.instance(&there.pod);
        instance.and_then(|instance| instance.xmpp_at(there.port)).ok_or_else(|| {
            format!("connection refused: nobody listens on port {} of pod {}", there.port, there.pod.name)
        })
    }

    fn connect(&self, presence: &Presence) -> Result<(Arc<Prosody>, Vec<Occupancy>), String> {
        let server = self.reach()?;
        server.login(&self.target.account)?;
        let mut rooms = Vec::new();
        for room in &self.target.rooms {
            rooms.push(Prosody::join(&server, room, &self.target.nickname, presence.clone())?);
        }
        Ok((server, rooms))
    }

    /// Stays until the server ends, the way there changes, or nobody wants the connection any more.
    async fn hold(&self, server: &Arc<Prosody>, rooms: &[Occupancy], presence: &mut watch::Receiver<Presence>) {
        let mut network = self.shared.network.listen();
        loop {
            tokio::select! {
                biased;
                () = self.life.stop.cancelled() => return,
                () = server.stopped() => {
                    self.log.say("the XMPP server closed the stream".to_owned());
                    return;
                }
                changed = presence.changed() => {
                    if changed.is_err() {
                        self.life.stop.cancelled().await;
                        return;
                    }
                    let presence = presence.borrow_and_update().clone();
                    for room in rooms {
                        room.publish(&presence);
                    }
                }
                () = network.changed() => {
                    tokio::time::sleep(self.shared.timing.settle).await;
                    match self.reach() {
                        Ok(now) if Arc::ptr_eq(&now, server) => {}
                        Ok(_) => {
                            self.log.say("the address now leads to another XMPP server".to_owned());
                            return;
                        }
                        Err(why) => {
                            self.log.say(format!("the connection broke: {why}"));
                            return;
                        }
                    }
                }
            }
        }
    }
}
