//! `cargo xtask test`: what the tests need, then the tests.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use crate::{
    api_servers,
    shell::{self, Failure, Result, cargo},
    simulate,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Given on to `cargo test`: names of tests, `-p CRATE`, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo_test: Vec<String>,
}

/// Seeds that are always played, and after them others that nobody has played yet, for as long as there is time.
const SIMULATED: [&str; 5] = ["--seeds", "40", "--minutes", "5", "--fresh"];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let api_servers = api_servers::ready()?;
    haproxy()?;
    // With `--all-targets` the programs are built with the same features as the tests, hence only once.
    shell::run(cargo().args(["build", "--workspace", "--all-targets"]))?;
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    tests.args(&arguments.cargo_test);
    tests.env("KUBEBUILDER_ASSETS", api_servers.folder());
    tests.env("JITSICTL", shell::built("jitsictl")?);
    tests.env("PATH", path_with_sbin()?);
    // The clusters of whoever runs the tests are none of their business.
    tests.env_remove("KUBECONFIG");
    let mut good = shell::status(&mut tests)?.success();
    // Whoever names tests wants no others.
    if arguments.cargo_test.is_empty() {
        good &= shell::status(Command::new(simulate::built()?).args(SIMULATED))?.success();
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Debian keeps haproxy in a folder that only root has in its path.
fn path_with_sbin() -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    std::env::join_paths(folders).map_err(|unusable| Failure::new(format!("PATH is unusable: {unusable}")))
}

/// The rendered proxy configuration is tested in Debian's own HAProxy.
fn haproxy() -> Result<()> {
    let there = || shell::exists("haproxy", "-v") || shell::exists("/usr/sbin/haproxy", "-v");
    if there() {
        return Ok(());
    }
    let missing = |why: &str| {
        Failure::with_hint(
            format!("the tests need haproxy, and {why}"),
            "install HAProxy 2.6 or newer, then run this again",
        )
    };
    if !shell::exists("apt-get", "--version") {
        return Err(missing("there is no apt-get to install it with"));
    }
    let install = || {
        let mut command = Command::new("apt-get");
        command
            .args(["install", "--yes", "--no-install-recommends", "haproxy"])
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    // The package lists of a fresh machine are empty or old.
    if shell::run(&mut install()).is_err() {
        shell::run(Command::new("apt-get").arg("update"))
            .and_then(|()| shell::run(&mut install()))
            .map_err(|_| missing("`apt-get install haproxy` failed (are you root?)"))?;
    }
    if there() { Ok(()) } else { Err(missing("its package brought no `haproxy`")) }
}
