//! Every file of `tests/scenarios` is a test: commands, and what must come out. See `tests/README.md`.
//!
//! Each is played on real API servers and in the sandbox, unless `SCENARIOS_ON=real` or `SCENARIOS_ON=sandbox` says
//! where. `SCENARIOS=name,other` plays only these; `UPDATE_SCENARIOS=1` writes the output that came into the files.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "a test reports, and fails when it cannot go on")]

mod support;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use support::{
    backend::Backend,
    binary::jitsictl,
    script::{self, Script},
    stage::Stage,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// How many scenarios share the real clusters at once; they mostly wait.
const AT_ONCE: usize = 3;
/// How many are played at once in the sandbox, each in clusters of its own.
const SANDBOXES: usize = 6;

struct Scenario {
    name: String,
    /// Its place among all files, whichever of them are played: it decides its ports.
    number: usize,
    path: PathBuf,
    text: String,
    script: Script,
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios() {
    if !wanted("real") {
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut failures = Vec::new();
    let scenarios = chosen(workspace, &mut failures);
    if !scenarios.is_empty() {
        // A kind that was installed does not go away again: what needs one comes last.
        let (last, others): (Vec<_>, Vec<_>) =
            scenarios.into_iter().partition(|scenario| scenario.script.kinds_of_others);
        let (alone, together): (Vec<_>, Vec<_>) = others.into_iter().partition(|scenario| scenario.script.alone);
        let backend = Backend::real().await.expect("the clusters start");
        let stage = Arc::new(Stage::set(backend, jitsictl(workspace), workspace.to_owned()));
        for (scenarios, at_once) in [(together, AT_ONCE), (alone, 1), (last, AT_ONCE)] {
            if scenarios.iter().any(|scenario| scenario.script.kinds_of_others) {
                stage.with_kinds_of_others().await.expect("the kinds of others are installed");
            }
            let stage = Arc::clone(&stage);
            let played = play(scenarios, at_once, move |scenario| {
                let stage = Arc::clone(&stage);
                async move { scenario.play(&stage, updating()).await }
            });
            failures.extend(played.await);
        }
        if let Some(stage) = Arc::into_inner(stage) {
            stage.clear().await;
        }
    }
    assert!(failures.is_empty(), "{} scenarios failed\n\n{}", failures.len(), failures.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_in_the_sandbox() {
    if !wanted("sandbox") {
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let jitsictl = jitsictl(workspace);
    // What real API servers say is what counts.
    let update = updating() && !wanted("real");
    let mut failures = Vec::new();
    let scenarios = chosen(workspace, &mut failures);
    let played = play(scenarios, SANDBOXES, move |scenario| {
        let jitsictl = jitsictl.clone();
        async move {
            let stage =
                Stage::set(Backend::memory(scenario.script.kinds_of_others).await?, jitsictl, workspace.to_owned());
            let outcome = scenario.play(&stage, update).await;
            stage.clear().await;
            outcome
        }
    });
    failures.extend(played.await);
    assert!(failures.is_empty(), "{} scenarios failed in the sandbox\n\n{}", failures.len(), failures.join("\n\n"));
}

fn wanted(backend: &str) -> bool {
    std::env::var("SCENARIOS_ON").ok().is_none_or(|only| only == backend)
}

fn updating() -> bool {
    std::env::var("UPDATE_SCENARIOS").is_ok_and(|value| value == "1")
}

/// The scenarios that are to be played.
fn chosen(workspace: &Path, failures: &mut Vec<String>) -> Vec<Scenario> {
    let only = std::env::var("SCENARIOS").ok();
    let mut scenarios = load(&workspace.join("tests/scenarios"), failures);
    scenarios.retain(|scenario| {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|name| name == scenario.name)) {
            return false;
        }
        if let Some(why) = &scenario.script.pending {
            eprintln!("pending  {} ({why})", scenario.name);
        }
        scenario.script.pending.is_none()
    });
    scenarios
}

fn load(folder: &Path, failures: &mut Vec<String>) -> Vec<Scenario> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of the scenarios is readable")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    let mut scenarios = Vec::new();
    for (number, path) in paths.into_iter().enumerate() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a scenario is text");
        match script::parse(&text) {
            Ok(script) => scenarios.push(Scenario { name, number, path, text, script }),
            Err(malformed) => failures.push(format!("{}: {malformed}", path.display())),
        }
    }
    scenarios
}

impl Scenario {
    /// Plays it; says in how many seconds, and whether its file was updated.
    async fn play(&self, stage: &Stage, update: bool) -> Result<bool, String> {
        match stage.play(&self.name, self.number, &self.text, &self.script, update).await? {
            None => Ok(false),
            Some(updated) => {
                std::fs::write(&self.path, updated).expect("the scenario can be written");
                Ok(true)
            }
        }
    }
}

async fn play<F>(
    scenarios: Vec<Scenario>,
    at_once: usize,
    play: impl Fn(Arc<Scenario>) -> F + Clone + Send + 'static,
) -> Vec<String>
where
    F: Future<Output = Result<bool, String>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for scenario in scenarios {
        let (play, permits) = (play.clone(), Arc::clone(&permits));
        playing.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let begun = Instant::now();
            let scenario = Arc::new(scenario);
            let outcome = play(Arc::clone(&scenario)).await;
            let (name, time) = (&scenario.name, begun.elapsed().as_secs_f64());
            match outcome {
                Ok(false) => eprintln!("ok       {name} ({time:.1} s)"),
                Ok(true) => eprintln!("updated  {name} ({time:.1} s)"),
                Err(why) => {
                    eprintln!("FAILED   {name} ({time:.1} s)");
                    return Some(format!("{}, {why}", scenario.path.display()));
                }
            }
            None
        });
    }
    let mut failures: Vec<String> = playing.join_all().await.into_iter().flatten().collect();
    failures.sort();
    failures
}
