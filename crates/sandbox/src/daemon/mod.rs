//! The simulated Jitsi daemons. Each is driven by nothing but what its container really contains: the resolved
//! environment and the mounted files.

mod bridge;
mod haproxy;
mod hocon;
mod instance;
mod jicofo;
pub(crate) mod log;
mod meetings;
mod prosody;
mod recorder;
pub(crate) mod rest;
pub(crate) mod seats;
mod selection;
mod start;
mod web;
mod xmpp;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{bridge::Bridge, recorder::Recorder, web::Web};
pub(crate) use self::{
    haproxy::{Haproxy, RoomRequest},
    instance::{Command, Instance},
    jicofo::Jicofo,
    meetings::Move,
    prosody::Prosody,
    start::{Image, Life, Start},
};
use crate::container::File;

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
    /// How long it takes to answer a request over HTTP.
    pub(crate) answers_after: Duration,
    life: Life,
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
            answers_after: start.shared.timing.answer.of(&start.image.component),
            life: start.life.clone(),
            _guard: start.life.stop.clone().drop_guard(),
        })
    }

    /// Cancelled when it ends.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.life.stop.clone()
    }

    /// Ends it at once, in good order: it says goodbye.
    pub(crate) fn stop(&self) {
        self.life.stop.cancel();
    }

    /// Ends it as SIGKILL or the loss of its machine does: it says nothing to anybody.
    pub(crate) fn kill(&self) {
        self.life.kill();
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
