//! What happens inside, for those who ask: `-v`, `-vv`, or a filter in `JITSICTL_LOG`.

use tracing_subscriber::EnvFilter;

use crate::{Environment, cli::Global, environment::LOG};

/// The client's own errors are quiet: ours say the same with more context.
const QUIET: &str = "kube_client=off";

pub(crate) fn start(global: &Global, environment: &Environment) {
    let level = match global.verbose {
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
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .compact()
        .try_init();
}
