//! The command line: every verb and option, and nothing that they do.

mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use fleet::{ClusterName, Plane};

pub use self::values::{AccountArg, Assignment, EndpointArg, WebhookArg};
use crate::duration;

/// Runs a self-hosted Jitsi Meet fleet on Kubernetes
///
/// One file describes the fleet; `jitsictl apply` makes it real in every cluster, carries each shard's XMPP address
/// from the control cluster into the data clusters, and says when the bridges have really joined.
#[derive(Debug, Parser)]
#[command(name = "jitsictl", version, propagate_version = true, max_term_width = 110)]
#[command(after_long_help = EXIT_CODES)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  converged, or nothing to report
  1  nothing could be done
  2  the command or the fleet file is wrong; nothing was sent
  3  something was done; something is left or waits, and is named
  4  plan --exit-code: there are changes";

/// Options of every verb
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The fleet file [default: $JITSICTL_FLEET, else fleet.yaml]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub fleet: Option<PathBuf>,
    /// The kubeconfig with the fleet's contexts [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// Overrides a value of the fleet file, such as control.web.replicas=3 (may be repeated)
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<Assignment>,
    /// For people, or for programs
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
    /// Tells more on stderr (-vv: still more; or a filter in $JITSICTL_LOG)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON document on stdout; progress as JSON lines on stderr
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Checks the fleet file: every problem at once, offline
    Check,
    /// Prints every object that the fleet consists of, offline
    Render(Render),
    /// Shows what apply would change, what may happen now, and what waits
    Plan(PlanArgs),
    /// Makes the fleet real, and waits until the bridges have joined
    Apply(Apply),
    /// Keeps the fleet as its file says, until it is told to stop
    Daemon(Daemon),
    /// Shows clusters, shards, endpoints, bridges and who is on them
    Status(StatusArgs),
    /// Removes the fleet from its clusters; claims and made secrets stay
    Delete(Delete),
    /// Writes what another team or tool needs
    #[command(subcommand)]
    Export(Export),
    /// Turns a Helm chart's values.yaml or a docker-compose .env into a fleet file
    Import(Import),
    /// Prints the rights that the fleet needs in each cluster, as YAML to apply there, offline
    Rbac(Rbac),
    /// Makes an account with those rights in one cluster, and writes a kubeconfig that logs in as it
    Credentials(Credentials),
    /// Looks after clusters that the fleet has used
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Runs whole clusters in memory: to see a fleet, or to rehearse a change of it
    ///
    /// The clusters of a fleet file, each with an API server, nodes and simulated Jitsi daemons, all in this process. No
    /// kubeconfig is read and nothing is asked of any cluster. Secrets whose source is missing here get made-up values.
    #[command(subcommand)]
    Sandbox(SandboxVerb),
    /// Prints the JSON schema of the fleet file, for editors
    Schema,
    /// Prints completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Prints the manual page (roff)
    Man,
}

/// Which part of the fleet.
#[derive(Debug, Clone, Default, Args)]
pub struct Scope {
    /// Only this plane
    #[arg(long, value_enum)]
    pub plane: Option<PlaneArg>,
    /// Only these clusters of the fleet file
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub cluster: Vec<ClusterName>,
}

/// Control or data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaneArg {
    /// prosody, jicofo, web and haproxy
    Control,
    /// bridges and recorders
    Data,
}

impl From<PlaneArg> for Plane {
    fn from(plane: PlaneArg) -> Self {
        match plane {
            PlaneArg::Control => Self::Control,
            PlaneArg::Data => Self::Data,
        }
    }
}

/// Options of `render`
#[derive(Debug, Clone, Default, Args)]
pub struct Render {
    /// Which part
    #[command(flatten)]
    pub scope: Scope,
    /// Only these units, such as `bridge eu/0` or bridge-eu-0
    #[arg(long, value_name = "UNIT")]
    pub unit: Vec<String>,
    /// Where data clusters reach a slot's XMPP, such as alpha/a=198.51.100.7:5222 [default: not known yet]
    #[arg(long, value_name = "SHARD/SLOT=HOST:PORT")]
    pub endpoint: Vec<EndpointArg>,
}

/// Options of `plan`
#[derive(Debug, Clone, Default, Args)]
pub struct PlanArgs {
    /// Which part
    #[command(flatten)]
    pub scope: Scope,
    /// Ends with exit code 4 when there are changes
    #[arg(long)]
    pub exit_code: bool,
    /// Plans as if live bridges and shards might be replaced with people on them
    #[arg(long)]
    pub allow_disruption: bool,
    /// The handover file of those who run the control plane
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub handover: Option<PathBuf>,
}

/// Options of `apply`
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// Which part
    #[command(flatten)]
    pub scope: Scope,
    /// How long to go on until everything has converged
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Creates namespaces that are missing
    #[arg(long)]
    pub create_namespaces: bool,
    /// Trusts a cluster that this fleet has not used before
    #[arg(long)]
    pub trust_new_cluster: bool,
    /// Replaces live bridges and shards even with people on them
    #[arg(long)]
    pub allow_disruption: bool,
    /// Puts passwords that were lost in the control cluster back from this data cluster's copy
    #[arg(long, value_name = "NAME")]
    pub restore_passwords_from: Option<ClusterName>,
    /// The handover file of those who run the control plane, for `--plane data` without access to it
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub handover: Option<PathBuf>,
}

/// Options of `daemon`
#[derive(Debug, Clone, Default, Args)]
pub struct Daemon {
    /// Only this plane [default: both]
    #[arg(long, value_enum)]
    pub plane: Option<PlaneArg>,
    /// The handover file of those who run the control plane, for `--plane data` without access to it
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub handover: Option<PathBuf>,
    /// Where metrics, health and state are told [default: `daemon.listen` of the fleet file, else 127.0.0.1:9480]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Its name in Leases, unique among all that run [default: the host's or pod's name, and a random part]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub holder: Option<String>,
    /// Where the few things are posted that a human must know, beside `daemon.webhooks` of the fleet file
    #[arg(long, value_name = "URL")]
    pub webhook: Option<WebhookArg>,
    /// A file with the key that signs what is posted there
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, requires = "webhook")]
    pub webhook_secret_file: Option<PathBuf>,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// A JSON object each
    Json,
}

/// Options of `status`
#[derive(Debug, Clone, Default, Args)]
pub struct StatusArgs {
    /// Asks this daemon instead of the clusters, and no fleet file [default: $JITSICTL_DAEMON, if there is one]
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["plane", "cluster", "handover"])]
    pub daemon: Option<String>,
    /// Which part
    #[command(flatten)]
    pub scope: Scope,
    /// The handover file of those who run the control plane
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub handover: Option<PathBuf>,
}

/// Options of `delete`
#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// Which part
    #[command(flatten)]
    pub scope: Scope,
    /// Also the passwords and secrets that were made or stored
    #[arg(long)]
    pub secrets: bool,
    /// Deletes bridges and shards even with people on them
    #[arg(long)]
    pub allow_disruption: bool,
    /// How long to wait until everything is gone
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    pub timeout: Duration,
}

/// What is exported
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Writes what `--plane data` needs without access to the control cluster; it carries passwords (mode 0600)
    Handover {
        /// The file to write; it must not exist, and stdout is refused
        #[arg(value_hint = ValueHint::FilePath)]
        path: PathBuf,
    },
}

/// Options of `import`
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// A values.yaml of the chart, or a docker-compose .env
    #[arg(value_hint = ValueHint::FilePath)]
    pub path: PathBuf,
    /// What the file is [default: by its name]
    #[arg(long, value_enum)]
    pub from: Option<ImportFormat>,
}

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// values.yaml of the Helm chart
    Values,
    /// .env of docker-compose
    Dotenv,
}

/// Options of `rbac`
#[derive(Debug, Clone, Default, Args)]
pub struct Rbac {
    /// Which part
    #[command(flatten)]
    pub scope: Scope,
    /// The ServiceAccount that gets the rights [default: one is made, NAMESPACE/FLEET-jitsictl]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub account: Option<AccountArg>,
}

/// Options of `credentials`
#[derive(Debug, Clone, Args)]
pub struct Credentials {
    /// The cluster of the fleet file
    #[arg(long, value_name = "NAME")]
    pub cluster: ClusterName,
    /// Only what this plane needs
    #[arg(long, value_enum)]
    pub plane: Option<PlaneArg>,
    /// How long the token lasts; the cluster may have a limit of its own
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = duration::parse)]
    pub duration: Duration,
    /// The file to write; it must not exist, and stdout is refused [default: NAME.kubeconfig]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

/// What is done about a cluster
#[derive(Debug, Subcommand)]
pub enum ClusterVerb {
    /// Forgets a cluster that does not come back, or that was rebuilt on purpose
    Forget {
        /// Its name in the fleet file
        name: ClusterName,
        /// Also when something of the fleet still runs there: it is left to that cluster's keepers
        #[arg(long)]
        abandon: bool,
    },
}

/// What is done in clusters in memory
#[derive(Debug, Subcommand)]
pub enum SandboxVerb {
    /// Applies the fleet and shows its status; ends with 0 once every bridge has joined
    Run(SandboxRun),
    /// Keeps empty clusters up, for every other verb and for kubectl, until Ctrl-C
    Up(SandboxUp),
    /// Shows what a change does while people are on calls: in virtual time, hours in seconds
    Rehearse(Rehearse),
}

/// Options of `sandbox run`
#[derive(Debug, Clone, Args)]
pub struct SandboxRun {
    /// The fleet file [default: that of --fleet]
    #[arg(value_name = "FLEET", value_hint = ValueHint::FilePath)]
    pub path: Option<PathBuf>,
    /// How long to go on until everything has converged
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Keeps the clusters up until Ctrl-C; --kubeconfig names the file to write for them
    #[arg(long)]
    pub stay: bool,
}

/// Options of `sandbox up`
#[derive(Debug, Clone, Args)]
pub struct SandboxUp {
    /// The fleet file [default: that of --fleet]; --kubeconfig names the file to write
    #[arg(value_name = "FLEET", value_hint = ValueHint::FilePath)]
    pub path: Option<PathBuf>,
}

/// Options of `sandbox rehearse`
#[derive(Debug, Clone, Args)]
pub struct Rehearse {
    /// The fleet file as it is
    #[arg(value_hint = ValueHint::FilePath)]
    pub old: PathBuf,
    /// The fleet file as it is to be
    #[arg(value_hint = ValueHint::FilePath)]
    pub new: PathBuf,
    /// Calls in a day, most of them in the hours of work
    #[arg(long, value_name = "NUMBER", default_value_t = 2000)]
    pub calls: u32,
    /// The hour of the day at which the change begins
    #[arg(long, value_name = "HOUR", default_value_t = 9, value_parser = clap::value_parser!(u8).range(0..=23))]
    pub at: u8,
    /// How long an operator goes on with the change, in hours of virtual time
    #[arg(long, value_name = "HOURS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=168))]
    pub hours: u32,
    /// Another course of events: the same seed plays the same calls
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Also writes the report as a web page, with a chart
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        let before = Cli::try_parse_from(["jitsictl", "--fleet", "a.yaml", "check"]).unwrap();
        let after = Cli::try_parse_from(["jitsictl", "check", "--fleet", "a.yaml", "--set", "a.b=c=d"]).unwrap();
        assert_eq!(before.global.fleet, after.global.fleet);
        assert_eq!(after.global.set, [Assignment { key: "a.b".into(), value: "c=d".into() }]);
    }
}
