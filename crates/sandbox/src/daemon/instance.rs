//! The containers of a pod that runs, and what is found in them by what it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Body, Daemon, Haproxy, Jicofo, Load, Prosody, Wire, log::Log};

/// What tests ask of a running container.
#[derive(Debug)]
pub(crate) enum Command {
    /// The daemon crashes; its supervisor in the container starts it again.
    Crash,
    /// The kernel kills the whole container.
    OutOfMemory,
}

/// The containers of a pod that runs.
pub(crate) struct Instance {
    pub(crate) uid: String,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    containers: RwLock<BTreeMap<String, Container>>,
}

struct Container {
    log: Log,
    daemon: Option<Arc<Daemon>>,
    starts: u32,
}

impl Instance {
    pub(crate) fn new(uid: String, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { uid, commands, containers: RwLock::default() }
    }

    /// The log of a container, which outlives its daemon.
    pub(crate) fn log(&self, container: &str) -> Log {
        let mut containers = self.containers.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Container { log: Log::default(), daemon: None, starts: 0 };
        containers.entry(container.to_owned()).or_insert_with(new).log.clone()
    }

    /// Sets or takes away the daemon of a container.
    pub(crate) fn put(&self, container: &str, daemon: Option<Arc<Daemon>>) {
        let mut containers = self.containers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(container) = containers.get_mut(container) {
            container.starts += u32::from(daemon.is_some());
            container.daemon = daemon;
        }
    }

    /// The daemons that run.
    pub(crate) fn daemons(&self) -> Vec<Arc<Daemon>> {
        let containers = self.containers.read().unwrap_or_else(PoisonError::into_inner);
        containers.values().filter_map(|container| container.daemon.clone()).collect()
    }

    /// How often daemons were started in its containers.
    pub(crate) fn starts(&self) -> u32 {
        let containers = self.containers.read().unwrap_or_else(PoisonError::into_inner);
        containers.values().map(|container| container.starts).sum()
    }

    /// What all containers said, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let containers = self.containers.read().unwrap_or_else(PoisonError::into_inner);
        containers.values().flat_map(|container| container.log.lines()).collect()
    }

    /// The XMPP server that listens on a port of this pod.
    pub(crate) fn xmpp_at(&self, port: u16) -> Option<Arc<Prosody>> {
        self.daemons().into_iter().find_map(|daemon| match &daemon.body {
            Body::Prosody(prosody) if port == 5222 => Some(Arc::clone(prosody)),
            _ => None,
        })
    }

    /// The proxy of this pod.
    pub(crate) fn proxy(&self) -> Option<Arc<Haproxy>> {
        self.proxy_life().map(|(proxy, _)| proxy)
    }

    /// The proxy of this pod, and what is cancelled when it ends.
    pub(crate) fn proxy_life(&self) -> Option<(Arc<Haproxy>, CancellationToken)> {
        self.daemons().into_iter().find_map(|daemon| match &daemon.body {
            Body::Haproxy(proxy) => Some((Arc::clone(proxy), daemon.ended())),
            _ => None,
        })
    }

    /// The XMPP server of this pod, whatever port is asked for.
    pub(crate) fn prosody(&self) -> Option<Arc<Prosody>> {
        self.xmpp_at(5222)
    }

    /// The focus of this pod, and what is cancelled when it ends.
    pub(crate) fn focus(&self) -> Option<(Arc<Jicofo>, CancellationToken)> {
        self.daemons().into_iter().find_map(|daemon| match &daemon.body {
            Body::Jicofo(jicofo) => Some((Arc::clone(jicofo), daemon.ended())),
            _ => None,
        })
    }

    /// The server that web's pod leads to, and what is cancelled when web ends.
    pub(crate) fn web(&self) -> Option<(Arc<Daemon>, String, u16)> {
        self.daemons().into_iter().find_map(|daemon| match &daemon.body {
            Body::Web(web) => Some((Arc::clone(&daemon), web.host.clone(), web.port)),
            _ => None,
        })
    }

    /// Whether the bridge of this pod drains; nothing when there is none.
    pub(crate) fn draining(&self) -> Option<bool> {
        self.daemons().into_iter().find_map(|daemon| match &daemon.body {
            Body::Bridge(bridge) => Some(bridge.draining()),
            _ => None,
        })
    }

    /// What listens on a port of this pod.
    pub(crate) fn listener(&self, port: u16) -> Option<(Wire, Arc<Daemon>)> {
        self.daemons().into_iter().find_map(|daemon| Some((daemon.wire(port)?, daemon)))
    }

    /// Who is on its daemons.
    pub(crate) fn people(&self) -> u64 {
        self.daemons().iter().map(|daemon| daemon.people()).sum()
    }

    /// Gives people to every daemon that can have some.
    pub(crate) fn set_load(&self, load: Load) -> bool {
        self.daemons().iter().filter(|daemon| daemon.set_load(load)).count() > 0
    }
}
