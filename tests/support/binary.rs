//! The program under test.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The one that `cargo xtask test` has built, or built now.
pub(crate) fn jitsictl(workspace: &Path) -> PathBuf {
    if let Some(built) = std::env::var_os("JITSICTL") {
        return built.into();
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).current_dir(workspace).args(["build", "--quiet", "--package", "jitsictl"]).status();
    assert!(built.is_ok_and(|ended| ended.success()), "jitsictl cannot be built");
    // This test runs from TARGET/debug/deps.
    let own = std::env::current_exe().expect("a test knows where it is");
    let folder = own.ancestors().nth(2).expect("a test is in the target folder");
    folder.join(format!("jitsictl{}", std::env::consts::EXE_SUFFIX))
}
