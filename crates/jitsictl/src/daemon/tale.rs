//! What happens, as log lines: cluster, unit and step are fields of each line that has them.

use orchestrator::daemon::{Happening, Link, Notice, PlaneState};
use orchestrator::report::{Event, Failure};
use plan::Step;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tracing::{debug, info, warn};

use crate::print::{described, endpoint};

/// Logs what happens until nothing does any more.
pub(super) async fn run(mut notices: Receiver<Notice>) {
    loop {
        match notices.recv().await {
            Ok(notice) => line(&notice.what),
            Err(RecvError::Lagged(missed)) => warn!(missed, "too much happened at once to log it all"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn line(what: &Happening) {
    match what {
        Happening::Cluster { cluster, state, why } => {
            let (state, why) = (state.as_str(), why.as_deref());
            if [Link::Degraded.as_str(), Link::Lost.as_str()].contains(&state) {
                warn!(%cluster, state, why, "connection");
            } else {
                info!(%cluster, state, why, "connection");
            }
        }
        Happening::Plane { plane, state } => match state {
            PlaneState::Starting => info!(%plane, "nobody knows yet who writes"),
            PlaneState::Leading { .. } => info!(%plane, "leading"),
            PlaneState::Following { holder, .. } => info!(%plane, holder, "following"),
            PlaneState::Frozen { why, .. } => warn!(%plane, why, "observed only"),
        },
        Happening::Intent { hash } => info!(hash, "another fleet file is in force"),
        Happening::IntentRefused { problems } => {
            let problems = problems.join("\n");
            warn!(problems, "the fleet file makes no sense: the last good one stays in force");
        }
        Happening::Repaired { cluster, object, .. } => info!(%cluster, object, "repaired"),
        Happening::Fighting(fight) => {
            let managers = fight.managers.join(", ");
            let (cluster, object, until) = (&fight.cluster, &fight.object, fight.until);
            warn!(%cluster, object, managers, %until, "changed back again and again: left alone for a while");
        }
        Happening::Endpoint { shard, slot, endpoint: now } => {
            info!(%shard, %slot, endpoint = endpoint(now), "endpoint");
        }
        Happening::Joined => info!("all bridges have joined"),
        Happening::Missing { bridges, why } => warn!(bridges, why = why.join("\n"), "bridges have not joined"),
        Happening::Run(event) => of_a_run(event),
    }
}

fn of_a_run(event: &Event) {
    match event {
        Event::Step { step } => self::step(step),
        Event::Written { unit, cluster, object, warnings, yielded } => {
            let warnings = (!warnings.is_empty()).then(|| warnings.join("\n"));
            let yielded = (!yielded.is_empty()).then(|| yielded.join(", "));
            info!(%cluster, %unit, object, warnings, yielded, "written");
        }
        Event::Failed(Failure { cluster, unit, object, message, detail, hint }) => {
            let unit = unit.as_ref().map(tracing::field::display);
            let (object, detail, hint) = (object.as_deref(), detail.as_deref(), hint.as_deref());
            warn!(%cluster, unit, object, detail, hint, "{message}");
        }
        Event::Note { cluster, text, hint } => {
            info!(cluster = cluster.as_ref().map(tracing::field::display), hint = hint.as_deref(), "{text}");
        }
        Event::Unreachable { cluster, why } => warn!(%cluster, why, "unreachable"),
        Event::Connected { cluster } => info!(%cluster, "connected"),
        Event::Planned { steps, blocked, .. } => debug!(steps, blocked, "planned"),
        Event::Joined { .. } => debug!("bridges counted"),
        Event::Waiting { why } => debug!(why = why.join("\n"), "waiting"),
    }
}

fn step(step: &Step) {
    let (verb, cluster, what, objects) = described(step);
    let unit = match step {
        Step::Apply { unit, .. }
        | Step::DeletePod { unit, .. }
        | Step::Prune { unit, .. }
        | Step::Forget { unit, .. } => Some(unit.to_string()),
        Step::Drain { pool, index, .. }
        | Step::Undrain { pool, index, .. }
        | Step::Attach { pool, index, .. }
        | Step::Detach { pool, index, .. } => Some(format!("bridge {pool}/{index}")),
        Step::Bury(_) => None,
    };
    info!(%cluster, unit, step = verb, objects, "{verb} {what}");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use fleet::Index;
    use manifest::UnitId;
    use serde_json::Value as Json;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn logged(what: &Happening) -> Json {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, || line(what));
        let bytes = lines.0.lock().unwrap().clone();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_line_names_cluster_unit_and_step() {
        let unit = UnitId::Bridge("eu".parse().unwrap(), Index(0));
        let cluster: fleet::ClusterName = "fra".parse().unwrap();
        let step = Step::Apply { unit: unit.clone(), cluster: cluster.clone(), objects: Vec::new() };
        let line = logged(&Happening::Run(Event::Step { step }));
        let fields = &line["fields"];
        assert_eq!((&fields["cluster"], &fields["unit"]), (&"fra".into(), &"bridge eu/0".into()), "{line}");
        assert_eq!((&fields["step"], &line["level"]), (&"apply".into(), &"INFO".into()), "{line}");
        let failure = Failure {
            cluster,
            unit: Some(unit),
            object: Some("Service media/meet-jvb-eu-0".into()),
            message: "node port 30000 is taken".into(),
            detail: None,
            hint: None,
        };
        let line = logged(&Happening::Run(Event::Failed(failure)));
        let fields = &line["fields"];
        assert_eq!((&fields["unit"], &line["level"]), (&"bridge eu/0".into(), &"WARN".into()), "{line}");
        assert_eq!(fields["message"], "node port 30000 is taken");
        assert!(fields.get("hint").is_none(), "{line}");
    }
}
