//! What happens inside, for those who ask: `-v`, `-vv`, or a filter in `JITSICTL_LOG`. The daemon tells without being
//! asked.

use tracing_subscriber::EnvFilter;

use crate::{
    Environment,
    cli::{Cli, LogFormat, Verb},
    environment::LOG,
};

/// The client's own errors are quiet: ours say the same with more context.
const QUIET: &str = "kube_client=off";

/// How lines on stderr are written.
pub(crate) fn format(cli: &Cli) -> LogFormat {
    if let Verb::Daemon(daemon) = &cli.verb { daemon.log_format } else { LogFormat::Text }
}

pub(crate) fn start(cli: &Cli, environment: &Environment) {
    let told_unasked = matches!(cli.verb, Verb::Daemon(_));
    let level = match cli.global.verbose + u8::from(told_unasked) {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let ours = |level: &str| {
        let crates = ["jitsictl", "orchestrator", "cluster", "jitsi_api", "plan", "fleet"];
        crates.map(|name| format!("{name}={level}")).join(",")
    };
    let directives = match environment.get(LOG) {
        Some(filter) => format!("{QUIET},{filter}"),
        None => format!("{QUIET},{}", ours(level)),
    };
    // A malformed filter must not keep anybody from running the command.
    let filter = EnvFilter::builder().parse_lossy(directives);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let _ = match format(cli) {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.compact().try_init(),
    };
}
