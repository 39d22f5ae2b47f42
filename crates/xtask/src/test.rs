//! `cargo xtask test`: what the tests need, then the tests.

use std::{
    ffi::OsString,
    fs::File,
    io::{Seek as _, SeekFrom},
    process::{Child, Command, ExitCode, Stdio},
};

use xtask::shell::{self, Failure, Result, cargo};

use crate::simulate;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Given on to `cargo test`: names of tests, `-p CRATE`, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo_test: Vec<String>,
}

/// The package of the scenarios.
const SCENARIOS: &str = "jitsictl-tests";

/// Seeds that are always played, and after them others that nobody has played yet, for as long as there is time.
const SIMULATED: [&str; 5] = ["--seeds", "40", "--minutes", "5", "--fresh"];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    haproxy()?;
    // With `--all-targets` the programs are built with the same features as the tests, hence only once.
    shell::run(cargo().args(["build", "--workspace", "--all-targets"]))?;
    let api_servers = api_servers()?;
    let (jitsictl, path) = (shell::built("jitsictl")?, path_with_sbin()?);
    let set_up = |mut tests: Command| {
        tests.env("KUBEBUILDER_ASSETS", &api_servers).env("JITSICTL", &jitsictl).env("PATH", &path);
        // The clusters of whoever runs the tests are none of their business.
        tests.env_remove("KUBECONFIG");
        tests
    };
    // Whoever names tests wants no others.
    if !arguments.cargo_test.is_empty() {
        let mut tests = set_up(cargo());
        tests.args(["test", "--workspace", "--no-fail-fast"]).args(&arguments.cargo_test);
        return Ok(ended(shell::status(&mut tests)?.success()));
    }
    // Scenarios mostly wait for real clusters; what computes meanwhile must not make them late.
    let mut rest = set_up(patient(&cargo()));
    rest.args(["test", "--workspace", "--exclude", SCENARIOS, "--no-fail-fast"]);
    let rest = Beside::start(rest)?;
    let mut scenarios = set_up(cargo());
    scenarios.args(["test", "--package", SCENARIOS, "--no-fail-fast"]);
    let mut good = shell::status(&mut scenarios)?.success();
    eprintln!("the tests of the crates, which ran meanwhile:");
    good &= rest.end()?;
    good &= shell::status(Command::new(simulate::built()?).args(SIMULATED))?.success();
    Ok(ended(good))
}

fn ended(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same command, whenever nobody else has something to compute.
fn patient(command: &Command) -> Command {
    let mut patient = Command::new("nice");
    patient.args(["-n", "10"]).arg(command.get_program()).args(command.get_args());
    patient.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.get_envs().filter(|(_, value)| value.is_none()).for_each(|(name, _)| {
        patient.env_remove(name);
    });
    if let Some(folder) = command.get_current_dir() {
        patient.current_dir(folder);
    }
    patient
}

/// A command that runs beside others. What it says is shown when it is waited for.
struct Beside {
    child: Child,
    said: File,
}

impl Beside {
    fn start(mut command: Command) -> Result<Self> {
        let said = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
        let child = command.spawn().map_err(Failure::because("cannot run the tests of the crates"))?;
        Ok(Self { child, said })
    }

    /// Whether it ended well.
    fn end(mut self) -> Result<bool> {
        let good = self.child.wait()?.success();
        self.said.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut self.said, &mut std::io::stderr())?;
        Ok(good)
    }
}

/// The folder of the API servers, built if they are not there yet.
fn api_servers() -> Result<OsString> {
    let mut ready = Command::new(shell::built("workbench")?);
    let said = ready.arg("api-servers").stderr(Stdio::inherit()).output()?;
    if !said.status.success() {
        return Err(Failure::new("the API servers that the tests run against can't be built; see above"));
    }
    Ok(String::from_utf8(said.stdout)?.trim_end().into())
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
