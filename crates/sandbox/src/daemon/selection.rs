//! Which bridge a focus takes for the next person of a conference: its rules, in its order.

use std::cmp::Ordering;

/// From this stress on a bridge is overloaded.
pub(crate) const OVERLOADED: f64 = 0.8;
/// From so many people of one conference on, a bridge counts as loaded for that conference.
const MAX_OF_CONFERENCE: u64 = 80;

/// A bridge of the brewery, as the focus sees it. All that are there are operational.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) version: &'a str,
    pub(crate) region: Option<&'a str>,
    pub(crate) drain: bool,
    pub(crate) graceful_shutdown: bool,
    pub(crate) stress: f64,
    /// People of this conference on it, if it is one of its bridges.
    pub(crate) in_conference: Option<u64>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    /// Where the person is.
    pub(crate) region: Option<&'a str>,
    /// Whether a conference may use several bridges.
    pub(crate) relays: bool,
}

/// The index of the bridge to take.
pub(crate) fn select(bridges: &[Candidate<'_>], wish: Wish<'_>) -> Option<usize> {
    let used = bridges.iter().position(|bridge| bridge.in_conference.is_some());
    if !wish.relays && used.is_some() {
        return used;
    }
    let version = used.and_then(|index| bridges.get(index)).map(|bridge| bridge.version);
    let all = bridges.iter().enumerate().filter(|(_, bridge)| version.is_none_or(|version| bridge.version == version));
    let pool = preferring(all.collect(), |bridge| !bridge.drain);
    let pool = preferring(pool, |bridge| !bridge.graceful_shutdown);
    let here = |bridge: &Candidate<'_>| wish.region.is_some() && bridge.region == wish.region;
    let free = |bridge: &Candidate<'_>| {
        bridge.stress < OVERLOADED && bridge.in_conference.is_none_or(|people| people < MAX_OF_CONFERENCE)
    };
    let ours = |bridge: &Candidate<'_>| bridge.in_conference.is_some();
    let rules: [&dyn Fn(&Candidate<'_>) -> bool; 7] = [
        &|bridge| here(bridge) && ours(bridge) && free(bridge),
        &|bridge| here(bridge) && free(bridge),
        &|bridge| here(bridge) && ours(bridge),
        &|bridge| here(bridge),
        &|bridge| ours(bridge) && free(bridge),
        &|bridge| ours(bridge),
        &|_| true,
    ];
    rules.iter().find_map(|rule| least_loaded(pool.iter().filter(|(_, bridge)| rule(bridge))))
}

/// Those of which it is true; all, when it is true of none.
fn preferring<'a>(
    all: Vec<(usize, &'a Candidate<'a>)>,
    wanted: impl Fn(&Candidate<'_>) -> bool,
) -> Vec<(usize, &'a Candidate<'a>)> {
    let some: Vec<_> = all.iter().copied().filter(|(_, bridge)| wanted(bridge)).collect();
    if some.is_empty() { all } else { some }
}

fn least_loaded<'a>(bridges: impl Iterator<Item = &'a (usize, &'a Candidate<'a>)>) -> Option<usize> {
    let by_stress = |one: &&(usize, &Candidate<'_>), other: &&(usize, &Candidate<'_>)| -> Ordering {
        one.1.stress.total_cmp(&other.1.stress)
    };
    bridges.min_by(by_stress).map(|(index, _)| *index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Candidate<'static> = Candidate {
        version: "1",
        region: Some("fra"),
        drain: false,
        graceful_shutdown: false,
        stress: 0.0,
        in_conference: None,
    };

    #[test]
    fn rules_by_table() {
        let draining = Candidate { drain: true, ..A };
        let ending = Candidate { graceful_shutdown: true, ..A };
        let at = |stress| Candidate { stress, ..A };
        let osl = Candidate { region: Some("osl"), ..A };
        let ours = |people| Candidate { in_conference: Some(people), stress: 0.5, ..A };
        let single = Wish { region: Some("fra"), relays: false };
        let relays = Wish { region: Some("fra"), relays: true };
        let cases: &[(&str, &[Candidate<'_>], Wish<'_>, Option<usize>)] = &[
            ("no bridge at all", &[], single, None),
            ("the least loaded", &[at(0.3), at(0.1), at(0.2)], single, Some(1)),
            ("the first of equals", &[at(0.1), at(0.1)], single, Some(0)),
            ("not a draining one", &[draining, at(0.7)], single, Some(1)),
            ("not even for an overloaded one", &[draining, at(0.9)], single, Some(1)),
            ("a draining one before none", &[draining], single, Some(0)),
            ("not one in graceful shutdown", &[ending, at(0.7)], single, Some(1)),
            ("the person's region first", &[osl, at(0.5)], single, Some(1)),
            ("an overloaded one there before another region", &[osl, at(0.85)], single, Some(1)),
            ("the other region when there is none there", &[osl], single, Some(0)),
            ("the conference's, loaded as it is", &[at(0.0), ours(90)], single, Some(1)),
            ("the conference's, draining or not", &[at(0.0), Candidate { drain: true, ..ours(2) }], single, Some(1)),
            ("with relays the conference's own first", &[at(0.0), ours(2)], relays, Some(1)),
            ("with relays a second one when it is full", &[at(0.0), ours(80)], relays, Some(0)),
            ("with relays not while it drains", &[at(0.4), Candidate { drain: true, ..ours(2) }], relays, Some(0)),
            ("versions are not mixed", &[Candidate { version: "2", ..A }, ours(90)], relays, Some(1)),
            (
                "another region's of the same version",
                &[Candidate { version: "2", ..A }, Candidate { region: Some("osl"), ..ours(3) }],
                relays,
                Some(1),
            ),
        ];
        for (what, bridges, wish, expected) in cases {
            assert_eq!(select(bridges, *wish), *expected, "{what}");
        }
    }
}
