//! A container as the node agent sees it: created, starting, serving, ready, ended, and down for a while after that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::time::Instant;

use crate::{
    container::{File, Unready},
    daemon::{Daemon, Image},
    status::{ContainerReport, Doing, Last},
    timing::Timing,
};

/// A container.
pub(crate) struct Vessel {
    pub(crate) spec: Container,
    pub(crate) image: Image,
    pub(crate) daemon: Option<Arc<Daemon>>,
    pub(crate) env: BTreeMap<String, String>,
    /// Files that never follow their ConfigMap.
    pub(crate) frozen: Vec<File>,
    /// What its daemon starts from.
    pub(crate) files: Vec<File>,
    pub(crate) waiting: Unready,
    /// Nothing is tried before.
    pub(crate) not_before: Instant,
    /// Since when it runs, if it does.
    pub(crate) since: Option<Timestamp>,
    begun: Instant,
    /// When its daemon serves.
    serves_at: Option<Instant>,
    /// When its probes have succeeded.
    ready_at: Option<Instant>,
    last: Option<Last>,
    restarts: u32,
    /// Ends in a row that came too early.
    failures: u32,
}

impl Vessel {
    pub(crate) fn new(spec: &Container) -> Self {
        Self {
            spec: spec.clone(),
            image: Image::parse(spec.image.as_deref().unwrap_or_default()),
            daemon: None,
            env: BTreeMap::new(),
            frozen: Vec::new(),
            files: Vec::new(),
            waiting: Unready { reason: "ContainerCreating", message: String::new() },
            not_before: Instant::now(),
            since: None,
            begun: Instant::now(),
            serves_at: None,
            ready_at: None,
            last: None,
            restarts: 0,
            failures: 0,
        }
    }

    pub(crate) fn report(&self) -> ContainerReport<'_> {
        let ready = self.is_ready();
        ContainerReport {
            name: &self.spec.name,
            image: self.spec.image.as_deref().unwrap_or_default(),
            doing: match self.since {
                Some(since) => Doing::Running { since, ready },
                None => Doing::Waiting { reason: self.waiting.reason, message: &self.waiting.message },
            },
            last: self.last.as_ref(),
            restarts: self.restarts,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.since.is_some() && self.ready_at.is_some_and(|at| at <= Instant::now())
    }

    /// Its process runs from now on; its daemon serves a little later.
    pub(crate) fn begin(&mut self, now: Timestamp, timing: &Timing) {
        let start = timing.start.of(&self.image.component);
        self.since = Some(now);
        self.begun = Instant::now();
        self.serves_at = Some(self.begun + start);
        self.ready_at = Some(self.begun + ready_after(&self.spec, start, timing.probe_second));
    }

    /// The supervisor in the container starts the daemon again: the container shows nothing of it.
    pub(crate) fn begin_again(&mut self, timing: &Timing) {
        self.daemon = None;
        self.serves_at = Some(Instant::now() + timing.start.of(&self.image.component));
    }

    /// How long its liveness probe has to fail until it is started again, if it has one.
    pub(crate) fn liveness(&self, second: Duration) -> Option<Duration> {
        let probe = self.spec.liveness_probe.as_ref()?;
        let count = |given: Option<i32>, default| given.and_then(|it| u32::try_from(it).ok()).unwrap_or(default);
        Some(second * count(probe.period_seconds, 10) * count(probe.failure_threshold, 3))
    }

    /// Its daemon is to be started now.
    pub(crate) fn due(&self) -> bool {
        self.since.is_some() && self.daemon.is_none() && self.serves_at.is_some_and(|at| at <= Instant::now())
    }

    /// When something happens here by itself, at the latest.
    pub(crate) fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.since.is_none() {
            return Some(self.not_before);
        }
        let serves = self.serves_at.filter(|_| self.daemon.is_none());
        let ready = self.ready_at.filter(|at| *at > now);
        [serves, ready].into_iter().flatten().min()
    }

    /// It has ended; the first time it is started again at once, then later and later.
    pub(crate) fn end(&mut self, last: Last, timing: &Timing) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop();
        }
        let now = Instant::now();
        if now.duration_since(self.begun) >= timing.backoff_reset {
            self.failures = 0;
        }
        self.failures += 1;
        self.not_before = now + backoff(self.failures, timing);
        let why = if last.message.is_empty() { String::new() } else { format!(": {}", last.message) };
        self.waiting = Unready {
            reason: "CrashLoopBackOff",
            message: format!("back-off restarting failed container {}{why}", self.spec.name),
        };
        self.halt();
        self.restarts += 1;
        self.last = Some(last);
    }

    /// Its machine went down with it; there is nobody left who could say more.
    pub(crate) fn lose(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.restarts += u32::from(self.since.is_some());
        self.waiting = Unready { reason: "ContainerCreating", message: String::new() };
        self.not_before = Instant::now();
        self.halt();
    }

    fn halt(&mut self) {
        self.since = None;
        self.serves_at = None;
        self.ready_at = None;
    }
}

fn backoff(failures: u32, timing: &Timing) -> Duration {
    match failures.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => {
            let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX).max(1);
            timing.crash_backoff.saturating_mul(factor).min(timing.longest_backoff)
        }
    }
}

/// From the start of a container until its probes have succeeded, when its daemon takes so long to serve.
fn ready_after(spec: &Container, serves: Duration, second: Duration) -> Duration {
    let started = spec.startup_probe.as_ref().map_or(Duration::ZERO, |probe| first_success(probe, serves, second));
    match &spec.readiness_probe {
        Some(probe) => first_success(probe, serves.max(started), second),
        // Without a probe nobody looks whether it serves.
        None => started,
    }
}

/// When a probe succeeds that can succeed from `from` on.
fn first_success(probe: &Probe, from: Duration, second: Duration) -> Duration {
    let seconds =
        |count: Option<i32>, default: u32| second * count.and_then(|it| u32::try_from(it).ok()).unwrap_or(default);
    let (first, period) = (seconds(probe.initial_delay_seconds, 0), seconds(probe.period_seconds, 10));
    if period.is_zero() {
        return from;
    }
    let late = from.saturating_sub(first).as_nanos().div_ceil(period.as_nanos());
    let more = u128::try_from(probe.success_threshold.unwrap_or(1)).unwrap_or(1).saturating_sub(1);
    first + period * u32::try_from(late + more).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(more: serde_json::Value) -> Container {
        let mut spec = json!({ "name": "jvb", "image": "jitsi/jvb:stable-1" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_container_is_ready_when_its_probes_have_seen_it() {
        let (serves, second) = (Duration::from_secs(8), Duration::from_secs(1));
        let after = |more| ready_after(&container(more), serves, second).as_secs();
        assert_eq!(after(json!({})), 0);
        let probe = json!({ "initialDelaySeconds": 3, "periodSeconds": 4 });
        assert_eq!(after(json!({ "readinessProbe": probe })), 11);
        assert_eq!(after(json!({ "startupProbe": { "periodSeconds": 5 } })), 10);
        let both = json!({ "startupProbe": { "periodSeconds": 5 }, "readinessProbe": { "periodSeconds": 6 } });
        assert_eq!(after(both), 12);
        let twice = json!({ "readinessProbe": { "periodSeconds": 10, "successThreshold": 2 } });
        assert_eq!(after(twice), 20);
        // Where a probe's second lasts no time, it is seen at once.
        let at_once = ready_after(&container(json!({ "readinessProbe": probe })), Duration::ZERO, Duration::ZERO);
        assert_eq!(at_once, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_that_keeps_ending_stays_down_longer_and_longer() {
        let timing = Timing::real();
        let mut one = Vessel::new(&container(json!({})));
        let ended = || Last { code: 137, reason: "OOMKilled", message: String::new() };
        let mut downs = Vec::new();
        for _ in 0..8 {
            one.begin(Timestamp::UNIX_EPOCH, &timing);
            one.end(ended(), &timing);
            downs.push((one.not_before - Instant::now()).as_secs());
            tokio::time::sleep_until(one.not_before).await;
        }
        assert_eq!(downs, [0, 10, 20, 40, 80, 160, 300, 300]);
        one.begin(Timestamp::UNIX_EPOCH, &timing);
        tokio::time::sleep(timing.backoff_reset).await;
        one.end(ended(), &timing);
        assert_eq!(one.not_before, Instant::now());
        assert_eq!((one.report().restarts, one.report().last.unwrap().reason), (9, "OOMKilled"));
    }
}
