//! `cargo xtask demo`: the example of two clusters, on two real API servers.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use sandbox::{ClusterAccess, Door, World};
use testbed::{Options, Testbed};

use xtask::shell::{self, Failure, Result};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The fleet to apply
    #[arg(long, default_value = "examples/split-cluster/fleet.yaml")]
    fleet: std::path::PathBuf,
    /// Contexts of the kubeconfig, one real cluster each
    #[arg(long, value_delimiter = ',', default_value = "hq,fra")]
    contexts: Vec<String>,
    /// Keep the clusters up until Ctrl-C, whatever came out
    #[arg(long)]
    stay: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    crate::api_servers::ready()?;
    let runtime =
        tokio::runtime::Runtime::new().map_err(|source| Failure::new(format!("cannot start a runtime: {source}")))?;
    runtime.block_on(demo(arguments))
}

async fn demo(arguments: &Arguments) -> Result<ExitCode> {
    let names: Vec<&str> = arguments.contexts.iter().map(String::as_str).collect();
    eprintln!("starting {} clusters: {}", names.len(), names.join(", "));
    let testbed = Testbed::start(&names, Options::default()).await?;
    let access = testbed.clusters().iter().zip(testbed::LOAD_BALANCERS.into_iter().cycle());
    let access = access.map(|(cluster, load_balancer_base)| ClusterAccess {
        name: cluster.name().to_owned(),
        door: Door::Network(Box::new(cluster.config().clone())),
        load_balancer_base,
    });
    let world = World::start(access.collect()).await.map_err(Failure::new)?;

    let jitsictl = |words: &[&str]| {
        let mut command = Command::new(shell::built("jitsictl")?);
        command.current_dir(shell::workspace()).args(words).arg("--fleet").arg(&arguments.fleet);
        command.env("KUBECONFIG", testbed.kubeconfig());
        // The runtime goes on under the world's daemons while we wait for the command.
        tokio::task::block_in_place(|| shell::status(&mut command))
    };
    let applied = jitsictl(&["apply", "--create-namespaces"])?;
    let shown = jitsictl(&["status"])?;
    if arguments.stay {
        stay(testbed.kubeconfig()).await?;
    }
    world.stop().await;

    let worst = [applied, shown].into_iter().find(|ended| !ended.success());
    let code = worst.map_or(0, |ended| ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
    Ok(ExitCode::from(code))
}

async fn stay(kubeconfig: &Path) -> Result<()> {
    eprintln!("\nthe clusters stay up until Ctrl-C:\n  export KUBECONFIG={}", kubeconfig.display());
    tokio::signal::ctrl_c().await.map_err(|source| Failure::new(format!("cannot wait for Ctrl-C: {source}")))
}
