//! Every file of `tests/scenarios` is a test: commands, and what must come out. See `tests/README.md`.
//!
//! `SCENARIOS=name,other` plays only these; `UPDATE_SCENARIOS=1` writes the output that came into the files.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "a test reports, and fails when it cannot go on")]

mod support;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use support::{
    binary::jitsictl,
    script::{self, Script},
    stage::Stage,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// How many scenarios run side by side; they mostly wait.
const AT_ONCE: usize = 3;

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
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let only = std::env::var("SCENARIOS").ok();
    let update = std::env::var("UPDATE_SCENARIOS").is_ok_and(|value| value == "1");
    let mut failures = Vec::new();
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for scenario in load(&workspace.join("tests/scenarios"), &mut failures) {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|name| name == scenario.name)) {
            continue;
        }
        match &scenario.script.pending {
            Some(why) => eprintln!("pending  {} ({why})", scenario.name),
            None if scenario.script.alone => alone.push(scenario),
            None => together.push(scenario),
        }
    }
    if !together.is_empty() || !alone.is_empty() {
        let stage = Arc::new(Stage::set(jitsictl(workspace), workspace.to_owned()).await.expect("the clusters start"));
        failures.extend(play(&stage, together, AT_ONCE, update).await);
        failures.extend(play(&stage, alone, 1, update).await);
        if let Some(stage) = Arc::into_inner(stage) {
            stage.clear().await;
        }
    }
    assert!(failures.is_empty(), "{} scenarios failed\n\n{}", failures.len(), failures.join("\n\n"));
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

async fn play(stage: &Arc<Stage>, scenarios: Vec<Scenario>, at_once: usize, update: bool) -> Vec<String> {
    let permits = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for scenario in scenarios {
        let (stage, permits) = (Arc::clone(stage), Arc::clone(&permits));
        playing.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let begun = Instant::now();
            let Scenario { name, number, path, text, script } = &scenario;
            let outcome = stage.play(name, *number, text, script, update).await;
            let time = begun.elapsed().as_secs_f64();
            match outcome {
                Ok(None) => eprintln!("ok       {name} ({time:.1} s)"),
                Ok(Some(updated)) => {
                    std::fs::write(path, updated).expect("the scenario can be written");
                    eprintln!("updated  {name} ({time:.1} s)");
                }
                Err(why) => {
                    eprintln!("FAILED   {name} ({time:.1} s)");
                    return Some(format!("{}, {why}", path.display()));
                }
            }
            None
        });
    }
    let mut failures: Vec<String> = playing.join_all().await.into_iter().flatten().collect();
    failures.sort();
    failures
}
