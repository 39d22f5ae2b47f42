//! How a cache is doing, told from how each of its streams is doing.

use std::time::Duration;

use tokio::time::Instant;

use super::pace::LOST;
use super::subject::Subject;
use crate::ErrorKind;

/// How current a [`Cache`](super::Cache) is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheState {
    /// Nothing was answered yet.
    Connecting,
    /// Not everything was listed yet; or, after the cluster was lost, not everything is followed again.
    Syncing {
        /// Kinds that are still to come.
        left: usize,
    },
    /// Everything is followed.
    Live,
    /// Something is not followed just now, or our credentials are not accepted: what is known grows old.
    Degraded {
        /// Why.
        why: String,
    },
    /// The cluster can't be reached: nothing is known of it.
    Lost {
        /// Why.
        why: String,
    },
}

impl CacheState {
    /// Whether two states are the same in one word.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// A failure that happens once is nothing to talk about: load balancers and servers end connections as they please.
const TOLERATED: u32 = 1;

/// How one stream is doing.
#[derive(Debug, Clone, Default)]
pub(super) struct Strand {
    /// Up to which version it has brought everything; none before the first LIST.
    pub(super) position: Option<String>,
    /// Since when it is certain that what it brought is what the server had.
    pub(super) as_of: Option<Instant>,
    /// What it is about is not there, or not for us: it is asked slowly whether that has changed.
    pub(super) aside: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) trouble: Option<ErrorKind>,
}

impl Strand {
    pub(super) const fn is_listed(&self) -> bool {
        self.aside || self.position.is_some()
    }

    /// Whether it is listed and nothing is known to be wrong with it.
    pub(super) const fn is_well(&self) -> bool {
        self.is_listed() && self.failures == 0
    }

    fn counts(&self) -> bool {
        self.failures > TOLERATED || self.is_refused()
    }

    fn is_refused(&self) -> bool {
        self.failures > 0 && matches!(self.trouble, Some(ErrorKind::Unauthorized | ErrorKind::Credentials(_)))
    }

    fn is_unreachable(&self) -> bool {
        matches!(self.trouble, Some(ErrorKind::Unreachable { .. } | ErrorKind::Timeout { .. }))
    }
}

/// The whole, from its parts. `heard` is when the server last said anything, and `lost` whether it was lost and not
/// everything is followed again since.
pub(super) fn judge<'a>(
    strands: impl Iterator<Item = (Subject, &'a Strand)> + Clone,
    answered: bool,
    heard: Instant,
    lost: bool,
) -> CacheState {
    let why = |(subject, strand): (Subject, &Strand)| {
        let trouble = strand.trouble.as_ref().map(ToString::to_string).unwrap_or_default();
        if strand.is_unreachable() { trouble } else { format!("{subject}: {trouble}") }
    };
    let mut followed = strands.clone().filter(|(_, strand)| !strand.aside);
    let silent = Instant::now().saturating_duration_since(heard) >= LOST;
    let gone = silent && followed.clone().all(|(_, strand)| strand.failures > 0 && strand.is_unreachable());
    if let (true, Some(first)) = (gone, followed.clone().next()) {
        return CacheState::Lost { why: why(first) };
    }
    if let Some(troubled) = followed.find(|(_, strand)| strand.counts()) {
        return CacheState::Degraded { why: why(troubled) };
    }
    let is_done = |strand: &Strand| if lost { strand.is_well() } else { strand.is_listed() };
    let left = strands.filter(|(_, strand)| !is_done(strand)).count();
    match left {
        0 => CacheState::Live,
        _ if !answered => CacheState::Connecting,
        left => CacheState::Syncing { left },
    }
}

/// Whether another connection may help: our credentials are not accepted, or nothing at all can be reached.
pub(super) fn is_cut_off<'a>(strands: impl Iterator<Item = &'a Strand> + Clone) -> bool {
    let mut followed = strands.filter(|strand| !strand.aside);
    let gone = |strand: &Strand| strand.failures > TOLERATED && strand.is_unreachable();
    followed.clone().any(Strand::is_refused) || (followed.clone().next().is_some() && followed.all(gone))
}

/// How long ago that was; nothing if it is still to come.
pub(super) fn age(of: Instant) -> Duration {
    Instant::now().saturating_duration_since(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> Option<ErrorKind> {
        Some(ErrorKind::Unreachable { address: "a".into(), why: "refused".into() })
    }

    fn judged(strands: &[Strand], heard: Instant, lost: bool) -> CacheState {
        let subjects: Vec<(Subject, &Strand)> = Subject::all().zip(strands).collect();
        judge(subjects.into_iter(), strands.iter().any(Strand::is_listed), heard, lost)
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_is_as_good_as_its_parts() {
        let begun = Instant::now();
        let new = Strand::default();
        let good = Strand { position: Some("1".into()), ..Strand::default() };
        let failed = |failures, trouble| Strand { failures, trouble, ..good.clone() };
        assert_eq!(judged(&[new.clone(), new.clone()], begun, false), CacheState::Connecting);
        assert_eq!(judged(&[good.clone(), new.clone()], begun, false), CacheState::Syncing { left: 1 });
        assert_eq!(judged(&[good.clone(), failed(1, unreachable())], begun, false), CacheState::Live);
        assert!(matches!(judged(&[good.clone(), failed(2, unreachable())], begun, false), CacheState::Degraded { .. }));
        let refused = failed(1, Some(ErrorKind::Unauthorized));
        assert!(matches!(judged(&[good.clone(), refused], begun, false), CacheState::Degraded { .. }));

        let all = [failed(9, unreachable()), failed(1, unreachable())];
        assert!(matches!(judged(&all, begun, false), CacheState::Degraded { .. }));
        tokio::time::advance(LOST).await;
        let CacheState::Lost { why } = judged(&all, begun, false) else { panic!("not lost") };
        assert!(why.contains("refused"), "{why}");
        assert!(matches!(judged(&all, Instant::now(), false), CacheState::Degraded { .. }));
        let broken = failed(9, Some(ErrorKind::Server { code: 500, reason: "InternalError".into() }));
        let aside = Strand { aside: true, ..Strand::default() };
        assert!(!is_cut_off([&good, &broken].into_iter()), "another connection shows the same");
        assert!(!is_cut_off([&good, &failed(9, unreachable())].into_iter()), "it is that kind's own trouble");
        assert!(!is_cut_off([&aside].into_iter()));
        assert!(is_cut_off([&aside, &failed(9, unreachable())].into_iter()));
        assert!(is_cut_off([&good, &failed(1, Some(ErrorKind::Unauthorized))].into_iter()));
        let back = [good.clone(), failed(1, unreachable())];
        assert_eq!(judged(&back, Instant::now(), true), CacheState::Syncing { left: 1 });
        assert_eq!(judged(&[good.clone(), good], Instant::now(), true), CacheState::Live);
    }
}
