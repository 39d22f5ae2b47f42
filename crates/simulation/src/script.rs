//! What a seed means: a fleet, a change of it, who is on it, and what goes wrong.

use std::time::Duration;

use sandbox::fault::{Fault, Moment, Rule, Which};

use crate::dice::Dice;
use crate::fleets::{CLUSTERS, Made};

/// A made-up day.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) seed: u64,
    pub(crate) before: Made,
    pub(crate) after: Made,
    /// In words.
    pub(crate) changes: Vec<String>,
    /// Of all bridges, how many have people on them when the change comes, in percent.
    pub(crate) crowded: u64,
    /// What goes wrong while the fleet is made, then while it is changed.
    pub(crate) troubles: [Vec<Trouble>; 2],
}

/// What goes wrong in one run of `apply`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble {
    /// By cluster: what strikes its requests.
    pub(crate) rules: Vec<(&'static str, Rule)>,
    /// The run is killed at this request.
    pub(crate) kill: Option<(u64, Moment)>,
    /// Something that happens so long after the run began.
    pub(crate) blow: Option<(Duration, Blow)>,
    /// A second run begins so long after the first, and both go on.
    pub(crate) twice: Option<Duration>,
}

/// Something that happens at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// All connections to an API server are cut, as by its restart.
    Restart(&'static str),
    /// Nothing reaches an API server, for so long in seconds; it answers nothing, or refuses connections.
    Partition(&'static str, u64, bool),
    /// A daemon of some pod crashes.
    Crash(u64),
    /// A load balancer moves to another address.
    Move,
    /// The runner's clock jumps by so many seconds.
    Jump(i64),
}

impl Script {
    /// Of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let before = Made::new(&mut dice);
        let mut after = before.clone();
        let changes = (0..dice.between(1, 2)).map(|_| after.change(&mut dice)).collect();
        let crowded = dice.pick(&[0, 30, 60, 100]).unwrap_or(0);
        let troubles = [(); 2].map(|()| (0..dice.between(0, 3)).map(|_| Trouble::new(&mut dice)).collect());
        Self { seed, before, after, changes, crowded, troubles }
    }
}

impl Trouble {
    fn new(dice: &mut Dice) -> Self {
        let mut trouble = Self::default();
        if dice.comes(70) {
            for _ in 0..dice.between(1, 2) {
                let cluster = dice.pick(&CLUSTERS).unwrap_or("hq");
                trouble.rules.push((cluster, rule(dice)));
            }
        }
        if dice.comes(40) {
            let moment = if dice.comes(50) { Moment::Before } else { Moment::After };
            trouble.kill = Some((dice.between(1, 120), moment));
        }
        if dice.comes(40) {
            let cluster = dice.pick(&CLUSTERS).unwrap_or("hq");
            let blow = match dice.between(0, 5) {
                0 => Blow::Restart(cluster),
                1 | 2 => Blow::Partition(cluster, dice.between(1, 90), dice.comes(50)),
                3 => Blow::Crash(dice.next()),
                4 => Blow::Move,
                _ => Blow::Jump(if dice.comes(50) { 3600 } else { -3600 }),
            };
            trouble.blow = Some((Duration::from_millis(dice.between(1, 8_000)), blow));
        }
        if dice.comes(10) {
            trouble.twice = Some(Duration::from_millis(dice.between(0, 3_000)));
        }
        trouble
    }
}

fn rule(dice: &mut Dice) -> Rule {
    let which = match dice.between(0, 4) {
        0 | 1 => Which::All,
        2 => Which::Reads,
        3 => Which::Writes,
        _ => Which::Resource(
            dice.pick(&["secrets", "pods", "services", "configmaps", "statefulsets"]).unwrap_or("pods").to_owned(),
        ),
    };
    let refusal = |code, reason, message: &str| Fault::Refuse(api_server::ApiError::new(code, reason, message));
    let fault = match dice.between(0, 9) {
        0 => Fault::Hang,
        1 => Fault::ResetBefore,
        2 | 3 => Fault::ResetAfter,
        4 => refusal(500, "InternalError", "Internal error occurred: etcdserver: leader changed"),
        5 => refusal(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        6 => refusal(
            429,
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        7 => refusal(401, "Unauthorized", "Unauthorized"),
        8 => refusal(403, "Forbidden", "it is forbidden for now"),
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
