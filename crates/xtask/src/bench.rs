//! `cargo xtask bench`: rendering and applying, measured beside what bounds them, as one table.

mod fleets;
mod limit;
mod peer;
mod process;
mod table;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use sandbox::{ClusterAccess, World};
use testbed::{AuditEntry, Cluster, Options, Sources, Testbed};

use crate::shell::{self, Failure, Result, cargo};
use peer::Peer;
use table::Table;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often a command that only renders is run; the median is shown
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Shards of the large fleet
    #[arg(long, default_value_t = 50)]
    shards: usize,
    /// Bridges of each of its shards
    #[arg(long, default_value_t = 10)]
    bridges: usize,
    /// A Helm chart to measure in the same run, installed with its own values
    #[arg(long)]
    peer_chart: Option<PathBuf>,
    /// Values that make the chart as large as the large fleet, as `helm --set` takes them
    #[arg(long, requires = "peer_chart")]
    peer_set: Vec<String>,
}

/// The cluster of the measured fleet, of the bare requests, and of the chart.
const CLUSTERS: [&str; 3] = ["hq", "limit", "peer"];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    crate::api_servers::ready()?;
    shell::run(cargo().args(["build", "--quiet", "--release", "--package", "jitsictl"]))?;
    let peer = arguments.peer_chart.as_deref().map(|chart| Peer::build(chart, &arguments.peer_set)).transpose()?;
    let folder = tempfile::tempdir().map_err(Failure::because("cannot create a temporary folder"))?;
    let bench = Bench { jitsictl: shell::workspace().join("target/release/jitsictl"), folder: folder.path(), peer };

    let mut table = Table::new(["what", "jitsictl", "beside it", "ratio"]);
    let small = bench.fleet("small", 1, 1)?;
    let large = bench.fleet("large", arguments.shards, arguments.bridges)?;
    bench.render(&mut table, "render, 1 shard × 1 bridge", &small, arguments.runs, &[])?;
    let size = format!("{} shards × {} bridges", arguments.shards, arguments.bridges);
    bench.render(&mut table, &format!("render, {size}"), &large, arguments.runs, &arguments.peer_set)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::because("cannot start a runtime"))?;
    runtime.block_on(bench.apply(&mut table, &size, &large))?;
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    jitsictl: PathBuf,
    folder: &'a Path,
    peer: Option<Peer>,
}

impl Bench<'_> {
    fn fleet(&self, name: &str, shards: usize, bridges: usize) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.yaml"));
        std::fs::write(&path, fleets::grid(name, shards, bridges)).map_err(Failure::because("cannot write a fleet"))?;
        Ok(path)
    }

    fn jitsictl(&self, verb: &str, fleet: &Path) -> Command {
        let mut command = Command::new(&self.jitsictl);
        command.arg(verb).arg("--fleet").arg(fleet);
        command
    }

    fn render(&self, table: &mut Table<4>, what: &str, fleet: &Path, runs: usize, set: &[String]) -> Result<()> {
        let ours = median(runs, || Ok(process::run(&mut self.jitsictl("render", fleet))?.took))?;
        let peers = self.peer.as_ref().map(|peer| median(runs, || Ok(process::run(&mut peer.template(set))?.took)));
        table.row(compared(what, ours, "helm template", peers.transpose()?));
        Ok(())
    }

    async fn apply(&self, table: &mut Table<4>, size: &str, fleet: &Path) -> Result<()> {
        let names = if self.peer.is_some() { &CLUSTERS[..] } else { &CLUSTERS[..2] };
        let testbed = Testbed::start(names, Options { audit: true, sources: Sources::of_this_machine() }).await?;
        let access = testbed.clusters().iter().zip(testbed::LOAD_BALANCERS).map(|(cluster, load_balancer_base)| {
            ClusterAccess { name: cluster.name().to_owned(), config: cluster.config().clone(), load_balancer_base }
        });
        let world = World::start(access.collect()).await.map_err(Failure::new)?;

        let rendered =
            tokio::task::block_in_place(|| process::run(self.jitsictl("render", fleet).args(["-o", "json"])))?;
        let limit = limit::bare_patches(testbed.cluster("limit")?, &rendered.output).await?;
        let (ours, peers) = (testbed.cluster("hq")?, self.peer.as_ref());
        let apply = || {
            let mut command = self.jitsictl("apply", fleet);
            command.args(["--create-namespaces", "--timeout", "10m"]).env("KUBECONFIG", testbed.kubeconfig());
            command
        };
        let helm = |verb: &str| {
            let run = |peer: &Peer| process::run(&mut peer.release(verb, testbed.kubeconfig(), "peer"));
            tokio::task::block_in_place(|| peers.map(run).transpose())
        };

        let first = Applied::measure(ours, &mut apply()).await?;
        let what = format!("fresh apply to its last write, {size} ({} writes)", first.writes());
        let note = format!("{} bare PATCHes, 16 at once", limit.objects);
        table.row(compared(&what, first.to_last_write(), &note, Some(limit.took)));
        if let Some(installed) = helm("install")? {
            table.row(compared(
                "the same, beside the chart",
                first.to_last_write(),
                "helm install",
                Some(installed.took),
            ));
        }

        let again = Applied::measure(ours, &mut apply()).await?;
        let what = format!("apply, nothing changed ({} writes, {} lists)", again.writes(), again.lists());
        let upgraded = helm("upgrade")?.map(|upgraded| upgraded.took);
        table.row(compared(&what, again.process.took, "helm upgrade", upgraded));
        let memory = again.process.peak_memory.max(first.process.peak_memory) as f64 / f64::from(1 << 20);
        table.row(["peak memory of apply".into(), format!("{memory:.0} MiB"), String::new(), String::new()]);
        world.stop().await;
        Ok(())
    }
}

/// One run of apply, and what its cluster saw of it.
struct Applied {
    process: process::Finished,
    requests: Vec<AuditEntry>,
}

impl Applied {
    async fn measure(cluster: &Cluster, command: &mut Command) -> Result<Self> {
        let mark = cluster.audit_mark().await?;
        let process = tokio::task::block_in_place(|| process::run(command))?;
        let mut requests = cluster.audit_since(mark).await?;
        requests.retain(|request| request.user_agent.starts_with("jitsictl/"));
        Ok(Self { process, requests })
    }

    fn writes(&self) -> usize {
        self.requests.iter().filter(|request| request.is_write()).count()
    }

    fn lists(&self) -> usize {
        self.requests.iter().filter(|request| request.verb == "list").count()
    }

    /// From the start of the process; what follows the last write is waiting for pods.
    fn to_last_write(&self) -> Duration {
        let last = self.requests.iter().filter(|request| request.is_write()).map(|request| request.at).max();
        last.map_or(Duration::ZERO, |last| last.duration_since(self.process.begun).unsigned_abs())
    }
}

fn median(runs: usize, mut run: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    let mut times = (0..runs.max(1)).map(|_| run()).collect::<Result<Vec<Duration>>>()?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn compared(what: &str, ours: Duration, other: &str, theirs: Option<Duration>) -> [String; 4] {
    let (beside, ratio) = match theirs {
        Some(theirs) => (
            format!("{} ({other})", table::time(theirs)),
            format!("{:.2}", ours.as_secs_f64() / theirs.as_secs_f64().max(f64::EPSILON)),
        ),
        None => (String::new(), String::new()),
    };
    [what.to_owned(), table::time(ours), beside, ratio]
}
