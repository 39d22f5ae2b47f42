//! The plan: the whole difference first, then what may happen now, then what waits.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fleet::ClusterName;
use manifest::UnitId;
use orchestrator::PlanReport;
use owo_colors::OwoColorize;
use plan::{BlastRadius, Change, Difference, Step};

use super::{
    failures::{debt, grouped, reason, some},
    words,
};

/// Leaves shown of one change, unless all are asked for.
const FIELDS: usize = 4;
/// Length of a value that is shown.
const VALUE: usize = 48;

/// The screen; with `all`, every leaf that differs.
pub(crate) fn plan(report: &PlanReport, all: bool) -> String {
    let mut out = head(report);
    let plan = &report.plan;
    if !plan.changes.is_empty() {
        out.push('\n');
        changes(&mut out, &plan.changes, all);
    }
    let mut rest = Vec::new();
    rest.extend(titled("now", steps(&plan.steps)));
    let waiting = grouped(&plan.blocked);
    let waiting = waiting.iter().map(|group| vec![group.cluster.to_string(), group.names(), reason(group.by)]);
    rest.extend(titled("waiting", words::columns(&waiting.collect::<Vec<_>>(), 3)));
    let unreachable =
        report.unreachable.iter().map(|(cluster, why)| format!("{cluster}: {why}; nothing is planned there"));
    rest.extend(titled("not reached", unreachable.collect()));
    let refused = report.refused.iter().map(|failure| crate::Notice::from(failure).message);
    rest.extend(titled("left", report.debts.iter().map(debt).collect()));
    rest.extend(titled("refused", refused.collect()));
    rest.extend(titled("note", report.notes.clone()));
    rest.extend(titled("forecast", plan.forecast.lines.clone()));
    if !rest.is_empty() {
        out.push('\n');
    }
    for line in rest {
        out.push_str(&line);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&foot(report));
    out.push('\n');
    out
}

fn head(report: &PlanReport) -> String {
    let (clusters, shards, bridges) = report.size;
    let mut out = format!(
        "{} {} · {} · {} · {} · {}",
        "fleet".dimmed(),
        report.fleet.bold(),
        report.url,
        words::count(clusters, "cluster"),
        words::count(shards, "shard"),
        words::count(bridges, "bridge"),
    );
    if let Some(live) = &report.live {
        let _ = write!(out, " · live now: {}", words::live(live, ", "));
    }
    out.push('\n');
    out
}

fn foot(report: &PlanReport) -> String {
    let plan = &report.plan;
    if plan.is_empty() {
        let whole = report.unreachable.is_empty();
        return if whole { "nothing to do".to_owned() } else { "nothing to do where clusters answered".to_owned() };
    }
    let calls = match plan.radius() {
        BlastRadius::None | BlastRadius::NewJoins => "nobody is disconnected by this plan",
        BlastRadius::Reconnect => "browsers reconnect their signalling; media goes on",
        BlastRadius::BridgeDrain | BlastRadius::ShardRestart => {
            "what people are on is replaced only when they have left, unless --allow-disruption says otherwise"
        }
    };
    if plan.steps.is_empty() {
        format!("nothing may be done now; {calls}")
    } else {
        format!("run `jitsictl apply` to start; {calls}")
    }
}

/// Lines under a title in a column of its own.
fn titled(title: &str, lines: Vec<String>) -> Vec<String> {
    let title = |at| if at == 0 { title } else { "" };
    lines.into_iter().enumerate().map(|(at, line)| format!("{:<12}{line}", title(at))).collect()
}

fn changes(out: &mut String, changes: &[Change], all: bool) {
    let groups = alike(changes);
    let mut rows = vec![["changes", "", "", "blast radius", "on it now"].map(str::to_owned).to_vec()];
    rows.extend(groups.iter().map(|group| {
        let change = group.first;
        let live = change.live.map_or("–".to_owned(), |live| words::live(&live, ", "));
        let unit = format!("  {} {}", sign(change), group.name());
        vec![unit, change.cluster.to_string(), summary(change), change.radius.as_str().to_owned(), live]
    }));
    let mut lines = words::columns(&rows, 3).into_iter();
    let _ = writeln!(out, "{}", lines.next().unwrap_or_default().dimmed());
    for (line, group) in lines.zip(&groups) {
        let _ = match sign(group.first) {
            '+' => writeln!(out, "{}", line.green()),
            '-' => writeln!(out, "{}", line.red()),
            _ => writeln!(out, "{}", line.yellow()),
        };
        details(out, group.first, all);
    }
}

/// Changes that differ in nothing but the index of the bridge or recorder.
struct Alike<'a> {
    first: &'a Change,
    last: &'a Change,
    count: usize,
}

impl Alike<'_> {
    fn name(&self) -> String {
        let first = self.first.unit.to_string();
        match (self.count, &self.last.unit) {
            (1, _) => first,
            (_, UnitId::Bridge(pool, index) | UnitId::Recorder(pool, index)) => format!("{first} … {pool}/{index}"),
            _ => first,
        }
    }
}

fn alike(changes: &[Change]) -> Vec<Alike<'_>> {
    let mut groups: Vec<Alike<'_>> = Vec::new();
    for change in changes {
        match groups.last_mut().filter(|group| belongs(group.last, change)) {
            Some(group) => {
                group.last = change;
                group.count += 1;
            }
            None => groups.push(Alike { first: change, last: change, count: 1 }),
        }
    }
    groups
}

fn belongs(before: &Change, change: &Change) -> bool {
    let neighbours = match (&before.unit, &change.unit) {
        (UnitId::Bridge(pool, index), UnitId::Bridge(next_pool, next))
        | (UnitId::Recorder(pool, index), UnitId::Recorder(next_pool, next)) => {
            pool == next_pool && next.0 == index.0.wrapping_add(1)
        }
        _ => false,
    };
    neighbours
        && before.cluster == change.cluster
        && before.radius == change.radius
        && before.live == change.live
        && before.objects.len() == change.objects.len()
        && before.objects.iter().zip(&change.objects).all(|(a, b)| a.0.kind == b.0.kind && same(&a.1, &b.1))
}

/// Equal but for values: those of neighbours hold their own names and ports.
fn same(a: &Difference, b: &Difference) -> bool {
    match (a, b) {
        (Difference::Update { fields: a }, Difference::Update { fields: b }) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.path == b.path)
        }
        (a, b) => a == b,
    }
}

fn sign(change: &Change) -> char {
    let all = |wanted: fn(&Difference) -> bool| {
        !change.objects.is_empty() && change.objects.iter().all(|(_, difference)| wanted(difference))
    };
    if all(|difference| matches!(difference, Difference::Create)) {
        '+'
    } else if all(|difference| matches!(difference, Difference::Delete)) {
        '-'
    } else {
        '~'
    }
}

fn summary(change: &Change) -> String {
    let mut created = 0;
    let mut updated = 0;
    let mut deleted = 0;
    for (_, difference) in &change.objects {
        match difference {
            Difference::Create => created += 1,
            Difference::Update { .. } => updated += 1,
            Difference::Delete => deleted += 1,
        }
    }
    let parts = [(created, "new"), (updated, "changed"), (deleted, "to go")];
    let mut parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    match change.outdated_pods.len() {
        0 => {}
        n => parts.push(format!("{} outdated", words::count(n, "pod"))),
    }
    parts.join(", ")
}

/// Under a change: the leaves that differ.
fn details(out: &mut String, change: &Change, all: bool) {
    let mut lines: Vec<String> = Vec::new();
    for (object, difference) in &change.objects {
        match difference {
            Difference::Update { fields } => lines.extend(fields.iter().map(|field| {
                let show = |value: &Option<String>| value.as_deref().map_or("–".to_owned(), shortened);
                format!("{object} {}: {} → {}", field.path, show(&field.from), show(&field.to))
            })),
            Difference::Create if all => lines.push(format!("+ {object}")),
            Difference::Delete => lines.push(format!("- {object}")),
            Difference::Create => {}
        }
    }
    let shown = if all || lines.len() <= FIELDS + 1 { lines.len() } else { FIELDS };
    for line in &lines[..shown] {
        let _ = writeln!(out, "      {}", line.dimmed());
    }
    if shown < lines.len() {
        let _ = writeln!(out, "      {}", format!("and {} more (-v shows all)", lines.len() - shown).dimmed());
    }
}

fn shortened(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(VALUE).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}

/// What may be done now: steps of one sort and cluster together, in order of their first.
fn steps(steps: &[Step]) -> Vec<String> {
    let mut groups: Vec<(&'static str, ClusterName, Vec<String>, usize)> = Vec::new();
    for step in steps {
        let (verb, cluster, what, objects) = described(step);
        match groups.iter_mut().find(|(known, place, ..)| *known == verb && place == cluster) {
            Some((.., names, n)) => {
                names.push(what);
                *n += objects;
            }
            None => groups.push((verb, cluster.clone(), vec![what], objects)),
        }
    }
    let rows: Vec<Vec<String>> = groups
        .into_iter()
        .enumerate()
        .map(|(at, (verb, cluster, names, objects))| {
            let mut what = some(&names, 5);
            if objects > 0 {
                let _ = write!(what, " ({})", words::count(objects, "object"));
            }
            vec![(at + 1).to_string(), verb.to_owned(), cluster.to_string(), what]
        })
        .collect();
    words::columns(&rows, 2)
}

/// A step: its verb, where, on what, and how many objects it writes.
pub(crate) fn described(step: &Step) -> (&'static str, &ClusterName, String, usize) {
    match step {
        Step::Bury(tombstone) => {
            let units: BTreeMap<_, _> = tombstone.units.iter().map(|unit| (unit.to_string(), ())).collect();
            ("write down", &tombstone.cluster, format!("{} left the file", words::row(units.keys())), 0)
        }
        Step::Apply { unit, cluster, objects } => ("apply", cluster, unit.to_string(), objects.len()),
        Step::Drain { pool, index, pod, .. } => ("drain", &pod.cluster, format!("bridge {pool}/{index}"), 0),
        Step::Undrain { pool, index, pod } => ("undrain", &pod.cluster, format!("bridge {pool}/{index}"), 0),
        Step::Attach { pool, index, pod, shard, slot, replace } => {
            let verb = if *replace { "connect anew" } else { "connect" };
            (verb, &pod.cluster, format!("bridge {pool}/{index} to {shard}/{slot}"), 0)
        }
        Step::Detach { pool, index, pod, shard, slot } => {
            ("disconnect", &pod.cluster, format!("bridge {pool}/{index} from {shard}/{slot}"), 0)
        }
        Step::DeletePod { pod, .. } => ("replace", &pod.cluster, format!("pod {}", pod.pod), 0),
        Step::Prune { object, .. } => ("delete", &object.cluster, object.to_string(), 0),
        Step::Forget { unit, cluster, objects } => {
            let names: Vec<String> = objects.iter().map(|object| format!("{} {}", object.kind, object.name)).collect();
            ("forget", cluster, format!("{} of {unit}, gone already", names.join(", ")), 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use fleet::Index;
    use manifest::{Kind, ObjectRef};
    use plan::change::Field;
    use plan::{Blocked, BlockedBy, Forecast, Live, Plan};

    use super::*;
    use crate::print::bare;

    fn object(kind: Kind, name: &str) -> ObjectRef {
        let cluster = "frankfurt".parse().unwrap();
        ObjectRef { cluster, kind, namespace: "media".into(), name: name.into() }
    }

    fn bridge(index: u16) -> Change {
        let name = format!("meet-jvb-eu-{index}");
        let image = Field {
            path: "/spec/template/spec/containers[name=jvb]/image".into(),
            from: Some("ghcr.io/jitsi/jvb:stable-11146-1".into()),
            to: Some("ghcr.io/jitsi/jvb:stable-11146-2".into()),
        };
        Change {
            unit: UnitId::Bridge("eu".parse().unwrap(), Index(index)),
            cluster: "frankfurt".parse().unwrap(),
            objects: vec![(object(Kind::StatefulSet, &name), Difference::Update { fields: vec![image] })],
            outdated_pods: vec![format!("{name}-0")],
            radius: BlastRadius::BridgeDrain,
            live: Some(Live { conferences: 14, participants: 60 }),
        }
    }

    fn report(plan: Plan) -> PlanReport {
        PlanReport {
            fleet: "meet".into(),
            url: "https://meet.example.org".into(),
            size: (3, 2, 13),
            live: Some(Live { conferences: 212, participants: 1304 }),
            plan,
            unreachable: BTreeMap::new(),
            refused: Vec::new(),
            debts: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_difference_comes_first_then_now_then_what_waits() {
        let wiring = UnitId::Wiring("frankfurt".parse().unwrap(), "beta".parse().unwrap(), fleet::Slot::B);
        let service = object(Kind::Service, "meet-beta-b-xmpp");
        let mut changes: Vec<Change> = (0..3).map(bridge).collect();
        changes.push(Change {
            unit: wiring.clone(),
            cluster: "frankfurt".parse().unwrap(),
            objects: vec![(service.clone(), Difference::Create)],
            outdated_pods: Vec::new(),
            radius: BlastRadius::None,
            live: None,
        });
        let plan = Plan {
            changes,
            steps: vec![Step::Apply { unit: wiring, cluster: "frankfurt".parse().unwrap(), objects: vec![service] }],
            blocked: vec![Blocked {
                unit: UnitId::Bridge("eu".parse().unwrap(), Index(0)),
                cluster: "frankfurt".parse().unwrap(),
                by: BlockedBy::Participants(Live { conferences: 14, participants: 60 }),
            }],
            forecast: Forecast { lines: vec!["bridges of frankfurt follow one by one, each when it is empty".into()] },
        };
        insta::assert_snapshot!(bare(&super::plan(&report(plan), false)));
    }

    #[test]
    fn an_empty_plan_says_so() {
        insta::assert_snapshot!(bare(&super::plan(&report(Plan::default()), false)));
    }
}
