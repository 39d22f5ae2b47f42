//! What a seed means: a fleet, a change of it, who is on it, and what goes wrong.

use std::time::Duration;

use sandbox::fault::{Fault, Moment, Rule, Which};
use sandbox::{ByDaemon, Timing};

use crate::blow::Blow;
use crate::dice::Dice;
use crate::fleets::Made;

/// A made-up day.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) seed: u64,
    pub(crate) before: Made,
    pub(crate) after: Made,
    /// By kind, and in words.
    pub(crate) changes: Vec<(&'static str, String)>,
    pub(crate) people: People,
    /// How fast the world turns that day.
    pub(crate) timing: Timing,
    /// What goes wrong while the fleet is made, then while it is changed.
    pub(crate) troubles: [Vec<Trouble>; 2],
}

/// Who is on the fleet when the change comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum People {
    /// As many of all bridges, recorders and shards, in percent, have people, who stay as long as the change is tried.
    Sit(u64),
    /// Callers come and go: so many conferences at once.
    Call(u32),
}

/// What goes wrong in one run of `apply`.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// By cluster: what strikes its requests.
    pub(crate) rules: Vec<(&'static str, Rule)>,
    /// Of all answers to reads, how many are what was answered before, in percent.
    pub(crate) stale: u64,
    /// The run is killed at this request.
    pub(crate) kill: Option<(u64, Moment)>,
    /// What happens so long after the run began.
    pub(crate) blows: Vec<(Duration, Blow)>,
    /// A second run begins so long after the first, and both go on.
    pub(crate) twice: Option<Duration>,
    /// How long it goes on until everything has converged.
    pub(crate) patience: Duration,
}

impl Default for Trouble {
    /// None.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            stale: 0,
            kill: None,
            blows: Vec::new(),
            twice: None,
            patience: Duration::from_secs(600),
        }
    }
}

impl Script {
    /// Of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let before = Made::new(&mut dice);
        let mut after = before.clone();
        let changes = (0..dice.between(1, 2)).map(|_| after.change(&mut dice)).collect();
        let people = if dice.comes(30) {
            People::Call(dice.pick(&[3, 10, 30]).unwrap_or(3))
        } else {
            People::Sit(dice.pick(&[0, 30, 60, 100]).unwrap_or(0))
        };
        let troubles =
            [(); 2].map(|()| (0..dice.between(0, 3)).map(|_| Trouble::new(before.clusters(), &mut dice)).collect());
        // From dice of its own, so that it is the same day otherwise.
        let timing = timing(&mut Dice::new(seed.wrapping_add(79)));
        Self { seed, before, after, changes, people, timing, troubles }
    }

    /// Whether something happens that can cost callers something, whatever the orchestrator does.
    pub(crate) fn hurts_people(&self) -> bool {
        self.troubles.iter().flatten().flat_map(|trouble| &trouble.blows).any(|(_, blow)| blow.hurts_people())
    }
}

impl Trouble {
    fn new(clusters: &[&'static str], dice: &mut Dice) -> Self {
        let patience = Duration::from_secs(dice.pick(&[10, 30, 60, 120]).unwrap_or(30));
        let mut trouble = Self { patience, ..Self::default() };
        if dice.comes(70) {
            for _ in 0..dice.between(1, 2) {
                let cluster = dice.pick(clusters).unwrap_or("hq");
                trouble.rules.push((cluster, rule(dice)));
            }
        }
        if dice.comes(5) {
            trouble.stale = dice.pick(&[10, 50]).unwrap_or(10);
        }
        if dice.comes(40) {
            let moment = if dice.comes(50) { Moment::Before } else { Moment::After };
            let most = dice.pick(&[40, 200, 1000]).unwrap_or(200);
            trouble.kill = Some((dice.between(1, most), moment));
        }
        if dice.comes(45) {
            for _ in 0..dice.pick(&[1, 1, 2]).unwrap_or(1) {
                // Within the minute that a run takes, and more of them at its beginning, when it does the most.
                let early = dice.between(1, 8_000);
                trouble.blows.push((Duration::from_millis(early * early / 1_000), Blow::new(clusters, dice)));
            }
        }
        if dice.comes(12) {
            trouble.twice = Some(Duration::from_millis(dice.between(0, 30_000)));
        }
        trouble
    }

    /// In words.
    pub(crate) fn described(&self) -> String {
        let mut words: Vec<String> = self
            .rules
            .iter()
            .map(|(cluster, rule)| format!("{cluster}: {:?} of {:?}: {:?}", rule.chance, rule.which, rule.fault))
            .collect();
        if self.stale > 0 {
            words.push(format!("{} % of all reads are stale", self.stale));
        }
        words.extend(self.kill.map(|(at, moment)| format!("killed {moment:?} request {at}")));
        words.extend(self.blows.iter().map(|(after, blow)| format!("{blow:?} after {after:?}")));
        words.extend(self.twice.map(|later| format!("a second one {later:?} later")));
        if words.is_empty() { "no trouble".to_owned() } else { words.join("; ") }
    }
}

/// As in production, but that some things are quick that day, and others slow.
fn timing(dice: &mut Dice) -> Timing {
    let real = Timing::real();
    let mut about = |usual: Duration| match dice.between(0, 3) {
        0 => usual / 2,
        1 => usual * 3,
        _ => usual,
    };
    Timing {
        xmpp_retry: about(real.xmpp_retry),
        volume_refresh: about(real.volume_refresh),
        node_boot: about(real.node_boot),
        image_pull: about(real.image_pull),
        load_balancer: about(real.load_balancer),
        termination: about(real.termination),
        start: ByDaemon {
            prosody: about(real.start.prosody),
            jicofo: about(real.start.jicofo),
            bridge: about(real.start.bridge),
            recorder: about(real.start.recorder),
            other: about(real.start.other),
        },
        ..real
    }
}

/// Something that strikes requests.
pub(crate) fn rule(dice: &mut Dice) -> Rule {
    let which = match dice.between(0, 4) {
        0 | 1 => Which::All,
        2 => Which::Reads,
        3 => Which::Writes,
        _ => Which::Resource(
            dice.pick(&["secrets", "pods", "services", "configmaps", "statefulsets", "nodes"])
                .unwrap_or("pods")
                .to_owned(),
        ),
    };
    let fault = match dice.between(0, 9) {
        0 => Fault::Hang,
        1 => Fault::ResetBefore,
        2 | 3 => Fault::ResetAfter,
        4 => Fault::HalfOpen,
        5..=7 => Fault::refusal(dice.pick(&[401, 403, 409, 410, 429, 500, 503]).unwrap_or(500)),
        _ => Fault::Delay(Duration::from_millis(1), Duration::from_millis(dice.between(2, 4_000))),
    };
    let chance = match dice.between(0, 3) {
        0 => 0.01,
        1 => 0.05,
        2 => 0.2,
        _ => 1.0,
    };
    Rule { which, chance, fault }
}
