//! `cargo xtask api-servers`

use std::process::ExitCode;

use testbed::{Binaries, Sources};

use xtask::shell::Result;

pub(crate) fn run() -> Result<ExitCode> {
    println!("{}", ready()?.folder().display());
    Ok(ExitCode::SUCCESS)
}

/// Finds the API servers, or builds them with a word of what takes so long.
pub(crate) fn ready() -> Result<Binaries> {
    let sources = Sources::of_this_machine();
    if let Some(there) = Binaries::locate(&sources)? {
        return Ok(there);
    }
    eprintln!("building the Kubernetes API servers; this takes about ten minutes, once");
    Ok(Binaries::locate_or_build(&sources)?)
}
