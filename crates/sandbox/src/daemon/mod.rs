//! The simulated Jitsi daemons. Each is driven by nothing but what its container really contains: the resolved
//! environment and the mounted files.

mod bridge;
mod haproxy;
mod hocon;
mod jicofo;
pub(crate) mod log;
mod meetings;
mod prosody;
mod recorder;
pub(crate) mod rest;
pub(crate) mod seats;
mod selection;
mod web;
mod xmpp;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{bridge::Bridge, log::Log, recorder::Recorder, web::Web};
pub(crate) use self::{
    haproxy::{Haproxy, RoomRequest},
    jicofo::Jicofo,
    meetings::Move,
    prosody::Prosody,
};
use crate::{
    container::File,
    state::{PodKey, Shared},
};

/// Conferences and the people in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) conferences: u64,
    pub(crate) participants: u64,
}

impl Load {
    /// Somebody would notice its end.
    pub(crate) fn busy(self) -> bool {
        self.conferences > 0 || self.participants > 0
    }
}

/// What an image's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) component: String,
    pub(crate) tag: String,
}

impl Image {
    /// Takes a name apart: `registry:5000/path/COMPONENT:TAG@digest`.
    pub(crate) fn parse(image: &str) -> Self {
        let name = image.split('@').next().unwrap_or(image);
        let last = name.rsplit('/').next().unwrap_or(name);
        let (component, tag) = last.split_once(':').unwrap_or((last, "latest"));
        Self { component: component.to_owned(), tag: tag.to_owned() }
    }

    /// The version that the daemon in it reports: the number of the tag.
    pub(crate) fn version(&self) -> String {
        let number = self.tag.trim_start_matches(|char: char| !char.is_ascii_digit());
        if number.is_empty() { self.tag.clone() } else { number.to_owned() }
    }
}

/// All that a daemon starts from.
pub(crate) struct Start {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: PodKey,
    pub(crate) image: Image,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) files: Vec<File>,
    pub(crate) log: Log,
    /// How long its liveness probe has to fail until the node starts its container again, if it has one.
    pub(crate) liveness: Option<Duration>,
    /// Cancelled to stop the daemon.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the daemon when it ends by itself.
    pub(crate) exit: CancellationToken,
}

impl Start {
    /// A variable; an empty one counts as not set, as in the images' scripts.
    fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> Result<String, String> {
        self.env(name).map(str::to_owned).ok_or_else(|| format!("FATAL ERROR: {name} must be set"))
    }
}

enum Body {
    Prosody(Arc<Prosody>),
    Jicofo(Arc<Jicofo>),
    Bridge(Bridge),
    Recorder(Recorder),
    Haproxy(Arc<Haproxy>),
    Web(Web),
    /// Something that only is there: an image that is not known here.
    Idle,
}

/// A daemon that runs in a container. Ends when dropped.
pub(crate) struct Daemon {
    body: Body,
    pub(crate) started: Timestamp,
    pub(crate) exit: CancellationToken,
    stop: CancellationToken,
    _guard: DropGuard,
}

/// What listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1.
    Http,
    /// haproxy's runtime socket: a line in, an answer out, and the end.
    Lines,
}

impl Daemon {
    /// Starts what the image's name stands for.
    ///
    /// # Errors
    /// The last words of a daemon that does not start.
    pub(crate) fn start(start: &Start) -> Result<Self, String> {
        let body = match start.image.component.as_str() {
            "prosody" => Body::Prosody(Arc::new(Prosody::start(start)?)),
            "jicofo" => Body::Jicofo(Arc::new(Jicofo::start(start)?)),
            "jvb" => Body::Bridge(Bridge::start(start)?),
            "jibri" => Body::Recorder(Recorder::start(start)?),
            "haproxy" => Body::Haproxy(Haproxy::start(start)?),
            "web" => Body::Web(Web::start(start)),
            _ => Body::Idle,
        };
        Ok(Self {
            body,
            started: start.shared.clock.now(),
            exit: start.exit.clone(),
            stop: start.stop.clone(),
            _guard: start.stop.clone().drop_guard(),
        })
    }

    /// Cancelled when it ends.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends it at once.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// What its preStop hook does first.
    pub(crate) fn begin_to_end(&self) {
        match &self.body {
            Body::Bridge(bridge) => bridge.drain(true),
            Body::Recorder(recorder) => recorder.end(),
            Body::Prosody(_) | Body::Jicofo(_) | Body::Haproxy(_) | Body::Web(_) | Body::Idle => {}
        }
    }

    /// Who would notice its end. Only bridges and recorders have hooks that wait for them.
    pub(crate) fn waits_for_people(&self) -> bool {
        match &self.body {
            Body::Bridge(bridge) => bridge.load().busy(),
            Body::Recorder(recorder) => recorder.load().busy(),
            Body::Prosody(_) | Body::Jicofo(_) | Body::Haproxy(_) | Body::Web(_) | Body::Idle => false,
        }
    }

    /// Who is on it, where its end would be noticed.
    fn people(&self) -> u64 {
        let load = match &self.body {
            Body::Bridge(bridge) => bridge.load(),
            Body::Recorder(recorder) => recorder.load(),
            Body::Prosody(_) | Body::Jicofo(_) | Body::Haproxy(_) | Body::Web(_) | Body::Idle => return 0,
        };
        load.participants.max(load.conferences)
    }

    fn set_load(&self, load: Load) -> bool {
        match &self.body {
            Body::Bridge(bridge) => bridge.set_load(load),
            Body::Recorder(recorder) => recorder.set_load(load),
            Body::Jicofo(jicofo) => jicofo.set_load(load),
            Body::Prosody(_) | Body::Haproxy(_) | Body::Web(_) | Body::Idle => return false,
        }
        true
    }

    /// Its files were changed behind it.
    pub(crate) fn files_changed(&self, files: &[File]) {
        // All others read theirs only when they start.
        if let Body::Haproxy(haproxy) = &self.body {
            haproxy.files_changed(files);
        }
    }

    /// It looks at its files again while it runs.
    pub(crate) fn follows_files(&self) -> bool {
        matches!(self.body, Body::Haproxy(_))
    }

    fn wire(&self, port: u16) -> Option<Wire> {
        match &self.body {
            Body::Jicofo(_) if port == jicofo::REST => Some(Wire::Http),
            Body::Bridge(_) if port == bridge::REST => Some(Wire::Http),
            Body::Recorder(_) if port == recorder::HEALTH || port == recorder::INTERNAL => Some(Wire::Http),
            Body::Haproxy(haproxy) if haproxy.socket() == Some(port) => Some(Wire::Lines),
            _ => None,
        }
    }

    /// Answers an HTTP request.
    pub(crate) fn http(&self, port: u16, request: &rest::Request) -> rest::Response {
        match &self.body {
            Body::Jicofo(jicofo) => jicofo.rest(request),
            Body::Bridge(bridge) => bridge.rest(request),
            Body::Recorder(recorder) => recorder.rest(port, request),
            Body::Prosody(_) | Body::Haproxy(_) | Body::Web(_) | Body::Idle => {
                rest::text(http::StatusCode::NOT_FOUND, "")
            }
        }
    }

    /// Answers a line on the runtime socket.
    pub(crate) fn line(&self, line: &str) -> String {
        match &self.body {
            Body::Haproxy(haproxy) => haproxy.answer(line),
            _ => String::new(),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_apart() {
        let image = Image::parse("registry.example.org:5000/jitsi/jvb:stable-11146-2@sha256:abc");
        assert_eq!((image.component.as_str(), image.version().as_str()), ("jvb", "11146-2"));
        assert_eq!(Image::parse("haproxy").tag, "latest");
    }
}
