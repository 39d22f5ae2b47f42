//! Running other programs, and failing with words.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

/// Why a task stopped; printed after `error: `. Not an error itself: whatever is one becomes this by `?`.
#[derive(Debug)]
pub struct Failure(String);

/// Of a task.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// In these words.
    #[must_use]
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }

    /// For `map_err`: what was tried, and then the error.
    pub fn because<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }

    /// An error with a way out.
    #[must_use]
    pub fn with_hint(what: impl fmt::Display, hint: impl fmt::Display) -> Self {
        Self(format!("{what}\n  hint: {hint}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The cargo that runs us, at the workspace.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    // What cargo says of us to us would be news to build scripts that look at it: `ring`, and all that stands on it, would
    // be built anew each time that cargo is run by us after it was run by hand, and the other way round.
    let of_us = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    std::env::vars_os().filter(|(name, _)| of_us(name)).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command
}

/// Shows a command and runs it; its output goes where ours goes.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    eprintln!("$ {}", words.join(" "));
    command.status().map_err(|source| Failure::new(format!("cannot run `{}`: {source}", words.join(" "))))
}

/// Runs a command that has to succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let ended = status(command)?;
    if ended.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` ended with {ended}", command.get_program().to_string_lossy())))
}

/// Can this program be started?
pub fn exists(program: impl AsRef<OsStr>, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Where cargo puts the programs of this workspace: beside us.
pub fn built(program: &str) -> Result<PathBuf> {
    let own =
        std::env::current_exe().map_err(|source| Failure::new(format!("cannot tell where we run from: {source}")))?;
    Ok(own.with_file_name(format!("{program}{}", std::env::consts::EXE_SUFFIX)))
}
