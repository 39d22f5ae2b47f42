//! What a plan comes to: the planner, asked again and again of a world in which every step does what it should, and
//! nobody comes or leaves.

use std::collections::BTreeSet;
use std::time::Duration;

use manifest::UnitId;

use crate::effect::World;
use crate::{Forecast, Inputs, Plan, Step, plan};

/// So many rounds show what a plan is about; a large pool that is replaced one by one has hundreds.
const ROUNDS: usize = 60;

/// Between two rounds: longer than anybody waits for more evidence.
const PAUSE: Duration = Duration::from_secs(60);

/// What is to come after this plan's steps, in sentences; none where it has no step.
#[must_use]
pub fn forecast(inputs: &Inputs<'_>, first: &Plan) -> Forecast {
    let mut course = Course::default();
    let mut world = World { observed: inputs.observed.clone(), record: inputs.record.clone() };
    let (mut now, mut next) = (inputs.now, first.clone());
    let mut policy = inputs.policy.clone();
    while !next.steps.is_empty() && course.rounds < ROUNDS {
        for step in &next.steps {
            world.take(step, inputs.fleet, inputs.desired, now);
            course.note(step);
        }
        course.rounds += 1;
        policy.learnt.told(&next.steps, now);
        for pause in [Duration::ZERO, PAUSE] {
            now = now.checked_add(pause).unwrap_or(now);
            world.is_asked_again(now);
            policy.learnt.saw(inputs.fleet, &world.record.allocations, &world.observed, policy.witness);
        }
        next = plan(&Inputs { observed: &world.observed, record: &world.record, policy: &policy, now, ..*inputs });
    }
    Forecast { lines: if course.rounds == 0 { Vec::new() } else { course.told(&next) } }
}

/// What happened on the way.
#[derive(Default)]
struct Course {
    rounds: usize,
    replaced: BTreeSet<UnitId>,
    removed: usize,
}

impl Course {
    fn note(&mut self, step: &Step) {
        match step {
            Step::DeletePod { unit, .. } => {
                self.replaced.insert(unit.clone());
            }
            Step::Prune { .. } => self.removed += 1,
            _ => {}
        }
    }

    fn told(&self, last: &Plan) -> Vec<String> {
        let single = |unit: &&UnitId| matches!(unit, UnitId::Bridge(..) | UnitId::Recorder(..));
        let singles = self.replaced.iter().filter(single).count();
        let others = self.replaced.iter().filter(|unit| !single(unit)).map(ToString::to_string);
        let mut lines = Vec::new();
        match singles {
            0 => {}
            1 => lines.push("1 bridge or recorder is replaced when nobody is on it".to_owned()),
            several => lines
                .push(format!("{several} bridges and recorders are replaced one at a time, each when nobody is on it")),
        }
        lines.extend(others.map(|unit| format!("{unit} starts anew when nobody is on it")));
        if self.removed > 0 {
            let are = if self.removed == 1 { "object is" } else { "objects are" };
            lines.push(format!("{} {are} removed", self.removed));
        }
        lines.push(if !last.steps.is_empty() {
            format!("more follows; {ROUNDS} rounds were looked ahead")
        } else if last.blocked.is_empty() {
            "then nothing is left to do".to_owned()
        } else {
            let waiting: BTreeSet<String> = last.blocked.iter().map(|blocked| blocked.unit.to_string()).collect();
            let some: Vec<String> = waiting.iter().take(3).cloned().collect();
            let rest = waiting.len() - some.len();
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("then still waiting, unless people leave or what is missing comes: {}{more}", some.join(", "))
        });
        lines
    }
}
