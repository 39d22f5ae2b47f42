//! The recorder: waits in the brewery of each server of XMPP_SERVER for something to record.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Load, Start,
    prosody::Account,
    rest::{self, Request, Response},
    xmpp::{Connection, Presence, Target},
};

/// The port on which it says how it is.
pub(crate) const HEALTH: u16 = 2222;
/// The port on which it is told to end.
pub(crate) const INTERNAL: u16 = 3333;

/// A running jibri.
pub(crate) struct Recorder {
    _connections: Vec<Connection>,
    load: Mutex<Load>,
    ending: AtomicBool,
    single_use: bool,
    expired: AtomicBool,
    liveness: Option<Duration>,
    exit: CancellationToken,
    presence: Arc<watch::Sender<Presence>>,
}

impl Recorder {
    /// Starts it.
    ///
    /// # Errors
    /// When a password or its servers are missing.
    pub(crate) fn start(start: &Start) -> Result<Self, String> {
        let env = |name: &str, default: &str| start.env(name).unwrap_or(default).to_owned();
        start.required("JIBRI_RECORDER_PASSWORD")?;
        let account = Account {
            user: env("JIBRI_XMPP_USER", "jibri"),
            domain: env("XMPP_AUTH_DOMAIN", "auth.meet.jitsi"),
            password: start.required("JIBRI_XMPP_PASSWORD")?,
        };
        let internal = env("XMPP_INTERNAL_MUC_DOMAIN", "internal-muc.meet.jitsi");
        let brewery = format!("{}@{internal}", env("JIBRI_BREWERY_MUC", "jibribrewery"));
        let presence = Arc::new(watch::Sender::new(Presence::Recorder { busy: false }));
        let default_port = env("XMPP_PORT", "5222");
        let mut connections = Vec::new();
        for server in start.required("XMPP_SERVER")?.split(',').map(str::trim).filter(|server| !server.is_empty()) {
            let (host, port) = server.split_once(':').unwrap_or((server, &default_port));
            let target = Target {
                cluster: start.key.cluster,
                host: host.to_owned(),
                port: port.parse().map_err(|_| format!("XMPP_SERVER: `{port}` is not a port"))?,
                account: account.clone(),
                rooms: vec![brewery.clone()],
                nickname: env("JIBRI_INSTANCE_ID", &start.key.name),
            };
            let receiver = presence.subscribe();
            connections.push(Connection::open(&start.shared, target, receiver, start.log.clone(), &start.life));
        }
        Ok(Self {
            _connections: connections,
            load: Mutex::default(),
            ending: AtomicBool::new(false),
            single_use: start.is_on("JIBRI_SINGLE_USE_MODE"),
            expired: AtomicBool::new(false),
            liveness: start.liveness,
            exit: start.exit.clone(),
            presence,
        })
    }

    pub(crate) fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_load(&self, load: Load) {
        let before = std::mem::replace(&mut *self.load.lock().unwrap_or_else(PoisonError::into_inner), load);
        if self.single_use && before.busy() && !load.busy() {
            // Said on its own port only: focuses go on to see it busy.
            self.expired.store(true, Ordering::Relaxed);
            self.recycle();
        } else {
            self.presence.send_replace(Presence::Recorder { busy: load.busy() });
        }
        self.end_when_idle();
    }

    /// The liveness probe fails on a recorder that is used up, and the node starts its container again.
    fn recycle(&self) {
        let Some(after) = self.liveness else { return };
        let exit = self.exit.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            exit.cancel();
        });
    }

    /// What gracefulShutdown asks for.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.end_when_idle();
    }

    fn end_when_idle(&self) {
        if self.ending.load(Ordering::Relaxed) && !self.load().busy() {
            self.exit.cancel();
        }
    }

    pub(crate) fn rest(&self, port: u16, request: &Request) -> Response {
        match (port, request.method(), request.uri().path()) {
            (HEALTH, &Method::GET, "/jibri/api/v1.0/health") => {
                let busy = match (self.load().busy(), self.expired.load(Ordering::Relaxed)) {
                    (true, _) => "BUSY",
                    (false, true) => "EXPIRED",
                    (false, false) => "IDLE",
                };
                let health = json!({ "healthStatus": "HEALTHY", "details": {} });
                rest::json(&json!({ "status": { "busyStatus": busy, "health": health } }))
            }
            (INTERNAL, &Method::POST, "/jibri/api/internal/v1.0/gracefulShutdown") => {
                self.end();
                rest::empty()
            }
            _ => rest::text(StatusCode::NOT_FOUND, ""),
        }
    }
}
