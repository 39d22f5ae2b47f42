//! What every verb starts from: the options, the environment, and the fleet file behind them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use cluster::{Connector, Kubeconfigs};
use fleet::ClusterName;
use fleet::diagnostic::Report;
use fleet::load::{Input, Loaded};
use orchestrator::{Handover, Options, Place};
use plan::Policy;

use crate::{
    Environment, Error,
    cli::{Global, Scope},
    environment::{FLEET, KUBECONFIG},
    load,
    print::Printer,
};

/// How we call ourselves towards clusters.
pub(crate) const USER_AGENT: &str = concat!("jitsictl/", env!("CARGO_PKG_VERSION"));

/// What every verb starts from.
pub(crate) struct Context {
    /// Options of every verb.
    pub global: Global,
    /// What the process was started with.
    pub environment: Environment,
    /// The way to people and programs.
    pub printer: Printer,
}

impl Context {
    /// The fleet file: of `--fleet`, of the environment, or the one in this folder.
    pub(crate) fn path(&self) -> PathBuf {
        let named = self.global.fleet.clone().or_else(|| self.environment.get(FLEET).map(PathBuf::from));
        named.unwrap_or_else(|| PathBuf::from("fleet.yaml"))
    }

    /// What a fleet file's loading takes.
    pub(crate) fn input(&self, path: PathBuf) -> Input {
        Input {
            path,
            env: self.environment.variables.clone(),
            overrides: self.global.set.iter().map(|set| (set.key.clone(), set.value.clone())).collect(),
        }
    }

    /// The fleet file; its problems are printed.
    pub(crate) fn load(&self) -> Result<Loaded, Error> {
        self.load_at(self.path())
    }

    /// Another fleet file; its problems are printed.
    pub(crate) fn load_at(&self, path: PathBuf) -> Result<Loaded, Error> {
        self.told(load::load(&self.input(path)))
    }

    /// The fleet file, for who renders it anyway: whether its units are told apart is left to them
    /// ([`load::clashes`]).
    pub(crate) fn load_to_render(&self) -> Result<Loaded, Error> {
        self.told(fleet::load::load(&self.input(self.path())))
    }

    fn told(&self, result: Result<Loaded, Report>) -> Result<Loaded, Error> {
        match result {
            Ok(loaded) => {
                self.report(&Report::new(loaded.warnings.clone()));
                Ok(loaded)
            }
            Err(report) => {
                self.report(&report);
                Err(Error::Fleet)
            }
        }
    }

    /// Tells of a file's problems.
    pub(crate) fn report(&self, report: &Report) {
        if self.printer.is_json() {
            report.problems.iter().for_each(|problem| self.printer.json_line(problem));
        } else if !report.problems.is_empty() {
            self.printer.line(report.render(true).trim_end());
        }
    }

    /// Options of a run against real clusters.
    pub(crate) fn options(&self, loaded: &Loaded, run: Run<'_>) -> Result<Options, Error> {
        let connector = Connector::Kubeconfigs(Box::new(self.kubeconfigs()?));
        let place = Place::real(connector, self.environment.proxies(), USER_AGENT.to_owned());
        Ok(Options {
            place,
            policy: Policy {
                planes: run.scope.plane.map(Into::into).into_iter().collect(),
                clusters: named_clusters(loaded, &run.scope.cluster)?,
                allow_disruption: run.allow_disruption,
                ..Policy::default()
            },
            timeout: run.timeout,
            create_namespaces: run.create_namespaces,
            trust_new_clusters: run.trust_new_clusters,
            restore_passwords_from: run.restore_passwords_from,
            stop: orchestrator::CancellationToken::new(),
            handover: run.handover.map(handover).transpose()?,
        })
    }

    fn kubeconfigs(&self) -> Result<Kubeconfigs, Error> {
        self.kubeconfigs_of(None)
    }

    /// The kubeconfigs by which a cluster is reached that may have one of its own.
    pub(crate) fn kubeconfigs_of(&self, own: Option<&Path>) -> Result<Kubeconfigs, Error> {
        let (list, home) = (self.environment.get(KUBECONFIG), self.environment.home.as_deref());
        Kubeconfigs::load(own.or(self.global.kubeconfig.as_deref()), list, home).map_err(|unreadable| {
            Error::usage(format!("cannot read the kubeconfig {unreadable}"), "check --kubeconfig and KUBECONFIG")
        })
    }

    /// A runtime for verbs that talk to clusters; the others never start one.
    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        cluster::install_crypto_provider();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::failed(format!("cannot start threads: {error}"), "look at this user's limits (ulimit -u, -n)")
        })?;
        let done = runtime.block_on(work);
        // A host name that is looked up in vain must not hold the command back.
        runtime.shutdown_background();
        Ok(done)
    }

    /// A runtime for clusters in memory: all in this thread, so that things happen in one order. In virtual time,
    /// waiting takes none.
    pub(crate) fn wait_alone<T>(&self, time: Time, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(time == Time::Virtual).build().map_err(|error| {
            Error::failed(format!("cannot start a runtime: {error}"), "look at this user's limits (ulimit -n)")
        })?;
        Ok(runtime.block_on(work))
    }
}

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// As it does.
    Real,
    /// At once, whenever everything waits.
    Virtual,
}

/// What a verb asks of a run.
#[derive(Debug, Default)]
pub(crate) struct Run<'a> {
    pub(crate) scope: Scope,
    pub(crate) timeout: Duration,
    pub(crate) create_namespaces: bool,
    pub(crate) trust_new_clusters: bool,
    pub(crate) allow_disruption: bool,
    pub(crate) restore_passwords_from: Option<ClusterName>,
    pub(crate) handover: Option<&'a Path>,
}

/// The clusters named on the command line, which the fleet file must know.
pub(crate) fn named_clusters(loaded: &Loaded, names: &[ClusterName]) -> Result<BTreeSet<ClusterName>, Error> {
    names.iter().map(|name| named_cluster(loaded, name)).collect()
}

/// The same for one; by the name in the file or the one that it keeps.
pub(crate) fn named_cluster(loaded: &Loaded, name: &ClusterName) -> Result<ClusterName, Error> {
    let (known, renames) = (&loaded.fleet.clusters, &loaded.fleet.renames.clusters);
    let kept = renames.get(name).unwrap_or(name);
    if known.contains_key(kept) {
        return Ok(kept.clone());
    }
    let there: Vec<&str> = known.keys().map(ClusterName::as_str).collect();
    let message = format!("the fleet file knows no cluster `{name}`");
    Err(Error::usage(message, format!("clusters: {}", there.join(", "))))
}

/// Where handover files come from.
pub(crate) const HANDOVER: &str = "those who run the control plane write it: jitsictl export handover PATH";

pub(crate) fn handover(path: &Path) -> Result<Handover, Error> {
    read_handover(path).map_err(|why| Error::usage(why, HANDOVER))
}

/// Reads a handover file, or says why that can't be done.
pub(crate) fn read_handover(path: &Path) -> Result<Handover, String> {
    let bad = |why: String| format!("cannot read the handover file {}: {why}", path.display());
    let text = fs::read(path).map_err(|error| bad(error.to_string()))?;
    // The parser's message would show what is in the file; the place is enough.
    serde_json::from_slice(&text)
        .map_err(|error| bad(format!("it is no handover file (line {}, column {})", error.line(), error.column())))
}
