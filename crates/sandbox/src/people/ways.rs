//! The ways in: which proxies there are, and which shard an address leads to. Looked up anew only when something in
//! the network changed.

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    daemon::{Haproxy, Jicofo, Prosody, RoomRequest},
    state::Shared,
};

use super::random::Random;

/// A shard in one of its lives.
pub(super) struct Shard {
    pub(super) id: u64,
    pub(super) prosody: Arc<Prosody>,
    pub(super) focus: Arc<Jicofo>,
    pub(super) ended: [CancellationToken; 2],
}

impl Shard {
    pub(super) fn is_over(&self) -> bool {
        self.ended.iter().any(CancellationToken::is_cancelled)
    }
}

/// How somebody is connected.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) shard: Arc<Shard>,
    /// The proxy, if there is one, and the web server.
    pub(super) fronts: [CancellationToken; 2],
}

/// Proxies that run.
type Entrance = Vec<(Arc<Haproxy>, CancellationToken)>;
/// A web server's address: cluster, host and port.
type Target = (usize, Arc<str>, u16);

/// All ways in.
pub(super) struct Ways {
    seen: Option<u64>,
    /// By cluster and namespace: the proxies of each fleet. One that had some once is never entered without.
    entrances: BTreeMap<(usize, String), Entrance>,
    /// Where proxies' servers lead; nothing for those that do not answer.
    targets: BTreeMap<Target, Option<(Arc<Shard>, CancellationToken)>>,
    /// The web servers, for fleets without a proxy.
    webs: Vec<(crate::state::PodKey, Arc<Prosody>, CancellationToken)>,
    pub(super) shards: Vec<Arc<Shard>>,
    next: u64,
}

impl Ways {
    pub(super) const fn new() -> Self {
        Self {
            seen: None,
            entrances: BTreeMap::new(),
            targets: BTreeMap::new(),
            webs: Vec::new(),
            shards: Vec::new(),
            next: 0,
        }
    }

    /// Forgets what may not be true any more.
    pub(super) fn refresh(&mut self, shared: &Shared) {
        let now = shared.network.count();
        if self.seen == Some(now) {
            // A focus that was not logged in yet tells nobody when it is.
            self.targets.retain(|_, found| found.is_some());
            return;
        }
        self.seen = Some(now);
        self.targets.clear();
        self.shards.retain(|shard| !shard.is_over());
        self.entrances.values_mut().for_each(Vec::clear);
        let mut webs = Vec::new();
        for (key, instance) in shared.instances() {
            if let Some((proxy, ended)) = instance.proxy_life() {
                self.entrances.entry((key.cluster, key.namespace.clone())).or_default().push((proxy, ended));
            }
            if let Some(shard) = instance.web().and_then(|(web, host, port)| {
                let there = crate::network::resolve(shared, key.cluster, &host, port).ok()?;
                let prosody = shared.instance(&there.pod)?.prosody()?;
                Some((key.clone(), prosody, web.ended()))
            }) {
                webs.push(shard);
            }
        }
        self.webs = webs;
    }

    /// Sends a request for a room through some proxy.
    pub(super) fn enter(
        &mut self,
        shared: &Shared,
        request: &RoomRequest,
        number: usize,
        random: &mut Random,
    ) -> Option<Way> {
        if self.entrances.is_empty() {
            let count = self.webs.len();
            let (_, prosody, web) = self.webs.get(number.checked_rem(count)?)?;
            let (prosody, web) = (Arc::clone(prosody), web.clone());
            let shard = self.shard(shared, prosody)?;
            return Some(Way { shard, fronts: [web.clone(), web] });
        }
        let entrance = self.entrances.values().nth(number % self.entrances.len())?;
        let (proxy, ended) = entrance.get(random.below(entrance.len()))?.clone();
        if ended.is_cancelled() {
            return None;
        }
        let (shard, web) = self.behind(shared, &proxy, request)?;
        Some(Way { shard, fronts: [ended, web] })
    }

    /// What every proxy answers to a room's keep-alive: each refreshes its entry.
    pub(super) fn ask(
        &mut self,
        shared: &Shared,
        request: &RoomRequest,
        number: usize,
        random: &mut Random,
    ) -> Option<u64> {
        let entrance = self.entrances.values().nth(number.checked_rem(self.entrances.len())?)?;
        let (proxy, ended) = entrance.get(random.below(entrance.len()))?.clone();
        if ended.is_cancelled() {
            return None;
        }
        self.behind(shared, &proxy, request).map(|(shard, _)| shard.id)
    }

    fn behind(
        &mut self,
        shared: &Shared,
        proxy: &Haproxy,
        request: &RoomRequest,
    ) -> Option<(Arc<Shard>, CancellationToken)> {
        let upstream = proxy.route(request)?;
        let cluster = proxy.key().cluster;
        let at = (cluster, Arc::clone(&upstream.host), upstream.port);
        if let Some(found) = self.targets.get(&at) {
            return found.clone().filter(|(shard, web)| !shard.is_over() && !web.is_cancelled());
        }
        let found = shared.web_at(cluster, &upstream.host, upstream.port).ok();
        let found = found.and_then(|found| Some((self.shard(shared, found.prosody)?, found.web)));
        self.targets.insert(at, found.clone());
        found
    }

    fn shard(&mut self, shared: &Shared, prosody: Arc<Prosody>) -> Option<Arc<Shard>> {
        let known = self.shards.iter().find(|shard| Arc::ptr_eq(&shard.prosody, &prosody) && !shard.is_over());
        if let Some(known) = known {
            return Some(Arc::clone(known));
        }
        let (focus, focus_ended) = shared.focus_of(&prosody)?;
        let ended = [prosody.ended(), focus_ended];
        self.next += 1;
        let shard = Arc::new(Shard { id: self.next, prosody, focus, ended });
        self.shards.push(Arc::clone(&shard));
        Some(shard)
    }

    pub(super) fn fronts_over(&self) -> bool {
        self.entrances.values().flatten().any(|(_, ended)| ended.is_cancelled())
            || self.webs.iter().any(|(_, _, ended)| ended.is_cancelled())
    }
}
