//! A daemon as a process: started, killed, stopped, and started again.

use std::collections::BTreeSet;
use std::sync::Arc;

use clock::Clock;
use fleet::load::Loaded;
use orchestrator::daemon::{DaemonOptions, Generations, Handle, Intake, Pace, State, daemon};
use sandbox::fault::{Faults, Rule};
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::attempt::Process;
use crate::promise::{Promise, Violation};
use crate::script::Trouble;
use crate::stage::Stage;

/// It ends within this time after it was told to.
const ENDS: std::time::Duration = std::time::Duration::from_secs(10);

/// A daemon, whether it runs or not.
pub(super) struct Keeper {
    name: &'static str,
    clock: Clock,
    process: Process,
    intake: watch::Sender<Intake>,
    running: Option<Running>,
    /// Rounds of those that ended.
    rounds: u64,
    said: String,
}

struct Running {
    handle: Handle,
    notices: broadcast::Receiver<orchestrator::daemon::Notice>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    // It would end with it.
    _credentials: watch::Sender<Generations>,
}

impl Keeper {
    pub(super) fn new(
        stage: &Stage,
        name: &'static str,
        clock: Clock,
        loaded: &Arc<Loaded>,
    ) -> Result<Self, Violation> {
        let number = if name == "one" { 1 } else { 2 };
        let process = stage.process(number, &Trouble::default(), None);
        let (intake, _) = watch::channel(Intake { loaded: Arc::clone(loaded), handover: None, refused: None });
        Ok(Self { name, clock, process, intake, running: None, rounds: 0, said: String::new() })
    }

    /// Starts it, unless it runs.
    pub(super) fn start(&mut self, stage: &Stage) -> Result<(), Violation> {
        if self.running.is_some() {
            return Ok(());
        }
        let place = stage.place(&self.process, self.clock.clone()).map_err(|why| Promise::Played.broken(why))?;
        let options =
            DaemonOptions { place, planes: BTreeSet::new(), holder: self.name.to_owned(), pace: Pace::default() };
        let (credentials, changes) = watch::channel(Generations::new());
        let stop = CancellationToken::new();
        let (handle, runs) = daemon(self.intake.subscribe(), changes, options, stop.clone());
        let notices = handle.notices();
        let task = tokio::task::spawn_local(runs);
        stage.trace.say(format!("daemon {} is started", self.name));
        self.running = Some(Running { handle, notices, stop, task, _credentials: credentials });
        Ok(())
    }

    /// As `kill -9` does it.
    pub(super) async fn kill(&mut self) {
        self.said = self.said();
        if let Some(running) = self.running.take() {
            self.rounds += rounds(&running.handle);
            running.task.abort();
            // It was told to end, and ends so.
            let _ = running.task.await;
        }
        self.process.cut();
    }

    /// As SIGTERM does it.
    pub(super) async fn stop(&mut self) -> Result<(), Violation> {
        self.said = self.said();
        let Some(running) = self.running.take() else { return Ok(()) };
        self.rounds += rounds(&running.handle);
        running.stop.cancel();
        match tokio::time::timeout(ENDS, running.task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Promise::Played.broken(format!("daemon {} broke: {error}", self.name))),
            Err(_) => Err(Promise::Stops.broken(format!("daemon {} did not end within {ENDS:?}", self.name))),
        }
    }

    /// Another fleet file.
    pub(super) fn given(&self, loaded: &Arc<Loaded>) {
        self.intake.send_replace(Intake { loaded: Arc::clone(loaded), handover: None, refused: None });
    }

    /// What strikes its requests to a cluster.
    pub(super) fn struck(&self, cluster: &str, rules: Vec<Rule>) {
        if let Some(faults) = self.process.faults.get(cluster) {
            faults.set(rules);
        }
    }

    pub(super) fn faults(&self, cluster: &str) -> Option<Faults> {
        self.process.faults.get(cluster).cloned()
    }

    pub(super) fn heal(&self) {
        self.process.faults.values().for_each(Faults::heal);
    }

    pub(super) fn cut(&self) {
        self.process.cut();
    }

    /// Connections that it has open.
    pub(super) fn connections(&self) -> usize {
        self.process.faults.values().map(Faults::connections).sum()
    }

    pub(super) fn state(&self) -> Option<Arc<State>> {
        self.running.as_ref().map(|running| running.handle.state())
    }

    /// Rounds of all that had this name.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds + self.running.as_ref().map_or(0, |running| rounds(&running.handle))
    }

    /// What it told since this was asked last.
    pub(super) fn said(&mut self) -> String {
        let mut said = std::mem::take(&mut self.said);
        if let Some(running) = &mut self.running {
            said.push_str(&json!(*running.handle.state()).to_string());
            loop {
                match running.notices.try_recv() {
                    Ok(notice) => said.push_str(&json!(notice).to_string()),
                    Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                    Err(_) => break,
                }
            }
        }
        said
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }
}

fn rounds(handle: &Handle) -> u64 {
    handle.counters().rounds.values().sum()
}
