//! Tasks that are programs of other crates: their arguments are handed on.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

use xtask::shell::{self, Result, cargo};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// A verb of the workbench, which finds these programs beside itself: they are built together, with the same features.
pub(crate) fn workbench(verb: &str, beside: &[&str], arguments: &Arguments) -> Result<ExitCode> {
    let packages = std::iter::once(&"workbench").chain(beside).flat_map(|name| ["--package", *name]);
    shell::run(cargo().args(["build", "--quiet"]).args(packages))?;
    ended(Command::new(shell::built("workbench")?).arg(verb).args(&arguments.arguments))
}

/// An optimised one: a slow client would itself be the limit that it measures.
pub(crate) fn bench(arguments: &Arguments) -> Result<ExitCode> {
    ended(
        cargo()
            .args(["run", "--quiet", "--release", "--package", "workbench", "--", "bench"])
            .args(&arguments.arguments),
    )
}

/// Its exit code is ours.
fn ended(command: &mut Command) -> Result<ExitCode> {
    let code = shell::status(command)?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
