//! web: nginx, which hands signalling on to the prosody of its slot.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Jicofo, Prosody, Start};
use crate::{network, state::Shared};

/// A running web server: where it hands signalling on to.
pub(crate) struct Web {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Web {
    /// Starts it.
    pub(crate) fn start(start: &Start) -> Self {
        let base = start.env("XMPP_BOSH_URL_BASE").unwrap_or("http://xmpp.meet.jitsi:5280");
        let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        Self { host: host.to_owned(), port: port.parse().unwrap_or(80) }
    }
}

/// A shard as somebody finds it who comes in by its web server.
pub(crate) struct Shard {
    pub(crate) prosody: Arc<Prosody>,
    /// Cancelled when the web server ends.
    pub(crate) web: CancellationToken,
}

impl Shared {
    /// Follows `host:port` to a web server and on to its shard.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn web_at(&self, from: usize, host: &str, port: u16) -> Result<Shard, String> {
        let there = network::resolve(self, from, host, port)?;
        let refused = || format!("connection refused: nobody listens in pod {}", there.pod.name);
        let instance = self.instance(&there.pod).ok_or_else(refused)?;
        let (web, host, port) = instance.web().ok_or_else(refused)?;
        let there = network::resolve(self, there.pod.cluster, &host, port)?;
        let refused = || format!("502: nobody listens in pod {}", there.pod.name);
        let prosody = self.instance(&there.pod).ok_or_else(refused)?.prosody().ok_or_else(refused)?;
        Ok(Shard { prosody, web: web.ended() })
    }

    /// The focus that is logged in to a server, and what is cancelled when it ends.
    pub(crate) fn focus_of(&self, prosody: &Arc<Prosody>) -> Option<(Arc<Jicofo>, CancellationToken)> {
        let mut focuses = self.instances().into_iter().filter_map(|(_, instance)| instance.focus());
        focuses.find(|(jicofo, _)| jicofo.server().is_some_and(|server| Arc::ptr_eq(&server, prosody)))
    }
}
