//! How the daemon's rounds see: by what watches and answers brought meanwhile. A round itself asks nobody.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cluster::Look;
use fleet::{ClusterName, SecretSource};
use manifest::{Kind, Names};
use plan::{BridgeView, Given, Known, Observed, Reason, RecorderView, Seen, SlotView, Source};
use tokio::time::Instant;

use crate::Session;
use crate::look::{Asking, Senses, ask_bridge, ask_recorder, unknown};
use crate::report::ServerStatus;
use crate::secrets::{self, Secrets};

use super::ask::{Desk, Jicofo, Manner, Once, Proxy};
use super::link::Links;

/// Secrets of somebody else, to which the file refers, are not watched: they are read again after this time.
const OTHERS: Duration = Duration::from_secs(600);

/// What is kept between rounds.
pub(crate) struct Kept {
    pub(crate) manner: Manner,
    jicofos: Desk<SlotView>,
    bridges: Desk<BridgeView>,
    recorders: Desk<RecorderView>,
    proxies: Desk<Vec<ServerStatus>>,
    secrets: Mutex<Option<Read>>,
}

/// Secret values, and what they were read from.
struct Read {
    versions: BTreeMap<String, String>,
    at: Instant,
    secrets: Secrets,
}

impl Kept {
    pub(crate) fn new(manner: Manner) -> Self {
        Self {
            manner,
            jicofos: Desk::default(),
            bridges: Desk::default(),
            recorders: Desk::default(),
            proxies: Desk::default(),
            secrets: Mutex::default(),
        }
    }

    /// Another intent: its secrets may have other sources.
    pub(crate) fn begin_anew(&self) {
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// After a round: what it did not ask for is not asked any more.
    pub(crate) fn sweep(&self) {
        self.jicofos.sweep();
        self.bridges.sweep();
        self.recorders.sweep();
        self.proxies.sweep();
    }

    fn remembered(&self, versions: Option<&BTreeMap<String, String>>, oldest: Option<Instant>) -> Option<Secrets> {
        let read = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read.as_ref()?;
        let same = versions.is_none_or(|versions| *versions == read.versions);
        (same && oldest.is_none_or(|oldest| read.at >= oldest)).then(|| read.secrets.clone())
    }
}

/// What is kept, with the connections of now.
pub(crate) struct Memory<'a> {
    pub(crate) kept: &'a Kept,
    pub(crate) links: &'a Links,
}

impl Memory<'_> {
    /// A new connection asks anew: the old one may be of no use any more.
    fn connection(&self, pod: &Given) -> u64 {
        self.links.up(&pod.cluster).map_or(0, |up| up.number)
    }
}

impl Senses for Memory<'_> {
    async fn clusters(&self, session: &Session<'_>) -> (Observed, BTreeMap<ClusterName, Look>) {
        let (mut observed, mut looks) = (Observed::default(), BTreeMap::new());
        for name in session.clusters.keys() {
            let known = match self.links.up(name).and_then(|up| up.cache.look()) {
                Some((mut look, as_of)) => {
                    let value = std::mem::take(&mut look.view);
                    looks.insert(name.clone(), look);
                    Known::Yes(Seen { value, source: Source::ApiServer, as_of })
                }
                None => Known::Unknown { why: Reason("its objects are being listed".to_owned()) },
            };
            observed.clusters.insert(name.clone(), known);
        }
        for (name, why) in &session.unreachable {
            observed.clusters.insert(name.clone(), Known::Unknown { why: Reason(why.clone()) });
        }
        (observed, looks)
    }

    async fn secrets(&self, session: &Session<'_>, observed: &Observed) -> Secrets {
        let fleet = &session.loaded.fleet;
        let home = &fleet.control.cluster;
        let view = observed.clusters.get(home).and_then(Known::value);
        if session.options.handover.is_none() {
            let Some(view) = view else {
                // What was read before still holds: nobody can have changed our copies' source unseen for long.
                return self.kept.remembered(None, None).unwrap_or_default();
            };
            let names = Names(&fleet.name);
            let versions = view
                .objects
                .iter()
                .filter(|(object, _)| object.kind == Kind::Secret)
                .filter(|(object, _)| object.name == names.passwords() || object.name == names.secrets())
                .map(|(object, live)| (object.name.clone(), live.version.clone()))
                .collect();
            let others = fleet.secrets.values().any(|source| matches!(source, SecretSource::Existing { .. }));
            let oldest = others.then(|| Instant::now().checked_sub(OTHERS)).flatten();
            if let Some(secrets) = self.kept.remembered(Some(&versions), oldest) {
                return secrets;
            }
            return match secrets::gather(fleet, &session.clusters, observed, None).await {
                Ok(secrets) => {
                    if secrets.is_complete() {
                        let read = Read { versions, at: Instant::now(), secrets: secrets.clone() };
                        *self.kept.secrets.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
                    }
                    secrets
                }
                Err(error) => {
                    tracing::warn!(%error, "secrets can't be read");
                    self.kept.remembered(None, None).unwrap_or_default()
                }
            };
        }
        Asking.secrets(session, observed).await
    }

    async fn jicofo(&self, session: &Session<'_>, pod: &Given) -> Known<SlotView> {
        let Some(cluster) = session.clusters.get(&pod.cluster) else {
            return unknown("the control cluster can't be reached");
        };
        let asking = || Jicofo { cluster: cluster.clone(), pod: pod.pod.clone(), line: None };
        self.kept.jicofos.last(pod, self.connection(pod), &self.kept.manner, asking)
    }

    async fn bridge(&self, session: &Session<'_>, pod: &Given) -> Known<BridgeView> {
        let Some(cluster) = session.clusters.get(&pod.cluster) else { return unknown("its cluster can't be reached") };
        self.kept.bridges.last(pod, self.connection(pod), &self.kept.manner, || {
            let (cluster, pod) = (cluster.clone(), pod.pod.clone());
            Once(move |asked| {
                let (cluster, pod) = (cluster.clone(), pod.clone());
                async move { ask_bridge(&cluster, &pod, asked).await }
            })
        })
    }

    async fn recorder(&self, session: &Session<'_>, pod: &Given) -> Known<RecorderView> {
        let Some(cluster) = session.clusters.get(&pod.cluster) else { return unknown("its cluster can't be reached") };
        self.kept.recorders.last(pod, self.connection(pod), &self.kept.manner, || {
            let (cluster, pod) = (cluster.clone(), pod.pod.clone());
            Once(move |asked| {
                let (cluster, pod) = (cluster.clone(), pod.clone());
                async move { ask_recorder(&cluster, &pod, asked).await }
            })
        })
    }
    async fn proxy(&self, session: &Session<'_>, pod: &Given) -> Known<Vec<ServerStatus>> {
        let Some(cluster) = session.clusters.get(&pod.cluster) else {
            return unknown("the control cluster can't be reached");
        };
        let asking = || Proxy { cluster: cluster.clone(), pod: pod.pod.clone(), console: None };
        self.kept.proxies.last(pod, self.connection(pod), &self.kept.manner, asking)
    }
}
