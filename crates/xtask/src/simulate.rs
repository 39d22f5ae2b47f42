//! `cargo xtask simulate` and `soak`: made-up days with faults, and what must hold on them.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use xtask::shell::{self, Result, cargo};

use crate::rest::Arguments;

/// By an optimised build of one of the simulation's own examples.
pub(crate) fn run(example: &str, arguments: &Arguments) -> Result<ExitCode> {
    let mut simulate = cargo();
    simulate.args(["run", "--quiet", "--profile", "simulation", "--package", "simulation"]);
    simulate.args(["--example", example, "--"]).args(&arguments.arguments);
    let ended = shell::status(&mut simulate)?;
    Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same program as it was built with everything else, for when an optimised build takes longer than it saves.
pub(crate) fn built() -> Result<PathBuf> {
    let beside = shell::built("simulate")?;
    Ok(beside.parent().unwrap_or(Path::new("")).join("examples").join(beside.file_name().unwrap_or_default()))
}
