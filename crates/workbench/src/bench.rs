//! `cargo xtask bench`: rendering and applying, measured beside what bounds them, and the daemon, as tables.

mod daemon;
mod fleets;
mod ground;
mod keep;
mod limit;
mod many;
mod peer;
mod process;
mod soak;
mod table;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use testbed::{AuditEntry, Cluster, Options, Testbed};

use peer::Peer;
use table::Table;
use xtask::shell::{self, Failure, Result, cargo};

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
    /// Measure only this
    #[arg(long)]
    only: Option<Part>,
    /// How long nothing happens before the daemon has anything to repair, in minutes
    #[arg(long, default_value_t = 1)]
    idle: u64,
    /// How long the daemon is left alone
    #[arg(long, default_value_t = 20)]
    minutes: usize,
    /// The program to measure, instead of a release build of this tree
    #[arg(long)]
    jitsictl: Option<PathBuf>,
    /// A Helm chart to measure in the same run, installed with its own values
    #[arg(long)]
    peer_chart: Option<PathBuf>,
    /// Values that make the chart as large as the large fleet, as `helm --set` takes them
    #[arg(long, requires = "peer_chart")]
    peer_set: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Rendering and applying
    Apply,
    /// The daemon on real clusters
    Keep,
    /// The daemon of a very large fleet
    Many,
    /// The daemon left alone on real clusters, only when it is asked for
    Soak,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    crate::api_servers::ready()?;
    let jitsictl = match &arguments.jitsictl {
        Some(ready) => ready.clone(),
        None => {
            shell::run(cargo().args(["build", "--quiet", "--release", "--package", "jitsictl"]))?;
            shell::workspace().join("target/release/jitsictl")
        }
    };
    let folder = tempfile::tempdir().map_err(Failure::because("cannot create a temporary folder"))?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::because("cannot start a runtime"))?;
    println!("{}\n", machine());
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    if wanted(Part::Apply) {
        let peer = arguments.peer_chart.as_deref().map(|chart| Peer::build(chart, &arguments.peer_set)).transpose()?;
        let bench = Bench { jitsictl: jitsictl.clone(), folder: folder.path(), peer };
        println!("{}", runtime.block_on(bench.apply_all(arguments))?);
    }
    if wanted(Part::Keep) {
        println!("{}", runtime.block_on(keep::measure(&jitsictl, folder.path(), arguments.idle))?);
    }
    if wanted(Part::Many) {
        println!("{}", many::measure(&jitsictl, folder.path())?);
    }
    if arguments.only == Some(Part::Soak) {
        println!("{}", runtime.block_on(soak::measure(&jitsictl, folder.path(), arguments.minutes))?);
    }
    Ok(ExitCode::SUCCESS)
}

/// How often an apply that changes nothing is run; the median is shown.
const REPEATED: usize = 5;

/// What the figures were measured on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let read = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim_start_matches([' ', '\t', ':']).trim().to_owned()
    };
    let memory = read("/proc/meminfo", "MemTotal").trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default();
    format!("{} × {cores}, {} GiB", read("/proc/cpuinfo", "model name"), memory.div_ceil(1 << 20))
}

struct Bench<'a> {
    jitsictl: PathBuf,
    folder: &'a Path,
    peer: Option<Peer>,
}

impl Bench<'_> {
    async fn apply_all(&self, arguments: &Arguments) -> Result<Table<4>> {
        let mut table = Table::new(["what", "jitsictl", "beside it", "ratio"]);
        let small = self.fleet("small", 1, 1)?;
        let large = self.fleet("large", arguments.shards, arguments.bridges)?;
        let size = format!("{} shards × {} bridges", arguments.shards, arguments.bridges);
        tokio::task::block_in_place(|| {
            self.render(&mut table, "render, 1 shard × 1 bridge", &small, arguments.runs, &[])?;
            self.render(&mut table, &format!("render, {size}"), &large, arguments.runs, &arguments.peer_set)
        })?;
        self.apply(&mut table, &size, &large).await?;
        Ok(table)
    }

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

    /// Each on a cluster of its own, one after the other: what controllers do about one must not slow the next.
    /// There are no nodes, so no pod ever starts: what is measured is what becomes of the objects.
    async fn apply(&self, table: &mut Table<4>, size: &str, fleet: &Path) -> Result<()> {
        let rendered =
            tokio::task::block_in_place(|| process::run(self.jitsictl("render", fleet).args(["-o", "json"])))?;
        let limit = {
            let testbed = start("limit").await?;
            limit::bare_patches(testbed.cluster("limit")?, &rendered.output).await?
        };
        let (installed, upgraded) = self.peer().await?.unzip();

        let testbed = start("hq").await?;
        let ours = testbed.cluster("hq")?;
        let apply = || {
            let mut command = self.jitsictl("apply", fleet);
            command.args(["--create-namespaces", "--timeout", "10m", "-o", "json"]);
            command.env("KUBECONFIG", testbed.kubeconfig());
            command
        };
        let first = Applied::measure(ours, &mut apply()).await?;
        let what = format!("fresh apply to its last write, {size} ({} writes)", first.writes());
        let note = format!("{} bare PATCHes, 16 at once", limit.objects);
        table.row(compared(&what, first.to_last_write(), &note, Some(limit.took)));
        if installed.is_some() {
            table.row(compared("the same, beside the chart", first.to_last_write(), "helm install", installed));
        }

        // The controllers are at work on what was applied: one run alone says little.
        let mut runs = Vec::new();
        for _ in 0..REPEATED {
            runs.push(Applied::measure(ours, &mut apply()).await?);
        }
        runs.sort_unstable_by_key(|run| run.process.took);
        let again = runs.swap_remove(REPEATED / 2);
        let what = format!("apply, nothing changed ({} writes, {} lists)", again.writes(), again.lists());
        table.row(compared(&what, again.process.took, "helm upgrade", upgraded));
        for (what, run) in [("peak memory, fresh apply", &first), ("peak memory, nothing changed", &again)] {
            let peak = run.process.peak_memory as f64 / f64::from(1 << 20);
            table.row([what.to_owned(), format!("{peak:.0} MiB"), String::new(), String::new()]);
        }
        Ok(())
    }

    /// How long the chart takes to be installed, and to be upgraded to what it is.
    async fn peer(&self) -> Result<Option<(Duration, Duration)>> {
        let Some(peer) = &self.peer else { return Ok(None) };
        let testbed = start("peer").await?;
        let run = |verb: &str| {
            tokio::task::block_in_place(|| process::run(&mut peer.release(verb, testbed.kubeconfig(), "peer")))
        };
        Ok(Some((run("install")?.took, run("upgrade")?.took)))
    }
}

async fn start(name: &str) -> Result<Testbed> {
    Ok(Testbed::start(&[name], Options::default()).await?)
}

/// One run of apply up to its verdict on the objects, and what its cluster saw of it.
struct Applied {
    process: process::Finished,
    requests: Vec<AuditEntry>,
}

impl Applied {
    async fn measure(cluster: &Cluster, command: &mut Command) -> Result<Self> {
        let mark = cluster.audit_mark().await?;
        let process = tokio::task::block_in_place(|| process::run_until(command, nothing_to_write))?;
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

    /// From the start of the process.
    fn to_last_write(&self) -> Duration {
        let last = self.requests.iter().filter(|request| request.is_write()).map(|request| request.at).max();
        last.map_or(Duration::ZERO, |last| last.duration_since(self.process.begun).unsigned_abs())
    }
}

/// Whether this event says that every object is as it should be; what follows is waiting for pods.
fn nothing_to_write(line: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(line).is_ok_and(|event| {
        event["event"] == "planned" && event["steps"] == 0 && event["changes"] == serde_json::json!({})
    })
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
            format!("{:.3}", ours.as_secs_f64() / theirs.as_secs_f64().max(f64::EPSILON)),
        ),
        None => (String::new(), String::new()),
    };
    [what.to_owned(), table::time(ours), beside, ratio]
}
